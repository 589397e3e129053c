"""MineCLIP embeddings of every frame of a recording: each frame is encoded once, only the temporal part slides.

Encoding each window whole (as the published dataset code does) would encode every frame 16 times.

On a GPU with bf16 (compute capability 8.0 and above) the image encoder's products and convolutions are of bf16, the
sums between its layers of float32, and the temporal part's products of TF32; anywhere else all is float32. Embeddings
are float32 in either case, and the two have a cosine above 0.999 (tests/steve1/test_mineclip.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from steve1.mineclip.model import MineCLIP

# A CPU gains nothing from more than this at a time, and a frame of the published size costs 13 MB of activations.
_CPU_ACTIVATIONS = 1_000_000  # numbers in one layer's output: 8 frames of the published size


def takes_bf16(device: torch.device) -> bool:
    """Whether embeddings are computed in bf16 and TF32 there: where both are quicker than float32."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@contextlib.contextmanager
def _tf32(enabled: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    if enabled:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class FrameEmbedder:
    """Takes a recording's frames one by one; holds a batch of frames and the features, nothing else.

    ``add`` every frame, then ``finish``. One object serves one recording.
    """

    def __init__(self, mineclip: MineCLIP, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} is below 1")
        self.mineclip, self._bf16 = mineclip, takes_bf16(mineclip.device)
        self._height, self._width = mineclip.config["resolution"]
        self._batch = np.empty((batch_size, self._height, self._width, 3), np.uint8)
        tokens = 1 + self._height * self._width // mineclip.config["patch_size"] ** 2
        self._at_once = max(1, _CPU_ACTIVATIONS // (tokens * mineclip.config["vision_width"]))
        self._filled = 0
        # One tensor that doubles: small ones, kept one by one between the large temporaries of the encoder,
        # would keep the allocator from giving those back (0.8 GB more over 6,000 frames).
        self._features = torch.empty(0, mineclip.config["embed_dim"])
        self._encoded = 0

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, ``uint8 [H, W, 3]`` RGB of any size; it may be reused after the call."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise ValueError(
                f"a frame of shape {list(frame.shape)} and type {frame.dtype}; uint8 [H, W, 3] is needed"
            )
        # From the full frame, as the published data was made; at the right size this is a copy.
        self._batch[self._filled] = cv2.resize(
            frame, (self._width, self._height), interpolation=cv2.INTER_LINEAR
        )
        self._filled += 1
        if self._filled == len(self._batch):
            self._encode()

    def finish(self, every: int = 1) -> np.ndarray:
        """Embeddings ``float32 [T, E]``; row t is of frames t-15..t, and the first 15 rows are NaN.

        ``every``: embed every so many-th moment from row 15 on; the rows between are NaN too.
        """
        self._encode()
        window, width = self.mineclip.config["window"], self.mineclip.config["embed_dim"]
        features = self._features[: self._encoded]  # [T, E]
        embeds = np.full((len(features), width), np.nan, np.float32)
        if len(features) < window:
            return embeds
        windows = features.unfold(0, window, every)  # [n, E, window], a view
        # A window of features is far smaller than a frame, so many more of them fit.
        step = 4 * len(self._batch)
        rows = embeds[window - 1 :: every]
        with torch.inference_mode(), _tf32(self._bf16):
            for first in range(0, len(windows), step):
                part = self.mineclip.forward_video_features(windows[first : first + step].transpose(1, 2))
                rows[first : first + step] = part.float().cpu().numpy()
        return embeds

    def _encode(self) -> None:
        if self._filled:
            frames = torch.from_numpy(self._batch[: self._filled]).to(self.mineclip.device)
            at_once = self._at_once if frames.device.type == "cpu" else len(frames)
            bf16 = torch.autocast(frames.device.type, torch.bfloat16, enabled=self._bf16)
            with torch.inference_mode(), bf16:
                for part in frames.permute(0, 3, 1, 2).split(at_once):
                    self._keep(self.mineclip.forward_image_features(part).float())
            self._filled = 0

    def _keep(self, rows: torch.Tensor) -> None:  # [n, E]
        needed = self._encoded + len(rows)
        if needed > len(self._features):
            larger = rows.new_empty(max(1024, 2 * needed), rows.shape[1])
            larger[: self._encoded] = self._features[: self._encoded]
            self._features = larger
        self._features[self._encoded : needed] = rows
        self._encoded = needed


def embed_frames(mineclip: MineCLIP, frames: Iterable[np.ndarray], batch_size: int = 32) -> np.ndarray:
    """Embed every moment of a recording.

    ``frames``: uint8 ``[H, W, 3]`` RGB each, of any size; they are resized to the model's resolution and may
    come from a generator, for they are not kept. ``batch_size``: frames encoded at a time, a matter of memory
    and speed only. Returns float32 ``[T, E]``: row t embeds frames t-15..t, the first 15 rows are NaN (all
    rows, for fewer than 16 frames). Raises ValueError for frames of another type.
    """
    embedder = FrameEmbedder(mineclip, batch_size)
    for frame in frames:
        embedder.add(frame)
    return embedder.finish()
