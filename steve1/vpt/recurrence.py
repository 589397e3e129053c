"""What remembers: residual blocks of attention with a memory (the published checkpoints) or of LSTMs.

A state is a list with one entry a block, batch first: ``(keys, values, valid)`` of the last ``maxlen`` frames
for attention, ``(hidden, cell)`` for LSTMs, ``()`` for none. Facts: docs/formats.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from steve1.vpt.impala_cnn import normed_linear, scale_rows

BlockState = tuple[torch.Tensor, ...]
State = list[BlockState]

LSTM_TYPES = ("multi_layer_lstm", "multi_layer_bilstm", "multi_masked_lstm")
RECURRENCE_TYPES = ("transformer", *LSTM_TYPES, "none")
MASK_STYLES = ("clipped_causal", "none")

N_RELATIVE_BASES = 10


def map_state(function: Callable[[torch.Tensor], torch.Tensor], state: State) -> State:
    """Apply ``function`` to every tensor of a state."""
    return [tuple(function(tensor) for tensor in block) for block in state]


def detach_state(state: State) -> State:
    """The same memory without its history: where truncated backpropagation cuts."""
    return map_state(torch.Tensor.detach, state)


def _linear(in_features: int, out_features: int, bias: bool, scale: float) -> nn.Linear:
    layer = nn.Linear(in_features, out_features, bias=bias)
    scale_rows(layer.weight, scale)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class RelativeAttention(nn.Module):
    """Multi-head attention over a chunk and a memory, with a learned term for the distance in frames.

    Logits are ``q.k / head_size`` plus the relative term: ten coefficients a head and query, from the input,
    times ``b_nd`` at the distance ``t_query - t_key``. The output includes the residual around its own input.
    """

    def __init__(self, hidsize: int, heads: int, maxlen: int, mask_style: str, init_scale: float):
        super().__init__()
        if hidsize % heads:
            raise ValueError(f"hidsize {hidsize} is not a multiple of attention_heads {heads}")
        if mask_style not in MASK_STYLES:
            raise ValueError(f"attention_mask_style {mask_style!r} is none of {', '.join(MASK_STYLES)}")
        self.heads = heads
        self.maxlen = maxlen
        self.causal = mask_style == "clipped_causal"
        self.q_layer = _linear(hidsize, hidsize, bias=True, scale=0.1)
        self.k_layer = _linear(hidsize, hidsize, bias=False, scale=0.2)
        self.v_layer = _linear(hidsize, hidsize, bias=False, scale=math.sqrt(init_scale))
        self.proj_layer = _linear(hidsize, hidsize, bias=True, scale=math.sqrt(init_scale))
        self.r_layer = _linear(hidsize, N_RELATIVE_BASES * heads, bias=True, scale=0.1)
        self.b_nd = nn.Parameter(0.2 * torch.randn(N_RELATIVE_BASES, maxlen))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, h, *, e]

    def forward(
        self, x: torch.Tensor, first: torch.Tensor, state: BlockState
    ) -> tuple[torch.Tensor, BlockState]:
        time = x.shape[1]
        q, k, v = self.q_layer(x), self.k_layer(x), self.v_layer(x)
        past_keys, past_values, past_valid = state
        past_valid = past_valid & ~first[:, :1]
        keys = torch.cat([past_keys.to(k.dtype), k], dim=1)  # [B, M+T, D]
        values = torch.cat([past_values.to(v.dtype), v], dim=1)
        valid = torch.cat([past_valid, past_valid.new_ones(x.shape[0], time)], dim=1)  # [B, M+T]

        past = self.maxlen
        key_position = torch.arange(past + time, device=x.device)
        distance = torch.arange(time, device=x.device)[:, None] + past - key_position  # [T, M+T]
        near = (distance >= 0) & (distance < max(self.maxlen, 1))
        visible = valid[:, None, :] & near if self.causal else valid[:, None, :].expand(-1, time, -1)
        hidden = max(-1e9, torch.finfo(q.dtype).min)  # float16 holds no -1e9
        bias = torch.zeros_like(visible, dtype=q.dtype).masked_fill(~visible, hidden)
        bias = bias[:, None]  # [B, 1, T, M+T]
        if self.maxlen:
            coefficients = self.r_layer(x).unflatten(-1, (self.heads, N_RELATIVE_BASES))  # [B, T, h, n]
            bases = self.b_nd[:, distance.clamp(0, self.maxlen - 1)] * near  # [n, T, M+T]
            bias = bias + torch.einsum("bthn,ntk->bhtk", coefficients, bases.to(coefficients.dtype))

        head_size = x.shape[-1] // self.heads
        attended = F.scaled_dot_product_attention(
            self._split(q),
            self._split(keys),
            self._split(values),
            attn_mask=bias.to(q.dtype).expand(-1, self.heads, -1, -1),
            scale=1 / head_size,
        )
        y = x + self.proj_layer(attended.transpose(1, 2).flatten(2))
        kept = slice(keys.shape[1] - past, None)
        # Copies: a view would keep the whole chunk's keys alive, and make a compiled policy compile again.
        return y, tuple(t[:, kept].contiguous() for t in (keys, values, valid))


class AttentionWithMemory(nn.Module):
    """The transformer's recurrent part; the wrapper gives the published tensor names."""

    def __init__(self, hidsize: int, heads: int, maxlen: int, mask_style: str, init_scale: float):
        super().__init__()
        self.orc_block = RelativeAttention(hidsize, heads, maxlen, mask_style, init_scale)

    def forward(
        self, x: torch.Tensor, first: torch.Tensor, state: BlockState
    ) -> tuple[torch.Tensor, BlockState]:
        return self.orc_block(x, first, state)


def _run_lstm(lstm: nn.LSTM, x: torch.Tensor, state: BlockState) -> tuple[torch.Tensor, BlockState]:
    # Under autocast a state may arrive in another precision than the weights want.
    hidden, cell = (s.to(x.dtype)[None].contiguous() for s in state)
    y, (hidden, cell) = lstm(x, (hidden, cell))
    return y, (hidden[0], cell[0])


def _wipe(state: BlockState, rows: torch.Tensor) -> BlockState:
    return tuple(s.masked_fill(rows[:, None], 0) for s in state)


def run_lstm(
    lstm: nn.LSTM, x: torch.Tensor, first: torch.Tensor, state: BlockState, reverse: bool, masked: bool
) -> tuple[torch.Tensor, BlockState]:
    """An LSTM over [B, T, D], its state zeroed at ``first[:, 0]``, or at every ``first`` when ``masked``."""
    if masked:
        begins = [0, *(first[:, 1:].any(0).nonzero().flatten() + 1).tolist(), x.shape[1]]
        pieces = []
        for begin, end in itertools.pairwise(begins):
            piece, state = _run_lstm(lstm, x[:, begin:end], _wipe(state, first[:, begin]))
            pieces.append(piece)
        return torch.cat(pieces, dim=1), state
    state = _wipe(state, first[:, 0])
    if reverse:
        y, state = _run_lstm(lstm, x.flip(1), state)
        return y.flip(1), state
    return _run_lstm(lstm, x, state)


class RecurrentBlock(nn.Module):
    """``y = r(pre_r_ln(x))`` with its residual, then ``y + mlp1(mlp0(y))``.

    Where ``is_residual`` is off, LSTMs have no residual and the pointwise layer replaces: ``mlp1(mlp0(y))``. The
    transformer's own residual, within ``r``, stays.
    """

    def __init__(
        self,
        hidsize: int,
        recurrence_type: str,
        is_residual: bool,
        use_pointwise_layer: bool,
        pointwise_ratio: int,
        pointwise_use_activation: bool,
        heads: int,
        maxlen: int,
        mask_style: str,
        init_scale: float,
        reverse: bool,
    ):
        super().__init__()
        self.hidsize = hidsize
        self.maxlen = maxlen
        self.recurrence_type = recurrence_type
        self.is_residual = is_residual
        self.reverse = reverse
        self.mlp0: nn.Module | None = None
        self.mlp1: nn.Module | None = None
        if use_pointwise_layer:
            init_scale = init_scale / math.sqrt(2) if is_residual else init_scale
            self.mlp0 = normed_linear(hidsize, pointwise_ratio * hidsize)
            self.mlp1 = normed_linear(
                pointwise_ratio * hidsize,
                hidsize,
                layer_norm=False,
                init_scale=init_scale,
                activation=pointwise_use_activation,
            )
        self.pre_r_ln = nn.LayerNorm(hidsize)
        self.r: nn.Module | None = None
        if recurrence_type == "transformer":
            self.r = AttentionWithMemory(hidsize, heads, maxlen, mask_style, init_scale)
        elif recurrence_type in LSTM_TYPES:
            self.r = nn.LSTM(hidsize, hidsize, batch_first=True)
            for name, parameter in self.r.named_parameters():
                if name.startswith("weight"):
                    nn.init.normal_(parameter, std=init_scale / math.sqrt(parameter.shape[0]))
                else:
                    nn.init.zeros_(parameter)

    def initial_state(self, batch_size: int, device: torch.device) -> BlockState:
        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(batch_size, *shape, dtype=dtype, device=device)

        if self.recurrence_type == "transformer":
            memory = (self.maxlen, self.hidsize)
            return zeros(*memory), zeros(*memory), zeros(self.maxlen, dtype=torch.bool)
        if self.r is None:
            return ()
        return zeros(self.hidsize), zeros(self.hidsize)

    def forward(
        self, x: torch.Tensor, first: torch.Tensor, state: BlockState
    ) -> tuple[torch.Tensor, BlockState]:
        y = self.pre_r_ln(x)
        if isinstance(self.r, AttentionWithMemory):
            y, state = self.r(y, first, state)
        elif isinstance(self.r, nn.LSTM):
            masked = self.recurrence_type == "multi_masked_lstm"
            y, state = run_lstm(self.r, y, first, state, self.reverse, masked)
            if self.is_residual:
                y = y + x
        if self.mlp0 is not None and self.mlp1 is not None:
            pointwise = self.mlp1(self.mlp0(y))
            y = y + pointwise if self.is_residual else pointwise
        return y, state


def _check_first(first: torch.Tensor) -> None:
    within = first[:, 1:].any()
    said = "`first` is true within a chunk; a transformer's memory is wiped at a chunk's first frame only"
    if first.device.type == "cuda":
        torch._assert_async(~within, said)  # fails on the GPU, for which nobody here waits
    elif within:
        raise ValueError(said)


class RecurrentBlocks(nn.Module):
    """The stack of blocks: float [B, T, D], first bool [B, T], state -> [B, T, D], state."""

    def __init__(
        self,
        hidsize: int,
        n_blocks: int,
        recurrence_type: str = "transformer",
        is_residual: bool = True,
        use_pointwise_layer: bool = True,
        pointwise_ratio: int = 4,
        pointwise_use_activation: bool = False,
        attention_heads: int = 8,
        attention_memory_size: int = 256,
        attention_mask_style: str = "clipped_causal",
        timesteps: int = 128,
    ):
        super().__init__()
        if recurrence_type not in RECURRENCE_TYPES:
            raise ValueError(f"recurrence_type {recurrence_type!r} is none of {', '.join(RECURRENCE_TYPES)}")
        maxlen = attention_memory_size - timesteps
        if recurrence_type == "transformer" and (
            maxlen < 0 or (maxlen == 0 and attention_mask_style != "none")
        ):
            raise ValueError(
                f"attention_memory_size {attention_memory_size} must exceed timesteps {timesteps}: "
                "their difference is how many frames a frame sees"
            )
        self.recurrence_type = recurrence_type
        self.blocks = nn.ModuleList(
            RecurrentBlock(
                hidsize,
                recurrence_type,
                is_residual,
                use_pointwise_layer,
                pointwise_ratio,
                pointwise_use_activation,
                attention_heads,
                maxlen,
                attention_mask_style,
                init_scale=n_blocks**-0.5 if is_residual else 1.0,
                reverse=recurrence_type == "multi_layer_bilstm" and i % 2 == 1,
            )
            for i in range(n_blocks)
        )

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        return [block.initial_state(batch_size, device) for block in self.blocks]  # type: ignore[operator]

    def forward(
        self, x: torch.Tensor, first: torch.Tensor, state: State, recompute: bool = False
    ) -> tuple[torch.Tensor, State]:
        """Run all blocks; with ``recompute`` their activations are computed again in the backward pass."""
        if self.recurrence_type == "transformer" and not torch.compiler.is_compiling():
            _check_first(first)
        state_out = []
        for block, block_state in zip(self.blocks, state, strict=True):
            if recompute:
                x, block_state = checkpoint(block, x, first, block_state, use_reentrant=False)
            else:
                x, block_state = block(x, first, block_state)
            state_out.append(block_state)
        return x, state_out
