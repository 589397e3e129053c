"""How fast training items are read, on one core, against the published way of loading: frames, actions and goals.

    python benchmarks/loader.py                                  # T=640 of a 6,000-frame episode
    python benchmarks/loader.py --T 64                           # short items, where a first touch counts
    python benchmarks/loader.py --frames 200 --T 64 --items 4    # a quick look

Items begin anywhere in the episode, not only where chunks do. Footage is real where there are clips in --media
(they are resized to 128x128 and repeated), and else BlockWorld's, which is said.

*The published way* is written here, plainly, from what docs/formats.md says of its episodes: frames one by one into a
list (OpenCV; the PNGs are the very same files, the mp4 is its own mp4v), the pickled lists of actions and embeddings
read whole for every item, and a Python loop that turns one action after the other into the policy's.

*A first touch* is an item of an episode that the process has not opened before, as every worker's first ones are.

Everything is timed in turn, --repeats times, and of each item the best time counts: other processes can only make
it slower.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import count, entry_point, out_of_range, report_all

if TYPE_CHECKING:
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage
    from data.minecraft_dataset import MinecraftDataset

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
    parser.add_argument("--repeats", type=count, default=3, help="times that each is timed (default 3)")
    parser.add_argument(
        "--media", type=Path, default=MEDIA, help="folder of mp4 clips (default ../shared/media, if there)"
    )
    parser.add_argument("--seed", type=count, default=0, help="of starts, goals and actions (default 0)")
    args = parser.parse_args(argv)
    problems = []
    if args.T < 1 or args.frames < args.T + 15:
        problems.append(f"--frames {args.frames}, --T {args.T}: an item needs T + 15 frames, T at least 1")
    problems += out_of_range(args, "items", "repeats", least=1) + out_of_range(args, "seed", least=0)
    report_all(problems)
    return args


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    one_core()

    import cv2
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage

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
            published = lay_down(Path(folder) / f"published_{form}", episode, frames, actions, embeds, form)
            ways: dict[str, Callable[[int], object]] = {
                "ours": partial(read_item, opened(episode, args)),
                "first touch": partial(first_touch, episode, args),
                "published": partial(published.item, args.T),
            }
            best = {way: Best(args.T) for way in ways}
            for start in starts:
                best_of(ways, best, start, args.repeats)
            rate, theirs = best["ours"], best["published"]
            size = episode_bytes(episode, form) / args.frames / 1000
            decibels = psnr(episode, frames)
            quality = f"{decibels:.1f} dB against the frames (floor {DECIBELS:.0f})"
            if decibels == float("inf"):
                quality = "lossless"
            print(f"{form}: {rate}; floor {floor:,}, ratio {rate.wall / floor:.2f}")
            ratio = rate.wall / theirs.wall
            print(f"     the published way {theirs.wall:,.0f} frames/s: ours is {ratio:.2f} times as fast")
            first = best["first touch"]
            print(
                f"     a first touch {1000 * first.seconds:.1f} ms an item, {1000 * rate.seconds:.1f} ms later: "
                f"{first.seconds / rate.seconds:.2f} times"
            )
            print(f"     {quality}, {size:.1f} KB a frame")


def opened(episode: EpisodeStorage, args: argparse.Namespace) -> MinecraftDataset:
    """The items of an episode that nothing is known of yet."""
    from data.minecraft_dataset import MinecraftDataset

    return MinecraftDataset([episode.dirpath], args.T, 15, 200, seed=args.seed)


def first_touch(episode: EpisodeStorage, args: argparse.Namespace, start: int) -> None:
    read_item(opened(episode, args), start)


def read_item(dataset: MinecraftDataset, start: int) -> None:
    dataset.chunks[0] = (0, start)
    dataset[0]


def episode_bytes(episode: EpisodeStorage, form: str) -> int:
    return sum(path.stat().st_size for path in episode.dirpath.rglob("*") if path.suffix == f".{form}")


class Published:
    """An episode read as the published code reads it, from the facts of docs/formats.md."""

    def __init__(self, folder: Path, pngs: Path | None) -> None:
        self.folder, self.pngs = folder, pngs

    def item(self, T: int, start: int) -> tuple[np.ndarray, list[dict[str, np.ndarray]], np.ndarray]:
        """Frames [T, H, W, 3], a joint action a frame, and the goal's embedding (the last frame's) [T, E]."""
        import numpy as np

        from steve1.vpt.actions import env_to_agent

        frames = self.frames(start, T)
        with open(self.folder / "actions.pkl", "rb") as file:
            actions = pickle.load(file)[start : start + T]
        taken = []
        for action in actions:
            one = {name: np.array([value]) for name, value in action.items() if name != "camera"}
            taken.append(env_to_agent({**one, "camera": action["camera"][None]}))
        with open(self.folder / "embeds_attn.pkl", "rb") as file:
            embeds = pickle.load(file)
        goal = len(embeds) - 1
        return np.stack(frames), taken, np.stack([embeds[goal][0] for _ in range(T)])

    def frames(self, start: int, T: int) -> list[np.ndarray]:
        import cv2

        if self.pngs is not None:
            read = [cv2.imread(str(self.pngs / f"{i:05d}.png")) for i in range(start, start + T)]
        else:
            video = cv2.VideoCapture(str(self.folder / "frames.mp4"))
            video.set(cv2.CAP_PROP_POS_FRAMES, start)
            read = [video.read()[1] for _ in range(T)]
            video.release()
        return [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in read]


def lay_down(
    folder: Path,
    ours: EpisodeStorage,
    frames: list[np.ndarray],
    actions: dict[str, np.ndarray],
    embeds: np.ndarray,
    form: str,
) -> Published:
    """The same episode as the published code lays it down; PNGs, which it has none of, are ours."""
    import cv2

    folder.mkdir()
    names = [name for name in actions if name != "camera"]
    listed = [
        {**{name: int(actions[name][t]) for name in names}, "camera": actions["camera"][t]}
        for t in range(len(frames))
    ]
    rows = [None] * 15 + [row[None] for row in embeds[15:]]
    for name, content in (("actions.pkl", listed), ("embeds_attn.pkl", rows)):
        with open(folder / name, "wb") as file:
            pickle.dump(content, file)
    if form == "png":
        return Published(folder, ours.dirpath / "frames")
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined]
    video = cv2.VideoWriter(str(folder / "frames.mp4"), fourcc, 20, frames[0].shape[1::-1])
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()
    return Published(folder, None)


def one_core() -> None:
    """Pin this process to one core and its libraries to one thread; say where it runs."""
    import isal

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    pinned = "not pinned to a core, which this system can't"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        pinned = "pinned to one core"
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(
        f"{cpu_name()}, {os.cpu_count()} cores, {pinned}, {load}; PNGs inflated by ISA-L {isal.__version__}"
    )


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


class Best:
    """Frames a second over all items, by the clock and by processor time, each item at its best, and of the slowest."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.clock: list[float] = []
        self.processor: list[float] = []

    @property
    def wall(self) -> float:
        return self._frames * len(self.clock) / sum(self.clock)

    @property
    def seconds(self) -> float:
        """Of an item, on average."""
        return sum(self.clock) / len(self.clock)

    def __str__(self) -> str:
        processor = self._frames * len(self.processor) / max(sum(self.processor), 1e-9)
        slowest = self._frames / max(self.clock)
        return (
            f"{self.wall:,.0f} frames/s by the clock, {processor:,.0f} by processor time, "
            f"slowest item {slowest:,.0f}"
        )


def best_of(
    ways: Mapping[str, Callable[[int], object]], best: dict[str, Best], start: int, repeats: int
) -> None:
    """Time the item at ``start`` each way, in turn, and note the best of the repetitions."""
    clock: dict[str, list[float]] = {way: [] for way in ways}
    processor: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, item in ways.items():
            began = time.perf_counter(), time.process_time()
            item(start)
            clock[way].append(time.perf_counter() - began[0])
            processor[way].append(time.process_time() - began[1])
    for way in ways:
        best[way].clock.append(min(clock[way]))
        best[way].processor.append(min(processor[way]))


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
