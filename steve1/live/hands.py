"""A person's hands in a live game: what pages send between two ticks becomes exactly one MineRL action a tick.

Knows nothing of sockets: a page is any object. One page holds the hands; the others watch. Called from two threads,
the server's and the game's.

A message is all keys that are down and those that went down since the message before, by MineRL's names, so that a
lost one does no harm and a press shorter than a tick still counts for a tick; and the mouse's way since then, in
pixels at Minecraft's default sensitivity. A pixel turns the view by 0.15 degrees: Minecraft's own formula is
``(0.6 s + 0.2)^3 * 8 * 0.15`` degrees at sensitivity s (``MouseHelper.updatePlayerLook`` in 1.16, whose last factor
stands in ``Entity.rotateTowards``), s = 0.5 by default. In a screen the same camera action moves the cursor by as many
pixels of the recorder's window.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from steve1.live.lines import DEGREES_PER_PIXEL
from steve1.vpt.actions import ENV_KEYS, HOTBARS

PLAYABLE = tuple(key for key in ENV_KEYS if key != "ESC")  # Escape leaves the mouse to its owner
MAX_PIXELS = 100_000  # of one message, either way
_LIMIT = 1199  # pixels of a tick: just under half a turn, beyond which the recorder sees a glitch
_QUIET, _GONE = (
    30,
    200,
)  # ticks without a word of the holder, until the keys come up, and until the agent plays


class Hands:
    """Who plays, and the next action of a person.

    ``holder``: the page that holds the hands, None while the agent plays. ``slot``: the hot bar's slot that is
    chosen, 0 to 8, as far as actions say: whoever plays tells every action to :meth:`played`.
    """

    def __init__(self) -> None:
        self.holder: Any = None
        self.slot = 0
        self._lock = threading.Lock()
        self._down: set[str] = set()
        self._pending: set[str] = set()  # went down since the tick before
        self._dx = self._dy = self._wheel = 0.0
        self._silent = 0  # ticks since a word of the holder
        self._last: set[str] = set()  # down in the tick before

    # From the server's thread

    def take(self, page: Any, from_another: bool = False) -> str:
        """Give ``page`` the hands; why it can't have them, or "". ``from_another``: also out of another page's."""
        with self._lock:
            if self.holder not in (None, page) and not from_another:
                return "another page plays; it can hand back, or you take over from it"
            if self.holder is not page:
                self._clear()
            self.holder = page
            return ""

    def hand_back(self, page: Any) -> bool:
        """Let the agent play where ``page`` holds the hands; whether it did."""
        with self._lock:
            if self.holder is None or self.holder is not page:
                return False
            self.holder = None
            self._clear()
            return True

    def heard(self, page: Any) -> None:
        """The page has said anything, so it is there."""
        with self._lock:
            if self.holder is page:
                self._silent = 0

    def input(self, page: Any, message: Mapping[str, Any]) -> str:
        """Take a message in; why it can't be, or "".

        ``keys``: names that are down; ``tapped``: names that went down since the message before; ``dx``, ``dy``:
        pixels to the right and down; ``wheel``: slots to the right. All may be left out, which is nothing.
        """
        keys, tapped = message.get("keys", []), message.get("tapped", [])
        for names in (keys, tapped):
            if not isinstance(names, list) or not all(name in PLAYABLE for name in map(_text, names)):
                return f"keys are a list of {', '.join(PLAYABLE)}"
        moved = [message.get(name, 0) for name in ("dx", "dy", "wheel")]
        if not all(_is_number(value) and abs(value) <= MAX_PIXELS for value in moved):
            return f"dx, dy and wheel are numbers of at most {MAX_PIXELS:,}"
        with self._lock:
            if self.holder is not page:
                return "the agent plays; take over first" if self.holder is None else "another page plays"
            self._silent = 0
            self._pending |= set(tapped) | (set(keys) - self._down)
            self._down = set(keys)
            self._dx, self._dy = self._dx + moved[0], self._dy + moved[1]
            self._wheel += moved[2]
        return ""

    # From the game's thread

    def action(self, tick: int) -> dict[str, Any]:
        """The MineRL action of a tick: 23 keys of 0 or 1, and ``camera`` float64 [pitch, yaw] in degrees.

        A key that came up and went down again since the tick before is up for this tick, so that the press is seen.
        """
        with self._lock:
            self._silent += 1
            if self._silent > _QUIET:
                self._clear(self._silent)
            if self._silent > _GONE:
                self.holder = None
            again = self._pending & self._last
            down = (self._down | self._pending) - again
            self._pending = again
            self._last = set(down)
            if not any(f"hotbar.{n}" in down for n in range(1, 10)):
                down |= self._scrolled()
            camera = np.array([self._turned("_dy"), self._turned("_dx")])
        return {key: int(key in down) for key in ENV_KEYS} | {"camera": camera}

    def played(self, action: Mapping[str, Any]) -> None:
        """An action was played, by whomever."""
        for slot, key in enumerate(HOTBARS):
            if action.get(key):
                self.slot = slot

    def new_world(self) -> None:
        """The world began anew, so the first slot is chosen."""
        self.slot = 0

    # Under the lock

    def _scrolled(self) -> set[str]:
        """The key of the slot that the wheel has come to; less than a notch waits for the rest of it."""
        notches = int(self._wheel)
        self._wheel -= notches
        return {HOTBARS[(self.slot + notches) % 9]} if notches else set()

    def _turned(self, name: str) -> float:
        """Degrees of the mouse's way in whole pixels; what is less than one, or too much for a tick, waits."""
        pixels = max(-_LIMIT, min(_LIMIT, int(getattr(self, name))))
        setattr(self, name, getattr(self, name) - pixels)
        return pixels * DEGREES_PER_PIXEL

    def _clear(self, silent: int = 0) -> None:
        self._down, self._pending = set(), set()
        self._dx = self._dy = self._wheel = 0.0
        self._silent = silent


def _text(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
