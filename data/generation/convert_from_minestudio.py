"""A local copy of MineStudio's dataset becomes episodes.

    python data/generation/convert_from_minestudio.py --input_dir ~/minestudio-data-6xx-v110 \
        --output_dir data/dataset_minestudio --frame_format mp4
    python data/generation/convert_from_minestudio.py --input_dir tiny_dataset --output_dir /tmp/episodes \
        --min_timesteps 64 --mineclip_weights tiny_mineclip.pth --batch_size 8

The folder holds video/part-N and action/part-N (data/generation/minestudio.py); needs `pip install lmdb`. Its videos
are 224x224, squeezed from 640x360: the agent's view (128x128) and MineCLIP's (256x160) are both resized from that,
so MineCLIP sees a softer picture than it would of the recording itself. Null frames are gone from it already.

Chunks of 32 frames that are missing, damaged or of another length are passed over and said. No frames are joined
across such a hole: what follows it is an episode of its own, NAME_from_FRAME, if it is long enough. Episodes that
exist are kept, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.generation.episodes import (
    EpisodeMaker,
    Summary,
    TooShort,
    add_episode_flags,
    flag_problems,
    load_maker,
    slice_problems,
)
from steve1.cli import UserError, count, entry_point, report_all
from steve1.config import data_root

if TYPE_CHECKING:
    import numpy as np

    from data.generation.minestudio import Episode


class Piece:
    """An episode's frames from one frame up to a chunk that can't be used, or to the end.

    After :meth:`frames` has been consumed ``stop`` is the frame where it ended, ``problem`` why (empty: the end).
    """

    def __init__(self, episode: Episode, start: int) -> None:
        self.episode, self.start = episode, start
        self.stop, self.problem = start, ""
        self.resolution: list[int] = []  # width and height of what it is made of
        self._actions: list[dict[str, np.ndarray]] = []

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the pictures, uint8 [H, W, 3] RGB; a chunk at a time is in memory."""
        from data.generation.minestudio import BadChunk

        while self.stop < self.episode.n_frames:
            try:
                frames, actions = self.episode.read(self.stop)
            except BadChunk as error:
                self.problem = str(error)
                return
            self._actions.append(actions)
            self.resolution = [frames[0].shape[1], frames[0].shape[0]]
            yield from frames
            self.stop += len(frames)

    def actions(self) -> dict[str, np.ndarray]:
        """The actions of all these frames."""
        import numpy as np

        return {key: np.concatenate([chunk[key] for chunk in self._actions]) for key in self._actions[0]}


def convert(episode: Episode, maker: EpisodeMaker, output: Path, summary: Summary) -> None:
    """Convert one of their episodes into one of ours, or into several where chunks can't be used."""
    from data.EpisodeStorage import EpisodeStorage
    from data.sampling.sessions import session_of

    at = 0
    while at < episode.n_frames:
        name = episode.name if at == 0 else f"{episode.name}_from_{at:06d}"
        if maker.exists(output / name):
            summary.existing += 1
            # It ends before a hole; which chunk that is was said when it was made.
            at = EpisodeStorage(output / name).metadata["source_frames"][1] + episode.chunk_size
            continue
        piece = Piece(episode, at)

        def finish(n: int, piece: Piece = piece) -> tuple[dict, dict]:
            return piece.actions(), {
                "source": "MineStudio's dataset",
                "recording": episode.name,
                "session": session_of(episode.name, {}),
                "video": str(episode.video.part.path.resolve()),
                "source_frames": [piece.start, piece.stop],
                "source_resolution": piece.resolution,
            }

        try:
            n = maker.store(output / name, piece.frames(), finish, episode.n_frames - at)
            summary.add_actions(piece.actions())
            print(f"{name}: {n:,} frames")
        except TooShort as short:
            if short.frames:
                summary.passed_over[f"under {short.needed:,} frames (--min_timesteps)"] += 1
                summary.dropped["in stretches under --min_timesteps"] += short.frames
                print(f"{name}: no episode, for {short}")
        if piece.problem:
            summary.dropped["in chunks that can't be used"] += min(
                episode.chunk_size, episode.n_frames - piece.stop
            )
            print(f"{episode.name}: frames from {piece.stop:,} on are passed over: {piece.problem}")
            piece.stop += episode.chunk_size
        at = piece.stop


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Convert every episode of the dataset, or one process's share of them."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    from data.generation.minestudio import Dataset

    summary = Summary("episodes")
    with Dataset(args.input_dir) as dataset:
        for problem in dataset.problems:
            print(problem)
        if not dataset.episodes:
            raise UserError(f"{args.input_dir} has no episode with both video and action; see above")
        maker = load_maker(args)
        done = 0
        for episode in dataset.episodes[args.worker_id :: args.num_workers]:
            if args.num_episodes and done == args.num_episodes:
                break
            before = summary.episodes + summary.existing
            convert(episode, maker, Path(args.output_dir), summary)
            done += summary.episodes + summary.existing > before
        passed_over = sum("is passed over" in problem for problem in dataset.problems)
        if passed_over:
            summary.passed_over["not in both kinds (see above)"] = passed_over
    print(summary.text())
    if summary.episodes + summary.existing == 0 and args.num_workers == 1:
        raise UserError("no episode was long enough; the reasons are printed above")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--input_dir", required=True, help="MineStudio's dataset, with video/ and action/ in it"
    )
    group.add_argument(
        "--output_dir",
        default=str(data_root() / "dataset_minestudio"),
        help="folder of episodes (default: data/dataset_minestudio)",
    )
    group = parser.add_argument_group("which episodes")
    group.add_argument(
        "--num_episodes",
        type=count,
        default=0,
        help="of MineStudio's episodes to have, in the order of their names, per slice (default: 0, all)",
    )
    group.add_argument(
        "--num_workers", type=count, default=1, help="slices that the episodes are dealt into (default: 1)"
    )
    group.add_argument(
        "--worker_id", type=count, default=0, help="which slice is this one's, from 0 (default: 0)"
    )
    add_episode_flags(parser, 1000)
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = flag_problems(args)
    if not os.path.isdir(args.input_dir):
        problems.append(f"--input_dir {args.input_dir} does not exist; check the path")
    elif Path(args.output_dir).resolve().is_relative_to(Path(args.input_dir).resolve()):
        problems.append("--output_dir is within --input_dir; choose another folder for the episodes")
    if args.num_episodes < 0:
        problems.append(f"--num_episodes {args.num_episodes} is below 0; 0 converts all")
    problems += slice_problems(args)
    if importlib.util.find_spec("lmdb") is None:
        problems.append("MineStudio's dataset is read with lmdb, which is not installed: pip install lmdb")
    return problems


if __name__ == "__main__":
    main()
