"""Visual goals of what labels name: the stored embedding of a labelled moment, one file a behaviour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data.text_alignment.labels import Label
from steve1.cli import UserError
from steve1.config import FIRST_EMBED

Moment = tuple[Path, int]  # an episode, and the last of the 16 frames that a goal is made of


def longest_showings(
    labels: Iterable[Label], episodes: Sequence[str], behaviours: Sequence[str]
) -> dict[str, Moment]:
    """The middle of each behaviour's longest showing in ``episodes``, the first of equals.

    Raises UserError, naming them, where some are not shown, or not for long enough to be embedded.
    """
    by_name = {Path(path).name: Path(path) for path in episodes}
    found: dict[str, Label] = {}
    for label in labels:
        longest = found.get(label.meaning)
        if label.episode in by_name and (
            longest is None or label.stop - label.start > longest.stop - longest.start
        ):
            found[label.meaning] = label
    long_enough = {name for name, label in found.items() if label.stop - label.start > 2 * FIRST_EMBED}
    if missing := [name for name in behaviours if name not in long_enough]:
        raise UserError(
            f"none of the {len(by_name)} episodes shows {', '.join(missing)} for more than {2 * FIRST_EMBED} frames, "
            "so no visual goal can be taken from them; validate on more episodes (--val_frames)"
        )
    return {
        name: (by_name[found[name].episode], (found[name].start + found[name].stop) // 2)
        for name in behaviours
    }


def write_visual_goals(moments: dict[str, Moment], folder: Path) -> None:
    """Write each moment's embedding, float32 [1, E], as NAME.pkl, which run_agent.py's --visual_prompt takes."""
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage
    from steve1.checkpoints import dump_pickle

    for name, (episode, frame) in moments.items():
        goals = EpisodeStorage(episode).load_goals()
        dump_pickle(np.asarray(goals[frame], np.float32).reshape(1, -1), folder / f"{name}.pkl")
