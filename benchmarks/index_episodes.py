"""How long it takes to index many episodes from their metadata alone, on one core, against a budget of 3 s.

    python benchmarks/index_episodes.py                     # 10,000 episodes
    python benchmarks/index_episodes.py --episodes 500      # a quick look

The folders are made in --dir: a true metadata.json each, and stubs for the other files, which indexing must not
read. They have just been written, so the system has them in memory; a disk that has to be asked takes longer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steve1.cli import count, entry_point, out_of_range, report_all

BUDGET = 3.0  # seconds for 10,000 episodes


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=count, default=10_000, help="episode folders (default 10,000)")
    parser.add_argument("--dir", type=Path, help="where a temporary folder is made (default: the system's)")
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "episodes", least=20))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    import torch  # noqa: F401  (loaded before the clock starts, as in training)

    from data.minecraft_dataset import MinecraftDataset, load_sampling
    from data.sampling import generate_sampling
    from data.sampling.sessions import read_dataset

    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        dataset, lists = Path(folder) / "dataset", Path(folder) / "samplings"
        make_episodes(dataset, args.episodes)
        print(f"{args.episodes:,} episodes, one core of {os.cpu_count()}, {load}")

        def sampling() -> None:
            flags = ["--type", "custom", "--name", "all", "--dataset_dirs", dataset, "--output_dir", lists]
            with contextlib.redirect_stdout(io.StringIO()):
                generate_sampling.main([str(flag) for flag in [*flags, "--T", 640]])

        def training() -> MinecraftDataset:
            return MinecraftDataset(load_sampling(lists, "all")[0], 640, 15, 200)

        budget = BUDGET * args.episodes / 10_000
        report("index of a folder (dataset_summary's base)", budget, lambda: read_dataset(dataset))
        report("generate_sampling, with lists, table, picture", budget, sampling)
        items = report("training's dataset, nine tenths of them", budget, training)
        print(f"{len(items):,} items of T=640")


def make_episodes(folder: Path, n: int) -> None:
    """Write ``n`` folders named as contractors' recordings, eight to a session, 1,000 to 6,000 frames each."""
    from steve1.files import write_json

    folder.mkdir()
    for number in range(n):
        episode = folder / f"some-player-{number // 8:012x}-20220421-{number % 240_000:06d}"
        episode.mkdir()
        for name in ("actions.jsonl", "embeds_attn.pkl", "frames.mp4"):
            (episode / name).touch()
        frames = 1000 + number * 7919 % 5001
        known = {"n_frames": frames, "fps": 20, "frame_format": "mp4", "embed_dim": 512}
        more = {"mineclip_hash": "c" * 64, "source": "a stub", "tool_version": "0", "warnings": []}
        write_json(episode / "metadata.json", {**known, **more})


def report(what: str, budget: float, work: Callable[[], Any]) -> Any:
    """Run ``work``, print its seconds and their share of the budget, and return what it returns."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{what:<46} {wall:5.2f} s ({processor:.2f} s of processor time), budget {budget:.2f} s, "
        f"ratio {wall / budget:.2f}"
    )
    return result


if __name__ == "__main__":
    main()
