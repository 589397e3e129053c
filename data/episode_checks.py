"""Checking episodes: every file of one against every other. Reports; repairs nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from data import episode_files as files
from steve1.cli import UserError
from steve1.config import FIRST_EMBED, FPS


class OtherLength(UserError):
    """A file holds ``n`` frames, and the episode has another number of them."""

    def __init__(self, n: int, message: str) -> None:
        super().__init__(message)
        self.n = n

    def __reduce__(self) -> tuple:  # from a worker process
        return type(self), (self.n, str(self))


class Episode(Protocol):
    """What is checked, a ``data.EpisodeStorage.EpisodeStorage``."""

    dirpath: Path

    @property
    def metadata(self) -> dict: ...

    @property
    def frame_format(self) -> str: ...

    @property
    def published(self) -> bool: ...

    @property
    def cuts(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def has_boundaries(self) -> bool: ...

    def load_boundaries(self) -> object: ...

    def load_frames(self, start: int = 0, stop: int | None = None) -> np.ndarray: ...

    def load_actions(self) -> dict[str, np.ndarray]: ...

    def load_embeds_attn(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Report:
    """What was found in one episode, or done to it; ``frames`` are 0 where there are problems."""

    path: str
    problems: tuple[str, ...]
    frames: int = 0
    frame_format: str | None = None
    mineclip_hash: str | None = None
    converted: bool = False


def problems(episode: Episode, deep: bool) -> list[str]:
    """What is wrong with an episode, one sentence each; ``deep`` decodes every frame."""
    try:
        n = len(episode)
    except (UserError, OSError) as error:
        return [sentence(error)]
    found = []
    if n == 0:
        found.append("metadata says 0 frames; remove the episode")
    if episode.metadata.get("fps", FPS) != FPS:
        found.append(f"metadata says {episode.metadata['fps']} frames a second; episodes have {FPS}")
    lengths: list[OtherLength] = []
    found += _attempt(lambda: _check_cuts(episode))
    if episode.has_boundaries():
        found += _attempt(episode.load_boundaries)
    found += _check_frames(episode, n, deep, lengths)
    found += _attempt(episode.load_actions, lengths)
    found += _attempt(lambda: _check_embeds(episode), lengths)
    if len(lengths) == 3 and len({other.n for other in lengths}) == 1:
        says = "len.txt" if episode.published else "metadata.json"
        return [
            *found,
            f"{says} says {n:,} frames, but frames, actions and embeddings are {lengths[0].n:,} each",
        ]
    return found + [str(other) for other in lengths]


def _check_cuts(episode: Episode) -> list[str]:
    cuts, by = episode.cuts.tolist(), episode.metadata.get("cuts_by", {})
    lists = list(by.values()) if isinstance(by, dict) else [None]
    if not all(isinstance(some, list) and set(map(str, some)) <= set(map(str, cuts)) for some in lists):
        return ["cuts_by is no object of lists of frames that cuts holds as well; make the episode again"]
    return []


def _attempt(check: Callable[[], object], lengths: list[OtherLength] | None = None) -> list[str]:
    """What ``check`` returns when that is a list of problems, and what it raises; ``lengths`` gets its kind."""
    try:
        result = check()
    except OtherLength as error:
        if lengths is None:
            return [str(error)]
        lengths.append(error)
        return []
    except (UserError, OSError) as error:
        return [sentence(error)]
    return result if isinstance(result, list) else []


def sentence(error: Exception) -> str:
    """What an error says of an episode's file, for a report."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"{Path(error.filename).name} is missing; make the episode again"
    return str(error)


def _check_embeds(episode: Episode) -> list[str]:
    embeds = episode.load_embeds_attn()
    found = []
    width = episode.metadata.get("embed_dim", embeds.shape[1])
    if embeds.shape[1] != width:
        found.append(f"embeds_attn.pkl is {embeds.shape[1]} wide, but metadata.json says {width}")
    bad = np.flatnonzero(~np.isfinite(embeds[FIRST_EMBED:]).all(axis=1)) + FIRST_EMBED
    if len(bad):
        found.append(f"embeds_attn.pkl has {len(bad):,} rows that are not finite, the first being {bad[0]}")
    if not np.isnan(embeds[:FIRST_EMBED]).all():
        found.append(f"embeds_attn.pkl has numbers in its first {FIRST_EMBED} rows, which should be NaN")
    return found


def _check_frames(episode: Episode, n: int, deep: bool, lengths: list[OtherLength]) -> list[str]:
    folder, form = episode.dirpath, episode.frame_format
    other = files.frames_path(folder, "mp4" if form == "png" else "png")
    found = []
    if other.exists():
        found.append(
            f"{other.name} is left over beside the {form} frames; convert to {form} again to remove it"
        )
    if (folder / files.CONVERTING).exists():
        found.append(f"a conversion was broken off; convert to {form} to remove {files.CONVERTING}")
    listed = (
        _check_pngs(folder, n)
        if form == "png"
        else _attempt(partial(episode.load_frames, 0, min(1, n)), lengths)
    )
    found += listed
    if deep and not listed and not lengths:
        for start in range(0, n, 256):
            wrong = _attempt(partial(episode.load_frames, start, min(start + 256, n)))
            if wrong:
                return found + wrong
    return found


def _check_pngs(folder: Path, n: int) -> list[str]:
    try:
        present = {entry.name: entry.stat().st_size for entry in os.scandir(folder / "frames")}
    except OSError:
        return ["the folder frames is missing; make the episode again"]
    names = [f"{i:05d}.png" for i in range(n)]
    found = []
    missing = [name for name in names if name not in present]
    if missing:
        found.append(f"{len(missing):,} of {n:,} frames are missing, the first being frames/{missing[0]}")
    extra = sorted(set(present) - set(names))
    if extra:
        found.append(f"{len(extra):,} files in frames/ don't belong there, the first being {extra[0]}")
    empty = [name for name in names if present.get(name) == 0]
    if empty:
        found.append(f"{len(empty):,} frames are empty files, the first being frames/{empty[0]}")
    return found


def summed_up(reports: Sequence[Report], convert: str | None = None) -> str:
    """Return the closing lines of a check: counts, and a word where embeddings don't belong together."""
    damaged = [report for report in reports if report.problems]
    frames = sum(report.frames for report in reports)
    lines = [
        f"{len(reports):,} episodes, {len(damaged):,} with problems; {frames:,} frames are in order "
        f"({frames / FPS / 3600:.2f} h)"
    ]
    if convert is not None:
        lines.append(f"{sum(report.converted for report in reports):,} converted to {convert}")
    makers = Counter(report.mineclip_hash for report in reports if report.mineclip_hash)
    if len(makers) > 1:
        each = ", ".join(f"{maker[:12]} ({n:,} episodes)" for maker, n in sorted(makers.items()))
        lines.append(
            f"note: {len(makers)} MineCLIPs made these embeddings, which don't mix in a sampling: {each}"
        )
    return "\n".join(lines)
