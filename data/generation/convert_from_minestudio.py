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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.generation.conversion_flags import add_driver_flags, driver_problems
from data.generation.convert import convert_all
from data.generation.sources import Entry, Piece, Source, Told
from steve1.cli import count, entry_point, report_all
from steve1.config import data_root

if TYPE_CHECKING:
    import numpy as np

    from data.generation.minestudio import Dataset, Episode


@dataclass(frozen=True)
class Listed(Entry):
    """One of MineStudio's episodes: its number of frames, and the state of the files that hold it."""

    n_frames: int = 0
    files: tuple[Any, ...] = ()

    def state(self) -> Any:
        return [self.n_frames, *self.files]

    def most_frames(self) -> int:
        return self.n_frames


class Stretch:
    """An episode's frames from one frame up to a chunk that can't be used, or to the end.

    After :meth:`frames` has been consumed ``stop`` is the frame where it ended, ``problem`` why (empty: the end).
    """

    def __init__(self, name: str, episode: Episode, start: int) -> None:
        self.name, self.episode, self.start = name, episode, start
        self.expected = episode.n_frames - start
        self.stop, self.problem = start, ""
        self._resolution: list[int] = []  # width and height of what it is made of
        self._actions: list[dict[str, np.ndarray]] = []

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the pictures; a chunk at a time is in memory."""
        from data.generation.minestudio import BadChunk

        while self.stop < self.episode.n_frames:
            try:
                frames, actions = self.episode.read(self.stop)
            except BadChunk as error:
                self.problem = str(error)
                return
            self._actions.append(actions)
            self._resolution = [frames[0].shape[1], frames[0].shape[0]]
            yield from frames
            self.stop += len(frames)

    def finish(self, n: int) -> tuple[dict, dict]:
        import numpy as np

        from data.sampling.sessions import session_of

        actions = {key: np.concatenate([chunk[key] for chunk in self._actions]) for key in self._actions[0]}
        return actions, {
            "source": "MineStudio's dataset",
            "recording": self.episode.name,
            "session": session_of(self.episode.name, {}),
            "video": str(self.episode.video.part.path.resolve()),
            "source_frames": [self.start, self.stop],
            "source_resolution": self._resolution,
            "ended": self._warning(),
        }

    def told(self, n: int | None) -> Told:
        if not self.problem:
            return Told()
        lost = min(self.episode.chunk_size, self.episode.n_frames - self.stop)
        return Told(warnings=(self._warning(),), dropped=(("in chunks that can't be used", lost),))

    def _warning(self) -> str:
        return f"frames from {self.stop:,} on are passed over: {self.problem}" if self.problem else ""


class MineStudio(Source):
    """The episodes of a local copy of MineStudio's dataset."""

    what = "episodes"

    def __init__(self, args: argparse.Namespace) -> None:
        self._folder = os.path.abspath(args.input_dir)
        self.wanted = args.num_episodes
        self._left_out = 0
        self._dataset: Dataset | None = None
        self._episodes: dict[str, Episode] = {}
        self.empty = f"{args.input_dir} has no episode with both video and action; see above"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_dataset": None, "_episodes": {}}  # each process opens the files by itself

    def entries(self) -> list[Entry]:
        from data.generation.minestudio import Dataset
        from data.generation.sources import file_state

        with Dataset(self._folder) as dataset:
            for problem in dataset.problems:
                print(problem)
            self._left_out = sum("is passed over" in problem for problem in dataset.problems)
            return [
                Listed(
                    episode.name,
                    n_frames=episode.n_frames,
                    files=tuple(
                        file_state(chunks.part.path / "data.mdb")
                        for chunks in (episode.video, episode.action)
                    ),
                )
                for episode in dataset.episodes
            ]

    def left_out(self) -> dict[str, int]:
        return {"not in both kinds (see above)": self._left_out}

    def whole(self, entry: Entry, metadata: dict) -> bool:
        assert isinstance(entry, Listed)
        return metadata.get("source_frames") == [0, entry.n_frames]

    def prepare(self) -> None:
        from data.generation.minestudio import Dataset

        self._dataset = Dataset(self._folder)
        self._episodes = {episode.name: episode for episode in self._dataset.episodes}

    def close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()

    def pieces(self, entry: Entry, stored: Callable[[str], dict | None]) -> Iterator[Piece | Told]:
        episode, at = self._episodes[entry.name], 0
        while at < episode.n_frames:
            name = entry.name if at == 0 else f"{entry.name}_from_{at:06d}"
            metadata = stored(name)
            if metadata is not None:
                at = metadata["source_frames"][1] + episode.chunk_size
                if metadata.get("ended"):
                    yield Told(warnings=(metadata["ended"],))
                continue
            stretch = Stretch(name, episode, at)
            yield stretch
            if stretch.stop == at and not stretch.problem:
                return  # too short to be read
            at = stretch.stop + (episode.chunk_size if stretch.problem else 0)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Convert every episode of the dataset."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    convert_all(MineStudio(args), args)


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
    add_driver_flags(parser, 1000, "episodes")
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = driver_problems(args)
    if not os.path.isdir(args.input_dir):
        problems.append(f"--input_dir {args.input_dir} does not exist; check the path")
    elif Path(args.output_dir).resolve().is_relative_to(Path(args.input_dir).resolve()):
        problems.append("--output_dir is within --input_dir; choose another folder for the episodes")
    if importlib.util.find_spec("lmdb") is None:
        problems.append("MineStudio's dataset is read with lmdb, which is not installed: pip install lmdb")
    return problems


if __name__ == "__main__":
    main()
