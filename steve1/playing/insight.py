"""What lies behind an action: the likeliest ones with the goal and without it, and how far guidance moved them.

From the log-probs of both halves of guidance, which acting computes anyway
(``steve1.MineRLConditionalAgent.Thought``). It changes nothing of what is played, and costs
nothing unless it is asked for. What pages and films make of it is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from steve1.MineRLConditionalAgent import Thought
from steve1.vpt.actions import BUTTONS, CAMERA_NULL_BIN, action_label, camera_to_bins, likeliest

SHOWN = 5  # actions of each half


@dataclass(frozen=True)
class Likely:
    """An action of the world in words, and its probability."""

    label: str
    p: float


@dataclass(frozen=True)
class Insight:
    """What an agent chose from at one frame.

    ``with_goal``: the :data:`SHOWN` likeliest actions of the distribution that was acted on, guidance included.
    ``without_goal``: those of the unconditional half, or None where there is no guidance. ``moved``: the total
    variation distance between those two, for ``buttons`` and ``camera`` each: 0, nothing changes, to 1, everything.
    ``moved_by_goal``: the same between the conditional half and the unconditional one: what the goal does by itself,
    at scale 0.
    """

    with_goal: list[Likely]
    without_goal: list[Likely] | None = None
    moved: dict[str, float] | None = None
    moved_by_goal: dict[str, float] | None = None


@dataclass(frozen=True)
class Look:
    """What is behind a step: the MineRL ``action`` that was taken, and the :class:`Insight` into it."""

    action: Mapping[str, Any]
    insight: Insight


def insight(thought: Thought, row: int = 0) -> Insight:
    """The insight into one row of what an :class:`~steve1.MineRLConditionalAgent.AgentBatch` thought last."""
    acted_on = _probabilities(thought.guided, row)
    if thought.unconditional is None:
        return Insight(_likeliest(acted_on))
    without, conditional = (
        _probabilities(half, row) for half in (thought.unconditional, thought.conditional)
    )
    return Insight(
        _likeliest(acted_on),
        _likeliest(without),
        {name: total_variation(acted_on[name], without[name]) for name in acted_on},
        {name: total_variation(conditional[name], without[name]) for name in acted_on},
    )


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the sum of |p - q|: the greatest difference that two distributions [N] give to the chance of anything."""
    return float(np.abs(p - q).sum() / 2)


def pressed(action: Mapping[str, Any]) -> list[str]:
    """The keys of a MineRL action that are down, in the order of :data:`steve1.vpt.actions.BUTTONS`."""
    return [name for name in BUTTONS if int(action[name])]


def camera(action: Mapping[str, Any]) -> tuple[float, float]:
    """Degrees by which a MineRL action turns: pitch (down is positive) and yaw (right is positive)."""
    pitch, yaw = np.asarray(action["camera"], np.float64).reshape(2)
    return float(pitch), float(yaw)


def arrow(action: Mapping[str, Any]) -> tuple[float, float]:
    """Where a MineRL action turns, to be drawn: down and right, each -1..1, by the places of the camera's bins.

    These lie closer where moves are small, so that small moves show.
    """
    down, right = (camera_to_bins(np.array(camera(action))) - CAMERA_NULL_BIN) / CAMERA_NULL_BIN
    return float(down), float(right)


def plain(found: Insight) -> dict[str, Any]:
    """An insight as JSON has it; probabilities and distances to four places."""

    def listed(likely: Sequence[Likely] | None) -> list[list[Any]] | None:
        return None if likely is None else [[one.label, round(one.p, 4)] for one in likely]

    def rounded(distances: Mapping[str, float] | None) -> dict[str, float] | None:
        return None if distances is None else {name: round(value, 4) for name, value in distances.items()}

    return {
        "with_goal": listed(found.with_goal),
        "without_goal": listed(found.without_goal),
        "moved": rounded(found.moved),
        "moved_by_goal": rounded(found.moved_by_goal),
    }


def _probabilities(log_probs: Mapping[str, torch.Tensor], row: int) -> dict[str, np.ndarray]:
    # Guided log-probs don't sum to 1; sampling normalises them, and so does this.
    return {name: values[row].double().softmax(-1).cpu().numpy() for name, values in log_probs.items()}


def _likeliest(p: Mapping[str, np.ndarray]) -> list[Likely]:
    return [
        Likely(action_label(buttons, turn), chance)
        for chance, buttons, turn in likeliest(p["buttons"], p["camera"], SHOWN)
    ]
