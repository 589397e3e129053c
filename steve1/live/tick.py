"""One tick of a live game, as those see it who play in it, record it or look into it.

:class:`~steve1.live.session.Session` calls them, in the game's thread: ``before_tick`` when the action is known and the
world still stands as it was seen, ``after_tick`` once the world has taken it, with what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from steve1.live.recorder import Prompt
from steve1.MineRLConditionalAgent import Thought

AGENT, HUMAN = "agent", "human"


class Hands(Protocol):
    """What plays instead of the agent, see ``Session.hands``."""

    def action(self, tick: int) -> Mapping[str, Any]:
        """The MineRL action (23 keys of 0/1, ``camera`` float32 [pitch, yaw] in degrees) of a tick. Must not wait."""


@dataclass(frozen=True)
class TickInfo:
    """A tick.

    ``number``: of the session, from 0, never twice. ``step``: of the world's episode, from 0. ``obs``: what was seen
    before the action (``pov`` uint8 [360, 640, 3]). ``action``: MineRL's. ``by``: :data:`AGENT` or :data:`HUMAN`.
    ``thought``: of the agent's one row, None where a human played. ``prompt``: text, guidance scale and seed.
    ``goal``: float [E], zeros are no goal. ``world``: the env's name. ``env``: the world itself, to be read only.
    ``info``: what the world said with ``obs``, nothing after a reset.
    ``next_obs``, ``next_info``: what the world's ``step`` returned for the action; empty before it.
    """

    number: int
    step: int
    obs: Mapping[str, Any]
    action: Mapping[str, Any]
    by: str
    thought: Thought | None
    prompt: Prompt
    goal: torch.Tensor
    world: str
    env: Any
    info: Mapping[str, Any]
    next_obs: Mapping[str, Any] = field(default_factory=dict)
    next_info: Mapping[str, Any] = field(default_factory=dict)
