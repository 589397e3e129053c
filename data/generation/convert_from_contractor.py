"""OpenAI's contractor recordings become episodes: index, download, convert.

    python data/generation/convert_from_contractor.py --index 8.x --num_episodes 100 \
        --output_dir data/dataset_contractor --cache_dir data/cache_contractor
    python data/generation/convert_from_contractor.py --local_dir my_recordings --num_episodes 2 \
        --output_dir /tmp/episodes --mineclip_weights tiny_mineclip.pth --min_timesteps 100 --batch_size 8

--index also takes the four BASALT 2022 tasks by name (FindCave, MakeWaterfall, MakeVillageAnimalPen,
BuildVillageHouse): each of their recordings shows one task, whose sentence goes to the episode's metadata as a label.

The next recordings are downloaded while others are converted. Recordings that the address does not have (2-20 % of
an index), broken and short ones are passed over and listed in the report in the output folder (report.json); they
are tried again when their files or the flags have changed. It also lists the downloads that failed, which the next
run tries again, and the episodes that are shorter than their recordings. The same command goes on where it
stopped, wherever that was.

To share the work: --workers for this machine, a process for each slice on several (--num_workers, --worker_id), or
one process that gives it to a Ray cluster (--ray_address). All make the same episodes as one process.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.generation.conversion_flags import add_driver_flags, driver_problems
from data.generation.convert import convert_all
from data.generation.options_file import with_recorders_options
from data.generation.recordings import (
    BASE_URL,
    INDICES,
    TASKS,
    Recorded,
    RecordingPiece,
    discard,
    in_folder,
    made_otherwise,
    obtain,
    read_index,
    unchanged,
    without_closing_menu,
)
from data.generation.sources import Entry, Missing, Piece, Source, blamed, printable
from data.recording_options import add_recording_flags, recording_options, recording_problems
from steve1.cli import count, entry_point, not_there, out_of_range, report_all
from steve1.config import data_root

__all__ = ["INDICES", "in_folder", "main", "read_index"]

MAX_FAILURES_IN_A_ROW = 5  # downloads; then the network is down, not the recording


class ContractorRecordings(Source):
    """The recordings of an index, local or downloaded, or of a local folder."""

    most_outside_failures = MAX_FAILURES_IN_A_ROW

    def __init__(self, args: argparse.Namespace, index: str | None) -> None:
        self.wanted, self._index = args.num_episodes, index
        self._args, self.downloads = args, args.downloads
        self._cache = Path(args.cache_dir).absolute()
        if (args.num_workers or 1) > 1:
            self._cache /= f"worker_{args.worker_id}"
        self.empty = "there is no recording; check --index, --local_dir"

    def entries(self) -> list[Entry]:
        args = self._args
        if args.local_dir is not None:
            names = [entry.name for entry in read_index(args.index_file)] if args.index_file else None
            return list(in_folder(args.local_dir, names))
        if args.index_file is not None:
            return list(read_index(args.index_file))
        from steve1.download import fetch

        path = self._cache / INDICES[self._index or DEFAULT_INDEX]
        return list(read_index(fetch(f"{args.base_url.rstrip('/')}/{path.name}", path)))

    def settings(self) -> dict[str, Any]:
        return {
            **asdict(recording_options(self._args)),
            "index": self._index if self._index in TASKS else None,
        }

    def check(self, entry: Entry, metadata: dict, path: Path) -> None:
        assert isinstance(entry, Recorded)
        made_otherwise(entry, self.settings(), metadata, path)

    def whole(self, entry: Entry, metadata: dict) -> bool:
        assert isinstance(entry, Recorded)
        return unchanged(entry, metadata)

    def fetch(self, entry: Entry, stop: threading.Event | None = None) -> Recorded:
        assert isinstance(entry, Recorded)
        return obtain(entry, self._cache, stop)

    def discard(self, entry: Entry) -> None:
        assert isinstance(entry, Recorded)
        discard(entry, self._cache)

    def gave_up(self, failures: int, last: str) -> str:
        return (
            f"{failures} downloads in a row failed, the last one: {last}; check the network and run the same command "
            "again"
        )

    def pieces(self, entry: Entry, stored: Callable[[str], dict | None]) -> Iterator[Piece]:
        from data.contractor import Recording

        assert isinstance(entry, Recorded)
        for path in (entry.video, entry.actions or ""):
            if not os.path.isfile(path):
                raise Missing(f"{path} does not exist")
        with blamed():
            options = with_recorders_options(recording_options(self._args), entry.options)
            recording = Recording.read(entry.video, entry.actions or "", options)
        task, in_menu = TASKS.get(self._index or ""), 0
        if task:
            recording.actions, in_menu = without_closing_menu(recording.actions)
        metadata = {
            "source": printable(entry.origin),
            "source_bytes": entry.bytes() if entry.origin == entry.video else None,
            "legacy_int_camera": self._args.legacy_int_camera,
            "settings": self.settings(),
            **({} if options == recording_options(self._args) else {"recorders_options": asdict(options)}),
            **({"label": task, "task": self._index} if task else {}),
        }
        yield RecordingPiece(entry.name, recording, metadata, in_menu=in_menu)


DEFAULT_INDEX = "8.x"


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Download and convert contractor recordings."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    here = args.local_dir is not None or args.index_file is not None
    # Of what lies here the index says at most what it shows, so that there is one conversion.
    indices = (
        [args.index[0] if args.index and len(args.index) == 1 else None] if here else args.index or [None]
    )
    for index in indices:
        if len(indices) > 1:
            print(f"---- {index}")
        convert_all(ContractorRecordings(args, index), args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "--index",
        choices=tuple(INDICES),
        nargs="+",
        default=None,
        help="collections of recordings, or BASALT tasks, --num_episodes of each; with --local_dir or --index_file: "
        "what those show, where it is one (default: 8.x)",
    )
    group.add_argument("--index_file", default=None, help="an index in a local file, instead of OpenAI's")
    group.add_argument(
        "--local_dir",
        default=None,
        help="folder with NAME.mp4 and NAME.jsonl; nothing is downloaded (all of them, or those of --index_file)",
    )
    group.add_argument("--base_url", default=BASE_URL, help="address of the index files (default: OpenAI's)")
    group.add_argument("--num_episodes", type=count, default=5, help="episodes to have (default: 5; 0: all)")
    group.add_argument(
        "--downloads",
        type=count,
        default=4,
        help="recordings that are downloaded while others are converted (default: 4; 0: none, each in its turn)",
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--output_dir",
        default=str(data_root() / "dataset_contractor"),
        help="folder of episodes (default: data/dataset_contractor)",
    )
    group.add_argument(
        "--cache_dir",
        default=str(data_root() / "cache_contractor"),
        help="folder for downloads, removed once converted: up to 100 MB for each of --downloads, and for each of "
        "--workers (default: data/cache_contractor)",
    )
    add_recording_flags(parser)
    add_driver_flags(parser, 1000)
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = driver_problems(args) + recording_problems(args)
    problems += out_of_range(args, "downloads", least=0, note="0: each recording in its turn")
    return problems + not_there(args, "index_file") + not_there(args, "local_dir", folder=True)


if __name__ == "__main__":
    main()
