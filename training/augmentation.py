"""Augmentation on the device: brightness, contrast and grey, one draw for all frames of an item.

Kornia does the arithmetic of the pictures (brightness and contrast as PIL and torchvision define them); the draws
are ours, so that they are the same for every piece of an item, after resuming, and however many processes there are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from steve1.streams import numpy_stream

JITTER = 0.1  # brightness and contrast are multiplied by U(1 - JITTER, 1 + JITTER)
GREY = 0.1  # share of the items that lose their colours


def draw(seed: int, places: Iterable[int]) -> torch.Tensor:
    """Draw (brightness, contrast, grey 0 or 1) for the items at ``places`` of the run's stream, float32 [B, 3]."""
    rows = []
    for place in places:
        rng = numpy_stream(seed, place, 0, 0)  # three numbers: no other stream of the data has as many
        rows.append([*rng.uniform(1 - JITTER, 1 + JITTER, size=2), float(rng.random() < GREY)])
    return torch.tensor(np.array(rows), dtype=torch.float32)


def augment(img: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Apply an item's draw to each of its frames: uint8 [B, T, H, W, 3], float [B, 3] -> uint8 [B, T, H, W, 3]."""
    from kornia.color import rgb_to_grayscale
    from kornia.enhance import adjust_brightness_accumulative, adjust_contrast_with_mean_subtraction

    batch, time = img.shape[:2]
    brightness, contrast, grey = draws.to(img.device).repeat_interleave(time, 0).unbind(1)  # [B*T] each
    x = img.flatten(0, 1).permute(0, 3, 1, 2).float() / 255  # [B*T, 3, H, W]
    x = adjust_brightness_accumulative(x, brightness)
    x = adjust_contrast_with_mean_subtraction(x, contrast)
    x = torch.where(grey[:, None, None, None] > 0, rgb_to_grayscale(x), x)
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (batch, time))
