"""Make the prior's training data: the embeddings of labelled moments of episodes, with those of their texts.

Real:
    python data/text_alignment/make_prior_dataset.py --episodes_dir data/dataset_custom --labels my_labels.jsonl \\
        --mineclip_weights data/weights/mineclip/attn.pth

Tiny:
    python data/text_alignment/make_prior_dataset.py --episodes_dir data/dataset_custom --labels my_labels.jsonl \\
        --mineclip_weights /tmp/tiny.pth --pairs_per_segment 2 --output_path /tmp/data.pkl

Labels are read as data/text_alignment/labels.py says. The embedding at frame t is that of frames t-15..t, so the
moments of a label are those whose whole window lies inside it. Video embeddings are the episodes' own; they must
have been made with the MineCLIP given, which embeds the texts. No frame is read.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.text_alignment.labels import (
    Label,
    find_wordings,
    load_labels,
    load_wordings,
    own_labels,
    texts_by_meaning,
)
from steve1.cli import UserError, comma_list, count, entry_point, not_there, out_of_range, report_all
from steve1.config import FIRST_EMBED, data_root, weights_dir
from steve1.flags import missing_files
from steve1.streams import numpy_stream

if TYPE_CHECKING:
    import numpy as np


def draw_moments(label: Label, length: int, n: int, min_offset: int, seed: int) -> list[int]:
    """Up to ``n`` frames of a label at which an embedding is all its own, sorted; all of them where n is 0.

    ``length``: frames of the episode. ``min_offset``: frames of the label before the first moment. The draw
    depends on the seed and the label alone.
    """
    moments = range(label.start + min_offset, min(label.stop, length))
    if not n or len(moments) <= n:
        return list(moments)
    rng = numpy_stream("pairs", seed, label.episode, label.start, label.stop)
    return sorted(int(t) for t in rng.choice(moments, n, replace=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--labels",
        type=Path,
        help="file of label lines, or a folder of such *.jsonl (default: the labels that the episodes carry, "
        "as those of BASALT's tasks do)",
    )
    files.add_argument(
        "--episodes_dir",
        type=comma_list,
        required=True,
        help="folders of episodes, separated by commas; searched at any depth",
    )
    files.add_argument(
        "--mineclip_weights",
        type=Path,
        default=weights_dir() / "mineclip" / "attn.pth",
        help="the MineCLIP that embedded the episodes (default: data/weights/mineclip/attn.pth)",
    )
    files.add_argument(
        "--mineclip_config",
        type=Path,
        help="JSON with its sizes (default: the JSON beside the weights, or else the published sizes)",
    )
    files.add_argument(
        "--allow_other_mineclip",
        action="store_true",
        help="take episodes that another MineCLIP embedded, or that do not say which (default: refuse)",
    )
    files.add_argument(
        "--wordings",
        type=Path,
        help="JSON of several texts a behaviour (default: wordings.json beside the labels; without one, the labels' "
        "texts)",
    )
    files.add_argument(
        "--output_path",
        type=Path,
        default=data_root() / "prior_dataset" / "data.pkl",
        help="pickle to write (default: data/prior_dataset/data.pkl)",
    )
    pairs = parser.add_argument_group("pairs")
    pairs.add_argument(
        "--pairs_per_segment", type=count, default=16, help="moments drawn of a label; 0 for all (default 16)"
    )
    pairs.add_argument(
        "--wordings_per_moment",
        type=count,
        default=2,
        help="texts that each moment is paired with, in turn; 0 for all of its behaviour's (default 2)",
    )
    pairs.add_argument(
        "--min_offset",
        type=count,
        default=FIRST_EMBED,
        help=f"frames of a label before its first moment; {FIRST_EMBED} keeps windows inside (default {FIRST_EMBED})",
    )
    pairs.add_argument("--seed", type=count, default=0, help="of the moments (default 0)")
    return parser


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    problems = out_of_range(args, "pairs_per_segment", "wordings_per_moment", "min_offset", "seed", least=0)
    problems += not_there(args, "labels", "wordings")
    problems += missing_files(args, ("mineclip_weights", "mineclip_config"))
    problems += not_there(args, "episodes_dir", folder=True)
    if not args.episodes_dir:
        problems.append("--episodes_dir is empty; give a folder of episodes")
    report_all(problems)

    # ---- labels ----
    episodes = _episodes(args.episodes_dir)
    labels = own_labels(episodes.values()) if args.labels is None else load_labels(args.labels)
    if not labels:
        raise UserError(
            f"no episode of {', '.join(args.episodes_dir)} carries a label; give --labels, lines that say what is shown"
        )
    wordings_file = args.wordings or (None if args.labels is None else find_wordings(args.labels))
    wordings = load_wordings(wordings_file)[0] if wordings_file else {}
    texts, own = texts_by_meaning(labels, wordings)
    if own and wordings:
        print(f"no wordings for {', '.join(own)}: the labels' own texts are taken")

    # ---- MineCLIP and texts ----
    import numpy as np

    from data.text_alignment.pairs import embed_texts
    from steve1.checkpoints import dump_pickle, load_mineclip, tensors_hash

    mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
    mineclip_hash = tensors_hash(mineclip)
    everything = sorted({text for some in texts.values() for text in some})
    embedded = dict(zip(everything, embed_texts(mineclip, everything), strict=True))

    # ---- pairs ----
    lost: Counter[str] = Counter()
    taken = {"text_embeddings": [], "visual_embeddings": [], "texts": [], "episodes": [], "frames": []}  # type: ignore[var-annotated]
    width = len(next(iter(embedded.values())))
    for label, moments, visual in _moments(labels, episodes, args, mineclip_hash, width, lost):
        some = texts[label.meaning]
        per_moment = min(args.wordings_per_moment or len(some), len(some))
        for turn, (t, row) in enumerate(zip(moments, visual, strict=True)):
            for i in range(per_moment):
                text = some[(turn * per_moment + i) % len(some)]
                taken["text_embeddings"].append(embedded[text])
                taken["visual_embeddings"].append(row)
                taken["texts"].append(text)
                taken["episodes"].append(label.episode)
                taken["frames"].append(t)
    for reason, n in sorted(lost.items()):
        print(f"{n:,} of {len(labels):,} labels are passed over: {reason}")
    if not taken["texts"]:
        raise UserError(
            f"no pair is left of the {len(labels):,} labels ({'; '.join(sorted(lost))}); "
            "check --labels and --episodes_dir"
        )
    dump_pickle({**taken, "mineclip_hash": mineclip_hash}, args.output_path)
    visual_norm, text_norm = (
        float(np.linalg.norm(np.stack(taken[key]), axis=1).mean())
        for key in ("visual_embeddings", "text_embeddings")
    )
    print(
        f"{args.output_path}: {len(taken['texts']):,} pairs of {len(set(taken['texts'])):,} texts and "
        f"{len(set(zip(taken['episodes'], taken['frames'], strict=True))):,} moments in "
        f"{len(set(taken['episodes'])):,} episodes; mean norm of video {visual_norm:.2f}, of text {text_norm:.2f}"
    )


def _moments(
    labels: Sequence[Label],
    episodes: dict[str, Path],
    args: argparse.Namespace,
    mineclip_hash: str,
    width: int,
    lost: Counter,
):
    """Yield (label, moments, their embeddings [n, E]), counting in ``lost`` the labels that give none."""
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage
    from data.text_alignment.pairs import check_mineclip

    loaded: tuple[str, np.ndarray] | None = None
    for label in sorted(labels, key=lambda label: (label.episode, label.start, label.stop, label.text)):
        if label.episode not in episodes:
            lost["no episode has their name"] += 1
            continue
        if loaded is None or loaded[0] != label.episode:
            episode = EpisodeStorage(episodes[label.episode])
            check_mineclip(episode, mineclip_hash, args.mineclip_weights, args.allow_other_mineclip)
            loaded = label.episode, episode.load_goals()
            if loaded[1].shape[1] != width:
                raise UserError(
                    f"{episodes[label.episode]} has embeddings of width {loaded[1].shape[1]}, {args.mineclip_weights} "
                    f"makes {width}; give the MineCLIP that made the episodes"
                )
        embeds = loaded[1]
        moments = draw_moments(label, len(embeds), args.pairs_per_segment, args.min_offset, args.seed)
        moments = [t for t in moments if not np.isnan(embeds[t, 0])]
        if moments:
            yield label, moments, embeds[moments]
        else:
            lost["no window of 16 frames lies inside them and their episode"] += 1


def _episodes(folders: Sequence[str]) -> dict[str, Path]:
    from data.EpisodeStorage import find_episodes

    found: dict[str, Path] = {}
    for folder in folders:
        for path in find_episodes(folder):
            other = found.setdefault(path.name, path)
            if other != path:
                raise UserError(
                    f"{other} and {path} have one name, which labels can't tell apart; leave one out of --episodes_dir"
                )
    return found


if __name__ == "__main__":
    main()
