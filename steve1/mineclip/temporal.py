"""MineCLIP's temporal part: attention over the features of a clip's frames, then their mean."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TemporalEncoder(nn.Module):
    """``[N, frames, dim]`` features of at most ``max_frames`` frames -> ``[N, dim]`` (docs/formats.md).

    The nesting ``attn.model`` and the gaps in the layers' numbers are the published checkpoint's.
    """

    def __init__(self, dim: int, layers: int, heads: int, head_dim: int, max_frames: int) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({"model": _Transformer(dim, layers, heads, head_dim, max_frames)})
        self.dim, self.max_frames = dim, max_frames

    def forward(self, features: Tensor) -> Tensor:
        frames = features.shape[1] if features.ndim == 3 else 0
        if features.shape[-1] != self.dim or not 1 <= frames <= self.max_frames:
            raise ValueError(
                f"frame features of shape {list(features.shape)}; "
                f"[N, 1 to {self.max_frames}, {self.dim}] are needed"
            )
        return self.attn["model"](features).mean(dim=1)


class _Transformer(nn.Module):
    def __init__(self, dim: int, layers: int, heads: int, head_dim: int, max_frames: int) -> None:
        super().__init__()
        self.pos_emb = _Positions(dim, max_frames)
        self.attn_layers = _Layers(dim, layers, heads, head_dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:  # [N, frames, dim]
        return self.norm(self.attn_layers(x + self.pos_emb(x.shape[1])))


class _Positions(nn.Module):
    def __init__(self, dim: int, max_frames: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(max_frames, dim)

    def forward(self, frames: int) -> Tensor:  # [frames, dim]
        return self.emb.weight[:frames] * self.emb.embedding_dim**-0.5


class _Layers(nn.Module):
    """Attention and feed-forward in turn, each with a norm before and a residual around."""

    def __init__(self, dim: int, layers: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(layers):
            for module in (_Attention(dim, heads, head_dim), _GatedFeedForward(dim)):
                self.layers.append(nn.ModuleList([nn.ModuleList([nn.LayerNorm(dim)]), module]))

    def forward(self, x: Tensor) -> Tensor:  # [N, frames, dim]
        layers: list = list(self.layers)
        for (norm,), module in layers:
            x = x + module(norm(x))
        return x


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_k = nn.Linear(dim, inner, bias=False)
        self.to_v = nn.Linear(dim, inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [N, frames, dim]
        n, frames, _ = x.shape
        q, k, v = (
            layer(x).view(n, frames, self.heads, -1).transpose(1, 2)
            for layer in (self.to_q, self.to_k, self.to_v)
        )
        y = F.scaled_dot_product_attention(q, k, v)  # scaled by head_dim^-0.5
        return self.to_out(y.transpose(1, 2).reshape(n, frames, -1))


class _GatedFeedForward(nn.Module):
    def __init__(self, dim: int, factor: int = 4) -> None:
        super().__init__()
        gate = nn.ModuleDict({"proj": nn.Linear(dim, 2 * factor * dim)})
        self.net = nn.ModuleDict({"0": gate, "3": nn.Linear(factor * dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.net["0"]["proj"](x).chunk(2, dim=-1)  # type: ignore[index]
        return self.net["3"](value * F.silu(gate))
