"""How fast BlockWorld runs: a player who walks, turns, digs and looks around, on one core.

    python benchmarks/blockworld_speed.py
    python benchmarks/blockworld_speed.py --frames 200 --seeds 1

Prints frames a second as delivered (``step`` with its whole observation, ``pov`` 360x640), by the clock and by
processor time (which other processes disturb less), and how long numba compiles where its cache is empty.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

_COLD = """
import time
start = time.perf_counter()
from blockworld.env import BlockWorldEnv
imported = time.perf_counter()
env = BlockWorldEnv(seed=0)
env.reset()
for action in ({"forward": 1}, {"attack": 1}, {"inventory": 1}):
    env.step(action)
ready = time.perf_counter()
env.seed(1)
env.reset()
print(imported - start, ready - imported, time.perf_counter() - ready)
"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="frames a second of BlockWorld on one core")
    parser.add_argument("--frames", type=int, default=1000, help="frames measured for each seed and size")
    parser.add_argument("--seeds", type=int, default=3, help="worlds measured")
    args = parser.parse_args(argv)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"one core of {os.cpu_count()}; load average {load:.1f} (a busy machine reads low)")
    with tempfile.TemporaryDirectory() as cache:
        for name in ("empty cache", "warm cache"):
            done = subprocess.run(
                [sys.executable, "-c", _COLD],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            imported, first, reset = map(float, done.stdout.split())
            print(
                f"{name}: import {imported:.1f} s, first world and steps {first:.1f} s, a new world {reset:.2f} s"
            )
    for height in (180, 120, 90):
        for seed in range(args.seeds):
            _measure(height, seed, args.frames)


def _measure(height: int, seed: int, frames: int) -> None:
    import numpy as np

    from blockworld.env import BlockWorldEnv

    env = BlockWorldEnv(seed=seed, render_height=height)
    env.reset()
    env.step({"attack": 1})
    rng = np.random.default_rng(seed)
    clock, processor = time.perf_counter(), time.process_time()
    for frame in range(frames):
        phase = frame // 50 % 4
        turn = [float(rng.uniform(-3, 3)) - 0.05 * env.player.pitch, float(rng.uniform(-6, 6))]
        if phase == 3:
            turn[0] = min(60.0 - env.player.pitch, 5.0)
        env.step(
            {
                "forward": int(phase < 3),
                "sprint": int(phase == 1),
                "jump": int(env.player.blocked or env.player.in_water),
                "attack": int(phase == 3),
                "camera": turn,
            }
        )
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(
        f"{height} rows, seed {seed}: {frames / clock:.0f} frames/s by the clock, "
        f"{frames / processor:.0f} by processor time"
    )


if __name__ == "__main__":
    main()
