"""OpenAI's contractor recordings become episodes: index, download, convert, one recording after the other.

    python data/generation/convert_from_contractor.py --index 8.x --num_episodes 100 \
        --output_dir data/dataset_contractor --cache_dir data/cache_contractor
    python data/generation/convert_from_contractor.py --local_dir my_recordings --num_episodes 2 \
        --output_dir /tmp/episodes --mineclip_weights tiny_mineclip.pth --min_timesteps 100 --batch_size 8

Recordings that the address does not have (2-20 % of an index), broken and short ones are passed over and
listed in the report in the output folder (report.json), and not tried again; to try them again, remove it.
The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.generation.episodes import (
    EpisodeMaker,
    Summary,
    TooShort,
    add_episode_flags,
    flag_problems,
    load_maker,
)
from steve1.cli import UserError, boolean, count, entry_point, report_all
from steve1.config import data_root
from steve1.files import write_json

BASE_URL = "https://openaipublic.blob.core.windows.net/minecraft-rl/snapshots/"
INDICES = {
    "6.x": "all_6xx_Jun_29.json",
    "7.x": "all_7xx_Apr_6.json",
    "8.x": "all_8xx_Jun_29.json",
    "9.x": "all_9xx_Jun_29.json",
    "10.x": "all_10xx_Jun_29.json",
}
MAX_FAILURES_IN_A_ROW = 5  # downloads; then the network is down, not the recording


@dataclass(frozen=True)
class Source:
    """Where a recording's two files are: addresses, or paths (``remote`` False)."""

    name: str
    video: str
    actions: str
    remote: bool


def read_index(path: str | os.PathLike) -> list[Source]:
    """The recordings of an index file ``{"basedir": address or folder, "relpaths": [...]}``, in its order."""
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
        basedir, relpaths = index["basedir"], index["relpaths"]
        if not isinstance(basedir, str) or not all(isinstance(relpath, str) for relpath in relpaths):
            raise TypeError("basedir or relpaths")
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f'{path} is no index of recordings: it should be JSON {{"basedir": "...", "relpaths": ["..."]}}; '
            "remove it to download it again, or name another"
        ) from None
    remote = basedir.startswith(("http://", "https://"))
    sources = []
    for relpath in relpaths:
        # Addresses are joined as the published code does: basedir ends with a slash.
        video = f"{basedir.rstrip('/')}/{relpath.lstrip('/')}"
        name = PurePosixPath(relpath).stem
        if re.fullmatch(r"[\w.-]+", name) and not name.startswith("."):
            sources.append(Source(name, video, video.removesuffix(".mp4") + ".jsonl", remote))
        else:
            raise UserError(
                f"{path} lists {relpath!r}, which is no recording's name; mend or remove that entry"
            )
    return sources


def in_folder(local_dir: str | os.PathLike, names: Sequence[str] | None = None) -> list[Source]:
    """The recordings NAME.mp4 with NAME.jsonl at or below a folder; of an index's ``names`` alone if given."""
    videos = {
        path.stem: path for path in sorted(Path(local_dir).rglob("*.mp4")) if not path.name.startswith(".")
    }
    wanted = sorted(videos) if names is None else names
    missing = Path(local_dir)
    paths = {name: videos.get(name, missing / f"{name}.mp4") for name in wanted}
    return [Source(name, str(path), str(path.with_suffix(".jsonl")), False) for name, path in paths.items()]


class Report:
    """The recordings that were passed over for good, in a file that is rewritten whole at each change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: dict[str, dict[str, str]] = {}
        if path.exists():
            try:
                self.passed_over = json.loads(path.read_text(encoding="utf-8"))["passed_over"]
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{path} is damaged; remove it (recordings in it are then tried again)"
                ) from None

    def add(self, name: str, kind: str, reason: str) -> None:
        """Note that a recording makes no episode."""
        self.passed_over[name] = {"kind": kind, "reason": reason}
        counts = Counter(entry["kind"] for entry in self.passed_over.values())
        write_json(self.path, {"counts": dict(counts), "passed_over": self.passed_over})


class Unreachable(Exception):
    """A download failed for a reason that may pass."""


def obtain(source: Source, cache: Path) -> tuple[Path, Path]:
    """The recording's video and lines as local files, downloaded where they are remote.

    Raises :class:`~steve1.download.NotFound`, or :class:`Unreachable` when it may work later.
    """
    from steve1.download import NotFound, fetch

    if not source.remote:
        for path in (source.video, source.actions):
            if not os.path.isfile(path):
                raise NotFound(f"{path} does not exist")
        return Path(source.video), Path(source.actions)
    video, actions = cached(source, cache)
    try:
        # The small file first: where it is missing, the large one need not come.
        fetch(source.actions, actions)
        fetch(source.video, video)
    except NotFound:
        raise
    except UserError as error:
        raise Unreachable(str(error)) from None
    return video, actions


def cached(source: Source, cache: Path) -> tuple[Path, Path]:
    """Where a remote recording's files lie while they are converted."""
    return cache / f"{source.name}.mp4", cache / f"{source.name}.jsonl"


def discard(source: Source, cache: Path) -> None:
    """Remove what was downloaded of a recording; local recordings are not touched."""
    if source.remote:
        for path in cached(source, cache):
            path.unlink(missing_ok=True)


def convert_all(
    sources: Sequence[Source],
    maker: EpisodeMaker,
    output: Path,
    cache: Path,
    wanted: int,
    report: Report,
    legacy_int_camera: bool = False,
) -> Summary:
    """Convert recordings in their order until ``wanted`` episodes are there (0: all); see the module."""
    from data.contractor import Recording
    from steve1.download import NotFound

    summary = Summary()
    failures = 0
    for source in sources:
        if wanted and summary.episodes + summary.existing >= wanted:
            break
        dirpath = output / source.name
        if maker.exists(dirpath):
            discard(source, cache)
            summary.existing += 1
            continue
        if source.name in report.passed_over:
            summary.passed_over[f"{report.passed_over[source.name]['kind']} (known from before)"] += 1
            continue
        kind, reason = "", ""
        try:
            video, actions = obtain(source, cache)
            failures = 0
            recording = Recording.read(video, actions, legacy_int_camera)
            metadata = {"source": source.video, "legacy_int_camera": legacy_int_camera}
            n = maker.make(dirpath, recording, metadata)
            summary.add(recording, n)
            print(f"{source.name}: {n:,} frames")
            for warning in recording.warnings:
                print(f"{source.name}: {warning}")
        except NotFound as error:
            kind, reason = "not found", str(error)
        except TooShort as short:
            kind, reason = "too short", str(short)
        except Unreachable as error:
            failures += 1
            summary.passed_over["not reachable now (run the same command again)"] += 1
            print(f"{source.name}: {error}", file=sys.stderr)
            if failures == MAX_FAILURES_IN_A_ROW:
                print(summary.text())
                raise UserError(
                    f"{failures} downloads in a row failed, the last one: {error}; check the network and run the "
                    "same command again"
                ) from None
            continue
        except UserError as error:
            kind, reason = "broken", str(error)
        if kind:
            report.add(source.name, kind, reason)
            summary.passed_over[kind] += 1
            print(f"{source.name}: passed over, {kind}: {reason}")
        discard(source, cache)
    return summary


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Download and convert contractor recordings."""
    parser = argparse.ArgumentParser(
        description="Turn OpenAI's contractor recordings into episodes. Episodes that exist are kept and count "
        "towards --num_episodes, so the same command goes on where it stopped."
    )
    _add_flags(parser)
    args = parser.parse_args(argv)
    report_all(_problems(args))

    output, cache = Path(args.output_dir), Path(args.cache_dir)
    if args.num_workers > 1:
        cache /= f"worker_{args.worker_id}"
    sources = _sources(args, cache)[args.worker_id :: args.num_workers]
    if not sources:
        raise UserError(f"there is no recording for worker {args.worker_id}; check --index, --local_dir")
    maker = load_maker(args)
    name = "report.json" if args.num_workers == 1 else f"report_{args.worker_id}_of_{args.num_workers}.json"
    report = Report(output / name)
    summary = convert_all(sources, maker, output, cache, args.num_episodes, report, args.legacy_int_camera)
    print(summary.text())
    if report.passed_over:
        print(f"why recordings were passed over: {report.path}")
    there = summary.episodes + summary.existing
    if there == 0 and args.num_workers == 1:  # a slice may well have none
        raise UserError("no recording made an episode; the reasons are printed above")
    if args.num_episodes and there < args.num_episodes:
        print(f"{there:,} of {args.num_episodes:,} episodes: this slice of the recordings is used up")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "--index", choices=tuple(INDICES), default="8.x", help="collection of recordings (default: 8.x)"
    )
    group.add_argument("--index_file", default=None, help="an index in a local file, instead of --index")
    group.add_argument(
        "--local_dir",
        default=None,
        help="folder with NAME.mp4 and NAME.jsonl; nothing is downloaded (all of them, or those of --index_file)",
    )
    group.add_argument("--base_url", default=BASE_URL, help="address of the index files (default: OpenAI's)")
    group.add_argument("--num_episodes", type=count, default=5, help="episodes to have (default: 5; 0: all)")
    group.add_argument(
        "--num_workers", type=count, default=1, help="slices that the recordings are dealt into (default: 1)"
    )
    group.add_argument(
        "--worker_id",
        type=count,
        default=0,
        help="which slice is this one's, from 0; --num_episodes is per slice (default: 0)",
    )
    group.add_argument(
        "--legacy_int_camera",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="cut camera angles to whole degrees, as the published converter does by mistake (default: False)",
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
        help="folder for downloads, removed once converted: 100 MB (default: data/cache_contractor)",
    )
    add_episode_flags(parser, 1000)


def _problems(args: argparse.Namespace) -> list[str]:
    problems = flag_problems(args)
    if args.num_episodes < 0:
        problems.append(f"--num_episodes {args.num_episodes} is below 0; 0 converts all")
    if args.num_workers < 1:
        problems.append(f"--num_workers {args.num_workers} is below 1")
    elif not 0 <= args.worker_id < args.num_workers:
        problems.append(
            f"--worker_id {args.worker_id} is not between 0 and --num_workers {args.num_workers} - 1"
        )
    if args.index_file is not None and not os.path.isfile(args.index_file):
        problems.append(f"--index_file {args.index_file} does not exist; check the path")
    if args.local_dir is not None and not os.path.isdir(args.local_dir):
        problems.append(f"--local_dir {args.local_dir} does not exist; check the path")
    return problems


def _sources(args: argparse.Namespace, cache: Path) -> list[Source]:
    """What the flags ask for: a local folder, or an index, local or downloaded."""
    if args.local_dir is not None:
        names = [source.name for source in read_index(args.index_file)] if args.index_file else None
        return in_folder(args.local_dir, names)
    if args.index_file is not None:
        return read_index(args.index_file)
    from steve1.download import fetch

    path = cache / INDICES[args.index]
    return read_index(fetch(f"{args.base_url.rstrip('/')}/{INDICES[args.index]}", path))


if __name__ == "__main__":
    main()
