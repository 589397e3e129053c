"""How fast recordings become episodes with several processes: ours with --workers N against one, in one run.

    python benchmarks/conversion.py                                  # 200 recordings of 300 frames, 2 processes
    python benchmarks/conversion.py --recordings 20 --frames 100     # a taste of it
    python benchmarks/conversion.py --kills 10                       # and kill it at so many random moments

The recordings are made on the spot (640x360 mp4 and contractor lines) and converted by
data/generation/convert_from_contractor.py with a MineCLIP of small.json's sizes, or tiny ones, so that reading and
writing have their full weight. Either way of converting must give the same files; --kills also ends the processes at
random moments, begins again each time, and compares what is there in the end. Linux and macOS.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steve1.cli import UserError, count, entry_point, out_of_range, report_all
from steve1.config import MINECLIP_CONFIG

WIDTH, HEIGHT = 640, 360
SMALL = {"resolution": [40, 64], "patch_size": 8, "vision_width": 96, "vision_layers": 3, "vision_heads": 3}
SMALL |= {"embed_dim": 128, "vocab_size": 64, "text_width": 64, "text_layers": 1, "text_heads": 1}
SMALL |= {"temporal_layers": 1, "temporal_heads": 2, "temporal_head_dim": 32}
SEED = 0


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=count, default=200, help="how many (default: 200)")
    parser.add_argument("--frames", type=count, default=300, help="of each (default: 300)")
    parser.add_argument("--workers", type=count, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--kills", type=count, default=0, help="random moments at which a further run is killed (default: 0)"
    )
    args = parser.parse_args(argv)
    report_all(
        [
            *out_of_range(args, "recordings", least=1),
            *out_of_range(args, "workers", least=2),
            *out_of_range(args, "frames", least=16),
            *out_of_range(args, "kills", least=0),
        ]
    )

    import numpy as np
    import torch

    from steve1.checkpoints import save_mineclip
    from steve1.mineclip import MineCLIP

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # ---- recordings and a MineCLIP
        (folder / "recordings").mkdir()
        for i in range(args.recordings):
            _record(folder / "recordings" / f"r{i:04d}.mp4", args.frames, i)
        torch.manual_seed(SEED)
        save_mineclip(MineCLIP({**MINECLIP_CONFIG, **SMALL}), folder / "mineclip.pth")

        # ---- one process, then several
        seconds = {}
        for workers in (1, args.workers):
            start = time.perf_counter()
            _finish(_start(folder, f"by_{workers}", workers))
            seconds[workers] = time.perf_counter() - start
        _compare(folder / "by_1", folder / f"by_{args.workers}")

        # ---- killed at random moments, and begun again each time
        moments = np.random.default_rng(SEED).uniform(0, seconds[args.workers] / 2, args.kills)
        for moment in moments:
            process = _start(folder, "killed", args.workers)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if args.kills:
            _finish(_start(folder, "killed", args.workers))
            _compare(folder / "by_1", folder / "killed")

    # ---- what is printed
    frames = args.recordings * args.frames
    load = f", load average {os.getloadavg()[0]:.1f}"
    print(
        f"{args.recordings:,} recordings of {args.frames:,} frames of {WIDTH}x{HEIGHT}, torch {torch.__version__}{load}"
    )
    for workers, took in seconds.items():
        print(f"--workers {workers}: {took:7.1f} s, {frames / took:7.0f} frames/s")
    print(f"ratio:       {seconds[1] / seconds[args.workers]:7.2f}")
    print("the same files, to the byte" + (f", also after {args.kills} kills" if args.kills else ""))


def _record(path: Path, n_frames: int, seed: int) -> None:
    """A recording of a picture that moves, with a step forward in each line."""
    import av
    import numpy as np

    line = {
        "mouse": {"x": 640.0, "y": 360.0, "dx": 1.0, "dy": 0.0, "buttons": [], "newButtons": []},
        "keyboard": {"keys": ["key.keyboard.w"], "newKeys": [], "chars": ""},
        "isGuiOpen": False,
        "hotbar": 0,
    }
    path.with_suffix(".jsonl").write_text((json.dumps(line) + "\n") * n_frames)
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for i in range(n_frames):
            image = np.roll(picture, 4 * i, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _start(folder: Path, out: str, workers: int) -> subprocess.Popen:
    """A conversion, in a group of processes of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "data.generation.convert_from_contractor", "--num_episodes", "0"),
            *("--local_dir", str(folder / "recordings"), "--output_dir", str(folder / out)),
            *("--mineclip_weights", str(folder / "mineclip.pth"), "--min_timesteps", "16"),
            *("--workers", str(workers), "--cache_dir", str(folder / "cache")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(process: subprocess.Popen) -> None:
    _, error = process.communicate()
    if process.returncode:
        raise UserError(f"the conversion failed: {error[-500:]}")


def _compare(one: Path, other: Path) -> None:
    """Raise UserError where two folders differ in a name or a byte."""
    names = [
        sorted(path.relative_to(top) for path in top.rglob("*") if path.is_file()) for top in (one, other)
    ]
    if names[0] != names[1]:
        raise UserError(f"{one.name} and {other.name} do not have the same files; that is a fault of ours")
    for name in names[0]:
        if not filecmp.cmp(one / name, other / name, shallow=False):
            raise UserError(f"{name} is not the same in {one.name} and {other.name}; that is a fault of ours")


if __name__ == "__main__":
    main()
