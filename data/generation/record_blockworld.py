"""Film scripted players in BlockWorld: recordings as the contractors', and labels of what they show.

    python data/generation/record_blockworld.py --output_dir data/recordings_blockworld --num_recordings 50
    python data/generation/record_blockworld.py --output_dir /tmp/recordings --num_recordings 2 \
        --frames_per_recording 120

Writes NAME.mp4 (H.264, 640x360, 20 frames a second) and NAME.jsonl (a line per frame) for the converter
(convert_from_contractor.py --local_dir), and labels/NAME.jsonl with a line for each behaviour that can be seen:
{"episode": NAME, "start": 15, "stop": 80, "behaviour": "sky", "text": "look at the sky"}, in frames of the
episode that the converter will make, stop not included; and labels/wordings.json, all wordings of each behaviour
and those that are held out to test MineCLIP.

The same seed makes the same recordings, whatever the number of workers. Recordings that are there are not made
again. Recording i of seed s plays in the world (10,007 s + i) mod 1,000,000: evaluate on worlds from 1,000,000 on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blockworld.players.wordings import HELD_OUT_WORDINGS, USUAL, WORDINGS
from data.parallel import ordered_map
from steve1.cli import UserError, comma_list, count, entry_point, out_of_range, report_all
from steve1.config import FIRST_EMBED, FPS, data_root
from steve1.files import remove_partials, whole_file, write_json

WORLDS = 1_000_000  # recordings play in worlds below this number
MIN_LABEL = FIRST_EMBED + 1  # frames; a shorter showing holds no whole window of MineCLIP
_SETTINGS = "recorder.json"
_FIRST, _MIDDLE, _LAST = (
    (
        "brave",
        "calm",
        "clever",
        "eager",
        "gentle",
        "happy",
        "jolly",
        "keen",
        "lively",
        "proud",
        "quiet",
        "swift",
    ),
    (
        "amber",
        "azure",
        "copper",
        "coral",
        "golden",
        "indigo",
        "ivory",
        "jade",
        "olive",
        "rose",
        "silver",
        "teal",
    ),
    (
        "badger",
        "beaver",
        "falcon",
        "fox",
        "heron",
        "lynx",
        "marten",
        "otter",
        "owl",
        "raven",
        "stoat",
        "wren",
    ),
)


@dataclass(frozen=True)
class Settings:
    """What decides what is recorded; a folder holds recordings of one of these."""

    seed: int
    frames_per_recording: int
    behaviours: tuple[str, ...]


def world_seed(seed: int, index: int) -> int:
    """The world of recording ``index``: below WORLDS, and another one for each index."""
    return (10_007 * seed + index) % WORLDS


def recording_name(seed: int, index: int) -> str:
    """ALIAS-SESSION-YYYYMMDD-HHMMSS, as the contractors' are; the session is the world's."""
    world = world_seed(seed, index)
    digest = hashlib.sha256(f"blockworld {world}".encode()).hexdigest()
    alias = "-".join(
        words[int(digest[at : at + 4], 16) % len(words)]
        for words, at in ((_FIRST, 12), (_MIDDLE, 16), (_LAST, 20))
    )
    minute, hour, day = index % 60, index // 60 % 24, index // 1440 % 28 + 1
    return f"{alias}-{digest[:12]}-202206{day:02}-{hour:02}{minute:02}00"


def record(output_dir: Path, settings: Settings, index: int) -> Counter[str]:
    """Make one recording with its labels, whole or not at all. Returns its labelled frames by behaviour.

    Raises :class:`UserError` where PyAV has no H.264 encoder.
    """

    from blockworld.players.director import play
    from data.contractor import parse_actions
    from data.generation.blockworld_lines import LineWriter
    from steve1.envs import make_env
    from steve1.streams import numpy_stream

    env = make_env("blockworld", world_seed(settings.seed, index))
    env.reset()
    rng = numpy_stream(settings.seed, index, padded=True)
    name = recording_name(settings.seed, index)
    video, lines_path, labels_path = paths(output_dir, name)
    for path in (video, lines_path, labels_path):
        remove_partials(path)

    lines: list[dict[str, Any]] = []
    shown: list[tuple[str, int] | None] = []
    writer = LineWriter(env)
    # The video takes its name last: where it is, the other two are.
    with (
        whole_file(video) as video_part,
        whole_file(lines_path) as lines_part,
        whole_file(labels_path) as part,
    ):
        with _Film(video_part) as film:
            for move in play(env, rng, settings.behaviours):
                film.add(env.render_pov(cursor=False))
                line = writer.before(move.action)
                env.step(move.action)
                writer.after(line)
                lines.append(line)
                shown.append((move.behaviour, move.segment) if move.behaviour else None)
                if len(lines) == settings.frames_per_recording:
                    break
        kept, _ = parse_actions(lines, name=name)
        labels = list(find_labels(name, [shown[i] for i in kept], rng))
        _write_lines(lines_part, lines)
        _write_lines(part, labels)
    env.close()
    frames: Counter[str] = Counter({"frames": len(kept), "null": len(lines) - len(kept)})
    for label in labels:
        frames[label["behaviour"]] += label["stop"] - label["start"]
    return frames


def find_labels(episode: str, shown: Sequence[tuple[str, int] | None], rng: Any) -> Iterator[dict[str, Any]]:
    """Yield a label for each run of frames that show the same showing (behaviour, number), long enough to be embedded.

    ``shown``: for each frame of the episode; ``rng``: a numpy Generator that draws the wordings.
    """
    start = 0
    for stop in range(1, len(shown) + 1):
        if stop < len(shown) and shown[stop] == shown[start]:
            continue
        what = shown[start]
        if what is not None and stop - start >= MIN_LABEL:
            wordings = WORDINGS[what[0]]
            yield {
                "episode": episode,
                "start": start,
                "stop": stop,
                "behaviour": what[0],
                "text": wordings[int(rng.integers(len(wordings)))],
            }
        start = stop


def paths(output_dir: Path, name: str) -> tuple[Path, Path, Path]:
    """A recording's video, lines and labels."""
    return output_dir / f"{name}.mp4", output_dir / f"{name}.jsonl", output_dir / "labels" / f"{name}.jsonl"


def is_whole(output_dir: Path, name: str) -> bool:
    """Whether a recording is there with all that belongs to it."""
    return all(path.exists() for path in paths(output_dir, name))


class _Film:
    """An mp4 as the contractors': H.264, yuv420p, 20 frames a second; one thread, as there is a worker per core."""

    def __init__(self, path: Path) -> None:
        import av

        self._container = av.open(str(path), "w", format="mp4")
        try:
            self._stream = self._container.add_stream("libx264", rate=FPS)
        except Exception:
            self._container.close()
            raise UserError(
                "this PyAV has no H.264 encoder (libx264); install it with pip install --force-reinstall av"
            ) from None
        self._stream.width, self._stream.height, self._stream.pix_fmt = 640, 360, "yuv420p"
        self._stream.options = {"preset": "ultrafast", "crf": "22"}
        self._stream.codec_context.thread_count = 1

    def add(self, frame: Any) -> None:
        """Append one frame, uint8 [360, 640, 3] RGB."""
        import av
        import cv2

        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def record_all(output_dir: Path, settings: Settings, num_recordings: int, workers: int) -> Counter[str]:
    """Make those of the recordings 0 .. num_recordings-1 that are not there. Returns the new frames by behaviour."""
    from tqdm import tqdm

    missing = [i for i in range(num_recordings) if not is_whole(output_dir, recording_name(settings.seed, i))]
    if len(missing) < num_recordings:
        print(f"{num_recordings - len(missing):,} of {num_recordings:,} recordings are there already")
    total: Counter[str] = Counter()
    bar = tqdm(
        total=len(missing) * settings.frames_per_recording, unit="frame", desc="recording", unit_scale=True
    )
    results = ordered_map(partial(record, output_dir, settings), missing, workers)
    with bar, contextlib.closing(results):
        for frames in results:
            total += frames
            bar.update(settings.frames_per_recording)
    return total


def check_settings(output_dir: Path, settings: Settings) -> None:
    """Note the settings in the folder; raises :class:`UserError` where it holds recordings of others."""
    path = output_dir / _SETTINGS
    wanted = json.loads(json.dumps(asdict(settings)))
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != wanted:
            raise UserError(
                f"{output_dir} holds recordings that were made with {json.dumps(found)}, not with "
                f"{json.dumps(wanted)}; give another --output_dir, or remove this one"
            )
    write_json(path, wanted)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, record what is missing, say what there is."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    settings = Settings(
        args.seed, args.frames_per_recording, tuple(name for name in WORDINGS if name in args.behaviours)
    )
    output_dir = Path(args.output_dir)

    # ---- Record
    check_settings(output_dir, settings)
    write_json(
        output_dir / "labels" / "wordings.json",
        {
            "wordings": {name: WORDINGS[name] for name in settings.behaviours},
            "held_out": {name: HELD_OUT_WORDINGS[name] for name in settings.behaviours},
        },
    )
    new = record_all(output_dir, settings, args.num_recordings, args.workers)

    # ---- Say what there is
    frames, null = new.pop("frames", 0), new.pop("null", 0)
    print(f"{args.num_recordings:,} recordings with labels in {output_dir}")
    if frames:
        print(f"recorded now: {frames + null:,} frames, of which {null:,} are null and will not be converted")
        print("labelled: " + ", ".join(f"{name} {new[name]:,}" for name in settings.behaviours))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output_dir",
        default=str(data_root() / "recordings_blockworld"),
        help="folder of the recordings (default: %(default)s)",
    )
    what = parser.add_argument_group("what is recorded")
    what.add_argument(
        "--num_recordings",
        type=count,
        default=50,
        help="recordings to have in the end (default: %(default)s)",
    )
    what.add_argument(
        "--frames_per_recording",
        type=count,
        default=600,
        help="frames of each, at 20 a second (default: %(default)s)",
    )
    what.add_argument(
        "--behaviours",
        type=comma_list,
        default=list(USUAL),
        help=f"what the players show, with commas, of {','.join(WORDINGS)} (default: {','.join(USUAL)})",
    )
    what.add_argument("--seed", type=count, default=0, help="makes worlds and play (default: %(default)s)")
    parser.add_argument(
        "--workers",
        "--num_workers",
        type=count,
        default=min(os.cpu_count() or 1, 16),
        help="processes, one core each; 1 records in this process (default: one per core, at most 16: %(default)s)",
    )
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = out_of_range(args, "num_recordings", "frames_per_recording", "workers", least=1)
    problems += out_of_range(args, "seed", least=0)
    if args.num_recordings > WORLDS:
        problems.append(
            f"--num_recordings {args.num_recordings:,} is more than there are worlds ({WORLDS:,})"
        )
    unknown = sorted(set(args.behaviours) - set(WORDINGS))
    if unknown or not args.behaviours:
        problems.append(
            f"--behaviours {','.join(unknown) or 'is empty'}: there are players for {', '.join(WORDINGS)}"
        )
    return problems


if __name__ == "__main__":
    main()
