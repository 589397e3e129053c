"""OpenAI's contractor recordings become episodes: index, download, convert.

    python data/generation/convert_from_contractor.py --index 8.x --num_episodes 100 \
        --output_dir data/dataset_contractor --cache_dir data/cache_contractor
    python data/generation/convert_from_contractor.py --local_dir my_recordings --num_episodes 2 \
        --output_dir /tmp/episodes --mineclip_weights tiny_mineclip.pth --min_timesteps 100 --batch_size 8

The next recordings are downloaded while one is converted. Recordings that the address does not have (2-20 % of
an index), broken and short ones are passed over and listed in the report in the output folder (report.json),
and not tried again; to try them again, remove it. It also lists the downloads that failed, which the next run
tries again, and the episodes that are shorter than their recordings. The same command goes on where it
stopped, wherever that was.

To share the work, run a process for each slice (--num_workers, --worker_id), or one process that gives it to
a Ray cluster (--ray_address). Either makes the same episodes as one process.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from data.generation.conversion import Ledger, Report, convert_here
from data.generation.disk_space import FRAME_BYTES, MAX_FRAMES, RECORDING_BYTES, check_room, frames_of_lines
from data.generation.episodes import (
    EpisodeMaker,
    add_episode_flags,
    flag_problems,
    load_maker,
    slice_problems,
)
from data.generation.recordings import BASE_URL, INDICES, Source, in_folder, read_index
from steve1.cli import UserError, boolean, count, entry_point, number, report_all
from steve1.config import data_root
from steve1.files import sweep

__all__ = ["INDICES", "in_folder", "main", "read_index"]


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
    name = "report.json" if args.num_workers == 1 else f"report_{args.worker_id}_of_{args.num_workers}.json"
    sweep(output, {name, *(source.name for source in sources)})
    report = Report(output / name)
    _check_all_fit(args, sources, report, output, cache)
    maker = load_maker(args)
    ledger = _ledger(args, sources, report, maker, output, cache)
    if args.ray_address is None:
        convert_here(ledger, maker, output, cache, args.downloads, args.legacy_int_camera)
    else:
        from data.generation.many_machines import convert_there

        convert_there(ledger, maker.mineclip_hash, args)

    print(ledger.summary.text())
    if report:
        print(f"which recordings were passed over or shortened, and why: {report.path}")
    if ledger.there == 0 and args.num_workers == 1:  # a slice may well have none
        raise UserError("no recording made an episode; the reasons are printed above")
    if args.num_episodes and ledger.there < args.num_episodes:
        print(f"{ledger.there:,} of {args.num_episodes:,} episodes: this slice of the recordings is used up")


def _ledger(
    args: argparse.Namespace,
    sources: list[Source],
    report: Report,
    maker: EpisodeMaker,
    output: Path,
    cache: Path,
) -> Ledger:
    keep = int(args.keep_free_gb * 1e9)

    def check_some_fit(n: int) -> None:
        remote = n if sources[0].remote else 0
        check_room(_needs(args, output, cache, remote * MAX_FRAMES, remote), keep)

    return Ledger(
        sources,
        args.num_episodes,
        report,
        lambda source: maker.exists(output / source.name),
        cache,
        check_some_fit,
    )


def _check_all_fit(
    args: argparse.Namespace, sources: list[Source], report: Report, output: Path, cache: Path
) -> None:
    """Raise UserError unless the disks have room for every episode that is still to be made."""
    there = set(os.listdir(output)) if output.is_dir() else set()
    missing = [source for source in sources if source.name not in there | report.passed_over.keys()]
    if args.num_episodes:
        n_existing = sum(source.name in there for source in sources)
        missing = missing[: max(0, args.num_episodes - n_existing)]
    frames = sum(MAX_FRAMES if source.remote else frames_of_lines(source.actions) for source in missing)
    under_way = min(sum(source.remote for source in missing), args.downloads + 1)
    check_room(_needs(args, output, cache, frames, under_way), int(args.keep_free_gb * 1e9))


def _needs(
    args: argparse.Namespace, output: Path, cache: Path, frames: int, downloads: int
) -> list[tuple[str, Path, int]]:
    return [
        ("--output_dir", output, frames * FRAME_BYTES[args.frame_format]),
        ("--cache_dir", cache, downloads * RECORDING_BYTES),
    ]


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
        "--downloads",
        type=count,
        default=4,
        help="recordings that are downloaded while one is converted (default: 4; 0: none, each in its turn)",
    )
    group.add_argument(
        "--legacy_int_camera",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="cut camera angles to whole degrees, as the published converter does by mistake (default: False)",
    )
    group = parser.add_argument_group("sharing the work")
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
        "--ray_address",
        default=None,
        help="convert on a Ray cluster: HOST:6379, auto (the one that this machine belongs to) or local (start one "
        "here); its machines need this package, and weights and output under the same paths, on a shared disk "
        "(default: convert in this process)",
    )
    group.add_argument(
        "--ray_cpus",
        type=number,
        default=1.0,
        help="CPU cores of the cluster that a conversion takes; half a core lets one recording download while "
        "another is converted (default: 1)",
    )
    group.add_argument(
        "--ray_gpus",
        type=number,
        default=0.0,
        help="GPUs of the cluster that a conversion takes, or a part such as 0.25 (default: 0, CPU)",
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
        help="folder for downloads, removed once converted: up to 100 MB for each of --downloads, and for one more "
        "(default: data/cache_contractor)",
    )
    group.add_argument(
        "--keep_free_gb",
        type=number,
        default=1.0,
        help="GB (10^9 bytes) of disk to leave free; checked before anything is downloaded, and before each "
        "recording (default: 1; -1: no check)",
    )
    add_episode_flags(parser, 1000)


def _problems(args: argparse.Namespace) -> list[str]:
    problems = flag_problems(args)
    if args.num_episodes < 0:
        problems.append(f"--num_episodes {args.num_episodes} is below 0; 0 converts all")
    if args.downloads < 0:
        problems.append(f"--downloads {args.downloads} is below 0; 0 downloads each recording in its turn")
    problems += slice_problems(args)
    if args.index_file is not None and not os.path.isfile(args.index_file):
        problems.append(f"--index_file {args.index_file} does not exist; check the path")
    if args.local_dir is not None and not os.path.isdir(args.local_dir):
        problems.append(f"--local_dir {args.local_dir} does not exist; check the path")
    if not -1e9 < args.keep_free_gb < 1e9:
        problems.append(
            f"--keep_free_gb {args.keep_free_gb} is no size of a disk; give GB, or -1 for no check"
        )
    if args.ray_address is not None and importlib.util.find_spec("ray") is None:
        problems.append('--ray_address needs Ray, which is not installed: pip install "ray"')
    for flag, value, least in (("ray_cpus", args.ray_cpus, 0.001), ("ray_gpus", args.ray_gpus, 0)):
        if not least <= value < 1e6:
            problems.append(f"--{flag} {value} is below {least:g}")
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
