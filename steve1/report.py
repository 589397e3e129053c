"""A report of played episodes: one HTML page with charts and videos, and the same figures as JSON beside it.

The page needs nothing from elsewhere but those videos that were too large to put into it, which are links.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.evaluation import evaluation
from steve1.files import write_json, write_text
from steve1.judging.tables import losses
from steve1.playing.episode import PlayedEpisode
from steve1.report_page import page

_SETTINGS = (
    "world",
    "world_version",
    "gameplay_length",
    "deterministic",
    "precision",
    "device",
    "prior_hash",
    "mineclip_hash",
    "version",
)


def write_report(
    path: Path, episodes: Sequence[PlayedEpisode], measures: Sequence[str], seeds: str, embed_mb: float
) -> str:
    """Write ``path`` (.html) and the JSON beside it; a sentence on what was written.

    ``measures``: those of the charts, besides the prompts' own. ``seeds``: the name of the seed list. ``embed_mb``:
    MB of videos that go into the page.
    """
    content = collect(episodes, measures, seeds)
    there = list(dict.fromkeys(episode.film for episode in episodes if episode.film is not None))
    inside = _inside(episodes, embed_mb * 1e6)
    write_json(path.with_suffix(".json"), content)
    write_text(path, page(content, episodes, inside, path.parent))
    linked = len(there) - len(inside)
    where = "all in the page itself" if not linked else f"{len(inside)} in the page itself, {linked} as links"
    return f"{path} and {path.with_suffix('.json').name} written; {len(there)} videos, {where}"


def collect(episodes: Sequence[PlayedEpisode], measures: Sequence[str], seeds: str) -> dict[str, Any]:
    """The figures and settings of a report as plain JSON; the same episodes give the same."""
    agents: dict[tuple, dict[str, Any]] = {}
    for episode in episodes:
        known = {
            "label": episode.about["label"],
            "in_weights": episode.about["in_weights"],
            "weights_hash": episode.decides["weights_hash"],
        }
        agents.setdefault(tuple(known.values()), known)
    found = {
        key: _distinct([e.decides[key] for e in episodes if e.decides.get(key) is not None])
        for key in _SETTINGS
    }
    return {
        "seeds": seeds,
        # One value, or all that there are where the films were made with several.
        "settings": {key: vals[0] if len(vals) == 1 else vals for key, vals in found.items() if vals},
        "agents": list(agents.values()),
        "losses": losses(episodes),
        **evaluation(episodes, measures),
    }


def _distinct(values: Sequence[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _inside(episodes: Sequence[PlayedEpisode], limit: float) -> set[Path]:
    """The videos that fit into ``limit`` bytes, every prompt's first ones first."""
    nth: dict[tuple, int] = {}
    order = []
    for film, episode in {e.film: e for e in episodes if e.film is not None}.items():
        key = (episode.decides["kind"], episode.decides["prompt"], episode.decides["cond_scale"])
        order.append((nth.setdefault(key, 0), film))
        nth[key] += 1
    taken, chosen = 0, set()
    for _, film in sorted(order, key=lambda pair: pair[0]):
        size = film.stat().st_size
        if taken + size > limit:
            break
        taken += size
        chosen.add(film)
    return chosen
