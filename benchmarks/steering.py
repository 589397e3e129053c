"""Does the agent do what it is told? Each behaviour's prompt, against the agent without a goal, over many worlds.

    python benchmarks/steering.py --in_model configs/quickstart_policy.json \\
        --in_weights data/quickstart/weights/steve1/small.weights \\
        --prior_weights data/quickstart/weights/steve1/small_prior.pt \\
        --mineclip_weights data/quickstart/weights/mineclip/small.pth --cond_scale 3 --out steering.json
    python benchmarks/steering.py ... --behaviours sky,dig --n_seeds 4 --gameplay_length 60     # a glance

All prompts and the baseline play the same worlds, whose seeds no player of the training data used. A behaviour
wins where its own measure's 95 % interval lies above the baseline's. Intervals are Student's t over seeds; the
paired difference takes prompt minus baseline in each world. Prompts are sampled through the prior, one goal an
episode. Results don't depend on the number of processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError, comma_list, count, entry_point, number, report_all
from steve1.config import version
from steve1.flags import MODEL_FILES, add_model_flags, add_world_flags, missing_files, missing_python
from steve1.playing.prompts import BEHAVIOURS

if TYPE_CHECKING:
    import numpy as np

FIRST_SEED = 1_000_000  # recorders stay below
BASELINE = "no goal"
Figures = dict[str, "float | None"]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_flags(parser)
    playing = parser.add_argument_group("playing")
    playing.add_argument(
        "--behaviours",
        type=comma_list,
        default=list(BEHAVIOURS),
        help=f"which, separated by commas (default: {','.join(BEHAVIOURS)})",
    )
    playing.add_argument(
        "--prompts",
        type=Path,
        default=None,
        help='JSON {"sky": "look up", ...} of other texts for behaviours (default: the published texts)',
    )
    playing.add_argument(
        "--cond_scale", type=number, default=6.0, help="guidance scale; 0 turns it off (default 6.0)"
    )
    playing.add_argument("--n_seeds", type=count, default=16, help="worlds (default 16)")
    playing.add_argument(
        "--seed", type=count, default=FIRST_SEED, help=f"of the first world (default {FIRST_SEED:_})"
    )
    playing.add_argument("--gameplay_length", type=count, default=200, help="frames an episode (default 200)")
    playing.add_argument("--num_envs", type=count, default=16, help="worlds in a batch (default 16)")
    playing.add_argument(
        "--processes",
        type=count,
        default=2,
        help="batches played at once; 1 plays in this process (default 2)",
    )
    add_world_flags(playing, "blockworld")
    parser.add_argument("--out", type=Path, default=None, help="JSON to write (default: none)")
    args = parser.parse_args(argv)
    problems = [
        f"--{name} {getattr(args, name)} is below {least}; give at least {least}"
        for name, least in (
            ("n_seeds", 2),
            ("seed", 0),
            ("gameplay_length", 1),
            ("num_envs", 1),
            ("processes", 1),
        )
        if getattr(args, name) < least
    ]
    if not 0 <= args.cond_scale < float("inf"):
        problems.append(f"--cond_scale {args.cond_scale} must be at least 0 and finite")
    unknown = [name for name in args.behaviours if name not in BEHAVIOURS]
    if unknown or not args.behaviours:
        problems.append(f"--behaviours {','.join(unknown)}: choose from {', '.join(BEHAVIOURS)}")
    report_all(problems + missing_files(args, (*MODEL_FILES, "prompts")) + missing_python(args))
    return args


def make_goals(
    args: argparse.Namespace, texts: dict[str, str], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Goals of all episodes, float32 [n_seeds, E] a behaviour; zeros for the baseline."""
    import numpy as np

    from steve1.MineRLConditionalAgent import load_policy
    from steve1.playing.goals import load_text_goals

    width = load_policy(args.in_model, args.in_weights, "cpu")[0].net.mineclip_embed_dim
    goals = load_text_goals(args, {args.in_weights: width})
    made = {
        name: np.stack([goals.goal(text, seed).numpy() for seed in seeds]) for name, text in texts.items()
    }
    made[BASELINE] = np.zeros((len(seeds), width), np.float32)
    return made


_worker: dict[str, Any] = {}


def _begin_worker(
    in_model: Path, in_weights: Path, env: str, minerl_python: str | None, num_envs: int
) -> None:
    import torch

    from steve1.envs import make_env
    from steve1.MineRLConditionalAgent import load_policy

    # One process a core: threads of one would only wait for the other's.
    torch.set_num_threads(1)
    _worker["policy"] = load_policy(in_model, in_weights, "cpu")[0]
    _worker["envs"] = [make_env(env, minerl_python=minerl_python) for _ in range(num_envs)]


def _play_batch(
    goals: np.ndarray, seeds: Sequence[int], steps: int, cond_scale: float | None
) -> list[Figures]:
    import torch

    from steve1.playing.rollout import play

    envs = _worker["envs"][: len(seeds)]
    figures = play(_worker["policy"], envs, seeds, torch.from_numpy(goals), steps, cond_scale)
    for seed, measured in zip(seeds, figures, strict=True):
        if measured.lost:
            print(f"seed {seed}: {measured.lost}; its figures are those up to there", file=sys.stderr)
    return [measured.result() for measured in figures]


def play_all(
    args: argparse.Namespace, goals: dict[str, np.ndarray], seeds: Sequence[int]
) -> dict[str, list[Figures]]:
    """Each prompt's figures, a row a seed."""
    import numpy as np
    from tqdm import tqdm

    # World by world, because a world that was just made needs not be made again for the next prompt.
    prompted = [(name, row) for row in range(len(seeds)) for name in goals if name != BASELINE]
    jobs = [
        (rows[first : first + args.num_envs], scale)
        for rows, scale in (
            (prompted, args.cond_scale or None),
            ([(BASELINE, row) for row in range(len(seeds))], None),
        )
        for first in range(0, len(rows), args.num_envs)
    ]
    num_envs = max(len(rows) for rows, _ in jobs)
    setup = (args.in_model, args.in_weights, args.env, args.minerl_python, num_envs)
    calls = [
        (
            np.stack([goals[name][row] for name, row in rows]),
            [seeds[row] for _, row in rows],
            args.gameplay_length,
            scale,
        )
        for rows, scale in jobs
    ]
    played: dict[str, list[Figures]] = {name: [{}] * len(seeds) for name in goals}
    with ExitStack() as stack:
        processes = min(args.processes, len(jobs))
        if processes == 1:
            _begin_worker(*setup)
            results: Iterator[list[Figures]] = (_play_batch(*call) for call in calls)
        else:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(processes, context, _begin_worker, setup))
            results = pool.map(_play_batch, *zip(*calls, strict=True))
        batches = zip(jobs, results, strict=True)
        for (rows, _), result in tqdm(batches, total=len(jobs), unit="batch", mininterval=1, disable=None):
            for (name, row), figures in zip(rows, result, strict=True):
                played[name][row] = figures
    return played


def judge(played: dict[str, list[Figures]]) -> dict[str, dict[str, Any]]:
    """For each behaviour: its own measure, mean and interval, the baseline's, the paired difference, the verdict.

    ``wins``: the intervals don't touch. ``paired_wins``: the paired difference's interval lies above 0.
    """
    from steve1.intervals import mean_interval, paired_difference
    from steve1.playing.measures import own_measure

    verdicts: dict[str, dict[str, Any]] = {}
    for name, rows in played.items():
        if name == BASELINE:
            continue
        own = own_measure(name, rows[0])
        if own is None:
            verdicts[name] = {"measure": None, "wins": False, "paired_wins": False}
            continue
        values, base = ([row[own] or 0.0 for row in part] for part in (rows, played[BASELINE]))
        ours, theirs = mean_interval(values), mean_interval(base)
        paired = paired_difference(values, base)
        verdicts[name] = {
            "measure": own,
            "prompt": list(ours),
            "baseline": list(theirs),
            "paired_difference": list(paired),
            "wins": ours.low > theirs.high,
            "paired_wins": paired.low > 0,
        }
    return verdicts


def report(played: dict[str, list[Figures]], verdicts: dict[str, dict[str, Any]]) -> str:
    """Two tables: each behaviour's own measure against the baseline, and every prompt by every own measure."""
    from steve1.intervals import mean_interval
    from steve1.playing.measures import MEASURES
    from steve1.tables import aligned

    def spread(interval: Sequence[float]) -> str:
        return f"{interval[0]:.3g} [{interval[1]:.3g}, {interval[2]:.3g}]"

    lines = [["behaviour", "its own measure", "prompt", BASELINE, "paired difference", "wins"]]
    for name, verdict in verdicts.items():
        own = verdict["measure"]
        if own is None:
            lines.append([name, "none that this world offers", "-", "-", "-", "-"])
            continue
        word = "yes" if verdict["wins"] else "paired only" if verdict["paired_wins"] else "no"
        spreads = (spread(verdict[key]) for key in ("prompt", "baseline", "paired_difference"))
        lines.append([name, f"{own} ({MEASURES[own].unit})", *spreads, word])
    columns = list(dict.fromkeys(v["measure"] for v in verdicts.values() if v["measure"]))
    matrix = [["mean of", *columns]]
    for name, rows in played.items():
        means = [mean_interval([row[column] or 0.0 for row in rows]).mean for column in columns]
        matrix.append([name, *(f"{mean:.3g}" for mean in means)])
    won = sum(verdict["wins"] for verdict in verdicts.values())
    return (
        f"{aligned(lines)}\n\n{aligned(matrix)}\n\n{won} of {len(verdicts)} behaviours win their own measure"
    )


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)

    from steve1.checkpoints import read_metadata
    from steve1.files import write_json

    texts = {name: BEHAVIOURS[name] for name in args.behaviours}
    if args.prompts is not None:
        texts |= _read_prompts(args.prompts, args.behaviours)
    seeds = list(range(args.seed, args.seed + args.n_seeds))

    settings = {name: str(v) if isinstance(v, Path) else v for name, v in vars(args).items()}
    weights_hash = read_metadata(args.in_weights).get("tensors_hash")
    if args.out is not None and args.out.is_file():
        known = json.loads(args.out.read_text(encoding="utf-8"))
        if known["settings"] == settings and known["weights_hash"] == weights_hash is not None:
            print(report(known["episodes"], known["verdicts"]))
            print(f"judged before: {args.out}; remove it to judge again")
            return

    began = time.perf_counter()
    goals = make_goals(args, texts, seeds)
    played = play_all(args, goals, seeds)
    verdicts = judge(played)
    took = time.perf_counter() - began

    print(
        f"{args.n_seeds} worlds from seed {args.seed}, {args.gameplay_length} frames each, guidance {args.cond_scale:g}"
    )
    print(report(played, verdicts))
    print(f"{len(played) * len(seeds) * args.gameplay_length:,} frames in {took:.0f} s")
    if args.out is not None:
        write_json(
            args.out,
            {
                "settings": settings,
                "weights_hash": weights_hash,
                "version": version(),
                "prompts": texts,
                "seeds": seeds,
                "seconds": round(took, 1),
                "verdicts": verdicts,
                "wins": sum(verdict["wins"] for verdict in verdicts.values()),
                "episodes": played,
            },
        )
        print(f"written: {args.out}")


def _read_prompts(path: Path, behaviours: Sequence[str]) -> dict[str, str]:
    try:
        prompts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); mend it") from None
    if not isinstance(prompts, dict) or not all(isinstance(text, str) and text for text in prompts.values()):
        raise UserError(f"{path} must hold an object of texts by behaviour, such as {{'sky': 'look up'}}")
    unknown = [name for name in prompts if name not in BEHAVIOURS]
    if unknown:
        raise UserError(f"{path} names {', '.join(unknown)}; the behaviours are {', '.join(BEHAVIOURS)}")
    return {name: text for name, text in prompts.items() if name in behaviours}


if __name__ == "__main__":
    main()
