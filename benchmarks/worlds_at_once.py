"""How much quicker N worlds of a game step at once (--num_envs) than one after the other.

    python benchmarks/worlds_at_once.py
    python benchmarks/worlds_at_once.py --worlds 2 --steps 10

The worlds are the tests' stand-in for MineRL, whose step takes --step_ms and nothing of the processor: what is
measured is the talk with the workers and their waiting for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steve1.cli import count, entry_point

STANDIN = Path(__file__).resolve().parents[1] / "tests" / "steve1" / "envs" / "standin"


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=count, default=8, help="worlds (default 8)")
    parser.add_argument("--steps", type=count, default=100, help="steps of each (default 100)")
    parser.add_argument(
        "--step_ms", type=count, default=30, help="milliseconds that a step takes (default 30)"
    )
    args = parser.parse_args(argv)

    from steve1 import envs
    from steve1.envs.minerl import MineRLEnv

    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(PYTHONPATH=str(STANDIN), STANDIN_FOLDER=folder, DISPLAY=":99")
        for number in range(args.worlds):
            (Path(folder) / f"{number}.json").write_text(json.dumps({"step_ms": args.step_ms}))
        worlds = [MineRLEnv(seed=number, minerl_python=sys.executable) for number in range(args.worlds)]
        try:
            envs.reset_all(worlds)
            action = {"forward": 1}
            single = _timed(lambda: [world.step(action) for world in worlds], args.steps)
            at_once = _timed(lambda: envs.step_all(worlds, [action] * len(worlds)), args.steps)
        finally:
            for world in worlds:
                world.close()
    print(f"{args.worlds} worlds of {args.step_ms} ms a step, {args.steps} steps, ms a step of all of them:")
    print(f"one after the other {single:.1f}, at once {at_once:.1f}: {single / at_once:.1f}x")


def _timed(step: Callable[[], Any], steps: int) -> float:
    """Milliseconds a call."""
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    return 1000 * (time.perf_counter() - begun) / steps


if __name__ == "__main__":
    main()
