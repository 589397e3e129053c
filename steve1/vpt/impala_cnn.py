"""The image path of VPT's network: the IMPALA residual CNN (Espeholt et al. 2018) with normalised layers.

Tensor names and initial scales follow the published VPT checkpoints; docs/formats.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from steve1.vpt.group_norm import group_norm


@torch.no_grad()
def scale_rows(weight: torch.Tensor, scale: float) -> None:
    """Scale ``weight`` in place so that each output row has the L2 norm ``scale``."""
    rows = weight.flatten(1)
    rows.mul_(scale / rows.norm(dim=1, keepdim=True))


class ImageNorm(nn.GroupNorm):
    """GroupNorm of pictures, see group_norm.py; it can be trained behind frozen layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class NormedLayer(nn.Module):
    """Norm, then a linear or convolutional layer, then ReLU ("FanInInitReLU" in VPT).

    The layer has a bias only when it has no norm. ``init_scale`` is the L2 norm of each initial output row.
    """

    def __init__(
        self, layer: nn.Module, norm: nn.Module | None, init_scale: float = 1.0, activation: bool = True
    ):
        super().__init__()
        self.norm = norm
        self.layer = layer
        self.activation = activation
        scale_rows(layer.weight, init_scale)  # type: ignore[arg-type]
        if isinstance(layer.bias, torch.Tensor):
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.norm is not None:
            x = self.norm(x)
        x = self.layer(x)
        return F.relu(x) if self.activation else x


def normed_conv(
    in_channels: int,
    out_channels: int,
    group_norm_groups: int | None,
    init_scale: float = 1.0,
    activation: bool = True,
) -> NormedLayer:
    """A 3x3 convolution that keeps the size, normalised by groups unless ``group_norm_groups`` is None."""
    norm = None if group_norm_groups is None else ImageNorm(group_norm_groups, in_channels)
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=norm is None)
    return NormedLayer(conv, norm, init_scale, activation)


def normed_linear(
    in_features: int,
    out_features: int,
    layer_norm: bool = True,
    init_scale: float = 1.0,
    activation: bool = True,
) -> NormedLayer:
    """A dense layer after a LayerNorm (with a bias instead when ``layer_norm`` is off)."""
    norm = nn.LayerNorm(in_features) if layer_norm else None
    return NormedLayer(nn.Linear(in_features, out_features, bias=norm is None), norm, init_scale, activation)


class ResidualBlock(nn.Module):
    """``x + conv1(conv0(x))``."""

    def __init__(self, channels: int, group_norm_groups: int | None, init_scale: float):
        super().__init__()
        self.conv0 = normed_conv(channels, channels, group_norm_groups, init_scale)
        self.conv1 = normed_conv(channels, channels, group_norm_groups, init_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv1(self.conv0(x))


class DownStack(nn.Module):
    """A convolution, a max-pool that halves the size, and two residual blocks."""

    N_BLOCKS = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n_stacks: int,
        norm_first: bool,
        group_norm_groups: int | None,
        post_pool_groups: int | None,
    ):
        super().__init__()
        # Its ReLU follows the max-pool: the same values and gradients, bit for bit, from a quarter of the pixels.
        self.firstconv = normed_conv(
            in_channels, out_channels, group_norm_groups if norm_first else None, activation=False
        )
        self.n = None if post_pool_groups is None else ImageNorm(post_pool_groups, out_channels)
        block_scale = math.sqrt(math.sqrt(n_stacks) / math.sqrt(self.N_BLOCKS))
        self.blocks = nn.ModuleList(
            ResidualBlock(out_channels, group_norm_groups, block_scale) for _ in range(self.N_BLOCKS)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.firstconv(x), kernel_size=3, stride=2, padding=1))
        if self.n is not None:
            x = self.n(x)
        for block in self.blocks:
            x = block(x)
        return x


class ImpalaCNN(nn.Module):
    """The stacks and a dense layer: float [N, C, H, W] -> [N, output_size]."""

    def __init__(
        self,
        img_shape: Sequence[int],
        channels: Sequence[int],
        output_size: int,
        first_conv_norm: bool,
        group_norm_groups: int | None,
        post_pool_groups: int | None,
    ):
        super().__init__()
        height, width, in_channels = img_shape
        self.stacks = nn.ModuleList()
        for i, out_channels in enumerate(channels):
            self.stacks.append(
                DownStack(
                    in_channels,
                    out_channels,
                    n_stacks=len(channels),
                    norm_first=i > 0 or first_conv_norm,
                    group_norm_groups=group_norm_groups,
                    post_pool_groups=post_pool_groups,
                )
            )
            in_channels, height, width = out_channels, (height + 1) // 2, (width + 1) // 2
        self.dense = normed_linear(
            in_channels * height * width,
            output_size,
            layer_norm=group_norm_groups is not None,
            init_scale=1.4,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # channels_last is what the convolution kernels are fastest with, on CPUs and on tensor cores.
        x = x.contiguous(memory_format=torch.channels_last)
        for stack in self.stacks:
            x = stack(x)
        return self.dense(x.flatten(1))


class ImageProcess(nn.Module):
    """Frames to features: float [B, T, H, W, C] -> [B, T, hidsize]."""

    CNN_OUTPUT = 256

    def __init__(
        self,
        img_shape: Sequence[int],
        impala_width: int,
        impala_chans: Sequence[int],
        hidsize: int,
        init_norm_kwargs: Mapping,
        impala_kwargs: Mapping,
        first_conv_norm: bool = False,
    ):
        super().__init__()
        if init_norm_kwargs.get("batch_norm"):
            raise ValueError("init_norm_kwargs: batch_norm is not supported; set it to False")
        groups = init_norm_kwargs.get("group_norm_groups")
        self.cnn = ImpalaCNN(
            img_shape,
            [int(impala_width * channels) for channels in impala_chans],
            self.CNN_OUTPUT,
            first_conv_norm,
            groups,
            impala_kwargs.get("post_pool_groups"),
        )
        self.linear = normed_linear(self.CNN_OUTPUT, hidsize, layer_norm=groups is not None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time = x.shape[:2]
        x = x.flatten(0, 1).permute(0, 3, 1, 2)  # [B*T, C, H, W]
        return self.linear(self.cnn(x)).unflatten(0, (batch, time))
