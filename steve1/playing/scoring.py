"""How much an episode looks like its prompt along the way, in MineCLIP's eyes.

The score at frame t is the cosine between the prompt's embedding and the video embedding of frames t-15..t, both as
goals are made: without the adapter and the logit scale of MineCLIP's own reward. It compares episodes of one prompt
under one MineCLIP, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from steve1.mineclip import MineCLIP
from steve1.mineclip.embed import FrameEmbedder


@dataclass(frozen=True)
class ScoreSeries:
    """An episode's scores: ``cosines[i]`` is that of the 16 frames that end at ``frames[i]``."""

    frames: list[int]
    cosines: list[float]


class EpisodeScore:
    """Takes an episode's pictures in, one by one, and gives its scores.

    Args:
        wanted: the prompt's embedding, float [E]. every: frames between two scores, at least 1.

    Each frame is encoded once, and frames in none of the windows not at all.
    """

    def __init__(self, mineclip: MineCLIP, wanted: torch.Tensor, every: int) -> None:
        self._embedder = FrameEmbedder(mineclip)
        self._wanted = wanted.double().numpy()
        self._window, self._every, self._seen = mineclip.config["window"], every, 0

    def add(self, pov: np.ndarray) -> None:
        """Take the next picture, uint8 [H, W, 3] RGB."""
        if self._seen % self._every < self._window:
            self._embedder.add(pov)
        self._seen += 1

    def finish(self) -> ScoreSeries:
        """The scores; none for an episode shorter than a window."""
        # Of the frames that were kept, windows follow one another by at most their own length.
        stride = min(self._every, self._window)
        embeds = self._embedder.finish(stride)[self._window - 1 :: stride].astype(np.float64)  # [n, E]
        norms = np.linalg.norm(embeds, axis=1) * np.linalg.norm(self._wanted)
        cosines = embeds @ self._wanted / np.maximum(norms, 1e-12)
        frames = [self._window - 1 + self._every * i for i in range(len(cosines))]
        return ScoreSeries(frames, [round(float(cosine), 6) for cosine in cosines])
