"""The flags that say which items are trained on, for all who load them: one name, default and rule each."""

from __future__ import annotations

import argparse
from typing import Any

from steve1.cli import count, number, out_of_range
from steve1.config import data_root

GOAL_SAMPLINGS = ("uniform", "boundaries")


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
    """What an item is and how far ahead its goals lie: ``--T --trunc_t --p_uncond --min/max_btwn_goals ...``."""
    group = parser.add_argument_group("items and goals")
    group.add_argument("--T", type=count, default=640, help="frames in an item, a multiple of trunc_t")
    group.add_argument(
        "--trunc_t", type=count, default=64, help="frames between two cuts of the backpropagation"
    )
    group.add_argument("--p_uncond", type=number, default=0.1, help="share of items without a goal; 0: none")
    group.add_argument("--min_btwn_goals", type=count, default=15, help="smallest gap between goals, frames")
    group.add_argument("--max_btwn_goals", type=count, default=200, help="gaps stay below this many frames")
    group.add_argument(
        "--goal_sampling",
        choices=GOAL_SAMPLINGS,
        default="uniform",
        help="where goals lie, within those gaps: uniform draws the gaps; boundaries takes the next frame with which a "
        "behaviour ends, as data/generation/mark_boundaries.py marked it, and draws where there is none",
    )


def item_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags above, one sentence each."""
    problems = out_of_range(args, "T", "trunc_t", "min_btwn_goals", least=1)
    problems += out_of_range(args, "data_limit", least=0, note="0: all")
    if args.T >= 1 and args.trunc_t >= 1 and args.T % args.trunc_t:
        lower = max(args.T // args.trunc_t, 1) * args.trunc_t
        problems.append(f"--T {args.T} is not a multiple of --trunc_t {args.trunc_t}; use --T {lower}")
    if args.min_btwn_goals >= args.max_btwn_goals:
        problems.append(
            f"--min_btwn_goals {args.min_btwn_goals} must be below --max_btwn_goals {args.max_btwn_goals}"
        )
    return problems + out_of_range(args, "p_uncond", least=0, most=1)
