"""Find training data for the prior without labels: the moments of a dataset that fit given instructions best.

Real:
    python data/text_alignment/mine_prior_dataset.py --instructions_file my_instructions.txt \\
        --episodes_dir data/dataset_contractor,data/dataset_custom --top_k 200

Tiny:
    python data/text_alignment/mine_prior_dataset.py --instructions "look at the sky,dig a hole" \\
        --episodes_dir data/dataset_custom --mineclip_weights /tmp/tiny.pth --output_path /tmp/mined.pkl

A moment is 16 frames; its embedding is the episode's own, so no video is encoded. Raw similarity favours moments
that resemble everything, so by default a moment counts for an instruction as far as it fits it better than the
other instructions: give several that differ. Look at what was found before training on it. Written are

    mined.pkl           pairs for training/train_prior.py, as make_prior_dataset.py makes them
    mined_picks.png     a row of frames an instruction, best first, with score, cosine, frame and episode
    mined_picks.jsonl   the picks as label lines: delete those that are wrong, and make_prior_dataset.py --labels
                        makes the pairs of the rest
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError, comma_list, count, entry_point, not_there, number, out_of_range, report_all
from steve1.config import FIRST_EMBED, data_root, weights_dir
from steve1.files import read_text, whole_file, write_text
from steve1.flags import missing_files

if TYPE_CHECKING:
    import numpy as np

    from data.text_alignment.mining import Pick


def read_instructions(path: Path) -> list[str]:
    """One instruction a line; blank lines and those that begin with # are left out."""
    lines = [line.strip() for line in read_text(path).split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Mine, and write the pairs with what shows them."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))

    # ---- instructions and episodes ----
    given = args.instructions if args.instructions is not None else read_instructions(args.instructions_file)
    instructions = list(dict.fromkeys(given))
    if not instructions:
        raise UserError(f"{args.instructions_file or '--instructions'} holds no instruction")
    score = args.score or ("relative" if len(instructions) > 1 else "cosine")
    if score == "relative" and len(instructions) < 2:
        raise UserError("--score relative compares instructions; give two or more, or --score cosine")
    folders = _folders(args)

    # ---- MineCLIP ----
    from steve1.checkpoints import load_mineclip, tensors_hash

    mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
    mineclip_hash = tensors_hash(mineclip)

    # ---- mine ----
    from data.text_alignment.mining import mine
    from data.text_alignment.pairs import embed_texts

    texts = embed_texts(mineclip, instructions)
    temperature = args.temperature if score == "relative" else None
    embeds = _embeds(folders, args, mineclip_hash, texts.shape[1])
    picks = mine(embeds, texts, args.top_k, args.min_distance, args.max_per_episode, temperature)
    if not any(picks):
        raise UserError(f"none of the {len(folders):,} episodes has 16 frames, so there is nothing to choose")

    # ---- write ----
    _write(args, instructions, texts, picks, mineclip_hash, score == "relative")
    print(_table(instructions, picks, args.top_k, score == "relative"))


def _folders(args: argparse.Namespace) -> list[Path]:
    """The episodes that the flags name, each once."""
    from data.EpisodeStorage import find_episodes
    from data.minecraft_dataset import load_sampling

    if args.sampling is not None:
        found = [Path(folder) for folder in load_sampling(args.sampling_dir, args.sampling)[0]]
    else:
        found = [path for folder in args.episodes_dir for path in find_episodes(folder)]
    if not found:
        raise UserError(f"no episode was found in {', '.join(args.episodes_dir)}; check --episodes_dir")
    return list({path.resolve(): path for path in found}.values())


def _embeds(
    folders: list[Path], args: argparse.Namespace, mineclip_hash: str, width: int
) -> Iterator[tuple[Path, np.ndarray]]:
    from tqdm import tqdm

    from data.EpisodeStorage import EpisodeStorage
    from data.text_alignment.pairs import check_mineclip

    for path in tqdm(folders, "mining", unit=" episodes", leave=False, disable=None):
        episode = EpisodeStorage(path)
        check_mineclip(episode, mineclip_hash, args.mineclip_weights, args.allow_other_mineclip)
        embeds = episode.load_goals()
        if len(embeds) > FIRST_EMBED:
            if embeds.shape[1] != width:
                raise UserError(
                    f"{path} has embeddings of width {embeds.shape[1]}, {args.mineclip_weights} makes {width}; "
                    "give the MineCLIP that made the episodes"
                )
            yield path, embeds


def _write(
    args: argparse.Namespace,
    instructions: list[str],
    texts: np.ndarray,
    picks: list[list[Pick]],
    mineclip_hash: str,
    relative: bool,
) -> None:
    from data.text_alignment.pairs import merged
    from steve1.checkpoints import dump_pickle

    flat = [pick for some in picks for pick in some]
    pairs: dict[str, list] = {
        "text_embeddings": [texts[pick.instruction] for pick in flat],
        "visual_embeddings": [pick.embed for pick in flat],
        "texts": [instructions[pick.instruction] for pick in flat],
        "episodes": [pick.episode.name for pick in flat],
        "frames": [pick.frame for pick in flat],
    }
    mined = len(flat)
    if args.merge_with is not None:
        pairs = merged(args.merge_with, pairs, mineclip_hash)

    lines, sheet = (
        args.output_path.with_name(f"{args.output_path.stem}_picks{s}") for s in (".jsonl", ".png")
    )
    write_text(
        lines, "".join(json.dumps(_label(instructions, pick), ensure_ascii=False) + "\n" for pick in flat)
    )
    if args.sheet_columns:
        import cv2

        from data.text_alignment.contact_sheet import contact_sheet

        columns = min(args.sheet_columns, max(map(len, picks)))
        drawn = contact_sheet(instructions, picks, columns, relative)
        with whole_file(sheet) as partial:
            partial.write_bytes(cv2.imencode(".png", drawn[..., ::-1])[1].tobytes())
        print(f"{sheet}: what was found, to judge it by")
    print(f"{lines}: the same as labels")
    dump_pickle({**pairs, "mineclip_hash": mineclip_hash}, args.output_path)
    n = len(pairs["texts"])
    also = f", with the {n - mined:,} of {args.merge_with}" if args.merge_with is not None else ""
    print(f"{args.output_path}: {n:,} pairs{also}")


def _label(instructions: list[str], pick: Pick) -> dict[str, Any]:
    """A pick as a label (data/text_alignment/labels.py), of exactly its 16 frames."""
    return {
        "episode": pick.episode.name,
        "start": pick.frame - FIRST_EMBED,
        "stop": pick.frame + 1,
        "text": instructions[pick.instruction],
        "score": round(pick.score, 6),
        "cosine": round(pick.cosine, 6),
    }


def _table(instructions: list[str], picks: list[list[Pick]], top_k: int, relative: bool) -> str:
    chances = f" {'probability':>14}" if relative else ""
    lines = [f"{'picks':>5} {'episodes':>8} {'cosine':>12}{chances}  instruction"]
    for instruction, some in zip(instructions, picks, strict=True):
        cosines = [pick.cosine for pick in some]
        span = f"{min(cosines):.2f} .. {max(cosines):.2f}" if some else ""
        if relative:
            chance = f"{math.exp(some[-1].score):.3f} .. {math.exp(some[0].score):.3f}" if some else ""
            span = f"{span:>12} {chance:>14}"
        lines.append(f"{len(some):>5} {len({pick.episode for pick in some}):>8} {span:>12}  {instruction}")
    fewer = sum(len(some) < top_k for some in picks)
    if fewer:
        lines.append(
            f"{fewer:,} instructions have fewer than --top_k {top_k:,}: with --min_distance and --max_per_episode "
            "these episodes hold no more"
        )
    places = [(pick.episode, pick.frame) for some in picks for pick in some]
    shared = len(places) - len(set(places))
    if shared:
        lines.append(f"{shared:,} picks are of a moment that another instruction has too: look at them")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("instructions (one of the two)")
    what.add_argument("--instructions", type=comma_list, help="texts, separated by commas")
    what.add_argument("--instructions_file", type=Path, help="one text a line; for texts that hold commas")
    where = parser.add_argument_group("episodes (folders or a sampling)")
    where.add_argument(
        "--episodes_dir",
        type=comma_list,
        default=[],
        help="folders of episodes, separated by commas; searched at any depth",
    )
    where.add_argument("--sampling", help="name of a sampling, of which the training episodes are taken")
    where.add_argument(
        "--sampling_dir",
        default=str(data_root() / "samplings"),
        help="folder of samplings (default: data/samplings)",
    )
    group = parser.add_argument_group("MineCLIP")
    group.add_argument(
        "--mineclip_weights",
        type=Path,
        default=weights_dir() / "mineclip" / "attn.pth",
        help="the MineCLIP that embedded the episodes (default: data/weights/mineclip/attn.pth)",
    )
    group.add_argument(
        "--mineclip_config",
        type=Path,
        help="JSON with its sizes (default: the JSON beside the weights, or else the published sizes)",
    )
    group.add_argument(
        "--allow_other_mineclip",
        action="store_true",
        help="take episodes that another MineCLIP embedded, or that do not say which (default: refuse)",
    )
    choice = parser.add_argument_group("choice")
    choice.add_argument("--top_k", type=count, default=32, help="moments an instruction (default 32)")
    choice.add_argument(
        "--min_distance",
        type=count,
        default=32,
        help="frames between an instruction's moments in one episode (default 32: windows do not touch; 0: none)",
    )
    choice.add_argument(
        "--max_per_episode",
        type=count,
        default=4,
        help="moments of an instruction in one episode, at most (default 4; 0: any number)",
    )
    choice.add_argument(
        "--score",
        choices=("relative", "cosine"),
        help="relative: log-probability of the instruction among all given; cosine: the similarity itself "
        "(default: relative, and cosine for a single instruction)",
    )
    choice.add_argument(
        "--temperature",
        type=number,
        default=0.1,
        help="of relative scores; high ones tend towards the cosine's difference from the mean (default 0.1)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output_path",
        type=Path,
        default=data_root() / "prior_dataset" / "mined.pkl",
        help="pickle to write; the picks are written beside it (default: data/prior_dataset/mined.pkl)",
    )
    output.add_argument(
        "--merge_with", type=Path, help="pairs to put before the mined ones, from labels say (default: none)"
    )
    output.add_argument(
        "--sheet_columns",
        type=count,
        default=8,
        help="moments shown an instruction (default 8; 0: no picture)",
    )
    return parser


def _problems(args: argparse.Namespace) -> list[str]:
    problems = []
    if (args.instructions is None) == (args.instructions_file is None):
        problems.append("give either --instructions or --instructions_file")
    if (args.sampling is None) == (not args.episodes_dir):
        problems.append("give either --episodes_dir or --sampling")
    problems += not_there(args, "instructions_file", "merge_with")
    problems += missing_files(args, ("mineclip_weights", "mineclip_config"))
    problems += not_there(args, "episodes_dir", folder=True)
    problems += out_of_range(args, "top_k", least=1)
    problems += out_of_range(args, "min_distance", "max_per_episode", "sheet_columns", least=0)
    return problems + out_of_range(args, "temperature", above=0)


if __name__ == "__main__":
    main()
