"""Your own recordings become episodes.

    python data/generation/convert_custom_data.py --input_dir data/recordings --output_dir data/dataset_custom
    python data/generation/convert_custom_data.py --input_dir my_clips --output_dir /tmp/episodes \
        --mineclip_weights tiny_mineclip.pth --frame_format mp4 --batch_size 8

A recording is a folder with one video (``video.mp4``, or any name and container) and, if there are any, its
actions in ``actions.jsonl``; several videos in one folder have theirs in ``NAME.jsonl``. The actions are
contractor lines or our own (docs/formats.md), one for each tick of 1/20 s; frames whose action is
null are left out for either. A sentence in ``recording.json`` beside it, ``{"label": "chop a tree"}``, says what it
shows, for the prior. Without actions the inverse dynamics model labels the video, and the summary and
report.json say which ones those are.

Recordings that can't be used are said, and the others converted all the same. The same command goes on where it
stopped, and tries again what has changed since.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.generation.conversion_flags import add_driver_flags, driver_problems
from data.generation.convert import convert_all
from data.generation.options_file import with_recorders_options
from data.generation.own_recordings import find_recordings
from data.generation.recordings import (
    Recorded,
    RecordingPiece,
    made_otherwise,
    unchanged,
)
from data.generation.sources import LABELLED, Broken, Entry, Piece, Source, blamed, printable
from data.recorder_lines import says_no_player
from data.recording_options import (
    ONLY,
    RecordingOptions,
    add_recording_flags,
    recording_options,
    recording_problems,
)
from steve1.cli import boolean, count, entry_point, report_all
from steve1.files import read_object

if TYPE_CHECKING:
    from data.contractor import Recording
    from steve1.inverse_dynamics import InverseActionPolicy

CUSTOM_MIN_TIMESTEPS = 31  # 15 frames have no embedding, and an item of fewer than 16 more teaches nothing


class OwnRecordings(Source):
    """The recordings of a user's folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.wanted = args.num_episodes
        self._args = args
        self._idm: InverseActionPolicy | None = None
        self.empty = (
            f"no video was found in {args.input_dir}; it should hold folders with video.mp4 and actions.jsonl"
        )

    def entries(self) -> list[Entry]:
        return list(find_recordings(self._args.input_dir, self._args.relabel))

    def settings(self) -> dict[str, Any]:
        return {**self._reading(), "idm_weights": self._args.idm_weights}

    def check(self, entry: Entry, metadata: dict, path: Path) -> None:
        assert isinstance(entry, Recorded)
        made_otherwise(entry, self._reading(), metadata, path)

    def whole(self, entry: Entry, metadata: dict) -> bool:
        assert isinstance(entry, Recorded)
        try:
            label = label_of(entry)
        except Broken:
            return False  # opening it says why
        return unchanged(entry, metadata) and metadata.get("label") == label

    def pieces(self, entry: Entry, stored: Callable[[str], dict | None]) -> Iterator[Piece]:
        assert isinstance(entry, Recorded)
        labelled, label = entry.actions is None, label_of(entry)
        if labelled and self._args.idm_weights is None:
            raise Broken(
                f"{entry.video} has no actions beside it; add actions.jsonl, or give --idm_model and --idm_weights"
            )
        if labelled and self._args.only != "all":
            raise Broken(says_no_player(entry.video, self._args.only))
        idm = self._loaded_idm() if labelled else None
        with blamed():
            recording = self._read(entry) if idm is None else self._label(entry, idm)
        metadata = {
            **({"label": label} if label else {}),
            "source": printable(entry.origin),
            "source_bytes": entry.bytes(),
            "actions": LABELLED if labelled else printable(entry.actions or ""),
            "settings": self._reading(),
        }
        yield RecordingPiece(entry.name, recording, metadata, labelled)

    def _options(self) -> RecordingOptions:
        return replace(recording_options(self._args), only=self._args.only)

    def _reading(self) -> dict[str, Any]:
        return asdict(self._options())

    def _read(self, entry: Recorded) -> Recording:
        from data.contractor import Recording

        options = with_recorders_options(self._options(), entry.options)
        return Recording.read(entry.video, entry.actions or "", options)

    def _label(self, entry: Recorded, idm: InverseActionPolicy) -> Recording:
        from data.contractor import Recording
        from data.generation.label_with_idm import label_frames

        return Recording.label(
            entry.video, functools.partial(label_frames, idm), recording_options(self._args)
        )

    def _loaded_idm(self) -> InverseActionPolicy:
        if self._idm is None:
            from data.generation.label_with_idm import load_idm

            self._idm = load_idm(self._args.idm_model, self._args.idm_weights)
        return self._idm


def label_of(entry: Recorded) -> str | None:
    """The sentence that ``recording.json`` beside a recording has for it. Raises Broken where that can't be read."""
    if entry.about is None:
        return None
    with blamed():
        label = read_object(entry.about).get("label")
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise Broken(f"{entry.about}: label should be a text that is not empty; mend it, or remove label")
    return label


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Convert every recording of a folder."""
    args = build_parser().parse_args(argv)
    report_all(problems(args))
    convert_all(OwnRecordings(args), args)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--input_dir", required=True, help="folder of recordings: NAME/video.mp4, NAME/actions.jsonl"
    )
    group.add_argument("--output_dir", required=True, help="folder of episodes: NAME/ each")
    group = parser.add_argument_group("recordings")
    group.add_argument("--num_episodes", type=count, default=0, help="episodes to have (default: 0, all)")
    group.add_argument("--idm_model", default=None, help="the IDM's .model, for videos without actions")
    group.add_argument("--idm_weights", default=None, help="the IDM's .weights, for videos without actions")
    group.add_argument(
        "--only",
        choices=ONLY,
        default="all",
        help="convert the ticks in which this player played alone, of recordings that say who did, as "
        "run_interactive.py's do; between two stretches stands a cut, over which no goal leads (default: all)",
    )
    group.add_argument(
        "--relabel",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="have the IDM label a video without actions of its own although a file beside it may hold them under "
        "another name (default: False, such a video is refused)",
    )
    add_recording_flags(parser)
    add_driver_flags(parser, CUSTOM_MIN_TIMESTEPS)
    return parser


def problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags, a sentence each."""
    found = driver_problems(args) + recording_problems(args)
    if not os.path.isdir(args.input_dir):
        found.append(f"--input_dir {args.input_dir} does not exist; check the path")
    elif Path(args.output_dir).resolve().is_relative_to(Path(args.input_dir).resolve()):
        found.append("--output_dir is within --input_dir; choose another folder for the episodes")
    if (args.idm_model is None) != (args.idm_weights is None):
        found.append("--idm_model and --idm_weights go together; give both or neither")
    for flag in ("idm_model", "idm_weights"):
        path = getattr(args, flag)
        if path is not None and not os.path.isfile(path):
            found.append(f"--{flag} {path} does not exist; check the path")
    return found


if __name__ == "__main__":
    main()
