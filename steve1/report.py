"""A report of films: one HTML page with charts and the videos to play, and the same figures as JSON beside it.

The page needs nothing from elsewhere but those videos that were too large to put into it, which are links.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.evaluation import evaluation, losses
from steve1.files import write_json, write_text
from steve1.filming import Episode, read_json, read_sides
from steve1.report_page import page

_SETTINGS = (
    "world",
    "gameplay_length",
    "deterministic",
    "precision",
    "device",
    "prior_weights",
    "prior_hash",
    "mineclip_hash",
    "version",
)


def write_report(
    path: Path, films: Sequence[Episode], measures: Sequence[str], seeds: str, embed_mb: float
) -> str:
    """Write ``path`` (.html) and the JSON beside it; a sentence on what was written.

    ``films``: those that are not there are left out, and said to be. ``measures``: those of the charts, besides the
    prompts' own. ``seeds``: the name of the seed list. ``embed_mb``: MB of videos that go into the page.
    """
    content = collect(films, measures, seeds)
    there = [film for film in films if film.video.exists()]
    inside = _inside(there, embed_mb * 1e6)
    write_json(path.with_suffix(".json"), content)
    write_text(path, page(content, films, inside, path.parent))
    linked = len(there) - len(inside)
    where = "all in the page itself" if not linked else f"{len(inside)} in the page itself, {linked} as links"
    return f"{path} and {path.with_suffix('.json').name} written; {len(there)} videos, {where}"


def collect(films: Sequence[Episode], measures: Sequence[str], seeds: str) -> dict[str, Any]:
    """The figures and settings of a report as plain JSON; the same films give the same."""
    notes = [read_json(film) for film in films if film.video.exists()]
    agents: dict[tuple, dict[str, Any]] = {}
    for film in films:
        for side in read_sides(film):
            known = {key: side.get(key) for key in ("label", "in_weights", "in_weights_hash")}
            agents.setdefault(tuple(known.values()), known)
    found = {key: _distinct([note.get(key) for note in notes if key in note]) for key in _SETTINGS}
    return {
        "seeds": seeds,
        # One value, or all that there are where the films were made with several.
        "settings": {key: vals[0] if len(vals) == 1 else vals for key, vals in found.items() if vals},
        "agents": list(agents.values()),
        "losses": [
            line.replace(f"{film.video.parent}{os.sep}", "") for film in films for line in losses([film])
        ],
        **evaluation(films, measures),
    }


def _distinct(values: Sequence[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _inside(films: Sequence[Episode], limit: float) -> set[Path]:
    """The videos that fit into ``limit`` bytes, every prompt's first ones first."""
    nth: dict[tuple, int] = {}
    order = []
    for film in films:
        key = (film.kind, film.prompt, film.cond_scale)
        order.append((nth.setdefault(key, 0), film))
        nth[key] += 1
    taken, chosen = 0, set()
    for _, film in sorted(order, key=lambda pair: pair[0]):
        size = film.video.stat().st_size
        if taken + size > limit:
            break
        taken += size
        chosen.add(film.video)
    return chosen
