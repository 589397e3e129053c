"""What is drawn below a film's picture for who looks into the agent: keys, camera, likeliest actions, the goal strip.

The picture itself stays as it is, and so does what is played: this only draws.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from steve1.playing.insight import Insight, Likely, Look, arrow, camera, pressed
from steve1.vpt.actions import HOTBARS

PANEL = (640, 116)  # width, height; drawn for MineRL's picture, scaled to another
_GROUND, _CAP, _DOWN, _INK, _DIM = (
    (20, 22, 26),
    (52, 57, 64),
    (127, 191, 95),
    (232, 234, 237),
    (150, 158, 168),
)
_BAR, _BAD = (46, 84, 120), (255, 138, 122)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Where each key's cap is: left, top, width, height and what stands on it.
CAPS: dict[str, tuple[int, int, int, int, str]] = {
    "drop": (34, 8, 22, 22, "Q"),
    "forward": (58, 8, 22, 22, "W"),
    "inventory": (82, 8, 22, 22, "E"),
    "left": (40, 32, 22, 22, "A"),
    "back": (64, 32, 22, 22, "S"),
    "right": (88, 32, 22, 22, "D"),
    "sneak": (8, 56, 46, 22, "shift"),
    "sprint": (56, 56, 40, 22, "ctrl"),
    "jump": (98, 56, 62, 22, "space"),
    "attack": (166, 8, 24, 46, "L"),
    "use": (192, 8, 24, 46, "R"),
    **{name: (8 + 23 * place, 84, 21, 20, str(place + 1)) for place, name in enumerate(HOTBARS)},
}
_DIAL, _RADIUS = (266, 50), 40
_COLUMNS = (322, 484)  # left edges of the two lists
_ROW, _LIST = 15, 156  # height of a line, width of a list
_THUMB = 96


def action_panel(look: Look) -> np.ndarray:
    """Keys, camera arrow and likeliest actions of a step: uint8 [116, 640, 3] RGB.

    The arrow is :func:`steve1.playing.insight.arrow`.
    """
    width, height = PANEL
    panel = np.full((height, width, 3), _GROUND, np.uint8)
    _draw_keys(panel, pressed(look.action))
    _draw_camera(panel, look.action)
    _draw_likely(panel, look.insight)
    return panel


def strip_panel(strip: Mapping[str, Any], rows: int = 3) -> np.ndarray:
    """The goal strip, :meth:`steve1.playing.goal_strip.Strip.plain`: uint8 [H, 640, 3] RGB, H even.

    Below the moments nearest to the goal stands the warning, where there is one; a long one is cut.
    """
    from steve1.films.film import caption_strip

    width = PANEL[0]
    panel = np.full((_THUMB + 36, width, 3), _GROUND, np.uint8)
    _write(panel, "nearest training moments to the goal (cosine)", 8, 14, _DIM)
    for place, moment in enumerate(strip["moments"]):
        raw = np.frombuffer(base64.b64decode(moment["jpeg"]), np.uint8)
        picture = cv2.cvtColor(cv2.imdecode(raw, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        left = 8 + place * (_THUMB + 8)
        panel[20 : 20 + _THUMB, left : left + _THUMB] = cv2.resize(
            picture, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA
        )
        _write(panel, f"{moment['cosine']:.3f}", left, 20 + _THUMB + 13, _DIM)
    warning = caption_strip(strip["warning"], width, rows=rows)
    if strip["warning"]:
        warning[warning.max(axis=2) > 0] = _BAD
        panel = np.vstack([panel, warning])
    return panel


class Overlay:
    """Puts the panels below the pictures of one episode. ``strip``: as :func:`strip_panel` takes it, or None."""

    def __init__(self, strip: Mapping[str, Any] | None = None) -> None:
        self._strip = None if strip is None else strip_panel(strip)

    def add(self, picture: np.ndarray, look: Look) -> np.ndarray:
        """A picture, uint8 [H, W, 3] RGB, with what is behind the step that followed it below: uint8 [H + h, W, 3]."""
        panels = [action_panel(look), *([] if self._strip is None else [self._strip])]
        return np.vstack([picture, *(_as_wide(panel, picture.shape[1]) for panel in panels)])


def _as_wide(panel: np.ndarray, width: int) -> np.ndarray:
    if panel.shape[1] == width:
        return panel
    height = max(2, round(panel.shape[0] * width / panel.shape[1] / 2) * 2)
    return cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA)


def _draw_keys(panel: np.ndarray, keys: Sequence[str]) -> None:
    for name, (left, top, width, height, label) in CAPS.items():
        down = name in keys
        cv2.rectangle(panel, (left, top), (left + width, top + height), _DOWN if down else _CAP, -1)
        size = cv2.getTextSize(label, _FONT, 0.38, 1)[0]
        place = (left + (width - size[0]) // 2, top + (height + size[1]) // 2)
        cv2.putText(panel, label, place, _FONT, 0.38, (16, 32, 10) if down else _DIM, 1, cv2.LINE_AA)


def _draw_camera(panel: np.ndarray, action: Mapping[str, Any]) -> None:
    pitch, yaw = camera(action)
    cv2.circle(panel, _DIAL, _RADIUS, _CAP, 1, cv2.LINE_AA)
    down, right = arrow(action)
    tip = (round(_DIAL[0] + right * _RADIUS), round(_DIAL[1] + down * _RADIUS))
    if tip == _DIAL:
        cv2.circle(panel, _DIAL, 2, _DIM, -1)
    else:
        cv2.arrowedLine(panel, _DIAL, tip, _DOWN, 2, cv2.LINE_AA, tipLength=0.3)
    _write(panel, f"{pitch:+.1f} {yaw:+.1f}", _DIAL[0] - 32, 106, _DIM)


def _draw_likely(panel: np.ndarray, found: Insight) -> None:
    lists = [("with the goal", found.with_goal), ("without it", found.without_goal)]
    for left, (title, likely) in zip(_COLUMNS, lists, strict=True):
        _write(panel, title, left, 14, _DIM)
        if likely is None:
            _write(panel, "no guidance", left, 14 + _ROW, _DIM)
        else:
            _draw_list(panel, left, likely)
    if found.moved is not None:
        said = ", ".join(f"{name} {share:.0%}" for name, share in found.moved.items())
        _write(panel, f"guidance moved {said}", _COLUMNS[0], 14 + 6 * _ROW, _INK)


def _draw_list(panel: np.ndarray, left: int, likely: Sequence[Likely]) -> None:
    for place, one in enumerate(likely, start=1):
        base = 14 + place * _ROW
        bar = round(one.p * _LIST)
        cv2.rectangle(panel, (left, base - 11), (left + bar, base + 2), _BAR, -1)
        label = one.label.replace("°", "")  # the font has ASCII alone
        room = 21
        _write(panel, label if len(label) <= room else f"{label[: room - 2]}..", left + 2, base, _INK)
        _write(panel, f"{one.p:.0%}", left + _LIST - 26, base, _INK)


def _write(panel: np.ndarray, text: str, left: int, base: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(panel, text, (left, base), _FONT, 0.36, colour, 1, cv2.LINE_AA)
