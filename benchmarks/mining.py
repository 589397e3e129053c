"""How many mined moments show what was asked for: relative scores at several temperatures against the plain cosine.

    python benchmarks/mining.py --quickstart data/quickstart

Takes what quickstart.sh leaves: episodes, labels, wordings and the small MineCLIP. Each behaviour is asked for by one
held-out wording. A pick is right where a label of its behaviour covers at least half of its 16 frames.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.text_alignment.labels import Label, load_labels, load_wordings
from data.text_alignment.mining import Pick, mine
from data.text_alignment.pairs import check_mineclip, embed_texts
from steve1.checkpoints import load_mineclip, tensors_hash
from steve1.cli import count, entry_point

WINDOW = 16
TEMPERATURES = (None, 1.0, 0.3, 0.1, 0.03, 0.01)  # None: the plain cosine


def shows(pick: Pick, behaviour: str, labels: Sequence[Label]) -> bool:
    """Whether a label of the behaviour covers at least half of the pick's frames."""
    first, end = pick.frame + 1 - WINDOW, pick.frame + 1
    return any(
        label.behaviour == behaviour and min(label.stop, end) - max(label.start, first) >= WINDOW // 2
        for label in labels
    )


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Mine with each temperature and print the share of right picks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quickstart", type=Path, default=Path("data/quickstart"), help="folder that quickstart.sh filled"
    )
    parser.add_argument("--top_k", type=count, default=20, help="moments a behaviour (default 20)")
    args = parser.parse_args(argv)

    labels_dir, weights = (
        args.quickstart / name for name in ("recordings_blockworld/labels", "weights/mineclip/small.pth")
    )
    labels = defaultdict(list)
    for label in load_labels(labels_dir):
        labels[label.episode].append(label)
    held_out = load_wordings(labels_dir / "wordings.json")[1]
    behaviours = list(held_out)
    mineclip = load_mineclip(weights)
    texts = embed_texts(mineclip, [held_out[name][0] for name in behaviours])
    episodes = []
    for path in find_episodes(args.quickstart / "dataset_contractor"):
        check_mineclip(EpisodeStorage(path), tensors_hash(mineclip), weights)
        episodes.append((path, EpisodeStorage(path).load_embeds_attn()))

    print(f"{'temperature':<12}{''.join(f'{name:>10}' for name in behaviours)}{'mean':>8}   vs cosine")
    baseline = 0.0
    for temperature in TEMPERATURES:
        picks = mine(episodes, texts, args.top_k, 32, 4, temperature)
        right = [
            np.mean([shows(pick, name, labels[pick.episode.name]) for pick in some])
            for name, some in zip(behaviours, picks, strict=True)
        ]
        mean = float(np.mean(right))
        baseline = baseline or mean
        row = "".join(f"{share:>10.2f}" for share in right)
        print(f"{temperature or 'cosine':<12}{row}{mean:>8.3f}{mean / baseline:>11.2f}x")


if __name__ == "__main__":
    main()
