"""Where a played episode, and its film, is used again: only where its record equals the one that is wanted.

What has a wanted name and is another episode (or can't be read) is never used, averaged in or overwritten: before the
wanted one is played, it is moved to ``earlier/``, with a hash of what decides it in its name. There it is found, and
moved back, when it is wanted again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steve1.playing.agents import PreparedEpisode
from steve1.playing.episode import NoRecord, PlayedEpisode, differences, digest, read_episodes

EARLIER = "earlier"  # the folder beside the films


@dataclass(frozen=True)
class Found:
    """What is there of a wanted episode: its agents' records, or none and, where something else is there, why not."""

    episodes: tuple[PlayedEpisode, ...] = ()
    otherwise: str = ""


def look_up(wanted: PreparedEpisode, filmed: bool) -> Found:
    """The records of a wanted episode, with its film where it is to be ``filmed``, here or back from ``earlier/``."""
    found = _look_at(wanted.plan.json, wanted, filmed)
    if found.episodes:
        return found
    kept = _earlier(wanted.plan.video, _known(wanted.decides, wanted.about[0]))
    if not _look_at(kept.with_suffix(".json"), wanted, filmed).episodes:
        return found
    set_aside(wanted.plan.video)
    # The JSON last: a film without one is taken for none.
    _move(kept, wanted.plan.video)
    _move(kept.with_suffix(".json"), wanted.plan.json)
    return _look_at(wanted.plan.json, wanted, filmed)


def _look_at(path: Path, wanted: PreparedEpisode, filmed: bool) -> Found:
    video = path.with_suffix(".mp4")
    if not path.exists():
        return Found(otherwise="it has no record" if video.exists() else "")
    try:
        there = read_episodes(path)
    except NoRecord as error:
        return Found(otherwise=f"its record {error.why}")
    other = differences(there, wanted.decides)
    if other:
        return Found(otherwise=f"played otherwise ({', '.join(other)})")
    if filmed and not video.exists():
        return Found()
    # What a film shows besides: the prompt's name below it, and the agents' names above several. They decide no figure.
    shown = ("caption",) if len(there) == 1 else ("caption", "label")
    pairs = [(episode.about, about) for episode, about in zip(there, wanted.about, strict=True)]
    if filmed and any(_drawn(old) != _drawn(new) for old, new in pairs):
        return Found(
            otherwise=f"filmed with{'' if _drawn(there[0].about) else 'out'} what --overlay draws, or otherwise"
        )
    if filmed and any(old.get(name) != new[name] for old, new in pairs for name in shown):
        return Found(otherwise="filmed under another name")
    return Found(tuple(replace(e, about=dict(new)) for e, (_, new) in zip(there, pairs, strict=True)))


def set_aside(video: Path) -> None:
    """Move what has a wanted episode's names, a film, a record or both, to ``earlier/``."""
    record = video.with_suffix(".json")
    try:
        there = read_episodes(record)
        known = _known([e.decides for e in there], there[0].about if there else {})
    except (NoRecord, FileNotFoundError):
        held = next((path for path in (video, record) if path.exists()), None)
        if held is None:
            return
        known = hashlib.sha256(held.read_bytes()).hexdigest()
    kept = _earlier(video, known)
    kept.parent.mkdir(exist_ok=True)
    # The JSON first: a film without one is taken for none.
    _move(record, kept.with_suffix(".json"))
    _move(video, kept)


def _drawn(about: Mapping[str, Any]) -> list[Any]:
    """What an overlay adds to a film; nothing without one."""
    return [about.get("goal_strip")] if about.get("overlay") else []


def _known(decided: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """What an episode and its film are known by: the same for the same; hex."""
    drawn = _drawn(about)
    return digest([*decided, *({"overlay": part} for part in drawn)])


def _earlier(video: Path, known: str) -> Path:
    return video.parent / EARLIER / f"{video.stem}.{known[:12]}{video.suffix}"


def _move(source: Path, target: Path) -> None:
    if source.exists():
        os.replace(source, target)


def summary(wanted: Sequence[PreparedEpisode], found: Sequence[Found]) -> list[str]:
    """A line for each reason why something that is there is not used, with the first one's name and how many more."""
    reasons: dict[str, list[Path]] = {}
    for episode, there in zip(wanted, found, strict=True):
        if there.otherwise:
            reasons.setdefault(there.otherwise, []).append(episode.plan.video)
    return [
        f"{videos[0].with_suffix('')}{f' and {len(videos) - 1} more' if len(videos) > 1 else ''}: {reason}; "
        f"played anew, and what was there is kept in {videos[0].parent / EARLIER}"
        for reason, videos in reasons.items()
    ]
