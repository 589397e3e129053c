"""The flags that say which items are trained on, for all who load them: one name, default and rule each."""

from __future__ import annotations

import argparse
from typing import Any

from steve1.cli import count, number
from steve1.config import data_root


def add_list_flags(group: Any) -> None:
    """Which episodes: ``--sampling --sampling_dir --data_limit``."""
    group.add_argument(
        "--sampling", default="neurips", help="name of the sampling (its NAME_train.txt, NAME_val.txt)"
    )
    group.add_argument(
        "--sampling_dir", default=str(data_root() / "samplings"), help="folder of the samplings"
    )
    group.add_argument(
        "--data_limit", type=count, default=0, help="use only the first N training episodes; 0: all"
    )


def add_item_flags(parser: argparse.ArgumentParser) -> None:
    """What an item is and how far ahead its goals lie: ``--T --trunc_t --p_uncond --min/max_btwn_goals``."""
    group = parser.add_argument_group("items and goals")
    group.add_argument("--T", type=count, default=640, help="frames in an item, a multiple of trunc_t")
    group.add_argument(
        "--trunc_t", type=count, default=64, help="frames between two cuts of the backpropagation"
    )
    group.add_argument("--p_uncond", type=number, default=0.1, help="share of items without a goal; 0: none")
    group.add_argument("--min_btwn_goals", type=count, default=15, help="smallest gap between goals, frames")
    group.add_argument("--max_btwn_goals", type=count, default=200, help="gaps stay below this many frames")


def too_small(args: argparse.Namespace, least: int, names: tuple[str, ...]) -> list[str]:
    """A sentence for each flag of ``names`` that is below ``least``."""
    return [
        f"--{name} is {getattr(args, name)}; it must be at least {least}"
        for name in names
        if getattr(args, name) < least
    ]


def item_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags above, one sentence each."""
    problems = too_small(args, 1, ("T", "trunc_t", "min_btwn_goals")) + too_small(args, 0, ("data_limit",))
    if args.T >= 1 and args.trunc_t >= 1 and args.T % args.trunc_t:
        lower = max(args.T // args.trunc_t, 1) * args.trunc_t
        problems.append(f"--T {args.T} is not a multiple of --trunc_t {args.trunc_t}; use --T {lower}")
    if args.min_btwn_goals >= args.max_btwn_goals:
        problems.append(
            f"--min_btwn_goals {args.min_btwn_goals} must be below --max_btwn_goals {args.max_btwn_goals}"
        )
    if not 0 <= args.p_uncond <= 1:
        problems.append(f"--p_uncond is {args.p_uncond}; it is a probability from 0 to 1")
    return problems
