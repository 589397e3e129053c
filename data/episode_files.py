"""Reading and writing the single files of an episode's folder. For data/EpisodeStorage.py alone.

What is peculiar to the published layout is in data/published_episodes.py.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data import published_episodes as published
from data.action_lines import BINARY_KEYS
from data.boundaries import Boundaries
from steve1.cli import UserError
from steve1.config import FRAME_SIZE
from steve1.files import remove_partials, whole_file
from steve1.safe_pickle import load_pickle

FRAME_FORMATS = ("png", "mp4")
CONVERTING = ".converting"  # within an episode: frames in another format, on their way
BOUNDARIES = "goal_boundaries.npz"
# What makes a folder an episode, whole or damaged.
MARKS = ("metadata.json", "actions.jsonl", *published.MARKS)


def png_path(folder: Path, index: int) -> str:
    """Path of a frame's PNG."""
    return f"{folder}/frames/{index:05d}.png"


def frames_path(folder: Path, frame_format: str) -> Path:
    """The folder or file that holds the frames."""
    return folder / ("frames" if frame_format == "png" else "frames.mp4")


def remove_frames(folder: Path, frame_format: str) -> None:
    """Remove the frames in one format, where there are any."""
    path = frames_path(folder, frame_format)
    if frame_format == "png":
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class FrameSink:
    """Writes frames into ``folder`` in one format, one at a time."""

    def __init__(self, folder: Path, frame_format: str) -> None:
        if frame_format not in FRAME_FORMATS:
            raise UserError(f"the frame format {frame_format!r} is unknown; choose png or mp4")
        self._folder = folder
        self._n = 0
        self._video = None
        if frame_format == "png":
            (folder / "frames").mkdir()
        else:
            from data.video import VideoWriter

            self._video = VideoWriter(folder / "frames.mp4", FRAME_SIZE, FRAME_SIZE)

    def add(self, frame: np.ndarray) -> None:
        """Append uint8 [128, 128, 3] RGB; ValueError for any other array."""
        frame = np.asarray(frame)
        if frame.shape != (FRAME_SIZE, FRAME_SIZE, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame {self._n} is {frame.dtype} {frame.shape}; stored frames are uint8 (128, 128, 3)"
            )
        if self._video is not None:
            self._video.add(frame)
        else:
            import cv2

            # OpenCV's defaults (level 1, run lengths) measured best for reading: 1.4 times as fast as Paeth.
            _, coded = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR))
            with open(png_path(self._folder, self._n), "wb") as file:
                file.write(coded.tobytes())
        self._n += 1

    def close(self) -> None:
        """Finish the video, if it is one; further calls do nothing."""
        if self._video is not None:
            self._video.close()

    def abandon(self) -> None:
        """Let go of the file without finishing it."""
        if self._video is not None:
            self._video.abandon()


def read_png(path: str, out: np.ndarray) -> None:
    """Decode a stored PNG into ``out`` (uint8 [128, 128, 3] RGB). Raises UserError for a damaged one."""
    from data import png

    with open(path, "rb") as file:
        coded = file.read()
    if png.decode_into(coded, out):
        return
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    except cv2.error:  # a header that claims an impossible size
        image = None
    if image is None:
        raise UserError(f"{path} is not a readable PNG; the episode is damaged, make it again")
    if image.shape != out.shape:
        raise UserError(
            f"{path} is {image.shape[1]}x{image.shape[0]}, but stored frames are 128x128; "
            "convert the recording again"
        )
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out)


def read_metadata(folder: Path) -> dict:
    """metadata.json checked; of the published layout what can be told, beside what its own metadata.json says."""
    path = folder / "metadata.json"
    said = _read_json(path)
    if published.is_published(folder, said):
        return published.metadata(folder, said or {})
    if said is None:
        raise UserError(
            f"{folder} is no episode: it has neither metadata.json nor len.txt; check the path, "
            "or convert the recording again"
        )
    n_frames = said.get("n_frames")
    if not isinstance(n_frames, int) or isinstance(n_frames, bool) or n_frames < 0:
        raise UserError(f"{path} does not say n_frames as a whole number; convert the recording again")
    if said.get("frame_format") not in FRAME_FORMATS:
        raise UserError(f"{path} says neither png nor mp4 as frame_format; convert the recording again")
    return said


def _read_json(path: Path) -> dict | None:
    """The object that a file holds; None where there is no file."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        said = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({str(error)[:100]}); make or fetch the episode again") from None
    if not isinstance(said, dict):
        raise UserError(f"{path} holds no JSON object {{...}}; make or fetch the episode again")
    return said


def checked_cuts(cuts: Any, n: int) -> np.ndarray:
    """``metadata["cuts"]`` of an episode of ``n`` frames as int64 [k]; ValueError where it is anything else."""
    fine = isinstance(cuts, list) and all(isinstance(c, int) and not isinstance(c, bool) for c in cuts)
    if not fine or any(a >= b for a, b in itertools.pairwise([0, *cuts, n])):
        raise ValueError(
            f"cuts must be ascending frame numbers between 1 and {n - 1:,}, not {str(cuts)[:60]}"
        )
    return np.array(cuts, dtype=np.int64)


def read_boundaries(folder: Path) -> Boundaries:
    """The marks of data/boundaries.py. Raises UserError for a damaged file."""
    path = folder / BOUNDARIES
    try:
        return Boundaries.from_bytes(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({str(error)[:100]}); remove it, and mark the episode again with "
            "data/generation/mark_boundaries.py"
        ) from None


def write_boundaries(folder: Path, marks: Boundaries) -> None:
    """Write an episode's marks, whole or not at all."""
    path = folder / BOUNDARIES
    remove_partials(path)
    with whole_file(path) as partial:
        partial.write_bytes(marks.to_bytes())


def write_actions(path: Path, buttons: np.ndarray, camera: np.ndarray) -> None:
    """Write actions.jsonl; Python's floats are written so that they read back exactly."""
    with open(path, "w", encoding="utf-8") as file:
        for pressed, angles in zip(buttons.tolist(), camera.tolist(), strict=True):
            line = {"camera": angles, "buttons": dict(zip(BINARY_KEYS, pressed, strict=True))}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def line_starts(path: Path) -> np.ndarray:
    """Where each line of a file begins, and where the last one ends: int64 [lines + 1]."""
    content = np.fromfile(path, dtype=np.uint8)
    ends = np.flatnonzero(content == ord("\n")) + 1
    if len(content) and (len(ends) == 0 or ends[-1] != len(content)):
        ends = np.append(ends, len(content))
    return np.concatenate(([0], ends)).astype(np.int64)


def read_embeds(path: Path) -> np.ndarray:
    """embeds_attn.pkl, ours or published, as float32 [T, E] with NaN where there is no embedding."""
    content = load_pickle(path)
    try:
        if isinstance(content, list):
            content = published.stack_rows(content)
        embeds = np.asarray(content)
        if embeds.ndim != 2 or embeds.dtype.kind != "f":
            raise ValueError(f"it is {embeds.dtype} {embeds.shape}")
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold embeddings [T, E] ({error}); make the episode again") from None
    return embeds.astype(np.float32, copy=False)


def is_episode(folder: str | os.PathLike) -> bool:
    """Whether a folder is an episode, whole or damaged."""
    return any(os.path.exists(f"{os.fspath(folder)}/{mark}") for mark in MARKS)


def is_ours(folder: Path) -> bool:
    """Whether a folder may be replaced by an episode: an empty one, or an episode that was not laid down elsewhere."""
    if any((folder / mark).exists() for mark in published.MARKS):
        return False
    return (folder / "metadata.json").is_file() or (folder.is_dir() and not any(folder.iterdir()))


def walk(folder: str) -> Iterator[str]:
    """Paths of the episode folders at or below ``folder``; hidden ones are left out, episodes not entered."""
    if is_episode(folder):
        yield folder
        return
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if is_episode(entry.path):
            yield entry.path
        else:
            yield from walk(entry.path)
