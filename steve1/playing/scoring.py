"""How much an episode looks like its prompt along the way, in MineCLIP's eyes.

The score at frame t is the cosine between the prompt's embedding and the video embedding of frames t-15..t, both as
goals are made: without the adapter and the logit scale of MineCLIP's own reward. It compares episodes of one prompt
under one MineCLIP, nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from steve1.mineclip import MineCLIP
from steve1.mineclip.embed import FrameEmbedder, embed_frames

SHARE = 0.2  # of the time that a live score may compute


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


class LiveScore:
    """The score of the newest 16 pictures of a game that goes on, made beside it in a thread of its own.

    A CPU encodes slower than games run, so the thread is at work for :data:`SHARE` of the time at most: after each
    score it rests in proportion to what that took, and scores what is newest then. Call it from one thread.
    """

    def __init__(self, mineclip: MineCLIP) -> None:
        self._mineclip = mineclip
        height, self._width = mineclip.config["resolution"]
        self._height = height
        self._newest: deque[np.ndarray] = deque(maxlen=mineclip.config["window"])
        self._busy: Future[tuple[int, float]] | None = None
        self._rest_until = 0.0
        self._worker = ThreadPoolExecutor(1, "score")

    def clear(self) -> None:
        """Begin anew: what comes now doesn't follow what came before."""
        self._newest.clear()

    def add(self, step: int, pov: np.ndarray, wanted: np.ndarray | None) -> tuple[int, float] | None:
        """Take the next picture, uint8 [H, W, 3] RGB; a score that was finished meanwhile, as (its step, cosine).

        ``step``: the picture's. ``wanted``: the prompt's embedding, float [E]; None where there is no prompt.
        """
        done = None
        if self._busy is not None and self._busy.done():
            done, self._busy = self._busy.result(), None
        self._newest.append(cv2.resize(pov, (self._width, self._height), interpolation=cv2.INTER_LINEAR))
        full = len(self._newest) == self._newest.maxlen
        if wanted is not None and full and self._busy is None and time.monotonic() >= self._rest_until:
            self._busy = self._worker.submit(self._score, step, np.stack(self._newest), wanted)
        return done

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown(cancel_futures=True)

    def _score(self, step: int, pictures: np.ndarray, wanted: np.ndarray) -> tuple[int, float]:
        began = time.monotonic()
        embed = embed_frames(self._mineclip, pictures)[-1].astype(np.float64)
        self._rest_until = time.monotonic() + (time.monotonic() - began) * (1 / SHARE - 1)
        return step, cosine(embed, wanted)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine between two embeddings [E]."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
