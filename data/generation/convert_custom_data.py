"""Your own recordings become episodes.

    python data/generation/convert_custom_data.py --input_dir data/recordings --output_dir data/dataset_custom
    python data/generation/convert_custom_data.py --input_dir my_clips --output_dir /tmp/episodes \
        --mineclip_weights tiny_mineclip.pth --frame_format mp4 --batch_size 8

A recording is a folder with one video (``video.mp4``, or any name and container) and, if there are any, its
actions in ``actions.jsonl``; several videos in one folder have theirs in ``NAME.jsonl``. The actions are
contractor lines or our own (FORMATS sections 2 and 7), one for each frame at 20 Hz; frames whose action is
null are left out for either. Without actions the inverse dynamics model labels the video.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.generation.episodes import (
    CUSTOM_MIN_TIMESTEPS,
    EpisodeMaker,
    Summary,
    TooShort,
    add_episode_flags,
    flag_problems,
    load_maker,
)
from steve1.cli import UserError, boolean, entry_point, report_all
from steve1.config import FPS
from steve1.files import sweep

if TYPE_CHECKING:
    from data.contractor import Recording
    from steve1.inverse_dynamics import InverseActionPolicy

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".flv", ".ts", ".mpg", ".mpeg", ".wmv")


@dataclass
class Found:
    """A recording in the input folder: the name of its episode, and its files."""

    name: str
    video: Path
    actions: Path | None


def find_recordings(input_dir: str | os.PathLike) -> list[Found]:
    """All recordings at or below a folder, sorted by name; hidden files and folders are left out.

    Raises :class:`~steve1.cli.UserError` for actions that belong to no video, and names that collide.
    """
    root = Path(input_dir)
    found: list[Found] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += _in_folder(root, Path(folder), sorted(name for name in names if not name.startswith(".")))
    found.sort(key=lambda recording: recording.name)
    for one, other in itertools.pairwise(found):
        if one.name == other.name:
            raise UserError(f"{one.video} and {other.video} would make the same episode; rename one")
    return found


def _in_folder(root: Path, folder: Path, names: list[str]) -> Iterator[Found]:
    videos = [name for name in names if name.lower().endswith(VIDEO_SUFFIXES)]
    relative = "_".join(folder.relative_to(root).parts)
    for video in videos:
        stem = os.path.splitext(video)[0]
        actions = next((name for name in (f"{stem}.jsonl", "actions.jsonl") if name in names), None)
        if actions == "actions.jsonl" and len(videos) > 1 and stem != "actions":
            raise UserError(
                f"{folder} has {len(videos)} videos and one actions.jsonl; name it after its video "
                f"({stem}.jsonl), or give each video a folder"
            )
        if len(videos) == 1:
            name = relative or root.resolve().name
        else:
            name = f"{relative}_{stem}" if relative else stem
        yield Found(name, folder / video, folder / actions if actions else None)


def convert(
    found: Found,
    maker: EpisodeMaker,
    dirpath: Path,
    summary: Summary,
    idm: InverseActionPolicy | None = None,
    fps_as_ticks: bool = False,
) -> None:
    """Convert one recording; raises :class:`TooShort` or UserError, leaving nothing behind."""
    recording, resampled = _open(found, idm, fps_as_ticks)
    metadata = {
        "source": str(found.video.resolve()),
        "actions": str(found.actions.resolve()) if found.actions else "inverse dynamics model",
        "resampled_to_20_hz": resampled,
    }
    n = maker.make(dirpath, recording, metadata, images=_images(found.video, resampled))
    summary.add(recording, n)
    null = recording.actions.n_lines - len(recording.actions.kept)
    print(f"{found.name}: {n:,} frames of {recording.actions.n_lines:,}, {null:,} null ones left out")
    if resampled:
        print(f"{found.name}: resampled to {FPS} frames a second")
    for warning in recording.warnings:
        print(f"{found.name}: {warning}")


def _images(video: Path, resampled: bool) -> Iterator | None:
    from data.video import decode_resampled

    return decode_resampled(video) if resampled else None


def _open(found: Found, idm: InverseActionPolicy | None, fps_as_ticks: bool) -> tuple[Recording, bool]:
    """The recording, and whether its frames must be resampled to 20 Hz."""
    from data.contractor import Recording, without_null_frames
    from data.generation.label_with_idm import label_frames
    from data.video import Undecodable, decode, video_info

    info = video_info(found.video)
    resampled = not fps_as_ticks and abs(info.fps - FPS) > 0.01
    if resampled and not info.fps:
        raise UserError(
            f"{found.video} does not say its frame rate; give --fps_as_ticks if a frame is a tick"
        )
    if found.actions is not None:
        recording = Recording.read(found.video, found.actions)
        if resampled:
            _check_ticks(found, recording.actions.n_lines, info.fps)
        return recording, resampled
    if idm is None:
        raise UserError(
            f"{found.video} has no actions beside it; add actions.jsonl, or give --idm_model and --idm_weights"
        )
    damaged: list[str] = []

    def sound() -> Iterator:
        try:
            yield from _images(found.video, resampled) or decode(found.video)
        except Undecodable as error:
            damaged.append(f"{error}; what follows it is left out")

    recording = Recording(found.video, without_null_frames(label_frames(idm, sound())), "its labelling")
    recording.warnings += damaged
    return recording, resampled


def _check_ticks(found: Found, n_lines: int, fps: float) -> None:
    """A line of actions is a tick of 1/20 s: their number must fit the video's duration."""
    from data.video import frame_times

    times = frame_times(found.video)
    ticks = round((times[-1] + 1 / fps) * FPS) if len(times) else 0
    if abs(n_lines - ticks) > max(2, 0.02 * ticks):
        raise UserError(
            f"{found.video} has {len(times):,} frames at {fps:g} a second ({ticks:,} ticks of 1/20 s), but "
            f"{found.actions} has {n_lines:,} lines; give --fps_as_ticks if each frame is one line's tick"
        )


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Convert every recording of a folder."""
    parser = argparse.ArgumentParser(
        description="Turn a folder of recordings (videos with or without actions) into episodes. "
        "Episodes that exist are kept, so the same command goes on where it stopped."
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--input_dir", required=True, help="folder of recordings: NAME/video.mp4, NAME/actions.jsonl"
    )
    group.add_argument("--output_dir", required=True, help="folder of episodes: NAME/ each")
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "--fps_as_ticks",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="take each frame as one tick of 1/20 s, whatever frame rate the file says "
        "(default: False, resample videos of another rate to 20 Hz by their times)",
    )
    group.add_argument("--idm_model", default=None, help="the IDM's .model, for videos without actions")
    group.add_argument("--idm_weights", default=None, help="the IDM's .weights, for videos without actions")
    # 15 frames have no embedding, and a training item of fewer than 16 more teaches nothing.
    add_episode_flags(parser, CUSTOM_MIN_TIMESTEPS)
    args = parser.parse_args(argv)
    report_all(_problems(args))

    recordings = find_recordings(args.input_dir)
    if not recordings:
        raise UserError(
            f"no video was found in {args.input_dir}; it should hold folders with video.mp4 and actions.jsonl"
        )
    maker = load_maker(args)
    idm = None
    if args.idm_model and any(recording.actions is None for recording in recordings):
        from data.generation.label_with_idm import load_idm

        idm = load_idm(args.idm_model, args.idm_weights)

    summary, failures = Summary(), []
    output = Path(args.output_dir)
    sweep(output, {found.name for found in recordings})
    for found in recordings:
        try:
            if maker.exists(output / found.name):
                summary.existing += 1
            else:
                convert(found, maker, output / found.name, summary, idm, args.fps_as_ticks)
        except TooShort as short:
            summary.passed_over["too short"] += 1
            print(f"{found.name}: no episode, for {short}")
        except UserError as error:
            summary.passed_over["they can't be used (see below)"] += 1
            failures.append(str(error))
    print(summary.text())
    if failures:
        raise UserError("\n       ".join(failures))
    if summary.episodes + summary.existing == 0:
        raise UserError(f"no recording in {args.input_dir} was long enough for an episode; see above")


def _problems(args: argparse.Namespace) -> list[str]:
    problems = flag_problems(args)
    if not os.path.isdir(args.input_dir):
        problems.append(f"--input_dir {args.input_dir} does not exist; check the path")
    elif Path(args.output_dir).resolve().is_relative_to(Path(args.input_dir).resolve()):
        problems.append("--output_dir is within --input_dir; choose another folder for the episodes")
    if (args.idm_model is None) != (args.idm_weights is None):
        problems.append("--idm_model and --idm_weights go together; give both or neither")
    for flag in ("idm_model", "idm_weights"):
        path = getattr(args, flag)
        if path is not None and not os.path.isfile(path):
            problems.append(f"--{flag} {path} does not exist; check the path")
    return problems


if __name__ == "__main__":
    main()
