"""Is there room for what a converter is going to write? Said before it begins, not when the disk is full."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from steve1.cli import UserError

MAX_FRAMES = 6_000  # of a contractor recording: 5 minutes
RECORDING_BYTES = 100_000_000  # of its video and lines, at most
# A frame's picture (docs/fidelity.md), rounded up to the disk's blocks, its action and its embedding.
FRAME_BYTES = {"png": 40_000, "mp4": 11_000}
_LEAST_LINE_BYTES = 150  # of a line of actions, where the file holds no whole one at its start
_SAMPLED = 65_536


class NoRoom(UserError):
    """A disk is too small for what is to be written."""


def frames_of_lines(path: str | os.PathLike, at_most: int | None = None) -> int:
    """About how many frames a file of action lines stands for, by its size and the length of its first lines."""
    try:
        with open(path, "rb") as file:
            first = file.read(_SAMPLED)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return 0
    lines = first.count(b"\n")
    each = (first.rindex(b"\n") + 1) / lines if lines else _LEAST_LINE_BYTES
    frames = int(size / each) + 1
    return frames if at_most is None else min(at_most, frames)


def check_room(needs: Iterable[tuple[str, Path, int]], keep: int) -> None:
    """Raise :class:`NoRoom` where a disk has less than is needed and ``keep`` bytes more.

    ``needs``: what a folder is for (a flag), the folder (it need not exist yet), bytes. Folders on one disk
    add up. ``keep`` below 0: nothing is looked at.
    """
    if keep < 0:
        return
    disks: dict[int, list[tuple[str, Path, int]]] = {}
    for flag, folder, n_bytes in needs:
        there = _existing(folder)
        disks.setdefault(there.stat().st_dev, []).append((flag, there, n_bytes))
    for uses in disks.values():
        free = shutil.disk_usage(uses[0][1]).free
        needed = sum(n_bytes for _, _, n_bytes in uses)
        if free < needed + keep:
            what = " and ".join(f"{_gb(n_bytes)} for {flag}" for flag, _, n_bytes in uses if n_bytes)
            raise NoRoom(
                f"the disk of {uses[0][1]} is too small: up to {what} are needed, {_gb(free)} are free, and "
                f"{_gb(keep)} are to stay free (--keep_free_gb); free some space, name folders on another "
                "disk, ask for fewer episodes (--num_episodes) or smaller ones (--frame_format mp4), or skip "
                "this check with --keep_free_gb -1"
            )


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB"
