"""Write a sampling: the lists of episodes to train on and to validate on.

Real:
    python data/sampling/generate_sampling.py --type neurips --name neurips --val_frames 100k --T 640

Tiny:
    python data/sampling/generate_sampling.py --type custom --name mine --dataset_dirs data/dataset_custom

Writes NAME_train.txt and NAME_val.txt (an episode's absolute path a line), NAME.json (flags, counts),
NAME_summary.txt (the table that is printed) and NAME_histogram.png (lengths of the episodes) into --output_dir; of
several datasets also NAME_datasets.json, by which training names their losses and draws their items.
Recordings of one play session never stand on both sides. The choice depends on the seed and the episodes alone.
Types: neurips is the published one (data/dataset_contractor); custom takes --dataset_dirs as large as they are;
mixed also takes all of them, and training draws their items in the proportion of --dataset_weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import UserError, comma_list, count, entry_point, number, out_of_range, report_all
from steve1.config import FIRST_EMBED, data_root

if TYPE_CHECKING:
    from data.sampling.sessions import Episode
    from data.sampling.split import Split


def validation_from(given: str, output_dir: Path) -> list[Episode]:
    """Return the episodes that ``--val_from`` names, in their order.

    A sampling NAME in ``output_dir`` gives its validation list; a path to a list gives that list; a path to a
    folder gives all episodes at or below it.
    """
    from data.minecraft_dataset import read_list
    from data.sampling.sessions import read_dataset, read_episodes

    listed = output_dir / f"{given}_val.txt"
    if listed.is_file() or Path(given).is_file():
        path = listed if listed.is_file() else Path(given)
        episodes = read_episodes(read_list(path), dataset=-1)
        if not episodes:
            raise UserError(f"--val_from {given}: {path} lists no episode")
        return episodes
    if Path(given).is_dir():
        return read_dataset(given, dataset=-1)
    raise UserError(
        f"--val_from {given}: neither the sampling {listed} nor a list or folder of that name exists; check the name"
    )


def check_embeddings(episodes: Sequence[Episode], allow_mixed: bool) -> list[str]:
    """Return the MineCLIP hashes of the episodes; embeddings of different MineCLIPs are refused."""
    examples: dict[tuple[str, int | None], str] = {}
    for episode in episodes:
        if episode.mineclip_hash is not None:
            examples.setdefault((episode.mineclip_hash, episode.embed_dim), episode.path)
    if len(examples) > 1 and not allow_mixed:
        found = "; ".join(
            f"{key[0][:12]} (width {key[1]}) in {path}" for key, path in list(examples.items())[:3]
        )
        raise UserError(
            f"the episodes' embeddings were made by {len(examples)} different MineCLIPs: {found}. Goals of one mean "
            "nothing to the other; convert again with one --mineclip_weights, or give --allow_mixed_mineclip"
        )
    return sorted({key[0] for key in examples})


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what to sample from")
    what.add_argument(
        "--type", choices=("neurips", "custom", "mixed"), default="neurips", help="default neurips"
    )
    what.add_argument(
        "--dataset_dirs",
        type=comma_list,
        default=[],
        metavar="A,B",
        help="folders of episodes (default for neurips: data/dataset_contractor)",
    )
    what.add_argument(
        "--dataset_weights",
        type=comma_list,
        default=[],
        metavar="0.8,0.2",
        help="mixed: share of each folder among the items that training draws, whatever its size; of any sum (default "
        "none)",
    )
    what.add_argument(
        "--T",
        type=count,
        default=None,
        help=f"frames of a training item: episodes shorter than T + {FIRST_EMBED} are left out (default: none is)",
    )
    what.add_argument(
        "--min_btwn_goals",
        type=count,
        default=None,
        help=f"least frames between goals: episodes shorter than this + {FIRST_EMBED}, which have no goal but their "
        "last frame, are left out (default: none is)",
    )
    what.add_argument(
        "--allow_mixed_mineclip",
        action="store_true",
        help="accept embeddings made by different MineCLIPs (default: refused)",
    )
    how = parser.add_argument_group("how to split")
    how.add_argument(
        "--val_frames",
        type=count,
        default=None,
        help="frames to validate on, of each folder its share; 0 for none (default: 10 %% of each folder)",
    )
    how.add_argument(
        "--train_frames", type=count, default=-1, help="frames to train on (default -1: the rest)"
    )
    how.add_argument(
        "--val_from",
        help="validate on these episodes: the validation list of another sampling (its NAME in --output_dir, or a "
        "path to a list), or all episodes of a folder; --val_frames, if given, cuts them short (default: split)",
    )
    how.add_argument("--seed", type=count, default=0, help="of the choice (default 0)")
    where = parser.add_argument_group("where to write")
    where.add_argument("--name", help="of the sampling (default: the type)")
    where.add_argument(
        "--output_dir", type=Path, default=data_root() / "samplings", help="default: data/samplings"
    )
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = []
    if args.type != "neurips" and not args.dataset_dirs:
        problems.append(f"--type {args.type} needs --dataset_dirs A,B")
    if args.type == "mixed" and len(args.dataset_weights) != len(args.dataset_dirs):
        problems.append(
            f"--dataset_weights: {len(args.dataset_weights)} given for {len(args.dataset_dirs)} --dataset_dirs; "
            "mixed needs one each"
        )
    if args.type != "mixed" and args.dataset_weights:
        problems.append(f"--dataset_weights is for --type mixed, not {args.type}")
    try:
        weights = [number(text) for text in args.dataset_weights]
        if weights and (min(weights) < 0 or not 0 < sum(weights) < float("inf")):
            problems.append(
                f"--dataset_weights {','.join(args.dataset_weights)}: must be at least 0, not all 0"
            )
    except argparse.ArgumentTypeError as error:
        problems.append(f"--dataset_weights: {error}")
    if args.train_frames == 0 or args.train_frames < -1:
        problems.append(f"--train_frames {args.train_frames}: at least 1, or -1 for the rest")
    problems += out_of_range(args, "val_frames", "seed", least=0)
    problems += out_of_range(args, "T", "min_btwn_goals", least=1)
    if args.name is not None and (not args.name or Path(args.name).name != args.name):
        problems.append(f"--name {args.name!r}: a plain file name")
    return problems


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    report_all(_problems(args))
    name = args.name or args.type
    folders = args.dataset_dirs or [str(data_root() / "dataset_contractor")]
    weights = [number(text) for text in args.dataset_weights] or None

    from data.mixture import datasets_file
    from data.sampling.sampling_report import draw_histogram, figures, table
    from data.sampling.sessions import read_dataset
    from data.sampling.split import shuffled, split, take, total
    from steve1.files import write_text

    # ---- episodes ----
    shortest = FIRST_EMBED + max(args.T or 1, args.min_btwn_goals or 1)
    datasets: list[list[Episode]] = []
    left_out: list[Episode] = []
    seen: set[str] = set()
    for index, folder in enumerate(folders):
        # A folder inside of another one that is given too must not count twice.
        episodes = [episode for episode in read_dataset(folder, index) if episode.path not in seen]
        seen.update(episode.path for episode in episodes)
        left_out += [episode for episode in episodes if episode.frames < shortest]
        datasets.append([episode for episode in episodes if episode.frames >= shortest])
    _tell_left_out(left_out, shortest)
    for folder, usable in zip(folders, datasets, strict=True):
        if not usable:
            raise UserError(
                f"no episode of {folder} is left: all are shorter than {shortest} frames, or given twice; lower --T, "
                "add longer ones or name each folder once"
            )

    val = None
    if args.val_from is not None:
        val = [
            episode
            for episode in validation_from(args.val_from, args.output_dir)
            if episode.frames >= shortest
        ]
        if args.val_frames is not None:
            if total(val) < args.val_frames:
                raise UserError(
                    f"--val_from {args.val_from} holds {total(val):,} usable frames where --val_frames asks for "
                    f"{args.val_frames:,}; lower it"
                )
            val = take(shuffled(val, args.seed, 0), args.val_frames)
        if not val:
            raise UserError(
                f"--val_from {args.val_from} holds no episode of {shortest} frames or more; lower --T"
            )

    # ---- split ----
    hashes = check_embeddings([e for pool in [*datasets, val or []] for e in pool], args.allow_mixed_mineclip)
    result = split(datasets, weights, args.val_frames, args.train_frames, args.seed, val)

    # ---- files ----
    found = figures(folders, weights, result, left_out)
    summary = table(name, found)
    _write(args, name, folders, result, left_out, hashes, found)
    write_text(args.output_dir / f"{name}_summary.txt", summary + "\n")
    draw_histogram(args.output_dir / f"{name}_histogram.png", name, folders, result, args.T)
    _write_datasets(datasets_file(args.output_dir, name), folders, datasets, weights, result)
    print(summary)
    print(f"wrote {args.output_dir / name}_train.txt, _val.txt, .json, _summary.txt and _histogram.png")


def _tell_left_out(left_out: Sequence[Episode], shortest: int) -> None:
    if left_out:
        names = ", ".join(Path(episode.path).name for episode in left_out[:20])
        more = f" and {len(left_out) - 20} more (all are in the JSON)" if len(left_out) > 20 else ""
        print(f"left out, being shorter than {shortest} frames: {len(left_out)} episodes: {names}{more}")


def _write(
    args: argparse.Namespace,
    name: str,
    folders: Sequence[str],
    result: Split,
    left_out: Sequence[Episode],
    hashes: Sequence[str],
    found: dict[str, dict],
) -> None:
    from steve1.files import write_json, write_text

    for side, episodes in (("train", result.train), ("val", result.val)):
        write_text(args.output_dir / f"{name}_{side}.txt", "".join(f"{e.path}\n" for e in episodes))
    write_json(
        args.output_dir / f"{name}.json",
        {
            "flags": {
                key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()
            },
            "datasets": [str(Path(folder).resolve()) for folder in folders],
            "mineclip_hashes": list(hashes),
            **found,
            "episodes_unused": [episode.path for episode in result.unused],
            "episodes_left_out": [episode.path for episode in left_out],
        },
    )


def _write_datasets(
    path: Path,
    folders: Sequence[str],
    datasets: Sequence[Sequence[Episode]],
    weights: Sequence[float] | None,
    result: Split,
) -> None:
    """Write NAME_datasets.json, or take away an older one, where there is but one dataset."""
    from data.mixture import Mixture, dataset_names, save_mixture

    known = {episode.path: index for index, pool in enumerate(datasets) for episode in pool}
    of = {e.path: known.get(e.path, len(folders)) for e in (*result.train, *result.val)}
    names, sources = dataset_names(folders), [str(Path(folder).resolve()) for folder in folders]
    shares = [weight / sum(weights) for weight in weights] if weights else None
    if len(folders) == 1:
        path.unlink(missing_ok=True)
        return
    if len(folders) in of.values():  # of --val_from, and of none of the folders
        names = dataset_names([*folders, "val_from"])
        sources = [*sources, ""]
        shares = [*shares, 0.0] if shares else None
    save_mixture(path, Mixture(names, shares, of), sources)
    for name, share, pool in zip(names, shares or (), datasets, strict=False):
        frames = sum(e.frames for e in result.train if of[e.path] == names.index(name))
        size = f"{len(pool):,} episodes, {frames:,} frames to train on"
        print(f"drawn in training: {share:.1%} of the items from {name} ({size})")


if __name__ == "__main__":
    main()
