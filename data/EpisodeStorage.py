"""An episode's folder: with data/episode_files.py and its writer beside it, the only module that knows its files.

    python data/EpisodeStorage.py --validate data/dataset_contractor
    python data/EpisodeStorage.py --validate --deep data/dataset_custom/my_episode
    python data/EpisodeStorage.py --convert mp4 data/dataset_contractor

A folder that this project writes holds

    frames/00000.png ...   128x128 RGB, lossless; or frames.mp4, the compact form (H.264, see data/video.py)
    actions.jsonl          a line per frame: {"camera": [pitch, yaw], "buttons": {name: 0|1, ...}}
    embeds_attn.pkl        MineCLIP embeddings, float32 [T, E], rows 0..14 NaN (no window of 16 frames yet)
    metadata.json          n_frames, fps, frame_format, embed_dim, mineclip_hash, source, tool_version, ...
    goal_boundaries.npz    where behaviours end, once data/generation/mark_boundaries.py has marked them

The layout of the published code is read as well (data/published_episodes.py). Actions are parsed for the slice
asked for alone, so no second copy of them is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import episode_files as files
from data import published_episodes as published
from data.action_lines import BINARY_KEYS, parse_action_lines
from data.boundaries import Boundaries
from data.episode_checks import OtherLength, Report, problems, sentence, summed_up
from data.episode_files import FRAME_FORMATS, is_ours
from data.episode_writer import EpisodeWriter
from data.parallel import cores, ordered_map
from steve1.cli import UserError, count, entry_point, out_of_range, report_all
from steve1.config import FIRST_EMBED, FRAME_SIZE
from steve1.files import write_json

if TYPE_CHECKING:
    from data.video import FrameIndex

__all__ = [
    "BINARY_KEYS",
    "FRAME_FORMATS",
    "EpisodeStorage",
    "EpisodeWriter",
    "convert_frames",
    "find_episodes",
    "is_ours",
]


class EpisodeStorage:
    """One episode. Opening it reads nothing; a damaged file shows when it is used, or in :meth:`validate`.

    Raises :class:`~steve1.cli.UserError` when there is no such folder.
    """

    def __init__(self, dirpath: str | os.PathLike) -> None:
        self.dirpath = Path(dirpath)
        if not self.dirpath.is_dir():
            raise UserError(f"the episode folder {self.dirpath} does not exist; check the path")
        self._metadata: dict | None = None
        self._frame_index: FrameIndex | None = None
        self._line_starts: np.ndarray | None = None
        self._published_actions: dict[str, np.ndarray] | None = None
        self._boundaries: Boundaries | None = None

    def __len__(self) -> int:
        """The number of frames, from metadata.json (or len.txt) alone."""
        return self.metadata["n_frames"]

    def __repr__(self) -> str:
        return f"EpisodeStorage({str(self.dirpath)!r})"

    @property
    def metadata(self) -> dict:
        """What metadata.json says; for the published layout also what ours would say."""
        if self._metadata is None:
            self._metadata = files.read_metadata(self.dirpath)
        return self._metadata

    @property
    def frame_format(self) -> str:
        """``"png"`` or ``"mp4"``."""
        return self.metadata["frame_format"]

    @property
    def published(self) -> bool:
        """Whether the published code laid it down."""
        return any((self.dirpath / mark).exists() for mark in published.MARKS)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names, sizes and times of its files: another one where any of them was rewritten.

        The marks of behaviours' ends can come and go: nothing else in the episode depends on them.
        """
        digest = hashlib.sha256()
        for path in sorted(p for p in self.dirpath.rglob("*") if p.is_file() and p.name != files.BOUNDARIES):
            found = path.stat()
            digest.update(f"{path.relative_to(self.dirpath)} {found.st_size} {found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @property
    def cuts(self) -> np.ndarray:
        """Frames at which a new segment begins, because no action could lead over to it: int64 [k], ascending."""
        try:
            return files.checked_cuts(self.metadata.get("cuts", []), len(self))
        except ValueError as error:
            raise UserError(f"{self.dirpath / 'metadata.json'}: {error}; make the episode again") from None

    def load_frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames ``start .. stop-1`` (to the end for None): uint8 [n, 128, 128, 3] RGB.

        Published videos of another size are resized (INTER_LINEAR).
        """
        start, stop = self._slice(start, stop)
        out = np.empty((stop - start, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8)
        if self.frame_format == "png":
            for i in range(start, stop):
                files.read_png(files.png_path(self.dirpath, i), out[i - start])
        else:
            self._video().read(start, stop, out)
        return out

    def load_actions(self, start: int = 0, stop: int | None = None) -> dict[str, np.ndarray]:
        """MineRL actions of frames ``start .. stop-1``: 23 keys int64 [n], ``camera`` float64 [n, 2] degrees."""
        start, stop = self._slice(start, stop)
        path = self.dirpath / "actions.jsonl"
        starts = self._line_starts
        if starts is None:
            if not path.exists() and self.published:
                return {key: values[start:stop] for key, values in self._pickled_actions().items()}
            starts = self._line_starts = files.line_starts(path)
        self._check_count(path, len(starts) - 1)
        with open(path, "rb") as file:
            file.seek(starts[start])
            block = file.read(int(starts[stop] - starts[start]))
        # Lines end in \n alone; splitlines() would also split at other characters.
        lines = block.removesuffix(b"\n").split(b"\n") if stop > start else []
        return parse_action_lines(lines, path, start)

    def load_embeds_attn(self) -> np.ndarray:
        """MineCLIP embeddings: float32 [T, E]; rows 0..14 are NaN."""
        path = self.dirpath / "embeds_attn.pkl"
        embeds = files.read_embeds(path)
        self._check_count(path, len(embeds), "rows")
        return embeds

    def load_goals(self) -> np.ndarray:
        """Embeddings that may serve as goals, float32 [T, E]: NaN at the first 15 frames of each segment.

        An embedding is of the 16 frames up to its own; there they reach over a cut, or before the episode, and
        would show what did not lead here. Raises UserError, which names the frame, where any other is not finite.
        """
        embeds = self.load_embeds_attn()
        bad = np.flatnonzero(~np.isfinite(embeds[FIRST_EMBED:]).all(axis=1)) + FIRST_EMBED
        if len(bad):
            row = embeds[bad[0]]
            what = "NaN" if np.isnan(row).any() else "infinite numbers"
            raise UserError(
                f"{self.dirpath / 'embeds_attn.pkl'}, frame {bad[0]}: the embedding holds {what} ({len(bad):,} of "
                f"{len(embeds):,} do not serve as goals); make the episode again, or leave it out"
            )
        for cut in self.cuts:
            embeds[cut : cut + FIRST_EMBED] = np.nan
        return embeds

    def has_boundaries(self) -> bool:
        """Whether somebody marked where its behaviours end."""
        return (self.dirpath / files.BOUNDARIES).exists()

    def load_boundaries(self) -> Boundaries:
        """Where its behaviours end, by data/generation/mark_boundaries.py; they are read once.

        Raises FileNotFoundError where there are none, and UserError where they are damaged or of other frames.
        """
        if self._boundaries is None:
            marks = files.read_boundaries(self.dirpath)
            if len(marks.nll) != len(self) or list(marks.cuts) != self.cuts.tolist():
                raise UserError(
                    f"{self.dirpath / files.BOUNDARIES} is of other frames or cuts than the episode; remove it, and "
                    "mark the episode again with data/generation/mark_boundaries.py"
                )
            self._boundaries = marks
        return self._boundaries

    def write_boundaries(self, marks: Boundaries) -> None:
        """Keep where its behaviours end, in place of what was kept of that before."""
        files.write_boundaries(self.dirpath, marks)
        self._boundaries = None

    def validate(self, deep: bool = False) -> list[str]:
        """Check every file against every other; return the problems, one sentence each.

        ``deep`` decodes every frame as well.
        """
        return problems(self, deep)

    @staticmethod
    def write(
        dirpath: str | os.PathLike,
        frames: Iterable[np.ndarray],
        actions: Mapping[str, Any],
        embeds: np.ndarray,
        metadata: Mapping[str, Any],
        frame_format: str = "png",
    ) -> EpisodeStorage:
        """Write a whole episode, or nothing; arguments as in :class:`EpisodeWriter`."""
        with EpisodeWriter(dirpath, frame_format) as writer:
            for frame in frames:
                writer.add_frame(frame)
            writer.finish(actions, embeds, metadata)
        return EpisodeStorage(dirpath)

    def _pickled_actions(self) -> dict[str, np.ndarray]:
        if self._published_actions is None:
            path = self.dirpath / "actions.pkl"
            actions = published.read_actions(path)
            self._check_count(path, len(actions["camera"]))
            self._published_actions = actions
        return self._published_actions

    def _video(self) -> FrameIndex:
        if self._frame_index is None:
            from data.video import FrameIndex

            index = FrameIndex(self.dirpath / "frames.mp4")
            self._check_count(index.path, len(index))
            if index.size != (FRAME_SIZE, FRAME_SIZE) and not self.published:
                raise UserError(
                    f"{index.path} is {index.size[0]}x{index.size[1]}, but stored frames are 128x128; make the episode "
                    "again"
                )
            self._frame_index = index
        return self._frame_index

    def _slice(self, start: int, stop: int | None) -> tuple[int, int]:
        n = len(self)
        stop = n if stop is None else stop
        if not 0 <= start <= stop <= n:
            raise ValueError(f"{self.dirpath}: frames {start} to {stop} were asked for, but it has {n}")
        return start, stop

    def _check_count(self, path: Path, n: int, what: str = "frames") -> None:
        if n != len(self):
            remedy = " by len.txt; fetch the episode again" if self.published else "; make the episode again"
            raise OtherLength(
                n, f"{path} has {n:,} {what}, but the episode should have {len(self):,}{remedy}"
            )


def find_episodes(folder: str | os.PathLike) -> list[Path]:
    """All episode folders at or below ``folder``, sorted by path; hidden and half-written ones are left out.

    Damaged episodes are found as well (they show when they are opened). Raises
    :class:`~steve1.cli.UserError` when ``folder`` does not exist.
    """
    if not os.path.isdir(folder):
        raise UserError(f"the folder of episodes {folder} does not exist; check the path")
    # As paths sort, name by name, without making a Path for each comparison.
    return [Path(found) for found in sorted(files.walk(str(folder)), key=lambda path: path.split(os.sep))]


def convert_frames(dirpath: str | os.PathLike, frame_format: str) -> bool:
    """Rewrite an episode's frames as ``"png"`` or ``"mp4"``; return False when they are that already.

    The new frames are written beside the old ones, metadata.json switches to them in one move, and only
    then the old ones go: stopped at any moment the episode is whole, and converting again tidies up.
    """
    if frame_format not in FRAME_FORMATS:
        raise UserError(f"the frame format {frame_format!r} is unknown; choose png or mp4")
    episode = EpisodeStorage(dirpath)
    folder, old, n = episode.dirpath, episode.frame_format, len(episode)
    partial = folder / files.CONVERTING
    shutil.rmtree(partial, ignore_errors=True)
    if old == frame_format:
        files.remove_frames(folder, "png" if frame_format == "mp4" else "mp4")
        return False
    files.remove_frames(folder, frame_format)
    partial.mkdir()
    try:
        sink = files.FrameSink(partial, frame_format)
        try:
            for start in range(0, n, 256):
                for frame in episode.load_frames(start, min(start + 256, n)):
                    sink.add(frame)
            sink.close()
        except BaseException:
            sink.abandon()
            raise
        os.rename(files.frames_path(partial, frame_format), files.frames_path(folder, frame_format))
        write_json(folder / "metadata.json", {**episode.metadata, "frame_format": frame_format})
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files.remove_frames(folder, old)
    return True


def examine(path: str, deep: bool = False, convert: str | None = None) -> Report:
    """Check one episode, after rewriting its frames in the format ``convert``, where one is given.

    An episode that can't be converted is reported with the reason and stays as it was. Raises OSError (a full
    disk).
    """
    converted = False
    if convert is not None:
        try:
            converted = convert_frames(path, convert)
        except (UserError, FileNotFoundError) as error:
            return Report(path, (f"not converted to {convert}: {sentence(error)}",))
    episode = EpisodeStorage(path)
    found = episode.validate(deep)
    if found:
        return Report(path, tuple(found), converted=converted)
    made_by = episode.metadata.get("mineclip_hash")
    return Report(path, (), len(episode), episode.frame_format, made_by, converted)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Validate or convert episodes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir", nargs="+", help="an episode, or a folder with episodes at any depth")
    parser.add_argument(
        "--validate", action="store_true", help="check the files (done also without this flag)"
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="decode every frame too, about 2,000 frames/s a core (default off)",
    )
    parser.add_argument(
        "--convert",
        choices=FRAME_FORMATS,
        help="first rewrite the frames as png (lossless) or mp4 (compact); default: leave them",
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=cores(),
        help="processes that work side by side; 1: this one alone (default: a core each, %(default)s here)",
    )
    args = parser.parse_args(argv)
    wrong = [
        f"the folder {path} does not exist; check the path" for path in args.dir if not os.path.isdir(path)
    ]
    report_all(wrong + out_of_range(args, "workers", least=1))

    # A folder inside of another one that is given too counts once.
    found = dict.fromkeys(str(episode) for path in args.dir for episode in find_episodes(path))
    if not found:
        raise UserError(f"no episode was found in {', '.join(args.dir)}; give an episode or a folder of them")

    from functools import partial

    from tqdm import tqdm

    # By its own name, where other processes find it: here it may be __main__.
    from data.EpisodeStorage import examine

    work = partial(examine, deep=args.deep, convert=args.convert)
    reports = []
    with contextlib.closing(ordered_map(work, list(found), args.workers)) as results:
        for report in tqdm(results, total=len(found), unit="episode", disable=None, leave=False):
            if report.converted:
                tqdm.write(f"{report.path}: frames are {args.convert} now")
            for problem in report.problems:
                tqdm.write(f"{report.path}: {problem}")
            reports.append(report)
    print(summed_up(reports, args.convert))
    if any(report.problems for report in reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
