"""Frames with their actions and a MineCLIP make an episode; and what is counted of all of them.

Frames stream: each is decoded once, goes to MineCLIP at its full size and to the episode at 128x128, and is
gone. Only MineCLIP's features (a row a frame) stay until the end.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.action_lines import BINARY_KEYS
from steve1.cli import UserError
from steve1.config import FRAME_SIZE

if TYPE_CHECKING:
    from data.generation.sources import Piece
    from steve1.mineclip import MineCLIP


class TooShort(Exception):
    """A recording has fewer frames than an episode needs; ``.frames`` says how many."""

    def __init__(self, frames: int, needed: int) -> None:
        super().__init__(f"{frames:,} frames are left of it, {needed:,} are needed (--min_timesteps)")
        self.frames, self.needed = frames, needed


@dataclass
class EpisodeMaker:
    """Makes episodes with one MineCLIP (whose hash is ``mineclip_hash``) and one frame format."""

    mineclip: MineCLIP
    mineclip_hash: str
    batch_size: int
    frame_format: str
    min_timesteps: int

    def make(self, dirpath: Path, piece: Piece, progress: bool = True) -> dict[str, np.ndarray]:
        """Write the episode ``dirpath`` from a piece, whole or not at all; return its actions, arrays [n].

        Raises :class:`TooShort`, before anything is read where that is known, and what the piece raises.
        """
        import cv2
        from tqdm import tqdm

        from data.EpisodeStorage import EpisodeWriter
        from steve1.mineclip.embed import FrameEmbedder

        if piece.expected < self.min_timesteps:
            raise TooShort(piece.expected, self.min_timesteps)
        embedder = FrameEmbedder(self.mineclip, self.batch_size)
        bar = tqdm(
            piece.frames(),
            dirpath.name,
            piece.expected,
            unit=" frames",
            leave=False,
            disable=None if progress else True,
        )
        with EpisodeWriter(dirpath, self.frame_format) as writer:
            for frame in bar:
                embedder.add(frame)
                writer.add_frame(cv2.resize(frame, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_LINEAR))
            n = writer.n_frames
            if n < self.min_timesteps:
                raise TooShort(n, self.min_timesteps)
            actions, metadata = piece.finish(n)
            writer.finish(actions, embedder.finish(), {**metadata, "mineclip_hash": self.mineclip_hash})
        return actions

    def to_device(self) -> None:
        """Move MineCLIP onto the GPU where there is one."""
        import torch

        self.mineclip.to("cuda" if torch.cuda.is_available() else "cpu")


def stored(dirpath: Path, mineclip_hash: str) -> dict | None:
    """The metadata of an episode where it is there. Raises UserError where another MineCLIP made it."""
    from data.EpisodeStorage import EpisodeStorage

    if not (dirpath / "metadata.json").exists():
        return None
    metadata = EpisodeStorage(dirpath).metadata
    made_by = metadata.get("mineclip_hash")
    if made_by != mineclip_hash:
        raise UserError(
            f"{dirpath} was made with another MineCLIP (hash {str(made_by)[:12]}, now "
            f"{mineclip_hash[:12]}); remove it or choose another --output_dir"
        )
    return metadata


@dataclass
class Summary:
    """What a converter did: nothing is lost without being counted here. ``source``: what episodes are made of."""

    source: str = "recordings"
    episodes: int = 0
    frames: int = 0
    existing: int = 0
    dropped: Counter = field(default_factory=Counter)  # reason -> frames
    passed_over: Counter = field(default_factory=Counter)  # reason -> recordings
    cuts: Counter = field(default_factory=Counter)  # reason -> cuts
    untold: Counter = field(default_factory=Counter)  # reason -> episodes whose lines don't tell
    pressed: np.ndarray = field(default_factory=lambda: np.zeros(len(BINARY_KEYS), dtype=np.int64))
    camera_moved: int = 0

    def add_actions(self, env_actions: Mapping[str, np.ndarray]) -> None:
        """Count an episode with these actions: MineRL's 23 keys [n], and camera [n, 2]."""
        self.episodes += 1
        self.frames += len(env_actions["camera"])
        columns = [env_actions[key].sum() for key in BINARY_KEYS]
        self.pressed += np.array(columns, dtype=np.int64)
        self.camera_moved += int((env_actions["camera"] != 0).any(axis=1).sum())

    def add_cuts(self, cuts: Iterable[tuple[str, int | None]]) -> None:
        """Count an episode's cuts: reason -> how many, None where its lines don't tell."""
        for reason, n in cuts:
            if n is None:
                self.untold[reason] += 1
            else:
                self.cuts[reason] += n

    def merge(self, other: Summary) -> None:
        """Add what ``other`` counted."""
        self.episodes += other.episodes
        self.frames += other.frames
        self.existing += other.existing
        self.dropped += other.dropped
        self.passed_over += other.passed_over
        self.cuts += other.cuts
        self.untold += other.untold
        self.pressed = self.pressed + other.pressed
        self.camera_moved += other.camera_moved

    def text(self) -> str:
        """The summary to print."""
        lines = [
            f"{self.episodes:,} episodes made with {self.frames:,} frames ({self.frames / 72_000:.2f} hours)"
        ]
        if self.existing:
            lines.append(f"{self.existing:,} were there already")
        lines += [f"dropped frames: {n:,}, {reason}" for reason, n in sorted(self.dropped.items()) if n]
        lines += [
            f"{self.source} passed over: {n:,}, {reason}"
            for reason, n in sorted(self.passed_over.items())
            if n
        ]
        lines += [
            f"cuts that no goal crosses: {n:,}, {reason}" for reason, n in sorted(self.cuts.items()) if n
        ]
        lines += [
            f"episodes whose lines don't tell where {reason}: {n:,}"
            for reason, n in sorted(self.untold.items())
        ]
        if self.frames:
            lines.append("how often, in % of the frames:")
            shares = {
                **dict(zip(BINARY_KEYS, self.pressed.tolist(), strict=True)),
                "camera": self.camera_moved,
            }
            named = sorted(((n, key) for key, n in shares.items() if n), reverse=True)
            lines += [f"  {key:<10}{100 * n / self.frames:6.1f}" for n, key in named]
            never = [key for key, n in shares.items() if not n]
            if never:
                lines.append(f"  never: {' '.join(never)}")
        return "\n".join(lines)


def load_maker(args: argparse.Namespace) -> EpisodeMaker:
    """Load MineCLIP; :meth:`EpisodeMaker.to_device` puts it where it works."""
    from steve1.checkpoints import load_mineclip, tensors_hash

    mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
    digest = tensors_hash(mineclip)
    del mineclip.text_model  # episodes hold no text
    return EpisodeMaker(mineclip, digest, args.batch_size, args.frame_format, max(1, args.min_timesteps))
