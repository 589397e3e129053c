"""A recording and a MineCLIP make an episode; and what the converters that do so share.

Frames stream: each is decoded once, goes to MineCLIP at its full size and to the episode at 128x128, and is
gone. Only MineCLIP's features (a row a frame) stay until the end.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.action_lines import BINARY_KEYS
from steve1.cli import UserError, count
from steve1.config import FRAME_SIZE, weights_dir

if TYPE_CHECKING:
    from data.contractor import Recording
    from steve1.mineclip import MineCLIP

CUSTOM_MIN_TIMESTEPS = 31


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

    def make(
        self,
        dirpath: Path,
        recording: Recording,
        metadata: dict,
        images: Iterable[np.ndarray] | None = None,
        progress: bool = True,
    ) -> int:
        """Write the episode ``dirpath``, whole or not at all; return its number of frames.

        ``images`` are the recording's frames where they are not simply the video's. Raises
        :class:`TooShort`, or :class:`~steve1.cli.UserError` when the recording can't be read.
        """
        expected = len(recording.actions.kept)
        if expected < self.min_timesteps:
            raise TooShort(expected, self.min_timesteps)

        def finish(n: int) -> tuple[dict, dict]:
            actions = {key: values[:n] for key, values in recording.actions.env_actions.items()}
            known = {"recorded_frames": recording.actions.n_lines, "warnings": recording.warnings}
            return actions, {**metadata, **known}

        return self.store(dirpath, recording.frames(images), finish, expected, progress)

    def store(
        self,
        dirpath: Path,
        frames: Iterable[np.ndarray],
        finish: Callable[[int], tuple[Mapping, dict]],
        expected: int | None = None,
        progress: bool = True,
    ) -> int:
        """Write the episode ``dirpath`` from a stream of frames, uint8 [H, W, 3], whole or not at all.

        ``finish(n)`` is asked, when the frames have ended, for the actions of the n frames and the metadata.
        ``expected`` frames, for the progress bar. Returns n; raises :class:`TooShort`.
        """
        import cv2
        from tqdm import tqdm

        from data.EpisodeStorage import EpisodeWriter
        from steve1.mineclip.embed import FrameEmbedder

        embedder = FrameEmbedder(self.mineclip, self.batch_size)
        bar = tqdm(
            frames,
            dirpath.name,
            expected,
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
            actions, metadata = finish(n)
            writer.finish(actions, embedder.finish(), {**metadata, "mineclip_hash": self.mineclip_hash})
        return n

    def exists(self, dirpath: Path) -> bool:
        """Whether the episode is there already. Raises UserError where another MineCLIP made it."""
        from data.EpisodeStorage import EpisodeStorage

        if not (dirpath / "metadata.json").exists():
            return False
        made_by = EpisodeStorage(dirpath).metadata.get("mineclip_hash")
        if made_by != self.mineclip_hash:
            raise UserError(
                f"{dirpath} was made with another MineCLIP (hash {str(made_by)[:12]}, now "
                f"{self.mineclip_hash[:12]}); remove it or choose another --output_dir"
            )
        return True


@dataclass
class Summary:
    """What a converter did: nothing is lost without being counted here. ``source``: what episodes are made of."""

    source: str = "recordings"
    episodes: int = 0
    frames: int = 0
    existing: int = 0
    dropped: Counter = field(default_factory=Counter)  # reason -> frames
    passed_over: Counter = field(default_factory=Counter)  # reason -> recordings
    pressed: np.ndarray = field(default_factory=lambda: np.zeros(len(BINARY_KEYS), dtype=np.int64))
    camera_moved: int = 0

    def add(self, recording: Recording, n_frames: int) -> None:
        """Count a recording of which ``n_frames`` frames became an episode."""
        actions = recording.actions
        cut = len(actions.kept) - n_frames
        self.dropped["null actions"] += actions.n_lines - len(actions.kept)
        self.dropped["the video is shorter than its actions, or damaged"] += cut
        self.add_actions({key: values[:n_frames] for key, values in actions.env_actions.items()})

    def add_actions(self, env_actions: Mapping[str, np.ndarray]) -> None:
        """Count an episode with these actions: MineRL's 23 keys [n], and camera [n, 2]."""
        self.episodes += 1
        self.frames += len(env_actions["camera"])
        columns = [env_actions[key].sum() for key in BINARY_KEYS]
        self.pressed += np.array(columns, dtype=np.int64)
        self.camera_moved += int((env_actions["camera"] != 0).any(axis=1).sum())

    def merge(self, other: Summary) -> None:
        """Add what ``other`` counted."""
        self.episodes += other.episodes
        self.frames += other.frames
        self.existing += other.existing
        self.dropped += other.dropped
        self.passed_over += other.passed_over
        self.pressed = self.pressed + other.pressed
        self.camera_moved += other.camera_moved

    def text(self) -> str:
        """The summary to print."""
        lines = [
            f"{self.episodes:,} episodes made with {self.frames:,} frames ({self.frames / 72_000:.2f} hours)"
        ]
        if self.existing:
            lines.append(f"{self.existing:,} were there already")
        lines += [f"dropped frames: {n:,}, {reason}" for reason, n in self.dropped.items() if n]
        lines += [
            f"{self.source} passed over: {n:,}, {reason}" for reason, n in self.passed_over.items() if n
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


def add_episode_flags(parser: argparse.ArgumentParser, min_timesteps: int) -> None:
    """Add the flags that every converter has."""
    group = parser.add_argument_group("episodes")
    group.add_argument(
        "--frame_format",
        choices=("png", "mp4"),
        default="png",
        help="png: lossless, about 34 KB a frame; mp4: H.264, about 8 KB a frame (default: png)",
    )
    group.add_argument(
        "--min_timesteps",
        type=count,
        default=min_timesteps,
        help=f"frames; recordings with fewer left make no episode (default: {min_timesteps}; 0: keep all)",
    )
    group = parser.add_argument_group("MineCLIP")
    group.add_argument(
        "--mineclip_weights",
        default=str(weights_dir() / "mineclip" / "attn.pth"),
        help="MineCLIP's weights (default: the published attn.pth from download_weights.sh)",
    )
    group.add_argument(
        "--mineclip_config",
        default=None,
        help="JSON with its sizes (default: the JSON beside the weights, or else the published sizes)",
    )
    group.add_argument(
        "--batch_size", type=count, default=32, help="frames that MineCLIP encodes at a time (default: 32)"
    )


def flag_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags of :func:`add_episode_flags`."""
    problems = []
    if args.batch_size < 1:
        problems.append(f"--batch_size {args.batch_size} is below 1")
    if args.min_timesteps < 0:
        problems.append(f"--min_timesteps {args.min_timesteps} is below 0; 0 keeps everything")
    if not os.path.isfile(args.mineclip_weights):
        problems.append(
            f"--mineclip_weights {args.mineclip_weights} does not exist; run download_weights.sh, or name yours"
        )
    if args.mineclip_config is not None and not os.path.isfile(args.mineclip_config):
        problems.append(f"--mineclip_config {args.mineclip_config} does not exist")
    return problems


def slice_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with ``--num_workers`` and ``--worker_id``, which slice of the work is this process's."""
    if args.num_workers < 1:
        return [f"--num_workers {args.num_workers} is below 1"]
    if not 0 <= args.worker_id < args.num_workers:
        return [f"--worker_id {args.worker_id} is not between 0 and --num_workers {args.num_workers} - 1"]
    return []


def load_maker(args: argparse.Namespace) -> EpisodeMaker:
    """Load MineCLIP, onto the GPU where there is one."""
    import torch

    from steve1.checkpoints import load_mineclip, tensors_hash

    mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
    digest = tensors_hash(mineclip)
    del mineclip.text_model  # episodes hold no text
    mineclip.to("cuda" if torch.cuda.is_available() else "cpu")
    return EpisodeMaker(mineclip, digest, args.batch_size, args.frame_format, max(1, args.min_timesteps))
