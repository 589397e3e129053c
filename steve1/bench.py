"""What the long benchmarks share: a finished quickstart's products, and programs whose failure is one sentence."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steve1.cli import UserError
from steve1.files import read_object, write_json
from steve1.programs import Program, run_programs

ROOT = Path(__file__).resolve().parents[1]
_RECIPE = (
    *("T", "trunc_t", "batch_size", "gradient_accumulation_steps", "p_uncond"),
    *("min_btwn_goals", "max_btwn_goals", "learning_rate", "warmup_frames", "n_frames"),
    *("schedule", "decay_frames", "weight_decay", "max_grad_norm"),
)


class Quickstart:
    """Where a finished ``./quickstart.sh`` has what. Raises UserError where something is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root = root.absolute()
        steve1 = root / "weights" / "steve1"
        self.policy, self.prior = steve1 / "small.weights", steve1 / "small_prior.pt"
        self.mineclip = root / "weights" / "mineclip" / "small.pth"
        self.model = ROOT / "configs" / "quickstart_policy.json"
        self.episodes, self.recordings = root / "dataset_contractor", root / "recordings_blockworld"
        self.sampling, self.samplings = "quickstart", root / "samplings"
        needed = (self.policy, self.prior, self.mineclip, self.episodes, self.recordings, self.samplings)
        missing = [path for path in needed if not path.exists()]
        if missing:
            raise UserError(f"{missing[0]} is missing; run ./quickstart.sh to its end first")

    def recipe(self) -> dict[str, Any]:
        """The flags that make its policy what it is, and ``n_frames``; without those of saving and watching."""
        path = self.policy.with_suffix(".json")
        flags = read_object(path).get("flags")
        if not isinstance(flags, dict):
            raise UserError(f"{path} does not say how the policy was trained; run ./quickstart.sh again")
        return {name: flags[name] for name in _RECIPE if name in flags}

    def policy_hash(self) -> str:
        """Of its policy's tensors."""
        from steve1.checkpoints import read_state_dict, tensors_hash

        return tensors_hash(read_state_dict(self.policy))

    def training(
        self, weights: Path, seed: int, n_frames: int, data: Sequence[object], data_root: Path, name: str
    ) -> Program:
        """A policy trained as its policy was, with one thread. ``data``: the flags that name the sampling."""
        recipe = self.recipe()
        recipe |= {"n_frames": n_frames, "warmup_frames": min(recipe["warmup_frames"], n_frames // 10)}
        return program(
            "training/train.py",
            *("--in_model", self.model, "--in_weights", "", "--out_weights", weights, "--seed", seed),
            *(part for flag, value in recipe.items() for part in (f"--{flag}", value)),
            *("--num_workers", 1, "--val_freq", 0, "--val_freq_begin", 0),
            *("--save_freq", 400, "--log_freq", 50, "--snapshot_every_n_frames", 0),
            *("--checkpoint_dir", weights.parent / "checkpoint", *data),
            data_root=data_root,
            name=name,
            threads=1,
        )

    def guidance(self) -> float:
        """The guidance scale that its prompts were judged with."""
        path = self.root / "judged.json"
        groups = read_object(path).get("groups", [])
        scales = {group["cond_scale"] or 0.0 for group in groups if group["kind"] != "no_goal"}
        if len(scales) != 1:
            raise UserError(f"{path} has {len(scales)} guidance scales; give --cond_scale")
        return float(scales.pop())

    def playing_flags(self) -> list[object]:
        """run_agent.py's: the small world and models, all but the policy's weights."""
        return [
            *("--env", "blockworld", "--in_model", self.model, "--device", "cpu"),
            *("--mineclip_weights", self.mineclip, "--prior_weights", self.prior),
        ]


def program(script: str, *flags: object, data_root: Path, name: str = "", threads: int = 0) -> Program:
    """One of the repository's programs, its data in ``data_root``; what it says goes to ``programs.log`` there.

    ``threads``: that it computes with; 0: as many as it likes.
    """
    env = {"STEVE1_DATA_ROOT": str(data_root), "ACCELERATE_USE_CPU": "true", "MIXED_PRECISION": "no"}
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    first = ["bash"] if script.endswith(".sh") else [sys.executable]
    return Program(name or script, [*first, ROOT / script, *flags], data_root / "programs.log", env, ROOT)


def run_all(programs: Sequence[Program], at_once: int = 1) -> dict[str, float]:
    """Run programs to their ends and say how long each took; the seconds by name.

    Raises UserError where one fails.
    """
    seconds = {}
    with contextlib.closing(run_programs(programs, at_once)) as ended:
        for done in ended:
            if done.code:
                raise UserError(
                    f"{done.program.name} ended with {done.code}: see the end of {done.program.log}"
                )
            seconds[done.program.name] = done.seconds
            print(f"    {done.program.name}: {done.seconds:.0f} s", flush=True)
    return seconds


def keep_settings(folder: Path, decided: Mapping[str, Any]) -> None:
    """Note in ``folder`` what decides what is made there. Raises UserError where it holds what others made."""
    path = folder / "settings.json"
    wanted = json.loads(json.dumps(decided))
    found = read_object(path) if path.exists() else wanted
    differing = [name for name in wanted if found.get(name, wanted[name]) != wanted[name]]
    if differing:
        raise UserError(
            f"{folder} holds runs of another {' and '.join(differing)}; give another --output_dir, or remove this one"
        )
    write_json(path, {**found, **wanted})


def note_times(path: Path, stage: str, seconds: Mapping[str, float]) -> None:
    """Append what a stage's programs took, a line of JSON each."""
    with open(path, "a", encoding="utf-8") as times:
        for name, took in seconds.items():
            times.write(json.dumps({"stage": stage, "program": name, "seconds": took}) + "\n")


def noted_times(path: Path) -> dict[str, float]:
    """Seconds of each stage's programs added up, as if none had run beside another, over all runs that it took."""
    found: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        noted = json.loads(line)
        found[noted["stage"]] = found.get(noted["stage"], 0.0) + noted["seconds"]
    return found
