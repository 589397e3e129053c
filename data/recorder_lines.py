"""Lines of OpenAI's recorder, a JSON object a tick, as MineRL actions (docs/formats.md).

Departures from the published converter: camera angles stay floats, hotbar changes are seen before null frames are
judged, and glitches of more than 180 degrees are filtered (docs/fidelity.md). Nothing but ``mouse``, ``keyboard`` and,
where a screen is open, the cursor's place has to be there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from data.action_lines import BINARY_KEYS, ActionLines, as_dict, not_null
from data.line_cuts import LineCuts, told
from data.pairing import Clock, ClockField, own_clock
from data.recording_options import DEGREES_PER_PIXEL, WINDOW, RecordingOptions
from steve1.cli import UserError
from steve1.live.lines import KEYBOARD, MOUSE_BUTTONS

NEW_WORLD, OTHER_PLAYER = "the world began anew", "another player's ticks were left out"
MAX_ANGLE = 180.0  # a larger turn within one frame is a glitch of the recorder
MAX_POSITION = 1e6  # pixels; no window is as large
_MAX_PIXELS = 400  # of one tick, for measuring the scale
_LEAST_OUTSIDE = 5  # ticks with the cursor beyond the window
_LEAST_TURNS = 20  # ticks that turn the view, for measuring the scale

_COLUMN = {key: column for column, key in enumerate(BINARY_KEYS)}
_KEY_COLUMNS = {f"key.keyboard.{name}": _COLUMN[key] for key, name in KEYBOARD.items()}
_MOUSE_COLUMNS = {button: _COLUMN[key] for key, button in MOUSE_BUTTONS.items()}
_HOTBAR_COLUMNS = [_COLUMN[f"hotbar.{n}"] for n in range(1, 10)]


# What the lines say of their ticks. The server's thread runs beside the game's, so its count trembles.
_CLOCKS = (
    ClockField("tick", 1.0, True),
    ClockField("milli", 50.0, False),
    ClockField("serverTick", 1.0, False),
)


def parse_recorder_lines(
    lines: Iterable[dict], options: RecordingOptions, name: str | os.PathLike, cursor: bool = True
) -> ActionLines:
    """The actions of the recorder's lines; ``cursor``: also where the mouse is, for drawing it.

    Raises :class:`~steve1.cli.UserError` naming the line and field where one is missing or of a wrong type.
    """
    pixels: list[tuple[float, float]] = []
    pressed: list[tuple[int, int]] = []  # (line, column)
    cursors: list[tuple[float, float] | None] = []
    said: list[tuple[float, ...]] = []  # the clocks' values, and yaw outside of screens
    cuts = LineCuts()
    attack, slot = _MOUSE_COLUMNS[0], None
    stuck = False
    players = _Players(options.only, name)
    for i, line in enumerate(lines):
        try:
            mouse, keyboard = _field(line, "mouse", dict), _field(line, "keyboard", dict)
            pixels.append((_number(mouse, "mouse.dy"), _number(mouse, "mouse.dx")))
            new_buttons = _field(mouse, "mouse.newButtons", list)
            columns = {
                _column(_MOUSE_COLUMNS, b, "mouse.buttons") for b in _field(mouse, "mouse.buttons", list)
            }
            # The recorder may start with attack held down that nobody holds, until it is pressed anew.
            stuck = new_buttons == [0] if i == 0 else stuck and 0 not in new_buttons
            if stuck:
                columns.discard(attack)
            columns |= {
                _column(_KEY_COLUMNS, k, "keyboard.keys") for k in _field(keyboard, "keyboard.keys", list)
            }
            now = _slot(line)
            if now is not None:
                if slot is not None and now != slot:
                    columns.add(_HOTBAR_COLUMNS[now])
                slot = now
            pressed.extend((i, column) for column in columns if column is not None)
            cursors.append(_mouse_position(line, mouse) if cursor else None)
            players.add(line)
        except _Wrong as wrong:
            raise UserError(
                f"{name}, line {i + 1}: {wrong}; leave this recording out, or mend the line"
            ) from None
        yaw = math.nan if line.get("isGuiOpen") else told(line, "yaw")
        said.append((*(told(line, clock.field) for clock in _CLOCKS), yaw))
        cuts.add(line)
    n = len(pixels)
    buttons = np.zeros((n, len(BINARY_KEYS)), dtype=np.int64)
    if pressed:
        buttons[tuple(np.array(pressed).T)] = 1
    scale = DEGREES_PER_PIXEL if options.degrees_per_pixel is None else options.degrees_per_pixel
    moved = np.array(pixels, dtype=np.float64).reshape(n, 2)
    camera = moved * scale
    camera[~(np.abs(camera) <= MAX_ANGLE)] = 0  # true for NaN as well
    if options.legacy_int_camera:
        camera = np.trunc(camera)
    kept = not_null(buttons, camera)
    kept = kept[np.array(players.wanted, dtype=bool)[kept]]
    columns_said = np.array(said, dtype=np.float64).reshape(n, len(_CLOCKS) + 1)
    found = (own_clock(clock, columns_said[:, i]) for i, clock in enumerate(_CLOCKS))
    clocks: list[Clock] = [clock for clock in found if clock is not None]
    notes = [*_scale_note(moved[:, 1], columns_said[:, -1], scale, name)]
    notes += _window_note(cursors, options.window or WINDOW, name)
    actions = as_dict(buttons[kept], camera[kept])
    # The game counts its own ticks; of a wall clock the player moves less than it says.
    by_tick = np.isfinite(columns_said[:, 0]).all()
    ticks = next((clock.ticks for clock in clocks if clock.name == "tick" or not by_tick), None)
    found_cuts = cuts.found(ticks) | players.cuts()
    others = players.wanted.count(False)
    return ActionLines(n, kept, actions, [cursors[i] for i in kept], clocks, notes, found_cuts, others)


class _Players:
    """Whose tick each line is, and which lines follow on the one before: ``run_interactive.py`` writes both.

    ``wanted``: whether a line is of the player that is asked for.
    """

    def __init__(self, only: str, name: str | os.PathLike) -> None:
        self.wanted: list[bool] = []
        self._only, self._name = only, name
        self._segments: list[Any] = []

    def add(self, line: dict) -> None:
        player = line.get("player")
        if self._only != "all" and not isinstance(player, str):
            raise UserError(says_no_player(self._name, self._only))
        self.wanted.append(self._only in ("all", player))
        self._segments.append(line.get("segment"))

    def cuts(self) -> dict[str, np.ndarray]:
        """The lines before which the world began anew (``segment`` is another) or another player's ticks were left out.

        A reason of which the lines say nothing is not there.
        """
        segments, wanted = self._segments, self.wanted
        found = {}
        if any(segment is not None for segment in segments):
            found[NEW_WORLD] = [i for i in range(1, len(segments)) if segments[i] != segments[i - 1]]
        if self._only != "all":
            found[OTHER_PLAYER] = [i for i in range(1, len(wanted)) if wanted[i] and not wanted[i - 1]]
        return {reason: np.array(lines, dtype=np.int64) for reason, lines in found.items()}


def says_no_player(name: str | os.PathLike, only: str) -> str:
    """Why a recording's ticks can't be chosen by who played."""
    return (
        f"{name} does not say who played in each tick, which --only {only} goes by; recordings of run_interactive.py "
        "do. Leave --only out for it, or leave it out"
    )


def _scale_note(dx: np.ndarray, yaw: np.ndarray, scale: float, name: str | os.PathLike) -> Iterator[str]:
    """A sentence where the lines' own yaw turns by another angle for a pixel than ``scale`` says."""
    turned = (np.diff(yaw) + 180) % 360 - 180
    # A recorder writes yaw before or after it applies the line's own movement.
    for pixels in (dx[:-1], dx[1:]):
        with np.errstate(over="ignore", invalid="ignore"):
            # A pixel that turns by half a circle or more can't be told from one that turns the other way.
            known = np.isfinite(turned) & np.isfinite(pixels) & (pixels != 0) & (np.abs(pixels) < _MAX_PIXELS)
            x, y = pixels[known], turned[known]
            product, squares = float(x @ y), float(x @ x) * float(y @ y)
        if len(x) < _LEAST_TURNS or squares <= 0 or product**2 < 0.9 * squares:
            continue
        own = product / float(x @ x)
        if abs(own - scale) > 0.05 * scale:
            yield (
                f"{name}: by its own yaw the view turns {own:.3g} degrees for a pixel, and {scale:.3g} are taken; give "
                f"--degrees_per_pixel {own:.3g} if its recorder's mouse was set so"
            )
        return


def _window_note(
    cursors: Sequence[tuple[float, float] | None], window: tuple[int, int], name: str | os.PathLike
) -> list[str]:
    """A sentence where the cursor leaves the window, which must then be larger."""
    outside = [(x, y) for x, y in (p for p in cursors if p) if x > window[0] or y > window[1]]
    if len(outside) < _LEAST_OUTSIDE:  # a few are glitches
        return []
    width, height = (max(values) for values in zip(*outside, strict=True))
    return [
        f"{name}: its cursor reaches ({width:.0f}, {height:.0f}), beyond a window of {window[0]}x{window[1]}, so it is "
        "drawn at a wrong place; give --window WxH with the size of its recorder's window"
    ]


class _Wrong(Exception):
    """A line is not as it should be; the message names the field."""


def _field(holder: Any, name: str, kind: type) -> Any:
    """The field of ``holder`` that is called by the last part of ``name``, which must be a ``kind``."""
    if not isinstance(holder, dict):
        raise _Wrong(f"it is a JSON {type(holder).__name__}, not an object")
    key = name.rpartition(".")[2]
    if key not in holder:
        raise _Wrong(f"{name} is missing")
    if not isinstance(holder[key], kind):
        raise _Wrong(f"{name} should be a {_WORDS[kind]}, not {json.dumps(holder[key], default=str)[:40]}")
    return holder[key]


_WORDS = {dict: "JSON object", list: "list", bool: "true or false"}


def _number(holder: dict, name: str) -> float:
    key = name.rpartition(".")[2]
    value = holder.get(key)
    if key not in holder:
        raise _Wrong(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Wrong(f"{name} should be a number, not {json.dumps(value, default=str)[:40]}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _column(table: dict, value: Any, name: str) -> int | None:
    """The column of a pressed key or mouse button, None for those that mean nothing here."""
    wanted = str if table is _KEY_COLUMNS else int
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise _Wrong(f"{name} holds {json.dumps(value, default=str)[:40]}")
    return table.get(value)


def _slot(line: dict) -> int | None:
    """The selected hotbar slot; early recordings (6.x) don't say."""
    if "hotbar" not in line:
        return None
    slot = line["hotbar"]
    if isinstance(slot, bool) or not isinstance(slot, int) or not 0 <= slot <= 8:
        raise _Wrong(f"hotbar should be 0 to 8, not {json.dumps(slot, default=str)[:40]}")
    return slot


def _mouse_position(line: dict, mouse: dict) -> tuple[float, float] | None:
    if not _field(line, "isGuiOpen", bool) or line.get("cursorInPicture") is True:
        return None
    x, y = _number(mouse, "mouse.x"), _number(mouse, "mouse.y")
    # Far outside of any window, or not finite: no cursor is to be seen.
    return (x, y) if abs(x) < MAX_POSITION and abs(y) < MAX_POSITION else None
