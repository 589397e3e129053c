"""What there is to see of a live game at one moment, and the prompts so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from steve1.live.recorder import Prompt
from steve1.live.tick import AGENT, TickInfo


@dataclass
class Asked:
    """A prompt in the history. ``latency``: seconds from its coming to the end of the first step under it.

    ``frame`` is that of the film ``film`` (its file's number in the session, from 1) where it begins. The three are
    None until the agent has acted on it; so is ``latency`` where the game stood still in between.
    """

    number: int
    text: str
    cond_scale: float
    seconds: float  # since the session began
    remarks: list[str] = field(
        default_factory=list
    )  # sentences on what the agent does not read of it as it is meant
    step: int | None = None
    frame: int | None = None
    latency: float | None = None


@dataclass(frozen=True)
class View:
    """What there is to see: the newest picture as JPEG, and all that a page says about the game."""

    picture: bytes | None = field(default=None, repr=False)
    phase: str = "starting"  # "starting", "waiting" (for somebody to watch), "playing", "paused", "failed"
    step: int = 0  # of the agent in this world
    fps: float = 0.0
    prompt: Prompt = field(default_factory=lambda: Prompt("", 0.0, 0))
    world: str = ""
    filmed: int = 0  # pictures in the film that is being made
    problem: str = ""  # why the world or the film stopped, "" while all is well
    news: int = 0  # grows when the history or the films change
    playing: str = AGENT  # who plays: "agent" or "human"
    tick: TickInfo | None = field(
        default=None, repr=False
    )  # the one that led to the picture; None after a reset
    remarks: list[str] = field(default_factory=list)  # on the prompt, see Asked
