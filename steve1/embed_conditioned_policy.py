"""STEVE-1's policy: VPT's network with a goal embedding added to its image features.

``MinecraftPolicy`` is the network up to the latent, ``MinecraftAgentPolicy`` adds the heads, log-probs and
acting with classifier-free guidance. Tensor names are those of the published checkpoints (docs/formats.md,
"Policy"). Reading and writing weights is ``steve1.checkpoints``'s work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from steve1.vpt.action_head import ActionHead, ValueHead
from steve1.vpt.impala_cnn import ImageProcess, normed_linear
from steve1.vpt.recurrence import RecurrentBlocks, State

Obs = dict[str, torch.Tensor]

_RECOMPUTED_FRAMES = 64  # frames whose image activations exist at a time under gradient checkpointing


class MinecraftPolicy(nn.Module):
    """Frames and goals to latents: ``{"img", "mineclip_embed"}``, first, state -> float [B, T, hidsize], state.

    Keyword arguments are those of a published ``.model`` file; unknown ones are ignored. ``mineclip_embed_dim``
    is the width of the goal embedding; 0 builds the network without goals (VPT itself).

    Attributes:
        gradient_checkpointing: recompute activations in the backward pass instead of keeping them: a third more
            arithmetic, and memory for the image path of 64 frames in place of a whole batch.
    """

    def __init__(
        self,
        hidsize: int = 512,
        img_shape: Sequence[int] = (128, 128, 3),
        impala_width: int = 1,
        impala_chans: Sequence[int] = (16, 32, 32),
        impala_kwargs: dict | None = None,
        init_norm_kwargs: dict | None = None,
        first_conv_norm: bool = False,
        n_recurrence_layers: int = 1,
        recurrence_type: str = "multi_layer_lstm",
        recurrence_is_residual: bool = True,
        use_pointwise_layer: bool = True,
        pointwise_ratio: int = 4,
        pointwise_use_activation: bool = False,
        use_pre_lstm_ln: bool = True,
        attention_heads: int = 8,
        attention_memory_size: int = 2048,
        attention_mask_style: str = "clipped_causal",
        timesteps: int = 128,
        mineclip_embed_dim: int = 512,
        **_ignored: object,
    ):
        super().__init__()
        init_norm_kwargs = init_norm_kwargs or {}
        self.hidsize = hidsize
        self.img_shape = tuple(img_shape)
        self.mineclip_embed_dim = mineclip_embed_dim
        self.gradient_checkpointing = False
        self.img_process = ImageProcess(
            img_shape,
            impala_width,
            impala_chans,
            hidsize,
            init_norm_kwargs,
            impala_kwargs or {},
            first_conv_norm,
        )
        self.mineclip_embed_linear = nn.Linear(mineclip_embed_dim, hidsize) if mineclip_embed_dim else None
        self.pre_lstm_ln = nn.LayerNorm(hidsize) if use_pre_lstm_ln else None
        self.recurrent_layer = RecurrentBlocks(
            hidsize,
            n_recurrence_layers,
            recurrence_type,
            recurrence_is_residual,
            use_pointwise_layer,
            pointwise_ratio,
            pointwise_use_activation,
            attention_heads,
            attention_memory_size,
            attention_mask_style,
            timesteps,
        )
        self.lastlayer = normed_linear(
            hidsize, hidsize, layer_norm=init_norm_kwargs.get("group_norm_groups") is not None
        )
        self.final_ln = nn.LayerNorm(hidsize)

    def initial_state(self, batch_size: int) -> State:
        """An empty memory for ``batch_size`` rows, on the network's device."""
        return self.recurrent_layer.initial_state(batch_size, self.final_ln.weight.device)

    def forward(self, obs: Obs, first: torch.Tensor, state_in: State) -> tuple[torch.Tensor, State]:
        return self.remember(self.features(obs), obs["mineclip_embed"], first, state_in)

    def features(self, obs: Obs) -> torch.Tensor:
        """The image path's output, float [B, T, hidsize]: ``obs["features"]`` where they are given, else computed."""
        return obs["features"] if "features" in obs else self.see(obs["img"])

    def see(self, img: torch.Tensor) -> torch.Tensor:
        """The image path alone: uint8 [B, T, H, W, 3] -> float [B, T, hidsize]."""
        if tuple(img.shape[2:]) != self.img_shape:
            raise ValueError(
                f"frames are {tuple(img.shape[2:])}, the policy's img_shape is {self.img_shape}; resize them"
            )
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return self._encode(img)
        # Frames do not see each other here, so any split gives the same features.
        parts = img.flatten(0, 1)[None].split(_RECOMPUTED_FRAMES, dim=1)
        features = [checkpoint(self._encode, part, use_reentrant=False) for part in parts]
        return torch.cat(features, dim=1)[0].unflatten(0, img.shape[:2])

    def _encode(self, img: torch.Tensor) -> torch.Tensor:
        return self.img_process(img.to(self.final_ln.weight.dtype) / 255)

    def remember(
        self, x: torch.Tensor, goal: torch.Tensor, first: torch.Tensor, state_in: State
    ) -> tuple[torch.Tensor, State]:
        """What follows the image path: image features [B, T, hidsize] and goals [B, T, E] -> latents, memory."""
        if self.mineclip_embed_linear is not None:
            x = x + self.mineclip_embed_linear(goal.to(self.final_ln.weight.dtype))
        if self.pre_lstm_ln is not None:
            x = self.pre_lstm_ln(x)
        recompute = self.gradient_checkpointing and torch.is_grad_enabled()
        x, state_out = self.recurrent_layer(x, first, state_in, recompute)
        return self.final_ln(self.lastlayer(F.relu(x))), state_out


class MinecraftAgentPolicy(nn.Module):
    """The policy with its heads.

    Args:
        policy_kwargs: what :class:`MinecraftPolicy` takes (a ``.model`` file's ``net.args``).
        pi_head_kwargs: ``{"temperature": float}``.
    """

    def __init__(self, policy_kwargs: dict, pi_head_kwargs: dict):
        super().__init__()
        self.net = MinecraftPolicy(**policy_kwargs)
        self.value_head = ValueHead(self.net.hidsize)
        self.pi_head = ActionHead(self.net.hidsize, float(pi_head_kwargs.get("temperature", 1.0)))

    def set_precision(self, dtype: torch.dtype) -> None:
        """Keep and run the network in ``dtype``, for acting. The heads stay in float32.

        Guidance multiplies an error of the log-probs by 1 + 2s, so it must not be made once more at the end.
        """
        self.net.to(dtype)

    def initial_state(self, batch_size: int) -> State:
        """An empty memory for ``batch_size`` rows."""
        return self.net.initial_state(batch_size)

    def forward(
        self,
        obs: Obs,
        first: torch.Tensor,
        state_in: State | Sequence[State],
        goals: Sequence[torch.Tensor] | None = None,
    ) -> tuple:
        """Log-probs and value of a chunk of frames.

        Args:
            obs: ``{"img": uint8 [B, T, H, W, 3], "mineclip_embed": float [B, T, E]}``; in place of the pictures
                ``"features": float [B, T, hidsize]``, what :meth:`MinecraftPolicy.see` made of them.
            first: bool [B, T], true where an episode begins. A transformer takes it at a chunk's first frame only.
            state_in: the memory from the chunk before, or :meth:`initial_state`; with ``goals`` one for each.
            goals: several goals [B, T, E] for the same pictures, which are encoded once; in place of
                ``obs["mineclip_embed"]``.

        Returns:
            ``((log_probs, value), state_out)`` with ``log_probs = {"buttons": [B, T, 8641], "camera": [B, T, 121]}``
            in float32 and ``value`` denormalised [B, T]; with ``goals`` a list of the first and a list of the second,
            bit for bit what each goal by itself gives.

        Raises:
            ValueError: if the frames do not have the policy's ``img_shape``, or ``first`` is misplaced.
        """
        if goals is None:
            latent, state_out = self.net(obs, first, state_in)
            return (self.pi_head(latent), self.value_head(latent)), state_out
        features = self.net.features(obs)
        outputs, states_out = [], []
        for goal, state in zip(goals, state_in, strict=True):
            latent, state_out = self.net.remember(features, goal, first, state)  # type: ignore[arg-type]
            outputs.append((self.pi_head(latent), self.value_head(latent)))
            states_out.append(state_out)
        return outputs, states_out

    @staticmethod
    def log_prob(log_probs: dict[str, torch.Tensor], actions: dict[str, torch.Tensor]) -> torch.Tensor:
        """Log-probability of joint actions (int [B, T] each): the sum of both heads, [B, T]; camera always counts."""
        return sum(  # type: ignore[return-value]
            log_probs[name].gather(-1, actions[name].long().unsqueeze(-1)).squeeze(-1)
            for name in ("buttons", "camera")
        )

    @torch.no_grad()
    def act(
        self,
        obs: Obs,
        first: torch.Tensor,
        state_in: State,
        stochastic: bool = True,
        cond_scale: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> tuple[dict[str, torch.Tensor], State, dict[str, torch.Tensor]]:
        """Choose actions for single frames, with classifier-free guidance when ``cond_scale`` is given.

        With a scale s the policy runs conditional and unconditional rows (goals of zeros) in one batch, each
        with its own memory, and acts on ``(1+s)*cond - s*uncond`` of the log-probs, per head, not renormalised
        (STEVE-1, section 3.3).

        Args:
            obs: ``{"img": uint8 [B, H, W, 3], "mineclip_embed": float [B, E]}``.
            first: bool [B].
            state_in: ``initial_state(B)``, or with a scale ``initial_state(2*B)``: B conditional rows, then B
                unconditional ones.
            stochastic: sample; otherwise take the best action.
            cond_scale: the scale s; None and 0 mean no guidance.
            generator: where the sampling noise comes from: one generator, or one a row (then a row's actions do
                not depend on what else is in the batch); None is torch's global one.

        Returns:
            ``(actions {"buttons": [B], "camera": [B]}, state_out, log_probs {"buttons": [B, 8641], "camera":
            [B, 121]})``; with guidance the combined log-probs.
        """
        conditional, unconditional, state_out = self.consider(obs, first, state_in, cond_scale)
        log_probs = join(conditional, unconditional, cond_scale)
        return choose(log_probs, stochastic, generator), state_out, log_probs

    @torch.no_grad()
    def consider(
        self, obs: Obs, first: torch.Tensor, state_in: State, cond_scale: float | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None, State]:
        """What :meth:`act`, whose arguments these are, chooses from: both halves of guidance before they are joined.

        Returns ``(log_probs with the goal, log_probs without it, state_out)``; without a scale the second is None.
        """
        features, goal = self.net.see(obs["img"][:, None]), obs["mineclip_embed"][:, None]
        if cond_scale:  # the picture is the same for both halves, so it is encoded once
            features, first = features.repeat(2, 1, 1), first.repeat(2)
            goal = torch.cat([goal, torch.zeros_like(goal)])
        latent, state_out = self.net.remember(features, goal, first[:, None], state_in)
        # The heads keep float32 where the network is in half precision (``set_precision``), see there.
        latent = latent.to(next(self.pi_head.parameters()).dtype)
        log_probs = {name: values[:, 0] for name, values in self.pi_head(latent).items()}
        if not cond_scale:
            return log_probs, None, state_out
        halves = {name: values.chunk(2) for name, values in log_probs.items()}
        conditional, unconditional = ({name: pair[half] for name, pair in halves.items()} for half in (0, 1))
        return conditional, unconditional, state_out


def guide(conditional: torch.Tensor, unconditional: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance on log-probs of one shape: exactly ``(1+s)*cond - s*uncond``."""
    return (1 + scale) * conditional - scale * unconditional


def join(
    conditional: dict[str, torch.Tensor], unconditional: dict[str, torch.Tensor] | None, scale: float | None
) -> dict[str, torch.Tensor]:
    """Log-probs per head by :func:`guide`; as they are where there is no scale and nothing unconditional."""
    if not scale or unconditional is None:
        return conditional
    return {name: guide(values, unconditional[name], scale) for name, values in conditional.items()}


def choose(
    log_probs: dict[str, torch.Tensor],
    stochastic: bool = True,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> dict[str, torch.Tensor]:
    """Actions [B] of log-probs [B, N] per head: samples, or the best; ``generator`` as of ``act``."""
    if stochastic:
        return {name: _sample(values, generator) for name, values in log_probs.items()}
    return {name: values.argmax(-1) for name, values in log_probs.items()}


def _sample(
    log_probs: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator] | None
) -> torch.Tensor:
    """A categorical sample from unnormalised log-probs [B, N], by the Gumbel-max trick; noise made on the CPU."""
    if isinstance(generator, Sequence):
        noise = torch.stack([torch.empty(log_probs.shape[1:]).exponential_(generator=g) for g in generator])
    else:
        noise = torch.empty(log_probs.shape).exponential_(generator=generator)
    return (log_probs - noise.to(log_probs.device).log()).argmax(-1)
