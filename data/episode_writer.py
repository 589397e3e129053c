"""Writing an episode's folder, whole or not at all. Others import it from data/EpisodeStorage.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data import episode_files as files
from data.action_lines import checked_actions
from data.episode_files import FRAME_FORMATS, is_ours
from steve1.cli import UserError
from steve1.config import FIRST_EMBED, FPS, version
from steve1.files import whole_folder, write_json
from steve1.safe_pickle import dump_pickle


class EpisodeWriter:
    """Writes an episode frame by frame.

    The folder appears, whole, when ``finish`` was called and the block ends. Leaving the block by an
    exception, or without ``finish``, leaves nothing behind. An episode that was there before is replaced.

        with EpisodeWriter(dirpath, "png") as writer:
            for frame in frames:
                writer.add_frame(frame)
            writer.finish(actions, embeds, metadata)
    """

    def __init__(self, dirpath: str | os.PathLike, frame_format: str = "png") -> None:
        if frame_format not in FRAME_FORMATS:
            raise UserError(f"the frame format {frame_format!r} is unknown; choose png or mp4")
        self.dirpath = Path(dirpath)
        self.frame_format = frame_format
        self.n_frames = 0
        self._finished = False
        self._sink: files.FrameSink | None = None

    def __enter__(self) -> EpisodeWriter:
        if self.dirpath.exists() and not is_ours(self.dirpath):
            raise UserError(
                f"{self.dirpath} exists and is no episode of ours; remove it, or choose another output folder"
            )
        self._whole = whole_folder(self.dirpath)
        self._folder = self._whole.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool | None:
        if kind is None and self._finished:
            return self._whole.__exit__(None, None, None)
        if self._sink is not None:
            self._sink.abandon()
        if kind is None:
            # Whatever exception is given makes whole_folder remove the folder; nobody else sees this one.
            self._whole.__exit__(UserError, UserError("left without finish()"), None)
            return None
        return self._whole.__exit__(kind, error, traceback)

    def add_frame(self, frame: np.ndarray) -> None:
        """Append a frame: uint8 [128, 128, 3] RGB; ValueError for any other array."""
        self._opened_sink().add(frame)
        self.n_frames += 1

    def finish(self, actions: Mapping[str, Any], embeds: np.ndarray, metadata: Mapping[str, Any]) -> None:
        """Give what belongs to the frames.

        Args:
            actions: arrays [T] of 0 and 1 by MineRL's names (absent ones are not pressed), and ``camera``
                [T, 2] in degrees, which is kept exactly.
            embeds: float [T, E]; the first 15 rows are stored as NaN whatever they hold.
            metadata: anything that JSON holds; ``mineclip_hash`` and ``source`` belong here, and ``cuts``, frame
                numbers, where new segments begin.

        Raises ValueError when the lengths differ or values are out of range.
        """
        buttons, camera = checked_actions(actions, self.n_frames)
        embeds = np.array(embeds, dtype=np.float32)
        if embeds.ndim != 2 or len(embeds) != self.n_frames:
            raise ValueError(f"embeds are {embeds.shape}; {self.n_frames} frames need ({self.n_frames}, E)")
        embeds[:FIRST_EMBED] = np.nan
        files.checked_cuts(metadata.get("cuts", []), self.n_frames)
        self._opened_sink().close()
        files.write_actions(self._folder / "actions.jsonl", buttons, camera)
        dump_pickle(embeds, self._folder / "embeds_attn.pkl")
        known = {
            "n_frames": self.n_frames,
            "fps": FPS,
            "frame_format": self.frame_format,
            "embed_dim": embeds.shape[1],
            "tool_version": version(),
        }
        write_json(
            self._folder / "metadata.json",
            {**known, "source": "unknown", "mineclip_hash": None, **metadata, **known},
        )
        self._finished = True

    def _opened_sink(self) -> files.FrameSink:
        if self._sink is None:
            self._sink = files.FrameSink(self._folder, self.frame_format)
        return self._sink
