"""How long it takes until something runs: ours beside the published way, written plainly, in one run.

    python benchmarks/start_up.py                                         # the published sizes, minutes on a CPU
    python benchmarks/start_up.py --in_model configs/quickstart_policy.json --repeats 1 --episodes 500

*Flags*: ours loads nothing heavy before it has read them; the published scripts load torch, Accelerate and OpenCV
first. *Policy* and *MineCLIP*: the published way makes a module with random weights, reads the whole file into memory
beside it and copies it there, and passes over names that do not fit. Ours maps the file, and every name and shape has
to fit and every number to be finite; MineCLIP is made without weights and takes the file's memory as its own. *Index*:
the chunks of all episodes, ours from metadata.json, the published from len.txt (one small file an episode either way).

Both end with the same weights and chunks, which is checked. They take turns, --repeats times, and the best time of each
counts; on a busy machine the processor's time tells more than the clock's. Weights are random, files have just been
written and are in the system's memory.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from index_episodes import make_episodes

from steve1.cli import count, entry_point, out_of_range, report_all

ROOT = Path(__file__).resolve().parents[1]
T = 640
# What the published scripts import before they look at their flags, as far as it is heavy.
HEAVY_FIRST = (
    "import accelerate, cv2, torch; from training.train_flags import build_parser as b; b().parse_args()"
)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in_model", help="the policy's architecture (default: the published 2x)")
    parser.add_argument("--mineclip_config", help="JSON of MineCLIP's sizes (default: the published ones)")
    parser.add_argument("--episodes", type=count, default=2_000, help="episode folders (default 2,000)")
    parser.add_argument("--repeats", type=count, default=3, help="times that each is timed (default 3)")
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "episodes", least=20) + out_of_range(args, "repeats", least=1))

    import torch

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        rows = [
            ("flags: training/train.py --help", *flags()),
            ("policy, from file to module", *policy(Path(folder), args.in_model)),
            ("MineCLIP, from file to module", *mineclip(Path(folder), args.mineclip_config)),
            (f"index of {args.episodes:,} episodes", *index(Path(folder), args.episodes)),
        ]
        print(f"{'seconds by the clock, by processor time':<40} {'ours':>15} {'published':>15} {'ratio':>11}")
        for name, ours, published in rows:
            mine, theirs = turns(ours, published, args.repeats)
            times = " ".join(f"{clock:7.3f} {processor:7.3f}" for clock, processor in (mine, theirs))
            ratios = " ".join(f"{b / max(a, 0.001):5.1f}" for a, b in zip(mine, theirs, strict=True))
            print(f"{name:<40} {times} {ratios}")


Way = Callable[[], Any]


def flags() -> tuple[Way, Way]:
    """Processes that end when the flags are read."""

    def ours() -> None:
        command = [sys.executable, "training/train.py", "--help"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def published() -> None:
        command = [sys.executable, "-c", HEAVY_FIRST, "--help"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    return ours, published


def policy(folder: Path, in_model: str | None) -> tuple[Way, Way]:
    import torch

    from steve1.checkpoints import load_model_file, load_weights, save_weights
    from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

    kwargs, head = load_model_file(in_model) if in_model else (POLICY_2X_KWARGS, PI_HEAD_KWARGS)
    model, weights = folder / "policy.model", folder / "policy.weights"
    described = {"model": {"args": {"net": {"args": kwargs}, "pi_head_opts": head}}}
    model.write_bytes(pickle.dumps(described))
    torch.manual_seed(0)
    save_weights(MinecraftAgentPolicy(kwargs, head), weights)

    def ours() -> dict:
        loaded = MinecraftAgentPolicy(*load_model_file(model))
        load_weights(loaded, weights)
        return loaded.state_dict()

    def published() -> dict:
        args = pickle.loads(model.read_bytes())["model"]["args"]
        loaded = MinecraftAgentPolicy(args["net"]["args"], args["pi_head_opts"])
        loaded.load_state_dict(torch.load(weights, map_location="cpu"), strict=False)
        return loaded.state_dict()

    return ours, published


def mineclip(folder: Path, config_file: str | None) -> tuple[Way, Way]:
    import torch

    from steve1.checkpoints import load_mineclip, save_mineclip
    from steve1.config import MINECLIP_CONFIG
    from steve1.files import read_object
    from steve1.mineclip import MineCLIP

    config = MINECLIP_CONFIG if config_file is None else read_object(config_file)
    config = config.get("config", config)
    file = folder / "attn.pth"
    save_mineclip(MineCLIP(config), file)

    def ours() -> dict:
        return load_mineclip(file).state_dict()

    def published() -> dict:
        loaded = MineCLIP(config)
        content = torch.load(file, map_location="cpu")["state_dict"]
        loaded.load_state_dict({name.removeprefix("model."): t for name, t in content.items()}, strict=False)
        return loaded.state_dict()

    return ours, published


def index(folder: Path, episodes: int) -> tuple[Way, Way]:
    from data.EpisodeStorage import EpisodeStorage
    from data.minecraft_dataset import MinecraftDataset, chunk_starts

    dataset = folder / "dataset"
    make_episodes(dataset, episodes)
    paths = sorted(dataset.iterdir())
    for path in paths:
        (path / "len.txt").write_text(str(len(EpisodeStorage(path))))

    def ours() -> list:
        return MinecraftDataset(paths, T, 15, 200).chunks

    def published() -> list:
        lengths = [int((path / "len.txt").read_text()) for path in paths]
        return [(number, start) for number, length in enumerate(lengths) for start in chunk_starts(length, T)]

    return ours, published


def turns(ours: Way, published: Way, repeats: int) -> tuple[list[float], list[float]]:
    """The best seconds of each, [by the clock, of processor time]; that they come to the same is asserted."""
    best = [float("inf")] * 2, [float("inf")] * 2
    for _ in range(repeats):
        found = []
        for i, way in enumerate((ours, published)):
            began = _clocks()
            found.append(way())
            took = (end - start for start, end in zip(began, _clocks(), strict=True))
            best[i][:] = map(min, best[i], took)
        assert _same(*found)
    return best


def _clocks() -> tuple[float, float]:
    """Seconds by the clock, and of processor time, that of processes which have ended included."""
    return time.perf_counter(), sum(os.times()[:4])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)
    return a == b


if __name__ == "__main__":
    main()
