"""The flags that all converters have, and what is wrong with them."""

from __future__ import annotations

import argparse
import importlib.util

from steve1.cli import boolean, count, number, out_of_range
from steve1.config import weights_dir
from steve1.flags import missing_files


def add_driver_flags(parser: argparse.ArgumentParser, min_timesteps: int, what: str = "recordings") -> None:
    """Add the flags of data/generation/convert.py. ``what``: the word for what is converted."""
    add_episode_flags(parser, min_timesteps)
    group = parser.add_argument_group("processes")
    group.add_argument(
        "--workers",
        type=count,
        default=1,
        help=f"processes of this machine that share the {what}, each on one core and with a MineCLIP of its own (about "
        "1.5 GB with the published one); the episodes are the same (default: 1; 0: one a core, as memory allows)",
    )
    group.add_argument(
        "--num_workers",
        type=count,
        default=None,
        help=f"slices that the {what} are dealt into, for machines that you start yourself; with --worker_id "
        "(default: no slices)",
    )
    group.add_argument(
        "--worker_id",
        type=count,
        default=None,
        help="which slice is this machine's, from 0; --num_episodes is per slice",
    )
    group.add_argument(
        "--ray_address",
        default=None,
        help="convert on a Ray cluster: HOST:6379, auto (the one that this machine belongs to) or local (start one "
        "here); its machines need this package, and weights, input and output under the same paths, on a shared disk "
        "(default: this machine alone)",
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
    group = parser.add_argument_group("what can't be")
    group.add_argument(
        "--skip_broken",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help=f"end with exit code 0 although {what} of yours can't be used, as long as there are episodes; they are "
        "said and in report.json all the same (default: False, exit code 1 when the others are done)",
    )
    group.add_argument(
        "--keep_free_gb",
        type=number,
        default=1.0,
        help="GB (10^9 bytes) of disk to leave free; checked before the first and before each "
        "(default: 1; -1: no check)",
    )


def driver_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags of :func:`add_driver_flags`, and with ``--num_episodes``."""
    problems = flag_problems(args) + slice_problems(args)
    problems += out_of_range(args, "num_episodes", least=0, note="0: all")
    problems += out_of_range(args, "workers", least=0, note="0: a process a core")
    problems += out_of_range(args, "keep_free_gb", above=-1e9, below=1e9, note="GB; -1: no check")
    if args.ray_address is not None:
        if importlib.util.find_spec("ray") is None:
            problems.append('--ray_address needs Ray, which is not installed: pip install "ray"')
        if args.workers > 1:
            problems.append("--workers is for this machine, --ray_address for a cluster; give one of them")
    problems += out_of_range(args, "ray_cpus", least=0.001, below=1e6)
    return problems + out_of_range(args, "ray_gpus", least=0, below=1e6)


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
        help="MineCLIP's weights, or a place in the hub's form (default: attn.pth from download_weights.sh)",
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
    problems = out_of_range(args, "batch_size", least=1)
    problems += out_of_range(args, "min_timesteps", least=0, note="0: all")
    return problems + missing_files(args, ("mineclip_weights", "mineclip_config"))


def slice_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with ``--num_workers`` and ``--worker_id``, which slice of the work is this process's."""
    n, which = args.num_workers, args.worker_id
    if n is None and which is None:
        return []
    if which is None:
        return [
            f"--num_workers {n} needs --worker_id, from 0 to {n - 1}; for processes of one machine give --workers"
        ]
    if n is None:
        return [f"--worker_id {which} needs --num_workers, the number of slices"]
    if n < 1:
        return out_of_range(args, "num_workers", least=1)
    if not 0 <= which < n:
        return [f"--worker_id {which} is not between 0 and --num_workers {n} - 1"]
    return []
