"""Let all weights of a run play, and name the best: OUT, OUT_best, OUT_ema, OUT_alpha_0.5 and whatever else is beside.

Real (three behaviours in 16 worlds; flags that are not listed below are run_agent.py's):
    python -m training.judge_run data/weights/steve1/steve1_house.weights --start data/weights/steve1/steve1.weights \\
        --prior_weights data/weights/steve1/steve1_prior.pt --behaviours dig,seeds,wood --gameplay_length 1000
Tiny (the quickstart's run in the embedded world, a minute):
    python -m training.judge_run data/quickstart/weights/steve1/small.weights --env blockworld \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth --behaviours sky --num_seeds 6 \\
        --gameplay_length 60 --num_envs 6 --device cpu

In each world and for each prompt the weights are ranked by the prompt's own measure (1 is best, equals share their
ranks); the lowest mean rank is the best. Its seeds are for choosing: whatever was chosen on them looks better there
than it is, so its figures belong to other seeds (run_agent.py --seeds evaluation).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import UserError, count, entry_point, not_there, out_of_range, report_all
from steve1.config import data_root, weights_dir
from steve1.files import write_json
from steve1.flags import missing_files
from steve1.programs import Program, run_programs

if TYPE_CHECKING:
    from steve1.judging.verdicts import Group

Seeds = tuple[int, int]
OURS = (
    "--in_weights",
    "--compare_weights",
    "--save_dirpath",
    "--no_films",
    "--report",
)  # of run_agent's flags


@dataclass(frozen=True)
class Judged:
    """What weights came to. ``mean_rank``: over worlds and prompts, 1 the best. ``means``: of own measures, by prompt.

    ``ahead_p``: p of the sign-flip test that the next best one's ranks are no worse; of the best one alone.
    """

    weights: str
    mean_rank: float
    means: dict[str, float]
    ahead_p: float | None = None


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Judge; see ``--help``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("out_weights", type=Path, metavar="OUT.weights", help="the run's --out_weights")
    parser.add_argument(
        "--start", type=Path, default=None, help="weights that it began with, to compete too (default: none)"
    )
    parser.add_argument(
        "--seed", type=count, default=2_000_000, help="of the first world; for choosing (default 2_000_000)"
    )
    parser.add_argument("--num_seeds", type=count, default=16, help="worlds for each prompt (default 16)")
    parser.add_argument(
        "--judged_dir",
        type=Path,
        default=data_root() / "judged_runs",
        help="folder of the records, which are used again (default: data/judged_runs)",
    )
    args, flags = parser.parse_known_args(argv)
    report_all(_problems(args, flags))

    found, others = candidates(args.out_weights, args.start)
    for path in others:
        print(f"{path} is of another run: left out")
    if len(found) < 2:
        raise UserError(
            f"beside {args.out_weights} there is nothing to compare; give --start, or train further"
        )

    # ---- play ----
    from steve1.judging.verdicts import groups_of
    from steve1.playing.episode import read_episodes

    flags = [*flags, "--seed", str(args.seed), "--num_seeds", str(args.num_seeds), "--no_films"]
    folder = args.judged_dir / hashlib.sha256("\0".join(flags).encode()).hexdigest()[:8]
    groups: dict[str, list[Group]] = {}
    for weights, names in found.items():
        print(f"{' = '.join(names)} plays ...", flush=True)
        own = folder / hashlib.sha256(str(weights.absolute()).encode()).hexdigest()[:8]
        # One of them in the hub's form would bring its own; all are to play with the same.
        alike = {
            "--in_model": args.out_weights.with_suffix(".json"),
            "--prior_weights": "none",
            "--mineclip_weights": weights_dir() / "mineclip" / "attn.pth",
        }
        model = [str(x) for name, value in alike.items() if not _given(flags, name) for x in (name, value)]
        play(["--in_weights", str(weights), "--save_dirpath", str(own), *model, *flags])
        episodes = [episode for path in sorted(own.glob("*.json")) for episode in read_episodes(path)]
        groups[" = ".join(names)] = groups_of(episodes)

    # ---- who is best ----
    judged, worlds = rank(groups)
    seeds = f"{args.seed} to {args.seed + args.num_seeds - 1}"
    write_json(
        folder / "judged.json", {"seeds": seeds, "worlds": worlds, "judged": [asdict(j) for j in judged]}
    )
    print(table(judged))
    print(sentence(judged, worlds, seeds))


def _given(flags: Sequence[str], name: str) -> bool:
    return any(flag == name or flag.startswith(f"{name}=") for flag in flags)


def _problems(args: argparse.Namespace, flags: Sequence[str]) -> list[str]:
    problems = out_of_range(args, "num_seeds", least=1) + out_of_range(args, "seed", least=0)
    problems += not_there(args, "out_weights") + missing_files(args, ("start",))
    problems += [
        f"{name} is set here for each of the weights; leave it out" for name in OURS if _given(flags, name)
    ]
    if _given(flags, "--seeds"):
        problems.append("--seeds names worlds on which nothing may be chosen; give --seed and --num_seeds")
    return problems


def candidates(out: Path, start: Path | None) -> tuple[dict[Path, list[str]], list[Path]]:
    """The weights of the run ``out``, each once, with the names that it has; and those beside that are of other runs.

    The start comes first, so that it is the best where others are no better.
    """
    from steve1.checkpoints import read_metadata, read_state_dict, tensors_hash

    beside = [out, *sorted(out.parent.glob(f"{out.stem}_*.weights"))]
    run = read_metadata(out).get("flags", {}).get("out_weights")
    by_hash: dict[str, Path] = {}
    found: dict[Path, list[str]] = {}
    others = []
    for path in ([start] if start is not None else []) + beside:
        note = read_metadata(path)
        whose = note.get("flags", {}).get("out_weights")
        if path != start and (whose and os.path.abspath(whose)) != (run and os.path.abspath(run)):
            others.append(path)
            continue
        known = note.get("tensors_hash") or tensors_hash(read_state_dict(path))
        first = by_hash.setdefault(known, path)
        found.setdefault(first, []).append(path.stem)
    return found, others


def play(flags: Sequence[str]) -> None:
    """Run run_agent.py; raises UserError where it fails, after its own words."""
    for done in run_programs([Program("run_agent.py", [sys.executable, "-m", "run_agent", *flags])]):
        if done.code:
            raise UserError(f"run_agent.py ended with {done.code}: see above")


def rank(groups: Mapping[str, Sequence[Group]]) -> tuple[list[Judged], int]:
    """The weights by their mean rank, best first, and in how many worlds all of them played whole.

    ``groups``: of each weights, their prompts' episodes. Raises UserError where no prompt has a measure of its own that
    has a better side, or no world was played by all.
    """
    from scipy.stats import rankdata

    from steve1.judging.verdicts import MIN_WORLDS, sign_flip_p
    from steve1.playing.measures import MEASURES

    values: dict[str, list[dict[Seeds, float]]] = {}  # a prompt's values by world, one of each weights
    signs: dict[str, float] = {}  # 1 where more is better
    for owner in groups.values():
        for group in owner:
            if group.own is not None and MEASURES[group.own].better:
                name = f"{group.name} ({group.own}{f', guidance {group.cond_scale:g}' if group.cond_scale else ''})"
                values.setdefault(name, []).append(group.values(group.own))
                signs[name] = -1.0 if MEASURES[group.own].better == "less" else 1.0
    if not values:
        raise UserError(
            "no prompt has a measure of its own with a better side; give --behaviours (docs/evaluation.md)"
        )
    wanting = [name for name, of in values.items() if len(of) < len(groups)]
    if wanting:
        raise UserError(
            f"{wanting[0]} was not measured of all weights; see what was lost, and run the same command again"
        )
    every = [played for of in values.values() for played in of]
    worlds = sorted(set(every[0]).intersection(*every[1:]))
    if not worlds:
        raise UserError(
            "no world was played whole by all weights; see what was lost, and run the same command again"
        )
    # [worlds, weights]: the mean over prompts of the ranks in that world
    ranks = [
        [math.fsum(column) / len(values) for column in zip(*rows, strict=True)]
        for rows in (
            [
                rankdata([-signs[name] * played[world] for played in of]).tolist()
                for name, of in values.items()
            ]
            for world in worlds
        )
    ]
    judged = []
    for i, weights in enumerate(groups):
        means = {name: math.fsum(of[i][w] for w in worlds) / len(worlds) for name, of in values.items()}
        judged.append(Judged(weights, math.fsum(row[i] for row in ranks) / len(worlds), means))
    order = sorted(range(len(judged)), key=lambda i: judged[i].mean_rank)
    best, after = order[:2]
    p = sign_flip_p([row[best] - row[after] for row in ranks]) if len(worlds) >= MIN_WORLDS else None
    judged[best] = Judged(judged[best].weights, judged[best].mean_rank, judged[best].means, p)
    return [judged[i] for i in order], len(worlds)


def table(judged: Sequence[Judged]) -> str:
    """A line for each weights: mean rank, and the mean of each prompt's own measure."""
    from steve1.judging.tables import aligned

    prompts = list(judged[0].means)
    rows = [[j.weights, f"{j.mean_rank:.2f}", *(f"{j.means[name]:.3g}" for name in prompts)] for j in judged]
    return aligned([["weights", "mean rank", *prompts], *rows])


def sentence(judged: Sequence[Judged], worlds: int, seeds: str) -> str:
    """Which is best, how sure that is, and what its figures here are not."""
    from steve1.judging.verdicts import LEVEL, MIN_WORLDS

    best, after = judged[:2]
    if best.ahead_p is None:
        sure = f"below {MIN_WORLDS} worlds nothing tells it apart from {after.weights}"
    elif best.ahead_p < LEVEL:
        sure = f"told apart from the next, {after.weights} (p = {best.ahead_p:.2g})"
    else:
        sure = f"not told apart from the next, {after.weights} (p = {best.ahead_p:.2g})"
    return (
        f"Best of {len(judged)} by play in {worlds} worlds: {best.weights}, mean rank {best.mean_rank:.2f}; {sure}. "
        f"It was chosen on the seeds {seeds}, where the chosen one looks better than it is: for figures let it play on "
        "others (run_agent.py --seeds evaluation)"
    )


if __name__ == "__main__":
    main()
