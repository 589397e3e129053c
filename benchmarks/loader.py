"""How fast training items are read, on one core: frames, actions and goals of T consecutive frames.

    python benchmarks/loader.py                                  # T=640 of a 6,000-frame episode
    python benchmarks/loader.py --frames 200 --T 64 --items 4    # a quick look

Items begin anywhere in the episode, not only where chunks do. Footage is real where there are clips in --media
(they are resized to 128x128 and repeated), and else BlockWorld's, which is said. The first item, which also parses
the episode's actions, is timed by itself. Wall time is what counts; processor time beside it tells how much other
processes took.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import count, entry_point, out_of_range, report_all

if TYPE_CHECKING:
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage

FLOORS = {"png": 1200, "mp4": 1600}  # frames/s
DECIBELS = 40.0
EMBED_DIM = 512
MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=count, default=6000, help="frames of the episode (default 6000)")
    parser.add_argument("--T", type=count, default=640, help="frames of an item (default 640)")
    parser.add_argument("--items", type=count, default=25, help="items read of each format (default 25)")
    parser.add_argument(
        "--media", type=Path, default=MEDIA, help="folder of mp4 clips (default ../shared/media, if there)"
    )
    parser.add_argument("--seed", type=count, default=0, help="of starts, goals and actions (default 0)")
    args = parser.parse_args(argv)
    problems = []
    if args.T < 1 or args.frames < args.T + 15:
        problems.append(f"--frames {args.frames}, --T {args.T}: an item needs T + 15 frames, T at least 1")
    problems += out_of_range(args, "items", least=1) + out_of_range(args, "seed", least=0)
    report_all(problems)
    return args


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    one_core()

    import cv2
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage
    from data.minecraft_dataset import MinecraftDataset

    cv2.setNumThreads(1)
    rng = np.random.default_rng(args.seed)
    source, footage = find_footage(args.media, args.frames)
    frames = list(footage)
    actions = random_actions(args.frames, rng)
    embeds = rng.normal(size=(args.frames, EMBED_DIM)).astype(np.float32)
    # Anywhere, the two ends of the episode and the frame before a keyframe (the slowest to seek) among them.
    last = args.frames - args.T
    starts = [15, last, min(last, 31), *rng.integers(15, last + 1, args.items).tolist()][: args.items]
    print(f"{args.frames:,} frames of {source}; {len(starts)} items of T={args.T}")

    with tempfile.TemporaryDirectory() as folder:
        for form, floor in FLOORS.items():
            episode = EpisodeStorage.write(Path(folder) / form, frames, actions, embeds, {}, form)
            dataset = MinecraftDataset([episode.dirpath], args.T, 15, 200, seed=args.seed)

            def item(start: int, dataset: MinecraftDataset = dataset) -> None:
                dataset.chunks[0] = (0, start)
                dataset[0]

            first = time.perf_counter()
            item(starts[0])
            first = time.perf_counter() - first
            rate = measure(item, starts, args.T)
            files = [path for path in episode.dirpath.rglob("*") if path.suffix == f".{form}"]
            size = sum(path.stat().st_size for path in files) / args.frames / 1000
            decibels = psnr(episode, frames)
            quality = f"{decibels:.1f} dB against the frames (floor {DECIBELS:.0f})"
            if decibels == float("inf"):
                quality = "lossless"
            print(f"{form}: {rate}; floor {floor:,}, ratio {rate.wall / floor:.2f}")
            print(f"     {quality}, {size:.1f} KB a frame; the first item, actions decoded: {first:.2f} s")


def one_core() -> None:
    """Pin this process to one core and its libraries to one thread; say where it runs."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    pinned = "not pinned to a core, which this system can't"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        pinned = "pinned to one core"
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    try:
        import isal  # type: ignore

        inflate = f"ISA-L {isal.__version__}"
    except ImportError:
        inflate = "zlib (isal is not installed)"
    print(f"{cpu_name()}, {os.cpu_count()} cores, {pinned}, {load}; PNGs inflated by {inflate}")


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def find_footage(media: Path, n: int) -> tuple[str, Iterator[np.ndarray]]:
    """What the frames show, and ``n`` of them, uint8 [128, 128, 3]."""
    import cv2

    from data.video import decode
    from steve1.config import FRAME_SIZE

    def small(frame: np.ndarray) -> np.ndarray:
        return cv2.resize(frame, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_LINEAR)

    clips = sorted(media.glob("*.mp4")) if media.is_dir() else []
    if clips:
        every = [small(frame) for clip in clips for frame in decode(clip)]
        names = ", ".join(clip.name for clip in clips)
        return f"real footage ({names}), repeated", itertools.islice(itertools.cycle(every), n)
    every = [small(frame) for frame in walk_in_blockworld(min(n, 600))]
    return f"BlockWorld (no clips in {media}), repeated", itertools.islice(itertools.cycle(every), n)


def walk_in_blockworld(n: int) -> Iterator[np.ndarray]:
    from steve1.envs import make_env

    env = make_env("blockworld", seed=0)
    env.reset()
    try:
        for frame in range(n):
            jump = int(frame % 10 < 3)
            camera = [0.0, 4.0 if frame // 40 % 2 else -1.0]
            yield env.step({"forward": 1, "jump": jump, "camera": camera})[0]["pov"]
    finally:
        env.close()


def random_actions(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    import numpy as np

    from data.EpisodeStorage import BINARY_KEYS

    pressed = {key: (rng.random(n) < 0.1).astype(np.int64) for key in BINARY_KEYS}
    return {**pressed, "camera": rng.normal(0, 3, (n, 2))}


class Rate:
    """Frames a second over all items, by the clock and by processor time, and of the slowest item."""

    def __init__(self, frames: int, clock: list[float], processor: list[float]) -> None:
        self.wall = frames * len(clock) / sum(clock)
        self.cpu = frames * len(processor) / max(sum(processor), 1e-9)
        self.slowest = frames / max(clock)

    def __str__(self) -> str:
        return (
            f"{self.wall:,.0f} frames/s by the clock, {self.cpu:,.0f} by processor time, "
            f"slowest item {self.slowest:,.0f}"
        )


def measure(item: Callable[[int], None], starts: list[int], T: int) -> Rate:
    """Time ``item`` at each start."""
    clock, processor = [], []
    for start in starts:
        began = time.perf_counter(), time.process_time()
        item(start)
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return Rate(T, clock, processor)


def psnr(episode: EpisodeStorage, frames: list[np.ndarray]) -> float:
    """Decibels of a stored episode against its frames, over all pixels."""
    import numpy as np

    squares = 0.0
    for start in range(0, len(frames), 256):
        stop = min(start + 256, len(frames))
        difference = episode.load_frames(start, stop).astype(np.int32) - np.stack(frames[start:stop])
        squares += float((difference**2).sum())
    mean = squares / (len(frames) * frames[0].size)
    return float(10 * np.log10(255**2 / mean)) if mean else float("inf")


if __name__ == "__main__":
    main()
