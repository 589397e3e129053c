"""The MineCLIP "attn" model: an image encoder, a temporal encoder over frame features, and a text encoder.

Modules and tensors are named as in the published ``attn.pth``, sizes come from a configuration. The reward
head (adapter, logit scale) is not part of it: goals are the encoders' unnormalised outputs.
Axes: N clips or texts, L tokens, C channels, E the embedding's width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from steve1.cli import UserError
from steve1.config import MINECLIP_CONFIG
from steve1.mineclip.temporal import TemporalEncoder
from steve1.mineclip.tokenizer import VOCAB_SIZE, tokenize

# Of Minecraft's frames, channels RGB, after division by 255.
_MEAN = (0.3331, 0.3245, 0.3051)
_STD = (0.2439, 0.2493, 0.2873)


class MineCLIP(nn.Module):
    """Embeds 16-frame clips and texts into one space.

    ``config`` has the keys of ``steve1.config.MINECLIP_CONFIG``. Without loaded weights it starts from random
    ones drawn from torch's generator as CLIP's are (Radford et al. 2021, section 2.5 and its released code's
    scales). Raises :class:`~steve1.cli.UserError` for a configuration that lacks keys or does not divide.
    """

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        _check_config(config)
        self.config = dict(config)
        self.image_encoder = ImageEncoder(config)
        self.text_model = TextEncoder(config)
        self.temporal_encoder = TemporalEncoder(
            dim=config["embed_dim"],
            layers=config["temporal_layers"],
            heads=config["temporal_heads"],
            head_dim=config["temporal_head_dim"],
            max_frames=config["max_frames"],
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are, and so where inputs are moved to."""
        return self.image_encoder.cls_token.device

    def encode_text(self, texts: str | Sequence[str] | Tensor) -> Tensor:
        """Embed texts, or token ids ``int [N, context_length]`` -> ``[N, E]``, not normalised.

        Of ids the largest in each row ends the text, as in CLIP. Raises :class:`~steve1.cli.UserError` for
        texts where the vocabulary is not CLIP's.
        """
        if isinstance(texts, Tensor):
            tokens = texts
        else:
            if self.config["vocab_size"] != VOCAB_SIZE:
                raise UserError(
                    f"this MineCLIP's vocab_size is {self.config['vocab_size']}, so it takes token ids only; "
                    f"texts need CLIP's vocabulary, vocab_size {VOCAB_SIZE}"
                )
            tokens = tokenize([texts] if isinstance(texts, str) else texts, self.config["context_length"])
        if tokens.ndim != 2 or tokens.shape[1] > self.config["context_length"] or tokens.is_floating_point():
            raise ValueError(
                f"token ids of shape {list(tokens.shape)} and type {tokens.dtype}; "
                f"integers [N, {self.config['context_length']}] are needed"
            )
        return self.text_model(tokens.to(self.device))

    def forward_image_features(self, frames: Tensor) -> Tensor:
        """Features of single frames: ``uint8 [..., 3, H, W]`` RGB -> ``[..., E]``; H, W as configured."""
        height, width = self.config["resolution"]
        if tuple(frames.shape[-3:]) != (3, height, width) or frames.dtype != torch.uint8:
            raise ValueError(
                f"frames of shape {list(frames.shape)} and type {frames.dtype}; this MineCLIP takes uint8 "
                f"[..., 3, {height}, {width}], so resize them (embed_frames does)"
            )
        features = self.image_encoder(frames.to(self.device).reshape(-1, 3, height, width))
        return features.reshape(*frames.shape[:-3], features.shape[-1])

    def forward_video_features(self, features: Tensor) -> Tensor:
        """Embed clips given their frames' features: ``[N, window, E]`` -> ``[N, E]``, not normalised."""
        return self.temporal_encoder(features.to(self.device))

    def encode_video(self, video: Tensor) -> Tensor:
        """Embed clips: ``uint8 [N, window, 3, H, W]`` -> ``[N, E]``, not normalised."""
        return self.forward_video_features(self.forward_image_features(video))


class ImageEncoder(nn.Module):
    """A vision transformer (ViT); the class token's output, projected."""

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        width, patch = config["vision_width"], config["patch_size"]
        height, length = config["resolution"]
        patches = (height // patch) * (length // patch)
        scale = width**-0.5
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.cls_token = nn.Parameter(scale * torch.randn(width))
        self.pos_embed = nn.Parameter(scale * torch.randn(patches + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        layers = config["vision_layers"]
        self.blocks = nn.Sequential(*(Block(width, config["vision_heads"], layers) for _ in range(layers)))
        self.ln_post = nn.LayerNorm(width)
        self.projection = nn.Parameter(scale * torch.randn(width, config["embed_dim"]))

    def forward(self, frames: Tensor) -> Tensor:  # uint8 [N, 3, H, W] -> [N, E]
        dtype = self.conv1.weight.dtype
        mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (_MEAN, _STD))
        pixels = (frames / 255.0 - mean) / std
        x = self.conv1(pixels.to(dtype)).flatten(2).transpose(1, 2)  # [N, patches, C]
        x = torch.cat([self.cls_token.to(x.dtype).expand(len(x), 1, -1), x], dim=1) + self.pos_embed
        x = self.blocks(self.ln_pre(x))
        return self.ln_post(x[:, 0]) @ self.projection


class TextEncoder(nn.Module):
    """CLIP's causal transformer over tokens; the end token's output, projected."""

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        width, layers = config["text_width"], config["text_layers"]
        self.token_embedding = nn.Embedding(config["vocab_size"], width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.pos_embed = nn.Parameter(0.01 * torch.randn(config["context_length"], width))
        self.blocks = nn.Sequential(
            *(Block(width, config["text_heads"], layers, causal=True) for _ in range(layers))
        )
        self.ln_final = nn.LayerNorm(width)
        self.projection = nn.Parameter(width**-0.5 * torch.randn(width, config["embed_dim"]))

    def forward(self, tokens: Tensor) -> Tensor:  # int [N, L] -> [N, E]
        end = tokens.argmax(dim=-1)  # [N]
        if len(tokens):
            # Attention is causal, so what follows the last end token is never looked at.
            tokens = tokens[:, : int(end.max()) + 1]
        x = self.token_embedding(tokens) + self.pos_embed[: tokens.shape[1]]
        x = self.ln_final(self.blocks(x))
        return x[torch.arange(len(x), device=x.device), end] @ self.projection


class Block(nn.Module):
    """A pre-norm transformer block with QuickGELU. ``layers`` is the depth that the initial scale allows for."""

    def __init__(self, width: int, heads: int, layers: int, causal: bool = False) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads, causal)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width)
        residual_std = (width * 2 * layers) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=width**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=residual_std)
        nn.init.normal_(self.mlp.c_fc.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.mlp.c_proj.weight, std=residual_std)
        for bias in (self.attn.out_proj.bias, self.mlp.c_fc.bias, self.mlp.c_proj.bias):
            nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:  # [N, L, C]
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:  # [N, L, C]
        hidden = self.c_fc(x)
        return self.c_proj(hidden * torch.sigmoid(1.702 * hidden))


class SelfAttention(nn.Module):
    """Multi-head attention whose tensors are named as those of ``nn.MultiheadAttention``."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # [N, L, C]
        n, length, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each [N, heads, L, C/heads]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(y.transpose(1, 2).reshape(n, length, width))


def _check_config(config: Mapping) -> None:
    missing = [key for key in MINECLIP_CONFIG if key not in config]
    if missing:
        raise UserError(f"the MineCLIP configuration lacks {', '.join(missing)}")
    resolution = config["resolution"]
    if not isinstance(resolution, (list, tuple)) or len(resolution) != 2:
        raise UserError(f"the MineCLIP configuration's resolution {resolution} is not [height, width]")
    sizes = {key: config[key] for key in MINECLIP_CONFIG if key != "resolution"}
    sizes |= {"resolution's height": resolution[0], "resolution's width": resolution[1]}
    wrong = [f"{key} {size!r}" for key, size in sizes.items() if not isinstance(size, int) or size < 1]
    if wrong:
        raise UserError(f"the MineCLIP configuration needs whole numbers above 0, not {', '.join(wrong)}")
    problems = []
    if any(side % config["patch_size"] for side in resolution):
        problems.append(
            f"resolution {list(resolution)} is not a multiple of patch_size {config['patch_size']}"
        )
    problems += [
        f"{part}_width {config[f'{part}_width']} is not a multiple of {part}_heads {config[f'{part}_heads']}"
        for part in ("vision", "text")
        if config[f"{part}_width"] % config[f"{part}_heads"]
    ]
    if config["window"] > config["max_frames"]:
        problems.append(f"window {config['window']} is more than max_frames {config['max_frames']}")
    if problems:
        raise UserError("the MineCLIP configuration is impossible: " + "; ".join(problems))
