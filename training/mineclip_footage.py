"""Labelled frames of recordings and episodes, read into memory at a small size, and which of them are held out."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.parallel import ordered_map
from data.text_alignment.labels import Label
from steve1.cli import UserError

if TYPE_CHECKING:
    from training.mineclip_contrast import Clips


@dataclass(frozen=True)
class Source:
    """Where an episode's frames are: a recording's video and lines, or (``jsonl`` None) an episode's folder."""

    path: str
    jsonl: str | None
    size: int  # bytes of the video, or frames of the episode: tells a source from another of its name


def find_sources(
    names: Iterable[str], recordings_dir: Path | None, episodes_dir: Path | None
) -> tuple[dict[str, Source], list[str]]:
    """Return ({name: its source}, names that have none); a recording comes before an episode of its name."""
    from data.EpisodeStorage import EpisodeStorage, find_episodes

    sources: dict[str, Source] = {}
    if episodes_dir is not None:
        for path in find_episodes(episodes_dir):
            sources.setdefault(path.name, Source(str(path), None, len(EpisodeStorage(path))))
    if recordings_dir is not None:
        for video in sorted(recordings_dir.rglob("*.mp4")):
            jsonl = video.with_suffix(".jsonl")
            if jsonl.is_file():
                sources[video.stem] = Source(str(video), str(jsonl), video.stat().st_size)
    wanted = sorted(set(names))
    found = {name: sources[name] for name in wanted if name in sources}
    return found, [name for name in wanted if name not in found]


def read_clips(
    labels: Sequence[Label],
    sources: Mapping[str, Source],
    meanings: Sequence[str],
    resolution: Sequence[int],
    window: int,
    workers: int,
) -> tuple[Clips, list[str]]:
    """Read the labelled frames of ``sources``, resized to ``resolution`` (height, width; INTER_LINEAR).

    Returns the clips and sentences about what can't be used. Labels that reach beyond their episode are cut;
    those with less than a window left are passed over. The result does not depend on ``workers``.
    """
    import torch
    from tqdm import tqdm

    from training.mineclip_contrast import Clips, Segment

    by_name: dict[str, list[Label]] = {name: [] for name in sources}
    for label in labels:
        if label.episode in by_name:
            by_name[label.episode].append(label)
    spans = {name: [(label.start, label.stop) for label in some] for name, some in by_name.items()}
    jobs = [(sources[name], spans[name], resolution[0], resolution[1]) for name in by_name]
    parts: list[np.ndarray] = []
    segments: list[Segment] = []
    problems: list[str] = []
    first = cut = short = 0
    with contextlib.closing(ordered_map(_read, jobs, workers, "--num_workers")) as results:
        bar = tqdm(results, "reading", len(jobs), unit=" episodes", disable=None, leave=False)
        for name, (pieces, warnings) in zip(by_name, bar, strict=True):
            problems += warnings
            for label, frames in zip(by_name[name], pieces, strict=True):
                cut += len(frames) < label.stop - label.start
                if len(frames) < window:
                    short += 1
                    continue
                segments.append(Segment(first, len(frames), meanings.index(label.meaning), name))
                parts.append(frames)
                first += len(frames)
    if cut:
        problems.append(f"{cut:,} labels reach beyond the end of their episode; they were cut there")
    if short:
        problems.append(f"{short:,} labels have fewer than {window} frames; they were passed over")
    if not segments:
        raise UserError(
            f"none of the {len(labels):,} labels has {window} frames of footage; " + "; ".join(problems)
        )
    return Clips(torch.from_numpy(np.concatenate(parts)), segments), problems


def hold_out(meanings_of: Mapping[str, set[int]], share: float, seed: int) -> set[str]:
    """Choose about ``share`` of the episodes, at random by ``seed``, whole play sessions at a time.

    ``meanings_of`` says what each episode shows. A session that alone shows something is never held out.
    """
    from data.sampling.sessions import session_of

    sessions: dict[str, list[str]] = {}
    for name in sorted(meanings_of):
        sessions.setdefault(session_of(name, {}), []).append(name)
    order = sorted(sessions, key=lambda s: hashlib.sha256(f"hold out {seed} {s}".encode()).digest())
    wanted, held = math.ceil(share * len(meanings_of)), set[str]()
    everything = set().union(*meanings_of.values())
    for session in order:
        rest = [name for name in meanings_of if name not in held and name not in sessions[session]]
        if len(held) >= wanted:
            break
        if set().union(*(meanings_of[name] for name in rest)) == everything:
            held.update(sessions[session])
    return held


def _read(job: tuple[Source, list[tuple[int, int]], int, int]) -> tuple[list[np.ndarray], list[str]]:
    """The frames of each span, uint8 [n, height, width, 3], fewer than asked for where the episode ends."""
    import cv2

    source, spans, height, width = job
    end = max(stop for _, stop in spans)
    warnings: list[str] = []
    if source.jsonl is None:
        from data.EpisodeStorage import EpisodeStorage

        episode = EpisodeStorage(source.path)
        spans = [(min(start, len(episode)), min(stop, len(episode))) for start, stop in spans]
        pieces = [episode.load_frames(start, stop) for start, stop in spans]
        return [_resized(piece, height, width) for piece in pieces], warnings
    from data.contractor import Recording

    cv2.setNumThreads(1)
    recording = Recording.read(source.path, source.jsonl)
    small = np.empty((min(end, len(recording.actions.kept)), height, width, 3), np.uint8)
    n = 0
    for frame in recording.frames():
        if n == len(small):
            break
        cv2.resize(frame, (width, height), dst=small[n], interpolation=cv2.INTER_LINEAR)
        n += 1
    warnings += recording.warnings
    return [small[start : min(stop, n)].copy() for start, stop in spans], warnings


def _resized(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    out = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, small in zip(frames, out, strict=True):
        cv2.resize(frame, (width, height), dst=small, interpolation=cv2.INTER_LINEAR)
    return out


def default_workers() -> int:
    """As many processes as there are cores, 8 at most."""
    return min(os.cpu_count() or 1, 8)
