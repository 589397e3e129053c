"""A picture of a training batch: a row an item, moments from left to right, each beside the goal it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import MinecraftDataset
from steve1.vpt.actions import BUTTONS, agent_to_env

_SIDE = 128  # pixels of a drawn frame
_GAP, _TITLE, _CAPTION, _LINE = 6, 20, 42, 13
_PAPER, _INK, _FAINT = 255, (20, 20, 20), (200, 200, 200)
_LETTERS = 21  # small letters in a frame's width


def batch_sheet(
    dataset: MinecraftDataset,
    places: Sequence[tuple[int, int]],
    batch: Mapping[str, np.ndarray],
    columns: int,
) -> np.ndarray:
    """Draw a batch: uint8 [H, W, 3] RGB.

    ``places`` are the batch's (epoch, item); ``batch`` its arrays ``img [B, T, H, W, 3]``,
    ``mineclip_embed [B, T, E]``, ``buttons`` and ``camera [B, T]``. Of each item ``columns`` moments are drawn, at
    regular distances from its first frame to its last, as they are given to the policy; the goals are the
    episode's stored frames at the goals' times. A frame whose embedding is zeros has none.
    """
    columns = min(columns, dataset.T)
    moments = np.linspace(0, dataset.T - 1, columns).round().astype(int)
    pair = 2 * _SIDE + 2 + _GAP * 2
    row = _TITLE + _SIDE + _CAPTION + _GAP
    sheet = np.full((row * len(places) + _GAP, pair * columns + _GAP, 3), _PAPER, np.uint8)
    for i, (epoch, item) in enumerate(places):
        number, start = dataset.chunks[item]
        episode = EpisodeStorage(dataset.episode_dirs[number])
        goals = dataset.goals(item, epoch)
        blind = ~batch["mineclip_embed"][i].any(axis=-1)  # [T]; frames of a short segment have no goal either
        top = _GAP + i * row
        name = Path(dataset.episode_dirs[number]).name
        title = f"{i + 1}. {name}   frames {start} to {start + dataset.T - 1}" + (
            "   no goal" if blind.all() else ""
        )
        _write(sheet, title, _GAP, top + 13, 0.42)
        for c, t in enumerate(moments):
            left, upper = _GAP + c * pair, top + _TITLE
            _paste(sheet, batch["img"][i, t], left, upper)
            caption = [f"frame {start + t}", *_pressed(batch["buttons"][i, t], batch["camera"][i, t])]
            _lines(sheet, caption, left, upper)
            left += _SIDE + 2
            if blind[t]:
                cv2.rectangle(sheet, (left, upper), (left + _SIDE - 1, upper + _SIDE - 1), _FAINT, -1)
                _write(sheet, "no goal", left + 36, upper + _SIDE // 2, 0.42)
            else:
                goal = int(goals[t])
                _paste(sheet, episode.load_frames(goal, goal + 1)[0], left, upper)
                _lines(sheet, [f"goal {goal} (+{goal - start - t})"], left, upper)
    return sheet


def _pressed(buttons: np.integer, camera: np.integer) -> list[str]:
    """What is done in a frame, in one or two lines: buttons, then the camera's angles."""
    env = agent_to_env(np.array([buttons]), np.array([camera]))
    held = " ".join(name for name in BUTTONS if env[name][0]) or "-"
    pitch, yaw = env["camera"][0]
    turn = f"pitch {pitch:+.1f} yaw {yaw:+.1f}" if pitch or yaw else ""
    return [held if len(held) <= _LETTERS else held[: _LETTERS - 2] + "..", turn]


def _paste(sheet: np.ndarray, frame: np.ndarray, left: int, top: int) -> None:
    larger = frame.shape[0] < _SIDE
    how = cv2.INTER_NEAREST if larger else cv2.INTER_AREA
    sheet[top : top + _SIDE, left : left + _SIDE] = cv2.resize(frame, (_SIDE, _SIDE), interpolation=how)


def _lines(sheet: np.ndarray, lines: Sequence[str], left: int, top: int) -> None:
    for i, line in enumerate(lines, 1):
        _write(sheet, line, left, top + _SIDE + i * _LINE, 0.34)


def _write(sheet: np.ndarray, text: str, x: int, y: int, size: float) -> None:
    ascii_only = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, ascii_only, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
