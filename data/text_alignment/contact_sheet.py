"""A picture of mined moments: a row an instruction, best first, with score, frame and episode under each moment.

A moment is drawn as its last frame and, small under it, four of its 16 frames, so that what is done shows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np

from data.EpisodeStorage import EpisodeStorage
from data.text_alignment.mining import Pick
from steve1.config import FIRST_EMBED, FRAME_SIZE

_GAP, _LINE, _TITLE = 6, 12, 22
_STRIP = (-15, -10, -5, 0)  # frames before the last one
_SMALL = FRAME_SIZE // len(_STRIP)
_NAME_LINES, _COLUMNS = 3, 21  # characters of the small letters in a frame's width
_INK, _PAPER = (20, 20, 20), 255


def contact_sheet(
    instructions: Sequence[str], picks: Sequence[Sequence[Pick]], columns: int, probabilities: bool
) -> np.ndarray:
    """Draw the best ``columns`` picks of each instruction: uint8 [H, W, 3] RGB.

    ``probabilities``: scores are log-probabilities, and are written as probabilities ("p"). Letters that the font
    lacks are drawn as "?".
    """
    caption = (2 + _NAME_LINES) * _LINE
    tile, row = FRAME_SIZE + _GAP, _TITLE + FRAME_SIZE + _SMALL + caption + _GAP
    sheet = np.full((row * len(instructions) + _GAP, tile * columns + _GAP, 3), _PAPER, np.uint8)
    for r, (instruction, some) in enumerate(zip(instructions, picks, strict=True)):
        top = r * row + _GAP
        fits = tile * columns // 9
        title = textwrap.shorten(f"{r + 1}. {instruction}", max(fits, 8), placeholder=" ...")
        _write(sheet, title, _GAP, top + 14, 0.5)
        for c, pick in enumerate(some[:columns]):
            left, below = c * tile + _GAP, top + _TITLE + FRAME_SIZE + _SMALL
            sheet[top + _TITLE : below, left : left + FRAME_SIZE] = _moment(pick)
            name = textwrap.wrap(pick.episode.name, _COLUMNS)[:_NAME_LINES]
            chance = f"p {np.exp(pick.score):.3f}  " if probabilities else ""
            lines = [f"{chance}cos {pick.cosine:.2f}", f"frame {pick.frame}", *name]
            for i, line in enumerate(lines, 1):
                _write(sheet, line, left, below + i * _LINE, 0.33)
    return sheet


def _moment(pick: Pick) -> np.ndarray:
    frames = EpisodeStorage(pick.episode).load_frames(pick.frame - FIRST_EMBED, pick.frame + 1)
    small = [cv2.resize(frames[back - 1], (_SMALL, _SMALL), interpolation=cv2.INTER_AREA) for back in _STRIP]
    return np.concatenate([frames[-1], np.concatenate(small, axis=1)])


def _write(sheet: np.ndarray, text: str, x: int, y: int, size: float) -> None:
    ascii_only = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, ascii_only, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
