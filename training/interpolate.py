"""Weights between two: (1 - alpha) * A + alpha * B, tensor by tensor. For a start A and what was fine-tuned from it, B.

Real (then let them play: training/judge_run.py):
    python -m training.interpolate data/weights/steve1/steve1.weights data/weights/steve1/steve1_house.weights \\
        --alpha 0.25 0.5 0.75
Tiny:
    python -m training.interpolate /tmp/a.weights /tmp/b.weights --alpha 0.5

Weights on the line between a start and what was fine-tuned from it often keep what the start could do and have much
of what is new (Wortsman et al. 2022, arXiv 2109.01903). It costs no training. Each alpha gives B_alpha_S.weights with a
JSON beside it that says from what.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import UserError, entry_point, number, out_of_range, report_all
from steve1.flags import missing_files

if TYPE_CHECKING:
    from torch import Tensor


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Write the weights; see ``--help``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start", type=Path, metavar="A.weights", help="where alpha is 0: the start")
    parser.add_argument("tuned", type=Path, metavar="B.weights", help="where alpha is 1: what became of it")
    parser.add_argument(
        "--alpha",
        type=number,
        nargs="+",
        default=[0.5],
        help="shares of B, 0 to 1, a file each (default 0.5)",
    )
    parser.add_argument(
        "--output_dir", type=Path, default=None, help="folder of the files (default: that of B)"
    )
    args = parser.parse_args(argv)
    problems = out_of_range(args, "alpha", least=0, most=1) + missing_files(args, ("start", "tuned"))
    report_all(problems)

    from steve1.checkpoints import metadata_path, read_metadata, read_state_dict, save_weights, tensors_hash

    start, tuned = read_state_dict(args.start), read_state_dict(args.tuned)
    about_start, about = read_metadata(args.start), read_metadata(args.tuned)
    check_alike(args, start, tuned, about_start, about)
    folder = args.output_dir or args.tuned.parent
    outs = {
        alpha: folder / f"{args.tuned.stem}_alpha_{alpha:g}.weights" for alpha in dict.fromkeys(args.alpha)
    }
    for out in outs.values():
        metadata_path(out)
    line = {
        "from": str(args.start),
        "from_hash": tensors_hash(start),
        "to": str(args.tuned),
        "to_hash": tensors_hash(tuned),
    }
    for alpha, out in outs.items():
        save_weights(
            interpolate(start, tuned, alpha), out, {**about, "interpolated": {**line, "alpha": alpha}}
        )
        print(f"{out}: {1 - alpha:g} of {args.start.name}, {alpha:g} of {args.tuned.name}")


def interpolate(start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """``(1 - alpha) * start + alpha * tuned`` of each tensor; at 0 and 1 one of the two, to the bit.

    What is no floating point number is the tuned one's.
    """
    return {
        name: start[name].lerp(tensor, alpha) if tensor.is_floating_point() else tensor
        for name, tensor in tuned.items()
    }


def check_alike(
    args: argparse.Namespace,
    start: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    about_start: Mapping,
    about: Mapping,
) -> None:
    """Raises UserError where there is nothing between the two: other architectures, other goals, NaN."""
    from steve1.checkpoints import check_finite

    other = sorted(
        name
        for name in {*start, *tuned}
        if name not in start
        or name not in tuned
        or (start[name].shape, start[name].dtype) != (tuned[name].shape, tuned[name].dtype)
    )
    models = about_start.get("model"), about.get("model")
    if other or (None not in models and models[0] != models[1]):
        what = f"{len(other)} tensors differ, {other[0]} for one" if other else "their JSON says so"
        raise UserError(
            f"{args.start} and {args.tuned} are of two architectures ({what}), so there is nothing between them; give "
            "the start that the second was fine-tuned from"
        )
    goals = [note.get("data", {}).get("mineclip_hashes") for note in (about_start, about)]
    if all(goals) and not set(goals[0]) & set(goals[1]):
        raise UserError(
            f"{args.start} knows goals of MineCLIP {goals[0][0][:12]} and {args.tuned} of {goals[1][0][:12]}; between "
            "them lies neither, so give two of one MineCLIP"
        )
    for path, tensors in ((args.start, start), (args.tuned, tuned)):
        check_finite(tensors, path)


if __name__ == "__main__":
    main()
