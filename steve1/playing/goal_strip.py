"""Which moments of training lie nearest to a goal: what the prior imagined, and whether a prompt is far from them all.

The moments are embeddings of 16 frames each, of one MineCLIP's, as goals are; where they come from, and what they look
like, is for who makes the index to say (``data/goal_moments.py`` for a sampling).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steve1.cli import UserError
from steve1.config import FIRST_EMBED

NEAREST = 6
APART = (
    FIRST_EMBED + 1
)  # frames between two shown moments of one episode: so far apart, none has a frame of the other
FAR_QUANTILE = 0.01
_COMPARED = 1000  # moments whose own nearest neighbours say what is near

# The picture of a moment, (episode, frame) -> JPEG.
Picture = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Moment:
    """A moment of training: the 16 frames of ``episode`` (a folder's name) that end at ``frame``; its cosine."""

    episode: str
    frame: int
    cosine: float
    jpeg: bytes


@dataclass(frozen=True)
class Strip:
    """What is nearest to a goal, nearest first; ``warning``: why the goal is not to be trusted, or ""."""

    moments: list[Moment]
    warning: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON has it, with pictures in base64."""
        return {
            "moments": [
                {
                    "episode": moment.episode,
                    "frame": moment.frame,
                    "cosine": round(moment.cosine, 4),
                    "jpeg": base64.b64encode(moment.jpeg).decode(),
                }
                for moment in self.moments
            ],
            "warning": self.warning,
        }


class GoalIndex:
    """Moments of training, to look goals up in.

    Args:
        embeds: float [N, E]. episodes: int [N], which episode each is of, a place in ``names``. frames: int [N].
        picture: see :data:`Picture`.

    Attributes:
        far_below: a goal is far where its nearest moment's cosine is below this: the :data:`FAR_QUANTILE` quantile of
            what training moments (a thousand, evenly spread) have to their nearest one of another episode. None where
            there is one episode alone, for then nothing says what is near.
        about: a line on where the moments come from. made_by: the hashes of the MineCLIPs that embedded them, each with
            an episode of its. Both are for who made the index to fill in.
    """

    def __init__(
        self,
        embeds: np.ndarray,
        episodes: np.ndarray,
        frames: np.ndarray,
        names: Sequence[str],
        picture: Picture,
    ) -> None:
        self._units = _unit(embeds)  # [N, E]
        self._episodes, self._frames, self._names = np.asarray(episodes), np.asarray(frames), list(names)
        self._picture, self.about = picture, ""
        self.made_by: dict[str, str] = {}
        self.far_below = self._usual()

    def __len__(self) -> int:
        return len(self._units)

    @property
    def width(self) -> int:
        """E, the length of an embedding."""
        return self._units.shape[1]

    def check_made_by(self, mineclip_hash: str | None) -> None:
        """Raise UserError where moments were embedded by another MineCLIP than the goals; None, unknown, passes."""
        for known, episode in self.made_by.items():
            if mineclip_hash not in (None, known):
                raise UserError(
                    f"--goal_strip: the embeddings of {episode} were made by another MineCLIP ({known[:12]}) than the "
                    f"goals ({str(mineclip_hash)[:12]}); give the sampling that the policy was trained on"
                )

    def look(self, goal: np.ndarray, text: np.ndarray | None = None) -> Strip:
        """The moments nearest to a goal [E]; ``text``: the embedding [E] of the text that it was made of, if it was."""
        cosines = self._units @ _unit(goal)  # [N]
        shown = self._apart(cosines)
        moments = [
            Moment(
                self._names[self._episodes[i]],
                int(self._frames[i]),
                float(cosines[i]),
                self._picture(int(self._episodes[i]), int(self._frames[i])),
            )
            for i in shown
        ]
        return Strip(moments, self._warning(cosines, shown, text))

    def _apart(self, cosines: np.ndarray) -> list[int]:
        shown: list[int] = []
        for i in np.argsort(-cosines, kind="stable"):
            near = [
                j
                for j in shown
                if self._episodes[j] == self._episodes[i] and abs(self._frames[j] - self._frames[i]) < APART
            ]
            if not near:
                shown.append(int(i))
                if len(shown) == NEAREST:
                    break
        return shown

    def _warning(self, cosines: np.ndarray, shown: Sequence[int], text: np.ndarray | None) -> str:
        best = float(cosines[shown[0]])
        if self.far_below is not None and best < self.far_below:
            return (
                f"This is far from all that was trained on: the nearest moment has a cosine of {best:.3f}, while "
                f"{1 - FAR_QUANTILE:.0%} of the training moments have {self.far_below:.3f} or more to one of another "
                "episode."
            )
        if text is not None:
            likeness = self._units @ _unit(text)  # [N]
            rank = float(np.mean(likeness < likeness[list(shown)].mean()))
            if rank < 0.5:
                return (
                    f"What the prior imagined does not look like the text: in MineCLIP's eyes {1 - rank:.0%} of all "
                    "training moments suit it as well as these, or better."
                )
        return ""

    def _usual(self) -> float | None:
        if len(np.unique(self._episodes)) < 2:
            return None
        picked = np.unique(np.linspace(0, len(self) - 1, _COMPARED).astype(int))
        nearest = []
        for part in np.array_split(picked, max(1, len(picked) // 50)):
            cosines = self._units[part] @ self._units.T  # [n, N]
            cosines[self._episodes[part][:, None] == self._episodes[None]] = -2.0
            nearest.append(cosines.max(axis=1))
        return float(np.quantile(np.concatenate(nearest), FAR_QUANTILE))


def _unit(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
