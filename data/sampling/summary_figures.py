"""The figures of a dataset: computed an episode at a time, in several processes where wished, and put together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from data.EpisodeStorage import EpisodeStorage
from data.parallel import ordered_map
from data.sampling.sessions import Episode
from steve1.config import FIRST_EMBED, FPS
from steve1.streams import numpy_stream
from steve1.vpt.actions import (
    BUTTONS,
    CAMERA_BINS,
    CAMERA_NULL_BIN,
    N_BUTTON_ACTIONS,
    N_CAMERA_ACTIONS,
    NULL_CAMERA_ACTION,
    agent_to_env,
    camera_to_bins,
    env_to_agent,
)

N_PAIRS = 10_000  # random pairs of embeddings of two episodes whose cosine is averaged
N_SAMPLED = 64  # pairs and norms drawn from an episode
N_KEPT = 20_000  # embeddings that are kept of all episodes together, at most 64 and at least 4 of each
N_COMMON = 12  # most frequent joint actions that are listed
_COSINE_EDGES = np.linspace(-1, 1, 81)


@dataclass
class Part:
    """What is kept of one episode."""

    n_bytes: int
    joint: dict[str, tuple[np.ndarray, np.ndarray]]  # head -> (indices, counts)
    pressed: np.ndarray  # int64 [20]
    bins: np.ndarray  # int64 [2, 11]
    still: int
    width: int
    not_finite: list[int]  # frames from 15 on
    norm: (
        np.ndarray
    )  # float64 [5]: number of finite rows, sum and sum of squares of their norms, least, greatest
    norms: np.ndarray  # float32, norms of rows drawn at random
    kept: np.ndarray  # float32 [n, E], embeddings
    near: np.ndarray  # float32, cosines of neighbours
    within: np.ndarray  # float32, cosines of random pairs


def summarize(
    episodes: Sequence[Episode], seed: int = 0, progress: bool = False, workers: int = 1
) -> dict[str, Any]:
    """Return the figures of a list of episodes as plain numbers (shares are of all frames).

    They depend on the episodes and the seed alone, not on ``workers``.

    Embeddings: ``norm`` over rows from 15 on; mean ``cosine`` of ``neighbours`` (one frame apart), of random
    pairs from the ``same_episode`` and from an ``other_episode`` (0 where there are none); ``not_finite`` rows
    from 15 on, of which there should be none, their share, and where the first of them is. ``entropy``: of the
    histograms of joint buttons and joint camera actions, nats a frame; their sum is the loss of the best policy that
    ignores the picture and
    the goal. ``histograms``: (edges, counts) of episode lengths, norms and cosines.

    Raises :class:`~steve1.cli.UserError` for an episode that can't be read.
    """
    from tqdm import tqdm

    kept = int(np.clip(N_KEPT // len(episodes), 4, N_SAMPLED))
    work = partial(_part, seed, kept)
    parts = ordered_map(work, list(enumerate(e.path for e in episodes)), workers)
    hidden = None if progress else True
    total = _Total()
    bar = tqdm(parts, total=len(episodes), unit="episode", disable=hidden, mininterval=0.5)
    for episode, part in zip(episodes, bar, strict=True):
        total.add(part)
        if part.not_finite and total.first_not_finite is None:
            total.first_not_finite = {"episode": episode.path, "frame": part.not_finite[0]}
    frames = sum(episode.frames for episode in episodes)
    lengths = [episode.frames for episode in episodes]
    cosine, cosine_counts = total.cosines(numpy_stream(seed, len(episodes)))
    known, norm_sum, norm_squares, least, greatest = total.norm.tolist()
    norm_mean = norm_sum / max(known, 1)
    rows = sum(max(0, length - FIRST_EMBED) for length in lengths)
    return {
        "episodes": len(episodes),
        "sessions": len({episode.session for episode in episodes}),
        "frames": frames,
        "hours": frames / FPS / 3600,
        "gigabytes": total.n_bytes / 1e9,
        "length": {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)},
        "pressed": {name: int(n) / frames for name, n in zip(BUTTONS, total.pressed, strict=True)},
        "camera": {name: (total.bins[axis] / frames).tolist() for axis, name in enumerate(("pitch", "yaw"))},
        "doing_nothing": total.still / frames,
        "most_common": _most_common(total.joint["buttons"], frames),
        "entropy": {head: _entropy(counts) for head, counts in total.joint.items()},
        "embeddings": {
            "width": sorted(total.widths),
            "mineclip_hashes": sorted({e.mineclip_hash for e in episodes if e.mineclip_hash}),
            "not_finite": total.not_finite,
            "first_not_finite": total.first_not_finite,
            "not_finite_share": total.not_finite / rows if rows else 0.0,
            "norm": {
                "mean": norm_mean,
                "std": max(0.0, norm_squares / max(known, 1) - norm_mean**2) ** 0.5,
                "min": least if known else 0.0,
                "max": greatest,
            },
            "cosine": cosine,
        },
        "histograms": {
            "length": _histogram(np.array(lengths), min(40, 8 + int(len(lengths) ** 0.5))),
            "norm": _histogram(np.concatenate(total.norms), 40),
            "cosine": {"edges": _COSINE_EDGES.tolist(), **cosine_counts},
        },
    }


def folder_bytes(folder: str) -> int:
    """Return the size of all files below a folder, in bytes."""
    return sum(
        os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names
    )


def _part(seed: int, n_kept: int, numbered: tuple[int, str]) -> Part:
    number, path = numbered
    rng = numpy_stream(seed, number)
    storage = EpisodeStorage(path)
    actions = storage.load_actions()
    held = np.stack([np.asarray(actions[name]).astype(bool) for name in BUTTONS], axis=1)  # [T, 20]
    moved = camera_to_bins(actions["camera"])  # [T, 2]
    embeds = storage.load_embeds_attn()[FIRST_EMBED:]
    finite = np.isfinite(embeds).all(axis=1)
    norms = np.linalg.norm(embeds[finite], axis=1).astype(np.float64)
    units = embeds / np.maximum(np.linalg.norm(embeds, axis=1, keepdims=True), 1e-12)
    near = np.einsum("ij,ij->i", units[1:], units[:-1])[finite[1:] & finite[:-1]]
    known = np.flatnonzero(finite)
    drawn = known[rng.integers(len(known), size=(3, N_SAMPLED))] if len(known) else np.zeros((3, 0), np.int64)
    apart = drawn[0] != drawn[1]
    within = np.einsum("ij,ij->i", units[drawn[0]], units[drawn[1]])[apart]
    return Part(
        n_bytes=folder_bytes(path),
        joint={head: np.unique(taken, return_counts=True) for head, taken in env_to_agent(actions).items()},
        pressed=held.sum(axis=0),
        bins=np.stack([np.bincount(moved[:, axis], minlength=CAMERA_BINS) for axis in (0, 1)]),
        still=int((~held.any(axis=1) & (moved == CAMERA_NULL_BIN).all(axis=1)).sum()),
        width=embeds.shape[1],
        not_finite=(np.flatnonzero(~finite) + FIRST_EMBED).tolist(),
        norm=np.array(
            [len(norms), norms.sum(), (norms**2).sum(), norms.min(initial=np.inf), norms.max(initial=0)]
        ),
        norms=np.linalg.norm(embeds[drawn[2]], axis=1),
        kept=units[drawn[2, :n_kept]],
        near=near,
        within=within,
    )


@dataclass
class _Total:
    n_bytes: int = 0
    still: int = 0
    not_finite: int = 0
    first_not_finite: dict[str, Any] | None = None
    widths: set[int] = field(default_factory=set)
    pressed: np.ndarray = field(default_factory=lambda: np.zeros(len(BUTTONS), dtype=np.int64))
    bins: np.ndarray = field(default_factory=lambda: np.zeros((2, CAMERA_BINS), dtype=np.int64))
    joint: dict[str, np.ndarray] = field(
        default_factory=lambda: {
            "buttons": np.zeros(N_BUTTON_ACTIONS, dtype=np.int64),
            "camera": np.zeros(N_CAMERA_ACTIONS, dtype=np.int64),
        }
    )
    norm: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, np.inf, 0.0]))
    norms: list[np.ndarray] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    # name -> [sum, number, histogram]
    near: list[Any] = field(default_factory=lambda: [0.0, 0, np.zeros(len(_COSINE_EDGES) - 1, np.int64)])
    within: list[Any] = field(default_factory=lambda: [0.0, 0, np.zeros(len(_COSINE_EDGES) - 1, np.int64)])

    def add(self, part: Part) -> None:
        self.n_bytes += part.n_bytes
        self.still += part.still
        self.not_finite += len(part.not_finite)
        self.widths.add(part.width)
        self.pressed += part.pressed
        self.bins += part.bins
        for head, (indices, counts) in part.joint.items():
            self.joint[head][indices] += counts
        self.norm[:3] += part.norm[:3]
        self.norm[3:] = min(self.norm[3], part.norm[3]), max(self.norm[4], part.norm[4])
        self.norms.append(part.norms)
        if len(part.kept):
            self.kept.append(part.kept)
        for kind, values in ((self.near, part.near), (self.within, part.within)):
            _count_cosines(kind, values)

    def cosines(self, rng: np.random.Generator) -> tuple[dict[str, float], dict[str, list[int]]]:
        """The means, and the counts of the histogram, of the three kinds of pairs."""
        other: list[Any] = [0.0, 0, np.zeros(len(_COSINE_EDGES) - 1, np.int64)]
        if len(self.widths) == 1 and len(self.kept) > 1:
            first, second = (rng.integers(len(self.kept), size=N_PAIRS) for _ in range(2))
            rows = np.stack(self.kept)  # [episodes, n, E]
            left, right = (rng.integers(rows.shape[1], size=N_PAIRS) for _ in range(2))
            cosine = np.einsum("ij,ij->i", rows[first, left], rows[second, right])
            _count_cosines(other, cosine[first != second])
        kinds = {"neighbours": self.near, "same_episode": self.within, "other_episode": other}
        means = {name: total / n if n else 0.0 for name, (total, n, _) in kinds.items()}
        return means, {name: counts.tolist() for name, (_, _, counts) in kinds.items()}


def _count_cosines(kind: list[Any], cosines: np.ndarray) -> None:
    kind[0] += float(cosines.sum(dtype=np.float64))
    kind[1] += len(cosines)
    kind[2] += np.histogram(np.clip(cosines, -1, 1), bins=_COSINE_EDGES)[0]


def _histogram(values: np.ndarray, bins: int) -> dict[str, list]:
    values = values.astype(np.float64)
    alike = len(values) == 0 or np.ptp(values) <= 1e-6 * np.abs(values).max()  # normalised embeddings, say
    counts, edges = np.histogram(values, bins=1 if alike else bins)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _entropy(counts: np.ndarray) -> float:
    """The entropy of a histogram, nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _most_common(counts: np.ndarray, frames: int) -> list[dict[str, Any]]:
    """The most frequent combinations of buttons, whether or not the camera moves, with their shares."""
    taken = np.flatnonzero(counts)
    pressed = agent_to_env(taken, np.full(len(taken), NULL_CAMERA_ACTION))
    together: dict[str, int] = {}
    for place, index in enumerate(taken):
        name = " + ".join(button for button in BUTTONS if pressed[button][place]) or "nothing"
        together[name] = together.get(name, 0) + int(counts[index])
    ordered = sorted(together.items(), key=lambda pair: (-pair[1], pair[0]))[:N_COMMON]
    return [{"buttons": name, "share": n / frames} for name, n in ordered]
