"""The played episode: everything that decides it and everything measured in it, as one record.

A record is kept as JSON: beside the film that shows it, ``NAME.mp4`` and ``NAME.json``, or alone where nothing was
filmed. A film in which several agents play one prompt on one pair of seeds has all their episodes in its JSON.
Films, reports and verdicts read records and nothing else, and a film or figure is used again only where its record
equals the one that is wanted (:func:`differences`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steve1.cli import UserError
from steve1.files import write_json

FORMAT = 1  # of the JSON


class NoRecord(UserError):
    """A file is there that holds no record which can be read. ``why``: words that follow the file's name."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.why = why


@dataclass(frozen=True)
class PlayedEpisode:
    """One agent's episode in one world.

    ``decides``: all that decides it, plain JSON; equal means the same episode. ``kind`` ("text", "visual" or
    "no_goal"), ``prompt``, ``goal_hash``, ``weights_hash``, ``architecture_hash``, ``prior_hash``,
    ``mineclip_hash``, ``world``, ``world_version``, ``world_seed``, ``sampling_seed``, ``cond_scale`` (None: no
    guidance), ``gameplay_length``, ``deterministic``, ``precision``, ``device`` ("cpu", "cuda"), ``score_every``
    (0: no scores), ``score_hash`` (of what the scores compare with), ``version``. A hash that has no say is None.
    Where the world was given commands, ``commands``.

    ``about``: what it is called, which decides nothing: ``name``, ``file`` (its files' name without the suffix),
    ``behaviour`` (what it is judged as), ``caption``, ``label`` (of the agent),
    ``in_weights``, ``prior_weights``, ``seeds`` (the list's name), and ``own_measure`` where the user named one.

    ``measured``: ``frames`` (pictures acted on), ``lost`` (a sentence where the world crashed or hung, else None),
    ``died`` (the step at which the player was first seen dead, else None; not there in older records),
    ``measures`` (name -> value or None, :data:`steve1.playing.measures.MEASURES`), ``scores`` (``frames`` and
    ``cosines``, or None), ``actions_hash`` (SHA-256 over the actions taken), ``timeline`` (``frames`` and ``curves``,
    :class:`steve1.playing.timeline.Timeline`; not there in older records).

    ``film``: the video that shows it, where there is one.
    """

    decides: dict[str, Any]
    about: dict[str, Any]
    measured: dict[str, Any]
    film: Path | None = None


def write_episodes(path: Path, episodes: Sequence[PlayedEpisode]) -> None:
    """Keep the episodes of one film (or of none) in the JSON ``path``, whole or not at all."""
    parts = [{"decides": e.decides, "about": e.about, "measured": e.measured} for e in episodes]
    write_json(path, {"format": FORMAT, "episodes": parts})


def read_episodes(path: Path) -> list[PlayedEpisode]:
    """The episodes of the JSON ``path``, each with the film beside it where there is one.

    Raises :class:`NoRecord` for a file that is torn, that holds something else, or that an earlier version wrote.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise NoRecord(path, f"is torn or no JSON ({type(error).__name__})") from None
    video = path.with_suffix(".mp4")
    film = video if video.exists() else None
    if not isinstance(content, dict):
        raise NoRecord(path, "holds no record of an episode")
    if content.get("format") != FORMAT or not isinstance(content.get("episodes"), list):
        known = "measures" in content or "sides" in content
        what = "was written by an earlier version, which did not note all that decides an episode"
        raise NoRecord(path, what if known else "holds no record of an episode")
    try:
        return [_episode(part, film) for part in content["episodes"]]
    except (KeyError, TypeError) as error:
        raise NoRecord(path, f"holds no whole record ({type(error).__name__}: {error})") from None


def _episode(part: Mapping[str, Any], film: Path | None) -> PlayedEpisode:
    decides, about, measured = (part[name] for name in ("decides", "about", "measured"))
    for whole in (decides, about, measured, measured["measures"]):
        if not isinstance(whole, dict):
            raise TypeError(f"{type(whole).__name__} where an object is needed")
    for name in ("frames", "lost", "scores", "actions_hash"):
        measured[name]
    return PlayedEpisode(decides, about, measured, film)


def differences(there: Sequence[PlayedEpisode], wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """By which of what decides them episodes differ from the ``decides`` of the wanted ones; none where all are equal.

    Each is ``name old -> new``, or the name alone where the values are hashes.
    """
    if len(there) != len(wanted):
        return [f"agents {len(there)} -> {len(wanted)}"]
    found: dict[str, None] = {}
    for episode, other in zip(there, wanted, strict=True):
        for name in dict.fromkeys([*other, *episode.decides]):
            old, new = episode.decides.get(name), other.get(name)
            if old != new or (name in other) != (name in episode.decides):
                found[name if name.endswith("_hash") else f"{name} {old!r} -> {new!r}"] = None
    return list(found)


def digest(decided: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 (hex) of what decides the episodes of one record."""
    return hashlib.sha256(json.dumps(list(decided), sort_keys=True).encode()).hexdigest()
