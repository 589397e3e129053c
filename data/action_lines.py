"""MineRL actions of many frames as arrays, and our own way to write them as lines of JSON.

A line is ``{"camera": [pitch, yaw], "buttons": {name: 0|1, ...}}``, angles in degrees.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steve1.cli import UserError
from steve1.vpt.actions import ENV_KEYS

BINARY_KEYS = tuple(sorted(ENV_KEYS))  # MineRL's own order


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
    if not isinstance(parsed, dict) or "camera" not in parsed or "buttons" not in parsed:
        raise ValueError("camera or buttons is missing")
    camera, buttons = parsed["camera"], parsed["buttons"]
    if not isinstance(camera, list) or len(camera) != 2 or not all(is_number(angle) for angle in camera):
        raise ValueError(f"camera must be two finite numbers [pitch, yaw], not {str(camera)[:40]}")
    if not isinstance(buttons, dict):
        raise ValueError("buttons must be an object of names and 0 or 1")
    for key, value in buttons.items():
        if key not in BINARY_KEYS:
            raise ValueError(f"buttons has the unknown name {key!r}")
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(f"buttons.{key} must be 0 or 1, not {str(value)[:40]}")
    return buttons, [float(angle) for angle in camera]


def is_number(value: Any) -> bool:
    """A finite JSON number (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:
        return False
