"""Episodes as the published code lays them down. For data/episode_files.py and data/EpisodeStorage.py alone.

frames.mp4        mp4v, 128x128, 20 frames a second
actions.pkl       a list of MineRL action dicts
embeds_attn.pkl   a list: 15 times None, then arrays (1, E), or lists of floats
len.txt           the number of frames
metadata.json     how the episode was made, and nothing of what ours says (docs/formats.md)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data.action_lines import BINARY_KEYS, as_dict, checked_actions
from steve1.cli import UserError
from steve1.config import FIRST_EMBED, FPS
from steve1.safe_pickle import load_pickle

MARKS = ("len.txt", "actions.pkl")  # files that ours never have


def is_published(folder: Path, said: dict | None) -> bool:
    """Whether a folder with the metadata ``said`` (None: without any) is of the published layout, whole or damaged.

    One whose frames were converted here says ``n_frames`` and is read as ours, but for its actions.
    """
    return "n_frames" not in (said or {}) and any((folder / mark).exists() for mark in MARKS)


def metadata(folder: Path, said: dict) -> dict:
    """What its own metadata.json says, and beside it what ours would; the length is that of len.txt.

    No MineCLIP is named there, so none is assumed, nor a width of the embeddings.
    """
    path = folder / "len.txt"
    if not path.exists():
        raise UserError(f"{path}, which says how long the episode is, is missing; fetch the episode again")
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isascii() or not text.isdigit():
        raise UserError(f"{path} holds {text[:20]!r}, not a number of frames; fetch the episode again")
    return {
        "source": "an episode of the published code",
        "mineclip_hash": None,
        **said,
        "n_frames": int(text),
        "fps": FPS,
        "frame_format": "png" if (folder / "frames").is_dir() else "mp4",
    }


def read_actions(path: Path) -> dict[str, np.ndarray]:
    """actions.pkl, a list of MineRL action dicts, as arrays [n]."""
    content = load_pickle(path)
    try:
        if not isinstance(content, (list, tuple)):
            raise ValueError(f"it holds a {type(content).__name__}")
        columns = {key: [_plain(frame.get(key, 0)) for frame in content] for key in BINARY_KEYS}
        camera = np.array([np.asarray(frame["camera"], dtype=np.float64).reshape(2) for frame in content])
        buttons, camera = checked_actions({**columns, "camera": camera.reshape(-1, 2)}, len(content))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path} is not a list of MineRL actions ({str(error)[:100]}); fetch the episode again"
        ) from None
    return as_dict(buttons, camera)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) else value


def stack_rows(rows: list) -> np.ndarray:
    """Rows, None for those of the first 15 frames that have none, as float32 [n, E]; ValueError for others."""
    known = [np.asarray(row, dtype=np.float32).reshape(-1) for row in rows if row is not None]
    width = known[0].shape[0] if known else 0
    out = np.full((len(rows), width), np.nan, dtype=np.float32)
    places = [i for i, row in enumerate(rows) if row is not None]
    if any(row.shape != (width,) for row in known):
        raise ValueError("its rows differ in width")
    if known:
        out[places] = known
    missing = sorted(i for i in set(range(len(rows))) - set(places) if i >= FIRST_EMBED)
    if missing:
        raise ValueError(f"row {missing[0]} is None, though only the first {FIRST_EMBED} may be")
    return out
