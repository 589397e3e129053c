"""What each remedy against forgetting did: the quickstart's policy fine-tuned on one new behaviour, judged by play.

Real (after ./quickstart.sh; an hour on two quiet cores, the same command goes on):
    python benchmarks/finetuning.py --quickstart data/quickstart --output_dir data/finetuning
Tiny (to see that it works, two minutes):
    python benchmarks/finetuning.py --quickstart data/quickstart --output_dir /tmp/finetuning --training_seeds 1 \\
        --worlds 2 --frames_played 20 --recordings 6 --n_frames 1k

Players who break leaves are recorded, which the quickstart's players never do, and its policy is fine-tuned on them:
plainly, with old recordings mixed in, held near the start by KL or by L2, with a frozen picture network; the average
of the plain run's weights and the interpolation between it and the start cost no training. Each then plays the old
behaviours by their texts and the new one by a visual prompt, in worlds that nothing was chosen in; the share of the
interpolation is chosen before, in others, with the first training seed. Means over training seeds, with 95 %
t-intervals. Writes finetuning.json and finetuning.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steve1.bench import Quickstart, keep_settings, program, run_all
from steve1.cli import UserError, comma_list, count, entry_point, number, out_of_range, report_all
from steve1.files import write_json, write_text

NEW = "leaves"
CHOOSING, JUDGING = 4_000_000, 5_000_000  # first worlds
_MAY_CHANGE = ("output_dir", "training_seeds", "worlds", "quickstart")  # when the same command goes on
Figures = dict[str, float]  # behaviour -> mean of its own measure over worlds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quickstart", type=Path, required=True, help="STEVE1_DATA_ROOT of a finished quickstart"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--training_seeds", type=count, default=5, help="runs of each remedy (default 5)")
    parser.add_argument("--worlds", type=count, default=8, help="worlds for each prompt and run (default 8)")
    parser.add_argument("--frames_played", type=count, default=200, help="frames in each (default 200)")
    parser.add_argument(
        "--recordings", type=count, default=12, help="new recordings, of 600 frames (default 12)"
    )
    parser.add_argument("--n_frames", type=count, default=24_000, help="frames of each run (default 24k)")
    parser.add_argument("--learning_rate", type=number, default=3e-4, help="peak, of each run (default 3e-4)")
    parser.add_argument(
        "--old_share", type=number, default=0.5, help="share of old items in mixed data (default 0.5)"
    )
    parser.add_argument("--ema", type=number, default=0.999, help="decay of the average (default 0.999)")
    parser.add_argument("--kl_to_start", type=number, default=0.3, help="weight of the KL (default 0.3)")
    parser.add_argument(
        "--l2_to_start",
        type=number,
        default=100.0,
        help="pull of the weights (default 100: the runs' rates add up to 0.03, so weights that drift at Adam's full "
        "rate come a third as far)",
    )
    parser.add_argument(
        "--alpha",
        type=comma_list,
        default=["0.25", "0.5", "0.75"],
        help="shares tried (default 0.25,0.5,0.75)",
    )
    parser.add_argument(
        "--cond_scale",
        type=number,
        default=None,
        help="guidance (default: what the quickstart was judged with)",
    )
    parser.add_argument(
        "--behaviours",
        type=comma_list,
        default=["sky", "dig", "tree", "seeds", "explore", "swim", "inventory"],
        help="old behaviours (default: all of the quickstart's)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    problems = out_of_range(args, "training_seeds", "worlds", "frames_played", "n_frames", least=1)
    problems += out_of_range(args, "recordings", least=3)
    problems += out_of_range(args, "old_share", above=0, below=1)
    report_all(problems)
    bench = Bench(args)

    bench.make_data()
    alpha = bench.choose_alpha()
    cells: dict[str, list[Figures]] = {"start": [bench.play("start", bench.start, JUDGING)]}
    for seed in range(args.training_seeds):
        for name, weights in bench.tuned(seed, alpha).items():
            cells.setdefault(name, []).append(bench.play(f"{name}_{seed}", weights, JUDGING))
    rows = summary(cells)
    write_report(args, "finetuning", {"alpha": alpha, "cells": cells, "rows": rows}, table(rows))
    print(
        f"interpolation: alpha {alpha:g}, chosen in worlds from {CHOOSING:_}; judged in worlds from {JUDGING:_}"
    )


def write_report(args: argparse.Namespace, name: str, content: Mapping[str, Any], text: str) -> None:
    """Write ``name``.json, the flags beside ``content``, and the table ``text`` as ``name``.md; print the latter."""
    flags = {
        flag: value if isinstance(value, (int, float, list)) else str(value)
        for flag, value in vars(args).items()
    }
    write_json(args.output_dir / f"{name}.json", {"flags": flags, **content})
    write_text(args.output_dir / f"{name}.md", text + "\n")
    print(text)


class Bench:
    """The stages; each goes on where it was stopped, by the programs' own means.

    ``start``: the weights that are fine-tuned, and ``prompts``: run_agent.py's flags of what is played.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.quick, self.out = args, Quickstart(args.quickstart), args.output_dir
        if args.cond_scale is None:
            args.cond_scale = self.quick.guidance()
        decides = {name: value for name, value in vars(args).items() if name not in _MAY_CHANGE}
        keep_settings(self.out, {**decides, "quickstart": str(self.quick.root)})
        self.start, self.old_episodes = self.quick.policy, self.quick.episodes
        self.mineclip, self.new_episodes = self.quick.mineclip, self.out / "dataset_leaves"
        self.goal = self.out / "goals" / f"{NEW}.pkl"
        self.prompts = ["--behaviours", ",".join(args.behaviours), "--visual_prompt", self.goal]

    def run(self, script: str, *flags: object) -> None:
        """One of the repository's programs, in a process of its own; what it says goes to programs.log."""
        run_all([program(script, *flags, data_root=self.out)])

    def make_data(self) -> None:
        """Recordings of the new behaviour, as episodes; two samplings; the visual goal."""
        import numpy as np

        from data.text_alignment.pairs import load_pairs
        from steve1.checkpoints import dump_pickle

        print("data of the new behaviour", flush=True)
        recorded = self.out / "recordings_leaves"
        how = [
            "--num_recordings",
            self.args.recordings,
            "--frames_per_recording",
            600,
            "--seed",
            77,
            "--workers",
            2,
        ]
        self.run("data/generation/record_blockworld.py", "--output_dir", recorded, "--behaviours", NEW, *how)
        own = ["--mineclip_weights", self.mineclip]
        how = ["--local_dir", recorded, "--num_episodes", 0, "--min_timesteps", 100, "--workers", 2]
        self.run("data/generation/convert_from_contractor.py", "--output_dir", self.new_episodes, *how, *own)
        how = ["--output_dir", self.out / "samplings", "--T", 64]
        sampling = "data/sampling/generate_sampling.py"
        self.run(sampling, "--type", "custom", "--name", "new", "--dataset_dirs", self.new_episodes, *how)
        both = f"{self.old_episodes},{self.new_episodes}"
        shares = f"{self.args.old_share},{1 - self.args.old_share}"
        self.run(
            sampling,
            "--type",
            "mixed",
            "--name",
            "mixed",
            "--dataset_dirs",
            both,
            "--dataset_weights",
            shares,
            *how,
        )
        pairs = self.out / "goals" / "pairs.pkl"
        how = ["--labels", recorded / "labels", "--episodes_dir", self.new_episodes, "--output_path", pairs]
        self.run("data/text_alignment/make_prior_dataset.py", *how, *own)
        visual = load_pairs(pairs)[1]
        dump_pickle(np.asarray(visual.mean(axis=0, keepdims=True)), self.goal)

    def train(self, name: str, seed: int, *flags: object) -> Path:
        """Fine-tune the start; the weights."""
        folder = self.out / "runs" / f"{name}_{seed}"
        weights = folder / "out.weights"
        if weights.exists():
            return weights
        args = self.args
        usual = [
            *(
                "--in_model",
                self.quick.model,
                "--in_weights",
                self.start,
                "--out_weights",
                weights,
                "--seed",
                seed,
            ),
            *("--sampling_dir", self.out / "samplings", "--T", 64, "--trunc_t", 32, "--batch_size", 4),
            *("--gradient_accumulation_steps", 1, "--num_workers", 1, "--learning_rate", args.learning_rate),
            *("--weight_decay", 0.01, "--warmup_frames", args.n_frames // 10, "--n_frames", args.n_frames),
            *("--min_btwn_goals", 10, "--max_btwn_goals", 60, "--val_freq", 0, "--val_freq_begin", 0),
            *(
                "--save_freq",
                400,
                "--log_freq",
                10,
                "--snapshot_every_n_frames",
                0,
                "--checkpoint_dir",
                folder / "ck",
            ),
        ]
        self.run("training/train.py", *usual, *flags)
        return weights

    def plain(self, seed: int) -> Path:
        """Fine-tuned without a remedy; the average, which does not move the weights, is kept beside them."""
        return self.train("plain", seed, "--sampling", "new", "--ema", self.args.ema)

    def between(self, plain: Path, alpha: float) -> Path:
        """The weights between the start and the plainly fine-tuned."""
        self.run("training/interpolate.py", self.start, plain, "--alpha", alpha)
        return plain.with_name(f"{plain.stem}_alpha_{alpha:g}.weights")

    def tuned(self, seed: int, alpha: float) -> dict[str, Path]:
        """All remedies' weights of one training seed."""
        print(f"training seed {seed}", flush=True)
        plain = self.plain(seed)
        return {
            "plain": plain,
            "mixed data": self.train("mixed", seed, "--sampling", "mixed"),
            "EMA": plain.with_name("out_ema.weights"),
            "interpolation": self.between(plain, alpha),
            "KL": self.train("kl", seed, "--sampling", "new", "--kl_to_start", self.args.kl_to_start),
            "L2": self.train("l2", seed, "--sampling", "new", "--l2_to_start", self.args.l2_to_start),
            "frozen": self.train("frozen", seed, "--sampling", "new", "--freeze", "img_process"),
        }

    def choose_alpha(self) -> float:
        """The alpha whose worse half, of what is new and what is kept, is best: of the first seed, in other worlds."""
        print("choosing alpha", flush=True)
        alphas = [float(alpha) for alpha in self.args.alpha]
        if len(alphas) == 1:
            return alphas[0]
        plain = self.plain(0)
        start = self.play("choosing_start", self.start, CHOOSING)
        tuned = self.play("choosing_plain", plain, CHOOSING)

        def worse_half(alpha: float) -> float:
            found = self.play(f"choosing_{alpha:g}", self.between(plain, alpha), CHOOSING)
            return min(kept(found, start), found[NEW] / tuned[NEW] if tuned[NEW] else 0.0)

        return max(alphas, key=worse_half)

    def play(self, name: str, weights: Path, first_world: int) -> Figures:
        """Let weights play all prompts; the mean of each behaviour's own measure over worlds."""
        from steve1.judging.verdicts import groups_of
        from steve1.playing.episode import read_episodes

        args, folder = self.args, self.out / "judged" / name.replace(" ", "_")
        print(f"{name} plays", flush=True)
        self.run(
            "run_agent.py",
            *self.quick.playing_flags(),
            *("--in_weights", weights),
            *self.prompts,
            *("--cond_scale", args.cond_scale, "--seed", first_world, "--num_seeds", args.worlds),
            *("--gameplay_length", args.frames_played, "--num_envs", 16, "--processes", 2, "--no_films"),
            *("--save_dirpath", folder),
        )
        episodes = [episode for path in sorted(folder.glob("*.json")) for episode in read_episodes(path)]
        worlds = range(first_world, first_world + args.worlds)
        figures = {}
        for group in groups_of([e for e in episodes if e.decides["world_seed"] in worlds]):
            values = group.values(str(group.own))
            if len(values) < args.worlds:
                raise UserError(
                    f"{args.worlds - len(values)} worlds of {folder} were lost; remove their JSON, play again"
                )
            figures[group.behaviour] = math.fsum(values.values()) / len(values)
        return figures


def kept(figures: Mapping[str, float], start: Mapping[str, float], new: str = NEW) -> float:
    """What is kept of the old behaviours: the mean over them of the measure as a share of the start's, each at most 1.

    Behaviours that the start does not show in these worlds are left out, and so is the ``new`` one.
    """
    shares = [min(figures[name] / value, 1.0) for name, value in start.items() if name != new and value > 0]
    return math.fsum(shares) / len(shares) if shares else math.nan


def summary(
    cells: Mapping[str, Sequence[Figures]], new: str = NEW
) -> dict[str, dict[str, list[float | None]]]:
    """For each remedy and column the mean over training seeds and the bounds of its 95 % t-interval (None below two).

    Columns: ``kept`` (:func:`kept`), and the behaviours, the new one first.
    """
    from steve1.judging.training_seeds import as_list, t_interval

    start = cells["start"][0]
    rows: dict[str, dict[str, list[float | None]]] = {}
    for name, runs in cells.items():
        columns = {new: [run[new] for run in runs], "kept": [kept(run, start, new) for run in runs]}
        columns |= {old: [run[old] for run in runs] for old in start if old != new}
        rows[name] = {column: as_list(t_interval(values)) for column, values in columns.items()}
    return rows


def table(rows: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """The rows as a Markdown table: mean [95 % interval]."""
    from steve1.judging.tables import spread
    from steve1.judging.training_seeds import from_list

    def cell(figures: Sequence[Any]) -> str:
        return spread(from_list(figures))

    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(cell(row[column]) for column in columns) + " |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
