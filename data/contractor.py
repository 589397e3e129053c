"""One recording, a video and a line of JSON per frame, as frames and environment actions.

The lines are OpenAI's contractor format (docs/formats.md) or our own (data/action_lines.py). Knows nothing
of episodes. Departures from the published converter: camera angles stay floats, hotbar changes are seen
before null frames are judged, and glitches of more than 180 degrees are filtered (docs/fidelity.md).
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.action_lines import BINARY_KEYS, as_dict, parse_action_lines
from data.recording_options import DEGREES_PER_PIXEL, RecordingOptions
from steve1.cli import UserError

MAX_ANGLE = 180.0  # a larger turn within one frame is a glitch of the recorder
CURSOR_HEIGHT = 720  # mouse.x and mouse.y are pixels of a window of this height
MAX_POSITION = 1e6  # pixels; no window is as large

DEFAULTS = RecordingOptions()

_KEYBOARD = {
    "escape": "ESC",
    "s": "back",
    "q": "drop",
    "w": "forward",
    **{str(n): f"hotbar.{n}" for n in range(1, 10)},
    "e": "inventory",
    "space": "jump",
    "a": "left",
    "d": "right",
    "left.shift": "sneak",
    "left.control": "sprint",
    "f": "swapHands",
}
_COLUMN = {key: column for column, key in enumerate(BINARY_KEYS)}
_KEY_COLUMNS = {f"key.keyboard.{name}": _COLUMN[key] for name, key in _KEYBOARD.items()}
_MOUSE_COLUMNS = {0: _COLUMN["attack"], 1: _COLUMN["use"], 2: _COLUMN["pickItem"]}
_HOTBAR_COLUMNS = [_COLUMN[f"hotbar.{n}"] for n in range(1, 10)]


class RecordingWarning(UserWarning):
    """Part of a recording can't be used; the message says which and how much."""


@dataclass
class ActionLines:
    """The actions of a recording.

    ``kept``: int64 [n], numbers of the lines (from 0) that are not null; ``env_actions``: arrays [n];
    ``cursor``: where the mouse is on the kept lines with an open screen, None elsewhere; ``n_lines``: all.
    """

    n_lines: int
    kept: np.ndarray
    env_actions: dict[str, np.ndarray]
    cursor: list[tuple[float, float] | None]


def parse_actions(
    lines: Iterable[dict], legacy_int_camera: bool = False, name: str | os.PathLike = "the recording"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Environment actions of a recording's contractor lines, without null frames.

    Args:
        lines: one dict per frame.
        legacy_int_camera: cut angles to whole degrees, as the published converter does by mistake.
        name: what error messages call the recording.

    Returns:
        ``(kept, env_actions)``: the numbers of the lines that are not null, int64 [n], from 0; and for these
        MineRL's 23 binary keys, int64 [n], and ``camera``, float64 [n, 2] degrees (pitch, yaw).

    Angles that are not finite count as glitches, like those of more than 180 degrees: they become 0. Raises
    :class:`~steve1.cli.UserError` naming the line and field where one is missing or of a wrong type.
    """
    parsed = _parse(lines, legacy_int_camera, name, cursor=False)
    return parsed.kept, parsed.env_actions


def read_lines(jsonl_path: str | os.PathLike) -> Iterator[dict]:
    """Yield a recording's lines as dicts, one at a time.

    A torn last line (of a recording that was cut off) ends the lines with a :class:`RecordingWarning`; any
    other line that is no JSON object raises :class:`~steve1.cli.UserError` naming the file and line.
    """
    return _read_lines(jsonl_path, _warn)


def read_recording(
    video_path: str | os.PathLike, jsonl_path: str | os.PathLike, options: RecordingOptions = DEFAULTS
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yield ``(frame, env_action)`` of each frame that is not null: uint8 [H, W, 3] RGB, and a MineRL action.

    The mouse cursor is drawn where a screen is open. The video is decoded as it is consumed. Where it is
    shorter than its lines, or a frame can't be decoded, the recording ends with a :class:`RecordingWarning`.
    """
    recording = Recording.read(video_path, jsonl_path, options)
    actions = recording.actions.env_actions
    for i, frame in enumerate(recording.frames()):
        yield frame, {key: values[i].copy() for key, values in actions.items()}
    for warning in recording.warnings:
        _warn(warning)


class Recording:
    """A video with its actions, one for each frame.

    ``warnings`` (sentences about what can't be used), ``cuts`` (numbers of the kept frames before which a piece of
    the recording is missing) and ``pairing`` (facts about how pictures and lines were paired, plain JSON) are complete
    when ``frames()`` has been consumed; ``decoder`` says what decodes the pictures.
    """

    def __init__(self, video_path: str | os.PathLike, actions: ActionLines, actions_name: str) -> None:
        from data.video import decoder_name

        self.video_path, self.actions, self.actions_name = Path(video_path), actions, actions_name
        self.warnings: list[str] = []
        self.cuts: list[int] = []
        self.decoder = decoder_name()
        self.pairing: dict[str, Any] = {}

    @classmethod
    def read(
        cls,
        video_path: str | os.PathLike,
        jsonl_path: str | os.PathLike,
        options: RecordingOptions = DEFAULTS,
    ) -> Recording:
        """A recording whose actions are contractor lines or our own, told apart by the first line."""
        found: list[str] = []
        actions = _parse_any(
            _read_lines(jsonl_path, found.append), options.legacy_int_camera, Path(jsonl_path)
        )
        recording = cls(video_path, actions, Path(jsonl_path).name)
        recording.warnings += found
        return recording

    def frames(self, images: Iterable[np.ndarray] | None = None) -> Iterator[np.ndarray]:
        """Yield the kept frames, uint8 [H, W, 3] RGB; ``images`` are all frames, by default the video's.

        The mouse cursor is drawn into them where a screen is open. Raises
        :class:`~steve1.cli.UserError` when the video can't be read at all.
        """
        from blockworld.drawing.cursor import draw_cursor
        from data.video import Undecodable, decode, video_info

        actions = self.actions
        done = good = 0
        damage = ""
        try:
            for good, image in enumerate(decode(self.video_path) if images is None else images, 1):
                if done == len(actions.kept):
                    break
                if good - 1 < actions.kept[done]:
                    continue
                mouse = actions.cursor[done]
                if mouse is not None:
                    x, y = (int(value * image.shape[0] / CURSOR_HEIGHT) for value in mouse)
                    draw_cursor(image, x, y)
                done += 1
                yield image
        except Undecodable as error:
            good, damage = error.good, ", where a frame can't be decoded"
        if done < len(actions.kept):
            self.warnings.append(
                f"{self.video_path} ends after {good:,} frames{damage}, but {self.actions_name} has "
                f"{actions.n_lines:,} lines: its last {actions.n_lines - good:,} lines are left out"
            )
        elif images is None and video_info(self.video_path).frames > actions.n_lines:
            self.warnings.append(
                f"{self.video_path} has {video_info(self.video_path).frames:,} frames, but "
                f"{self.actions_name} has {actions.n_lines:,} lines: the last frames are left out"
            )


def _parse_any(lines: Iterator[dict], legacy_int_camera: bool, name: Path) -> ActionLines:
    """Contractor lines or our own, told apart by the first line."""
    first = next(lines, None)
    if first is None:
        raise UserError(f"{name} has no lines; record again, or remove it")
    every = _chain(first, lines)
    if "mouse" in first or "keyboard" in first or not {"camera", "buttons"} & set(first):
        return _parse(every, legacy_int_camera, name, cursor=True)
    return without_null_frames(parse_action_lines(list(every), name))


def without_null_frames(env_actions: dict[str, np.ndarray]) -> ActionLines:
    """Actions that come from elsewhere (arrays [T], MineRL's 23 keys and camera), with the same rule applied."""
    buttons = np.stack([env_actions[key] for key in BINARY_KEYS], axis=1)
    kept = _kept(buttons, env_actions["camera"])
    return ActionLines(
        len(buttons), kept, {key: values[kept] for key, values in env_actions.items()}, [None] * len(kept)
    )


def _chain(first: dict, rest: Iterator[dict]) -> Iterator[dict]:
    yield first
    yield from rest


def _kept(buttons: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Numbers of the frames that are not null, int64 [n]."""
    return np.flatnonzero(buttons.any(axis=1) | (camera != 0).any(axis=1))


def _parse(
    lines: Iterable[dict], legacy_int_camera: bool, name: str | os.PathLike, cursor: bool
) -> ActionLines:
    pixels: list[tuple[float, float]] = []
    pressed: list[tuple[int, int]] = []  # (line, column)
    cursors: list[tuple[float, float] | None] = []
    attack, slot = _MOUSE_COLUMNS[0], None
    stuck = False
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
        except _Wrong as wrong:
            raise UserError(
                f"{name}, line {i + 1}: {wrong}; leave this recording out, or mend the line"
            ) from None
    n = len(pixels)
    buttons = np.zeros((n, len(BINARY_KEYS)), dtype=np.int64)
    if pressed:
        buttons[tuple(np.array(pressed).T)] = 1
    camera = np.array(pixels, dtype=np.float64).reshape(n, 2) * DEGREES_PER_PIXEL
    camera[~(np.abs(camera) <= MAX_ANGLE)] = 0  # true for NaN as well
    if legacy_int_camera:
        camera = np.trunc(camera)
    kept = _kept(buttons, camera)
    return ActionLines(n, kept, as_dict(buttons[kept], camera[kept]), [cursors[i] for i in kept])


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
    if not _field(line, "isGuiOpen", bool):
        return None
    x, y = _number(mouse, "mouse.x"), _number(mouse, "mouse.y")
    # Far outside of any window, or not finite: no cursor is to be seen.
    return (x, y) if abs(x) < MAX_POSITION and abs(y) < MAX_POSITION else None


def _read_lines(jsonl_path: str | os.PathLike, warn: Callable[[str], None]) -> Iterator[dict]:
    torn, blank = 0, False  # the first line that is no JSON, which nothing may follow
    with open(jsonl_path, "rb") as file:
        for number, raw in enumerate(file, 1):
            if torn:
                if raw.strip():
                    raise UserError(
                        f"{jsonl_path}, line {torn}: it is torn or not JSON; leave this recording out, or mend it"
                    )
                continue
            try:
                line = json.loads(raw.decode("utf-8"))
            except (ValueError, RecursionError):
                torn, blank = number, not raw.strip()
                continue
            if not isinstance(line, dict):
                raise UserError(
                    f"{jsonl_path}, line {number}: it is no JSON object; leave this recording out"
                )
            yield line
    if torn and not blank:
        warn(f"{jsonl_path}: its last line ({torn:,}) is torn, so the recording ends before it")


def _warn(message: str) -> None:
    warnings.warn(message, RecordingWarning, stacklevel=3)
