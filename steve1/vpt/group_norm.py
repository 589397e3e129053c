"""GroupNorm for GPUs: it reads and writes the precision of its input, with float32 statistics inside.

PyTorch's own kernel for CUDA gives plain pictures (NCHW) for channels-last ones, so that every convolution after it
converts them back, and under autocast it writes float32 and keeps a float32 copy for the backward pass. This one keeps
the input's layout, and for the backward pass the input itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

_WITHIN = (1, 2, 4)  # of [N, H, W, groups, C / groups] the axes over which a group's moments are taken


def _grouped(x: torch.Tensor, groups: int) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).unflatten(-1, (groups, -1))  # [N, C, H, W] -> [N, H, W, groups, C / groups]


def _pictures(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(3).permute(0, 3, 1, 2)  # and back; both are views


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, groups: int, eps: float
    ) -> torch.Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        values = _grouped(x, groups).to(wide)
        variance, mean = torch.var_mean(values, _WITHIN, correction=0, keepdim=True)
        scale = (variance + eps).rsqrt()
        normed = (values - mean) * scale * weight.to(wide).view(groups, -1) + bias.to(wide).view(groups, -1)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.groups = groups
        return _pictures(normed.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        groups, wide = ctx.groups, mean.dtype
        normed = (_grouped(x, groups).to(wide) - mean) * scale
        grad = _grouped(grads[0], groups).to(wide)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            inner = grad * weight.to(wide).view(groups, -1)
            along = (inner * normed).mean(_WITHIN, keepdim=True)
            inner = (inner - inner.mean(_WITHIN, keepdim=True) - normed * along) * scale
            grad_x = _pictures(inner.to(x.dtype))
        if ctx.needs_input_grad[1]:
            grad_weight = (grad * normed).sum((0, 1, 2)).flatten().to(weight.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 1, 2)).flatten().to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None, None


def for_gpus(x: torch.Tensor) -> bool:
    """Whether ``x`` is normed by the operations above: on a GPU. A CPU's own kernel does all this itself."""
    return x.device.type == "cuda"


def group_norm(
    x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """As ``torch.nn.functional.group_norm``, [N, C, H, W] of any layout -> the same shape, layout and dtype."""
    if for_gpus(x):
        return _GroupNorm.apply(x, weight, bias, groups, eps)
    if torch.is_grad_enabled() and not x.requires_grad:
        # Where only its weights need a gradient, torch 2.13's kernel for channels-last pictures on a CPU crashes in
        # the backward pass; the kernel for plain pictures does not.
        x = x.contiguous()
    return F.group_norm(x, groups, weight, bias, eps)
