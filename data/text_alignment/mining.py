"""Which moments of a dataset fit instructions best, by MineCLIP's similarity. Reads stored embeddings, no frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from steve1.config import FIRST_EMBED

TEMPERATURE = 0.1  # of relative scores; chosen by benchmarks/mining.py


@dataclass(frozen=True)
class Pick:
    """Frame ``frame`` of ``episode`` (and the 15 before it) for instruction number ``instruction``."""

    instruction: int
    episode: Path
    frame: int
    score: float
    cosine: float
    embed: np.ndarray = field(compare=False, repr=False)

    @property
    def order(self) -> tuple:
        """Best first, then by place, so that equal scores keep one order."""
        return -self.score, self.episode.name, str(self.episode), self.frame


def cosines(embeds: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine similarities of moments [T, E] and texts [K, E]: float64 [T, K]."""
    return _unit(embeds) @ _unit(texts).T


def relative(similarity: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """Log-probability of each instruction among all K of them, softmax of ``similarity / temperature``: [T, K].

    A moment that resembles everything scores low for each. A logarithm, so that sure moments still differ.
    """
    logits = similarity / temperature
    logits = logits - logits.max(axis=1, keepdims=True)
    others = np.exp(logits)
    np.put_along_axis(others, logits.argmax(axis=1)[:, None], 0, axis=1)
    return logits - np.log1p(others.sum(axis=1, keepdims=True))


def best_apart(scores: np.ndarray, most: int, min_distance: int) -> list[int]:
    """Indices of up to ``most`` of the scores [T], best first, none nearer than ``min_distance`` to another.

    The best is taken, its neighbours leave, and so on; of equal ones the earliest is taken.
    """
    left, around = scores.astype(np.float64, copy=True), max(min_distance, 1)
    found: list[int] = []
    while len(found) < most:
        best = int(left.argmax()) if len(left) else -1
        if best < 0 or left[best] == -np.inf:
            break
        found.append(best)
        left[max(best - around + 1, 0) : best + around] = -np.inf
    return found


def mine(
    episodes: Iterable[tuple[Path, np.ndarray]],
    texts: np.ndarray,
    top_k: int,
    min_distance: int,
    max_per_episode: int = 0,
    temperature: float | None = TEMPERATURE,
) -> list[list[Pick]]:
    """The best ``top_k`` moments for each of K texts, best first.

    Args:
        episodes: paths and their embeddings [T, E] (rows 0..14, and those that are NaN, are not looked at), one at a
            time in memory.
        texts: embeddings [K, E].
        min_distance: frames between two picks of one instruction in one episode, at least.
        max_per_episode: picks of one instruction in one episode, at most; 0 for any number.
        temperature: of :func:`relative` scores; None takes the cosine itself.

    The result does not depend on the order of the episodes.
    """
    picks: list[list[Pick]] = [[] for _ in texts]
    most = min(max_per_episode or top_k, top_k)
    for path, embeds in episodes:
        similarity = cosines(embeds[FIRST_EMBED:], texts)
        scores = similarity if temperature is None else relative(similarity, temperature)
        scores = np.where(np.isnan(similarity), -np.inf, scores)
        for k, kept in enumerate(picks):
            kept += _of_episode(k, path, embeds, scores[:, k], similarity[:, k], most, min_distance)
            kept.sort(key=lambda pick: pick.order)
            del kept[top_k:]
    return picks


def _of_episode(
    k: int,
    path: Path,
    embeds: np.ndarray,
    scores: np.ndarray,
    similarity: np.ndarray,
    most: int,
    min_distance: int,
) -> Iterator[Pick]:
    for i in best_apart(scores, most, min_distance):
        t = i + FIRST_EMBED
        yield Pick(k, path, t, float(scores[i]), float(similarity[i]), embeds[t].copy())


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
