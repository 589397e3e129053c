"""Where behaviours end in an episode, judged by how well a policy foresees the recorded actions; and as a file.

While one behaviour goes on, a policy that has seen its frames foresees its actions; with another one it is surprised.
So a segment ends where the loss of one frame stands out from the segment's mean so far, as in SkillDiscovery
("Open-World Skill Discovery from Unsegmented Demonstrations", ICCV 2025). With l(t), nats, the negative log-probability
of the action recorded at frame t, and s the segment's first frame, frame t - 1 is a boundary, the last frame of its
behaviour, and t the first of the next segment, where

    t - s >= min_length   and   l(t) > threshold + (l(s) + ... + l(t - 1)) / (t - s)

The first segment begins with the episode, and a new one at each cut, which is no boundary. Knows nothing of policies.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rule:
    """``threshold``: nats above the segment's mean. ``min_length``: frames of a segment, at least 1; by default the 16
    that an embedding shows."""

    threshold: float = 4.0
    min_length: int = 16


def find_boundaries(nll: np.ndarray, rule: Rule, cuts: Sequence[int] | np.ndarray = ()) -> np.ndarray:
    """The boundaries of an episode whose frames' losses are ``nll``, float [n]: int64 [k], ascending."""
    begins = {int(cut) for cut in cuts}
    found = []
    start, total = 0, 0.0
    for t, loss in enumerate(nll.tolist()):
        if t in begins:
            start, total = t, 0.0
        elif t - start >= rule.min_length and loss > rule.threshold + total / (t - start):
            found.append(t - 1)
            start, total = t, 0.0
        total += loss
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True)
class Boundaries:
    """An episode's marks.

    ``frames``: int64 [k], the last frames of behaviours, ascending. ``nll``: float32 [n], nats. ``policy``: hash of the
    weights that judged. ``cuts``: the episode's, when it was marked.
    """

    frames: np.ndarray
    nll: np.ndarray
    policy: str
    rule: Rule
    cuts: tuple[int, ...]

    @staticmethod
    def mark(nll: np.ndarray, policy: str, rule: Rule, cuts: Sequence[int] | np.ndarray) -> Boundaries:
        """The marks by a rule of what a policy found."""
        nll = np.asarray(nll, dtype=np.float32)
        begins = tuple(int(cut) for cut in cuts)
        return Boundaries(find_boundaries(nll, rule, begins), nll, policy, rule, begins)

    @property
    def made_by(self) -> dict[str, Any]:
        """What decides the marks beside the episode, as JSON."""
        return {"policy": self.policy, "rule": asdict(self.rule)}

    @property
    def maker_name(self) -> str:
        """The same in words."""
        return (
            f"policy {self.policy[:12]}, threshold {self.rule.threshold:g}, min_length {self.rule.min_length}"
        )

    def to_bytes(self) -> bytes:
        """The content of its file, an .npz."""
        file = io.BytesIO()
        said = json.dumps({**self.made_by, "cuts": list(self.cuts)})
        np.savez_compressed(file, frames=self.frames, nll=self.nll, made_by=np.array(said))
        return file.getvalue()

    @staticmethod
    def from_bytes(content: bytes) -> Boundaries:
        """The inverse of :meth:`to_bytes`. Raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                said = json.loads(str(file["made_by"]))
                frames, nll = file["frames"], file["nll"]
                rule = Rule(float(said["rule"]["threshold"]), int(said["rule"]["min_length"]))
                marks = Boundaries(frames, nll, str(said["policy"]), rule, tuple(map(int, said["cuts"])))
        except Exception as error:  # a torn file fails in zip, zlib, numpy or json
            raise ValueError(f"{type(error).__name__}: {error}") from None
        sound = frames.dtype == np.int64 and nll.dtype == np.float32 and frames.ndim == nll.ndim == 1
        if (
            not sound
            or (np.diff(frames) <= 0).any()
            or (len(frames) and not 0 <= frames[0] <= frames[-1] < len(nll))
        ):
            raise ValueError("its frames are none of the episode's")
        return marks
