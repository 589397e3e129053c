"""Reading and writing the single files of an episode's folder. For data/EpisodeStorage.py alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.action_lines import BINARY_KEYS, as_dict, checked_actions
from steve1.cli import UserError
from steve1.config import FIRST_EMBED, FPS, FRAME_SIZE
from steve1.safe_pickle import load_pickle

FRAME_FORMATS = ("png", "mp4")
CONVERTING = ".converting"  # within an episode: frames in another format, on their way
# What makes a folder an episode, whole or damaged.
MARKS = ("metadata.json", "len.txt", "actions.jsonl", "actions.pkl")


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

    image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    if image is None:
        raise UserError(f"{path} is not a readable PNG; the episode is damaged, convert the recording again")
    if image.shape != out.shape:
        raise UserError(
            f"{path} is {image.shape[1]}x{image.shape[0]}, but stored frames are 128x128; "
            "convert the recording again"
        )
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out)


def read_metadata(folder: Path) -> dict:
    """metadata.json checked, or what len.txt and the folder tell of the published layout."""
    path = folder / "metadata.json"
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        content = None
    if content is not None:
        try:
            metadata = json.loads(content.decode("utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); convert the recording again") from None
        n_frames = metadata.get("n_frames") if isinstance(metadata, dict) else None
        if not isinstance(n_frames, int) or isinstance(n_frames, bool) or n_frames < 0:
            raise UserError(f"{path} does not say n_frames as a whole number; convert the recording again")
        if metadata.get("frame_format") not in FRAME_FORMATS:
            raise UserError(f"{path} says neither png nor mp4 as frame_format; convert the recording again")
        return metadata
    path = folder / "len.txt"
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if not text.isascii() or not text.isdigit():
            raise UserError(f"{path} holds {text[:20]!r}, not a number of frames; fetch the episode again")
        return {
            "n_frames": int(text),
            "fps": FPS,
            "frame_format": "png" if (folder / "frames").is_dir() else "mp4",
            "source": "an episode of the published code",
            "mineclip_hash": None,
        }
    raise UserError(
        f"{folder} is no episode: it has neither metadata.json nor len.txt; check the path, "
        "or convert the recording again"
    )


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


def read_published_actions(path: Path) -> dict[str, np.ndarray]:
    """actions.pkl of the published code, a list of MineRL action dicts, as arrays [n]."""
    content = load_pickle(path)
    try:
        keys = BINARY_KEYS
        columns = {key: [_plain(frame.get(key, 0)) for frame in content] for key in keys}
        camera = np.array([np.asarray(frame["camera"], dtype=np.float64).reshape(2) for frame in content])
        buttons, camera = checked_actions({**columns, "camera": camera.reshape(-1, 2)}, len(content))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a list of MineRL actions ({str(error)[:100]}); fetch the episode again"
        ) from None
    return as_dict(buttons, camera)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) else value


def read_embeds(path: Path, n: int) -> np.ndarray:
    """embeds_attn.pkl, ours or published, as float32 [n, E] with NaN where there is no embedding."""
    content = load_pickle(path)
    try:
        if isinstance(content, list):
            content = _stack_rows(content)
        embeds = np.asarray(content)
        if embeds.ndim != 2 or embeds.dtype.kind != "f":
            raise ValueError(f"it is {embeds.dtype} {embeds.shape}")
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold embeddings [T, E] ({error}); make the episode again") from None
    if len(embeds) != n:
        raise UserError(
            f"{path} has {len(embeds):,} rows, but the episode has {n:,} frames; make the episode again"
        )
    return embeds.astype(np.float32, copy=False)


def _stack_rows(rows: list) -> np.ndarray:
    known = [np.asarray(row, dtype=np.float32).reshape(-1) for row in rows if row is not None]
    width = known[0].shape[0] if known else 0
    out = np.full((len(rows), width), np.nan, dtype=np.float32)
    places = [i for i, row in enumerate(rows) if row is not None]
    if any(row.shape != (width,) for row in known):
        raise ValueError("its rows differ in width")
    if known:
        out[places] = known
    if any(i >= FIRST_EMBED for i in set(range(len(rows))) - set(places)):
        raise ValueError(f"rows after the first {FIRST_EMBED} are None")
    return out


def is_episode(folder: str | os.PathLike) -> bool:
    """Whether a folder is an episode, whole or damaged."""
    return any(os.path.exists(f"{os.fspath(folder)}/{mark}") for mark in MARKS)


def is_ours(folder: Path) -> bool:
    """Whether a folder may be replaced by an episode: an empty one, or one with our metadata."""
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
