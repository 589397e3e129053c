"""MineRL actions of many frames as arrays, and as lines of JSON.

A line of ours is ``{"camera": [pitch, yaw], "buttons": {name: 0|1, ...}}``, angles in degrees. MineRL's own action,
``{"attack": 0, ..., "camera": [pitch, yaw]}``, is read as well, as JSON makes it of numpy's arrays and numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from steve1.cli import UserError
from steve1.vpt.actions import ENV_KEYS

if TYPE_CHECKING:
    from data.pairing import Clock

BINARY_KEYS = tuple(sorted(ENV_KEYS))  # MineRL's own order
_WANTED = (
    'a line should be {"camera": [0.0, 1.5], "buttons": {"forward": 1, "attack": 0}}, or a MineRL action'
)


@dataclass
class ActionLines:
    """The actions of a recording.

    ``kept``: int64 [n], numbers of the lines (from 0) that are not null; ``env_actions``: arrays [n];
    ``cursor``: where the mouse is on the kept lines with an open screen, None elsewhere; ``n_lines``: all;
    ``clocks``: what the lines say of their ticks, where that is more than one tick a line; ``notes``: sentences
    about what in them is not as expected; ``cuts``: by reason, the lines that no action led to (data/line_cuts.py);
    ``others``: lines of another player than was asked for, which are not among the kept ones.
    """

    n_lines: int
    kept: np.ndarray
    env_actions: dict[str, np.ndarray]
    cursor: list[tuple[float, float] | None]
    clocks: list[Clock] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cuts: dict[str, np.ndarray] = field(default_factory=dict)
    others: int = 0

    def rows(self, rows: Sequence[int]) -> ActionLines:
        """Those of the kept lines alone that have these numbers among them."""
        chosen = np.asarray(rows, dtype=np.int64)
        actions = {key: values[chosen] for key, values in self.env_actions.items()}
        cursor = [self.cursor[row] for row in rows]
        return replace(self, kept=self.kept[chosen], env_actions=actions, cursor=cursor)


def not_null(buttons: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Numbers of the frames that are not null, int64 [n]: a key is pressed, or the view turns."""
    return np.flatnonzero(buttons.any(axis=1) | (camera != 0).any(axis=1))


def without_null_frames(env_actions: dict[str, np.ndarray]) -> ActionLines:
    """Actions of all lines (arrays [T], MineRL's 23 keys and camera), without those that are null."""
    buttons = np.stack([env_actions[key] for key in BINARY_KEYS], axis=1)
    kept = not_null(buttons, env_actions["camera"])
    return ActionLines(
        len(buttons), kept, {key: values[kept] for key, values in env_actions.items()}, [None] * len(kept)
    )


def checked_actions(actions: Mapping[str, Any], n: int) -> tuple[np.ndarray, np.ndarray]:
    """MineRL actions as buttons int64 [n, 23] and camera float64 [n, 2].

    Keys that are absent are not pressed. Raises ValueError for unknown keys, other lengths and values.
    """
    unknown = sorted(set(actions) - set(BINARY_KEYS) - {"camera"})
    if unknown or "camera" not in actions:
        raise ValueError(
            f"actions need camera and MineRL's keys alone; unknown: {', '.join(unknown) or 'none'}"
        )
    camera = np.asarray(actions["camera"], dtype=np.float64)
    if camera.shape != (n, 2) or not np.isfinite(camera).all():
        raise ValueError(f"camera is {camera.shape}, but {n} frames need finite numbers ({n}, 2)")
    buttons = np.zeros((n, len(BINARY_KEYS)), dtype=np.int64)
    for column, key in enumerate(BINARY_KEYS):
        values = np.asarray(actions.get(key, buttons[:, column]))
        if values.shape != (n,) or not ((values == 0) | (values == 1)).all():
            raise ValueError(
                f"{key} must be 0 or 1 for each of {n} frames; it is {values.dtype} {values.shape}"
            )
        buttons[:, column] = values
    return buttons, camera


def as_dict(buttons: np.ndarray, camera: np.ndarray) -> dict[str, np.ndarray]:
    """The inverse of :func:`checked_actions`."""
    columns = {key: np.ascontiguousarray(buttons[:, i]) for i, key in enumerate(BINARY_KEYS)}
    return {**columns, "camera": camera}


def parse_action_lines(
    lines: Sequence[bytes | str | dict], path: str | os.PathLike, first: int = 0
) -> dict[str, np.ndarray]:
    """Our own action lines as MineRL actions, arrays [n]; keys that a line does not name are not pressed.

    ``first`` is the number of the first line, from 0. Raises UserError naming the file, line and field.
    """
    try:
        parsed = [line if isinstance(line, dict) else json.loads(line) for line in lines]
        buttons = np.array([[line["buttons"][key] for key in BINARY_KEYS] for line in parsed])
        camera = np.array([line["camera"] for line in parsed], dtype=np.float64)
        plain = all(len(line["buttons"]) == len(BINARY_KEYS) for line in parsed)
        plain = plain and buttons.dtype == np.int64 and not (buttons >> 1).any()
        if plain and camera.shape == (len(lines), 2) and np.isfinite(camera).all():
            return as_dict(buttons, camera)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    # Something is unusual: go line by line, to accept what is sound and to say where what is not.
    buttons = np.zeros((len(lines), len(BINARY_KEYS)), dtype=np.int64)
    camera = np.zeros((len(lines), 2))
    for i, line in enumerate(lines):
        try:
            pressed, camera[i] = _action_line(line)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}, line {first + i + 1}: {error}; mend or remove the recording") from None
        buttons[i] = [pressed.get(key, 0) for key in BINARY_KEYS]
    return as_dict(buttons, camera)


def _action_line(line: bytes | str | dict) -> tuple[dict[str, int], list[float]]:
    try:
        parsed = line if isinstance(line, dict) else json.loads(line)
    except ValueError:
        raise ValueError("it is torn or not JSON") from None
    if isinstance(parsed, dict) and len(parsed) == 1 and isinstance(parsed.get("action"), dict):
        parsed = parsed["action"]
    if not isinstance(parsed, dict) or "camera" not in parsed:
        raise ValueError(f"camera or buttons is missing; {_WANTED}")
    flat = "buttons" not in parsed and bool(set(parsed) & set(BINARY_KEYS))
    if "buttons" not in parsed and not flat:
        raise ValueError(f"camera or buttons is missing; {_WANTED}")
    camera = parsed["camera"]
    if isinstance(camera, list) and len(camera) == 1 and isinstance(camera[0], list):
        camera = camera[0]
    if not isinstance(camera, list) or len(camera) != 2 or not all(is_number(angle) for angle in camera):
        raise ValueError(
            f"camera must be two finite numbers [pitch, yaw], not {str(parsed['camera'])[:40]}; {_WANTED}"
        )
    if flat:
        # MineStudio's actions have a chat text besides; an empty one is no action.
        buttons = {key: _alone(value) for key, value in parsed.items() if key != "camera"}
        if buttons.get("chat") == "":
            del buttons["chat"]
    else:
        buttons = parsed["buttons"]
    if not isinstance(buttons, dict):
        raise ValueError(f"buttons must be an object of names and 0 or 1; {_WANTED}")
    for key, value in buttons.items():
        if key not in BINARY_KEYS:
            raise ValueError(f"{'the action' if flat else 'buttons'} has the unknown name {key!r}; {_WANTED}")
        if not isinstance(value, (int, float)) or value not in (0, 1):
            raise ValueError(
                f"{'' if flat else 'buttons.'}{key} must be 0 or 1, not {str(value)[:40]}; {_WANTED}"
            )
    return {key: int(value) for key, value in buttons.items()}, [float(angle) for angle in camera]


def _alone(value: Any) -> Any:
    """The value of an array of one value, as numpy's arrays of no or one dimension become in JSON."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def is_number(value: Any) -> bool:
    """A finite JSON number (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:
        return False
