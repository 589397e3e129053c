"""Looking into the agent on the live page: what it does and why, how that goes, and what its goal looks like.

:class:`LookInto` hangs itself on a :class:`~steve1.live.server.LiveServer` and its session. A viewer says ``look``
(``on``: whether its panel is open). While one is, ``status`` has a ``look``: the newest tick's keys, camera and
insight, and its points of the curves; who opens the panel is told ``curves``, all that came before. ``strip``, what is
nearest to the goal in training, goes to everyone, for its warning concerns who has the panel closed too.

Nothing of it changes what is played, and what costs time is left out while nobody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any

import numpy as np
import torch

from steve1.live.server import LiveServer, Viewer
from steve1.live.tick import TickInfo
from steve1.live.view import View
from steve1.playing.goal_strip import GoalIndex, Strip
from steve1.playing.goals import TextGoals
from steve1.playing.insight import arrow, camera, insight, plain, pressed
from steve1.playing.measures import MEASURES, OWN_MEASURES, EpisodeMeasures
from steve1.playing.plan import KNOWN_BEHAVIOURS
from steve1.playing.scoring import LiveScore

HISTORY = 1200  # ticks of the curves that are kept: a minute
# What is counted of a prompt that no measure is known of: the first that the world tells.
_ANY = ("log_hits", "logs_mined", "attacking")


def measures_of(text: str) -> tuple[str, ...]:
    """The measures that fit a prompt: those that a known text is judged by, or hits on logs."""
    behaviour = next((name for name, known in KNOWN_BEHAVIOURS.items() if known == text), "")
    return OWN_MEASURES.get(behaviour, _ANY)


class LookInto:
    """See the module. ``texts``: embeds prompts, with the MineCLIP of the scores. ``index``: the strip's, or None."""

    def __init__(self, texts: TextGoals, index: GoalIndex | None) -> None:
        self._texts, self._index = texts, index
        self._score = LiveScore(texts.mineclip)
        self._looking: set[Viewer] = set()
        # Of the game's thread; the event loop reads.
        self._measures: EpisodeMeasures | None = None
        self._text, self._goal = "", torch.zeros(0)
        self._points: deque[list[Any]] = deque(maxlen=HISTORY)  # [tick, pitch, value]
        self._scores: deque[list[Any]] = deque(maxlen=HISTORY)  # [tick, cosine]
        self._marks: deque[list[Any]] = deque(maxlen=100)  # [tick, what changed]
        self._measure = ""
        # Of the strip's thread.
        self._strip: dict[str, Any] | None = None
        self._wanted: tuple[str, np.ndarray, np.ndarray | None] | None = None
        self._at_work = False
        self._lock = threading.Lock()

    def __call__(self, server: LiveServer) -> None:
        """Take part in a session and its page."""
        self._server, self._loop = server, asyncio.get_running_loop()
        server.handlers["look"] = self._look
        server.extras.append(self._says)
        server.on_leave.append(self._looking.discard)
        server.session.after_tick.append(self._after_tick)
        server.session.on_episode.append(self._on_episode)
        server.session.at_end.append(self._score.close)

    # The event loop

    def _look(self, viewer: Viewer, message: dict[str, Any]) -> str:
        if message.get("on") is True:
            self._looking.add(viewer)
            self._server.tell(
                {
                    "type": "curves",
                    "points": list(self._points),
                    "scores": list(self._scores),
                    "marks": list(self._marks),
                },
                viewer,
            )
        else:
            self._looking.discard(viewer)
        if self._strip is not None:
            self._server.tell(self._strip, viewer)
        return ""

    def _says(self, view: View) -> dict[str, Any]:
        tick = view.tick
        if not self._looking or tick is None:
            return {}
        return {
            "look": {
                "tick": tick.number,
                "keys": pressed(tick.action),
                "camera": [round(angle, 2) for angle in camera(tick.action)],
                "arrow": [round(part, 3) for part in arrow(tick.action)],
                "insight": None if tick.thought is None else plain(insight(tick.thought)),
                "point": self._points[-1] if self._points else None,
                "score": self._scores[-1] if self._scores else None,
                "mark": self._marks[-1] if self._marks else None,
                "measure": [self._measure.replace("_", " "), MEASURES[self._measure].unit]
                if self._measure
                else None,
            }
        }

    def _show(self, strip: dict[str, Any]) -> None:
        self._strip = strip
        self._server.tell(strip)

    # The game's thread

    def _on_episode(self) -> None:
        self._measures = None
        self._score.clear()

    def _after_tick(self, tick: TickInfo) -> None:
        text = tick.prompt.text
        if text != self._text or self._measures is None:
            self._marks.append([tick.number, text if text != self._text else "world reset"])
            self._measures = EpisodeMeasures(tick.obs)
        if text != self._text or not torch.equal(tick.goal, self._goal):
            self._look_up(tick)
        self._text, self._goal = text, tick.goal
        self._measures.add(tick.action, tick.next_obs, tick.next_info)
        figures = self._measures.result()
        self._measure = next((name for name in measures_of(text) if figures[name] is not None), "")
        value = figures[self._measure] if self._measure else None
        self._points.append([tick.number, self._measures.pitch, value])
        if self._looking:
            wanted = self._texts.embed(text).numpy() if text else None
            done = self._score.add(tick.number, tick.obs["pov"], wanted)
            if done is not None:
                self._scores.append([done[0], round(done[1], 4)])
        else:
            self._score.clear()

    def _look_up(self, tick: TickInfo) -> None:
        if self._index is None:
            return
        text = tick.prompt.text
        # The text itself has a say where the goal is what a prior made of it.
        embed = self._texts.embed(text).numpy() if text and self._texts.prior is not None else None
        with self._lock:
            self._wanted = text, tick.goal.detach().cpu().numpy(), embed
            if not self._at_work:
                self._at_work = True
                threading.Thread(target=self._find, name="strip", daemon=True).start()

    # The strip's thread

    def _find(self) -> None:
        while True:
            with self._lock:
                if self._wanted is None:
                    self._at_work = False
                    return
                (text, goal, embed), self._wanted = self._wanted, None
            assert self._index is not None
            try:
                strip = self._index.look(goal, embed) if text else Strip([])
            except Exception as error:  # an episode that was taken away meanwhile
                strip = Strip([], f"The goal strip can't be shown: {error}")
            message = {"type": "strip", "prompt": text, **strip.plain()}
            with contextlib.suppress(RuntimeError):  # the loop has gone
                self._loop.call_soon_threadsafe(self._show, message)
