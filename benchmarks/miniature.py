"""The paper's claims in miniature, over five training seeds: what each sentence does, and what each ingredient adds.

Real (after ./quickstart.sh; under 90 minutes on two quiet cores, the same command goes on):
    python benchmarks/miniature.py --quickstart data/quickstart --output_dir data/miniature
Tiny (to see that it works, some minutes):
    python benchmarks/miniature.py --quickstart data/quickstart --output_dir /tmp/miniature \\
        --training_seeds 2 --n_frames 1k --arms_frames 1k --worlds 6 --setting_worlds 6 --frames_played 20

Recordings, MineCLIP, episodes, lists and prior are the quickstart's, and its policy is training seed 0 (unless
--n_frames is another than its own). More policies are trained as it was. Each plays the seven sentences, each of
whose measures is taken of all (a matrix), and no goal; then the same behaviours by guidance 0, 1, 2, 4 and 6, by
visual goals, by wordings that nothing was trained on, and without the prior. A quarter of the data, and goals where
behaviours end, are trained beside all data and uniform goals at --arms_frames each. Everything is played in worlds
from 3,000,000 on, in which nothing was chosen; --choose, apart from all this, plays guidance scales in worlds from
2,000,000 on and writes its choice.

Writes miniature.json, and by miniature_page.py miniature.md and the page miniature.html.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.bench import Quickstart, keep_settings, note_times, noted_times, program, run_all
from steve1.cli import UserError, count, entry_point, number, out_of_range, report_all
from steve1.files import read_object, write_json
from steve1.programs import Program

if TYPE_CHECKING:
    from steve1.judging.verdicts import Group

CHOOSING, REPORTING = 2_000_000, 3_000_000  # first worlds
BEHAVIOURS = ("sky", "dig", "tree", "seeds", "explore", "swim", "inventory")
SCALES = (0.0, 1.0, 2.0, 4.0, 6.0)
# For the forecast: seconds a frame of a program of one thread beside another on two quiet cores, and to start one.
TRAINING_S, PLAYING_S, STARTING_S = 1 / 650, 1 / 240, 12.0
TEXT, FULL = "text", "all data, uniform"
QUARTER, BOUNDARIES = "a quarter of the data", "all data, boundaries"


@dataclass(frozen=True)
class Setting:
    """A way in which a policy plays the behaviours. ``flags``: run_agent.py's, besides those that all share."""

    name: str
    worlds: int
    flags: tuple[object, ...]
    episodes: int


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quickstart", type=Path, required=True, help="STEVE1_DATA_ROOT of a finished quickstart"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of all that is made")
    parser.add_argument(
        "--choose",
        action="store_true",
        help=f"only play guidance scales with the policies, in --setting_worlds worlds from {CHOOSING:_} on, and "
        "write choice.json (default: the whole benchmark, which chooses nothing)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--training_seeds",
        type=count,
        default=5,
        help="policies, the quickstart's among them, and of each arm (default 5)",
    )
    training.add_argument(
        "--n_frames",
        type=count,
        default=None,
        help="frames that each policy is trained on (default: as the quickstart's)",
    )
    training.add_argument(
        "--arms_frames", type=count, default=80_000, help="frames of an arm's run; 0: no arms (default 80k)"
    )
    playing = parser.add_argument_group("playing")
    playing.add_argument(
        "--cond_scale", type=number, default=None, help="guidance (default: what the quickstart judged with)"
    )
    playing.add_argument(
        "--worlds", type=count, default=16, help="worlds for each sentence of the matrix (default 16)"
    )
    playing.add_argument(
        "--setting_worlds",
        type=count,
        default=6,
        help="the first of these, for all other settings (default 6)",
    )
    playing.add_argument("--frames_played", type=count, default=200, help="frames in each (default 200)")
    parser.add_argument(
        "--processes",
        type=count,
        default=2,
        help="programs side by side, one thread each, so that figures don't depend on it (default 2)",
    )
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = out_of_range(args, "worlds", least=6, note="fewer decide nothing")
    sizes = ("training_seeds", "n_frames", "frames_played", "setting_worlds", "processes")
    problems += out_of_range(args, *sizes, least=1)
    problems += out_of_range(args, "arms_frames", "cond_scale", least=0)
    if args.setting_worlds > args.worlds:
        problems.append(
            f"--setting_worlds {args.setting_worlds} is above --worlds {args.worlds}, the first of which they are"
        )
    return problems


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    bench = Bench(args)
    if args.choose:
        bench.choose()
        return

    print(f"forecast for two quiet cores: {bench.forecast() / 60:.0f} minutes", flush=True)
    policies, arms = bench.train()
    bench.play(policies, arms)
    bench.film(policies[0])
    write_json(args.output_dir / "miniature.json", bench.figures(len(policies), list(arms)))
    page = program("benchmarks/miniature_page.py", "--output_dir", bench.out, data_root=bench.out)
    bench.run("page", [page])
    print((args.output_dir / "miniature.md").read_text(encoding="utf-8"))
    print(f"the same with films: {args.output_dir / 'miniature.html'}")


class Bench:
    """The stages; each goes on where it was stopped, by the programs' own means."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.quick, self.out = args, Quickstart(args.quickstart), args.output_dir.absolute()
        self.recipe = self.quick.recipe()
        self.n_frames = args.n_frames or self.recipe["n_frames"]
        self.scale = self.quick.guidance() if args.cond_scale is None else args.cond_scale
        decided = {"n_frames": self.n_frames, "recipe": self.recipe}
        decided |= {"arms_frames": args.arms_frames} if args.arms_frames else {}
        keep_settings(self.out, {**decided, "quickstart_policy": self.quick.policy_hash()})

    def run(self, stage: str, programs: Sequence[Program]) -> None:
        """Run a stage's programs side by side, and note how long each took in times.jsonl."""
        print(stage, flush=True)
        seconds = run_all(programs, self.args.processes)
        note_times(self.out / "times.jsonl", stage, seconds)

    # ---- training ----

    def train(self) -> tuple[list[Path], dict[str, list[Path]]]:
        """All policies: by training seed, and by arm and training seed (none of these to choose)."""
        seeds = range(self.args.training_seeds)
        trained = [seed for seed in seeds if seed or self.n_frames != self.recipe["n_frames"]]
        runs = [("policy", seed, self.n_frames, self._data(self.quick.sampling)) for seed in trained]
        arms = {}
        if self.args.arms_frames and not self.args.choose:
            arms = {
                FULL: self._data(self.quick.sampling),
                QUARTER: self._data(self._quarter(), self.out / "samplings"),
                BOUNDARIES: [*self._data(self.quick.sampling), *self._boundaries()],
            }
        same = {FULL} if self.args.arms_frames == self.n_frames else set()  # then the policies are that arm
        runs += [(a, seed, self.args.arms_frames, arms[a]) for seed in seeds for a in arms if a not in same]
        self.run("training", [self._training(*run) for run in runs if not self._weights(*run[:2]).exists()])
        policies = [self._weights("policy", seed) if seed in trained else self.quick.policy for seed in seeds]
        own = {arm: [self._weights(arm, seed) for seed in seeds] for arm in arms}
        return policies, own | dict.fromkeys(same & own.keys(), policies)

    def _weights(self, name: str, seed: int) -> Path:
        return self.out / "runs" / _plain(name) / str(seed) / "out.weights"

    def _data(self, sampling: str, folder: Path | None = None) -> list[object]:
        return ["--sampling", sampling, "--sampling_dir", folder or self.quick.samplings]

    def _training(self, name: str, seed: int, frames: int, data: Sequence[object]) -> Program:
        weights = self._weights(name, seed)
        name = f"train {name}, seed {seed}"
        return self.quick.training(weights, seed, frames, data, data_root=self.out, name=name)

    def _quarter(self) -> str:
        """A sampling of a quarter of the training frames, validated on what the whole is."""
        from data.minecraft_dataset import load_sampling
        from data.sampling.sessions import read_episodes

        name, folder = "quarter", self.out / "samplings"
        if not (folder / f"{name}_train.txt").exists():
            train = load_sampling(self.quick.samplings, self.quick.sampling)[0]
            frames = sum(episode.frames for episode in read_episodes(train))
            self.run(
                "a quarter of the data",
                [
                    program(
                        "data/sampling/generate_sampling.py",
                        *("--type", "custom", "--name", name, "--dataset_dirs", self.quick.episodes),
                        *("--val_from", self.quick.samplings / f"{self.quick.sampling}_val.txt"),
                        *("--train_frames", math.ceil(frames / 4), "--T", self.recipe["T"]),
                        *("--output_dir", folder),
                        data_root=self.out,
                    )
                ],
            )
        return name

    def _boundaries(self) -> list[object]:
        """Mark, once, where the quickstart's policy finds that behaviours end; the flags that use it."""
        self.run(
            "boundaries",
            [
                program(
                    "data/generation/mark_boundaries.py",
                    *self._data(self.quick.sampling),
                    *("--in_model", self.quick.model, "--in_weights", self.quick.policy),
                    *("--workers", self.args.processes),
                    data_root=self.out,
                    threads=1,
                )
            ],
        )
        return ["--goal_sampling", "boundaries"]

    # ---- playing ----

    def settings(self) -> list[Setting]:
        """What each of the policies plays, the matrix first."""
        few, asked = self.args.setting_worlds, ("--behaviours", ",".join(BEHAVIOURS))
        own = ("--cond_scale", f"{self.scale:g}")
        others = tuple(scale for scale in SCALES if scale != self.scale)
        scales = ("--cond_scale", ",".join(f"{scale:g}" for scale in others))
        goals = [self.out / "goals" / f"{name}.pkl" for name in BEHAVIOURS]
        held_out, n = self.out / "goals" / "held_out.json", len(BEHAVIOURS)
        return [
            Setting(TEXT, self.args.worlds, (*asked, "--no_goal", *own), n + 1),
            Setting("guidance", few, (*asked, *scales), n * len(others)),
            Setting("visual goals", few, ("--visual_prompt", *goals, *own), n),
            Setting("held-out wordings", few, ("--prompts", held_out, *asked, *own), n),
            Setting("without the prior", few, (*asked, *own, "--prior_weights", "none"), n),
        ]

    def arm_setting(self) -> Setting:
        """What each policy of an arm plays."""
        flags = ("--behaviours", ",".join(BEHAVIOURS), "--cond_scale", f"{self.scale:g}")
        return Setting(TEXT, self.args.setting_worlds, flags, len(BEHAVIOURS))

    def play(self, policies: Sequence[Path], arms: Mapping[str, Sequence[Path]]) -> None:
        """Let all policies play all settings."""
        self._make_goals()
        plays = [
            self._playing("policy", seed, weights, setting)
            for setting in self.settings()
            for seed, weights in enumerate(policies)
        ]
        plays += [
            self._playing(arm, seed, weights, self.arm_setting())
            for arm, runs in arms.items()
            for seed, weights in enumerate(runs)
        ]
        self.run("playing", plays)

    def _playing(
        self,
        name: str,
        seed: int,
        weights: Path,
        setting: Setting,
        first_world: int = REPORTING,
    ) -> Program:
        return program(
            "run_agent.py",
            *(*self.quick.playing_flags(), "--in_weights", weights),
            *("--seed", first_world, "--num_seeds", setting.worlds),
            *("--gameplay_length", self.args.frames_played, "--num_envs", 16),
            *("--processes", 1, "--no_films", *setting.flags),
            *("--save_dirpath", self._played(name, seed, setting.name)),
            data_root=self.out,
            name=f"play {name}, seed {seed}: {setting.name}",
            threads=1,
        )

    def _played(self, name: str, seed: int, setting: str) -> Path:
        return self.out / "played" / _plain(name) / str(seed) / _plain(setting)

    def groups(
        self, name: str, seed: int, setting: Setting, scale: float | None = None, first_world: int = REPORTING
    ) -> list[Group]:
        """What was played of a setting, at ``scale`` where it has several. Raises UserError where worlds were lost."""
        from steve1.judging.verdicts import groups_of
        from steve1.playing.episode import read_episodes

        folder = self._played(name, seed, setting.name)
        worlds = range(first_world, first_world + setting.worlds)
        episodes = [
            episode
            for path in sorted(folder.glob("*.json"))
            for episode in read_episodes(path)
            if episode.decides["world_seed"] in worlds
            and (scale is None or (episode.decides["cond_scale"] or 0.0) == scale)
        ]
        groups = sorted(groups_of(episodes), key=lambda g: [*BEHAVIOURS, "no_goal"].index(g.behaviour))
        for group in groups:
            whole = len(group.episodes) - group.lost
            if whole < setting.worlds:
                raise UserError(
                    f"{setting.worlds - whole} worlds of {folder} were lost; remove their JSON and run again"
                )
        return groups

    def _make_goals(self) -> None:
        """A visual goal and a held-out wording of each behaviour; nothing of them was trained on."""
        from data.minecraft_dataset import load_sampling
        from data.text_alignment.labels import WORDINGS_FILE, load_labels, load_wordings
        from data.text_alignment.visual_goals import longest_showings, write_visual_goals

        folder, labels = self.out / "goals", self.quick.recordings / "labels"
        held_out = load_wordings(labels / WORDINGS_FILE)[1]
        write_json(folder / "held_out.json", {name: held_out[name][0] for name in BEHAVIOURS})
        validation = load_sampling(self.quick.samplings, self.quick.sampling)[1]
        moments = longest_showings(load_labels(labels), validation, BEHAVIOURS)
        write_visual_goals(moments, folder)
        write_json(
            folder / "moments.json", {name: [path.name, frame] for name, (path, frame) in moments.items()}
        )

    def film(self, policy: Path) -> None:
        """A film of each sentence, in the first reporting world, of the quickstart's policy."""
        films = program(
            "2_gen_vid_for_text_prompt.sh",
            *self.quick.playing_flags(),
            *("--in_weights", policy, "--behaviours", ",".join(BEHAVIOURS), "--seed", REPORTING),
            *("--cond_scale", f"{self.scale:g}", "--gameplay_length", self.args.frames_played),
            *("--num_envs", len(BEHAVIOURS), "--save_dirpath", self.out / "films"),
            data_root=self.out,
        )
        self.run("films", [films])

    # ---- what came of it ----

    def figures(self, seeds: int, arms: Sequence[str]) -> dict[str, Any]:
        """All figures, settings, versions and hashes as plain JSON."""
        from steve1.judging.claims import Claim, Runs, made_by, summarise

        settings = {setting.name: setting for setting in self.settings()}

        def played(name: str, setting: Setting, scale: float | None = None) -> list[list[Group]]:
            return [self.groups(name, seed, setting, scale) for seed in range(seeds)]

        text = played("policy", settings[TEXT])
        policies = {
            _guided(scale): text if scale == self.scale else played("policy", settings["guidance"], scale)
            for scale in sorted({*SCALES, self.scale})
        }
        policies |= {
            name: played("policy", one) for name, one in settings.items() if name not in (TEXT, "guidance")
        }
        trained = {arm: played(arm, self.arm_setting()) for arm in arms}
        usual = _guided(self.scale)
        claims = [
            Claim("guidance helps", usual, _guided(0)),
            Claim("the prior helps", usual, "without the prior"),
            Claim("more data helps", FULL, QUARTER),
            Claim("text does more than visual goals", usual, "visual goals"),
            Claim("trained wordings do more than held-out ones", usual, "held-out wordings"),
            Claim("goals at boundaries help", BOUNDARIES, FULL),
        ]
        args, worlds = self.args, range(REPORTING, REPORTING + self.args.setting_worlds)
        return {
            "settings": {
                "training_seeds": seeds,
                "n_frames": self.n_frames,
                "arms_frames": args.arms_frames,
                "recipe": self.recipe,
                "guidance": self.scale,
                "frames_played": args.frames_played,
                "worlds": args.worlds,
                "setting_worlds": args.setting_worlds,
                "reporting_worlds_from": REPORTING,
                "choosing_worlds_from": CHOOSING,
                "visual_goals": read_object(self.out / "goals" / "moments.json"),
                "held_out_wordings": read_object(self.out / "goals" / "held_out.json"),
            },
            "made_by": made_by(text),
            "seconds": noted_times(self.out / "times.jsonl"),
            **summarise(Runs(text, policies, trained, (usual, FULL)), worlds, claims),
        }

    def forecast(self) -> float:
        """Seconds that the whole takes on two quiet cores, from rates measured there; what is made is not left out."""
        seeds, frames = self.args.training_seeds, self.args.frames_played
        arms = 3 if self.args.arms_frames else 0
        runs = arms - (self.args.arms_frames == self.n_frames)
        trained = (seeds - 1) * self.n_frames + runs * seeds * self.args.arms_frames
        settings = [*self.settings(), *[self.arm_setting()] * arms]
        played = seeds * sum(one.episodes * one.worlds for one in settings) * frames
        programs = (seeds - 1) + runs * seeds + seeds * len(settings)
        return (trained * TRAINING_S + played * PLAYING_S + programs * STARTING_S) / 2

    def choose(self) -> None:
        """Play guidance scales in choosing worlds, and write which has the highest mean normalised score there."""
        from steve1.judging.claims import scores_by_setting

        scales, worlds = ",".join(f"{scale:g}" for scale in SCALES), self.args.setting_worlds
        flags = ("--behaviours", ",".join(BEHAVIOURS), "--no_goal", "--cond_scale", scales)
        setting = Setting("choosing", worlds, flags, len(BEHAVIOURS) * len(SCALES) + 1)
        policies = list(enumerate(self.train()[0]))
        self.run("choosing", [self._playing("policy", *policy, setting, CHOOSING) for policy in policies])
        scores: dict[str, list[float]] = {f"{scale:g}": [] for scale in SCALES}
        for seed, _ in policies:
            found = {name: self.groups("policy", seed, setting, float(name), CHOOSING) for name in scores}
            for name, value in scores_by_setting(found, range(CHOOSING, CHOOSING + worlds)).items():
                scores[name].append(value)
        means = {name: sum(values) / len(values) for name, values in scores.items()}
        chosen = max(means, key=lambda name: means[name])
        played = {"worlds_from": CHOOSING, "worlds": worlds, "frames_played": self.args.frames_played}
        choice = {"guidance": float(chosen), "means": means, "scores": scores, **played}
        write_json(self.out / "choice.json", choice)
        for name, values in scores.items():  # normalised: the mean, and each training seed's
            print(f"guidance {name}: {means[name]:.3f} of", *(f"{value:.3f}" for value in values))
        print(f"chosen: {chosen}")


def _guided(scale: float) -> str:
    return f"text, guidance {scale:g}"


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


if __name__ == "__main__":
    main()
