"""Train a small MineCLIP by contrast on labelled 16-frame clips: for the miniature, or your own embedding model.

Real (recordings of the contractors' format, labels as data/text_alignment/labels.py reads them):
    python training/train_mineclip.py --recordings_dir data/recordings_mine --labels data/recordings_mine/labels \\
        --out_weights data/weights/mineclip/mine.pth

Tiny (a minute; existing episodes can be given instead of recordings):
    python training/train_mineclip.py --episodes_dir data/dataset_custom --labels labels.jsonl \\
        --out_weights /tmp/tiny.pth --mineclip_config tiny --steps 50 --batch_size 16

Beside the weights goes a JSON with the sizes and what was measured on held-out episodes: the share of clips whose
own behaviour's text is the nearest, for wordings that were learnt and for wordings that were held out. Goals are
the encoders' unnormalised outputs. Killed half-way, the same command goes on after the last checkpoint, to the
very same weights; when it has finished, it is skipped. The footage is read anew each time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.text_alignment.labels import Label, find_wordings, load_labels, load_wordings, texts_by_meaning
from steve1.cli import UserError, boolean, count, entry_point, not_there, number, out_of_range, report_all
from steve1.streams import MAX_SEED
from training.mineclip_sizes import PRESETS, load_config
from training.small_training import checkpoint_file, plain_flags, resume, run, with_todays_names

if TYPE_CHECKING:
    from steve1.mineclip import MineCLIP
    from training.mineclip_contrast import Clips, Segment
    from training.mineclip_retrieval import Retrieval

SAVE_SECONDS = 30.0  # between two checkpoints


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--recordings_dir", type=Path, help="folder of NAME.mp4 with NAME.jsonl (default: none)"
    )
    files.add_argument("--episodes_dir", type=Path, help="folder of episodes (default: none)")
    files.add_argument(
        "--labels", type=Path, required=True, help="file of label lines, or a folder of such *.jsonl"
    )
    files.add_argument(
        "--wordings",
        type=Path,
        help="JSON of several texts a behaviour, see data/text_alignment/labels.py (default: wordings.json beside "
        "the labels; without one, the labels' texts)",
    )
    files.add_argument(
        "--held_out_wordings",
        type=Path,
        help="JSON {behaviour: [texts]} to judge by and never learn (default: held_out of the wordings' file)",
    )
    files.add_argument(
        "--out_weights",
        "--out",
        type=Path,
        required=True,
        help="weights to write, e.g. mine.pth; a JSON goes beside it",
    )
    files.add_argument(
        "--restart_from_checkpoint",
        type=boolean,
        nargs="?",
        const=True,
        default=True,
        help="go on where the same command stopped, skip when it had finished; False starts anew (default True)",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--mineclip_config",
        "--config",
        default="small",
        help=f"sizes: {', '.join(PRESETS)} or a JSON file (default small)",
    )
    training = parser.add_argument_group("training")
    training.add_argument("--steps", type=count, default=400, help="steps of training (default 400)")
    training.add_argument("--batch_size", type=count, default=64, help="clips a step (default 64)")
    training.add_argument(
        "--frames_per_clip",
        type=count,
        default=2,
        help="frames encoded of each 16-frame window, repeated in their neighbours' places; 16 shows whole "
        "windows at 8 times the cost of 2 (default 2)",
    )
    training.add_argument(
        "--learning_rate",
        "--lr",
        type=number,
        default=1e-3,
        help="AdamW's peak learning rate (default 1e-3)",
    )
    training.add_argument(
        "--weight_decay", type=number, default=0.2, help="of matrices; 0 for none (default 0.2)"
    )
    training.add_argument(
        "--shift",
        type=count,
        default=4,
        help="clips are moved by up to so many pixels; 0 for none (default 4)",
    )
    training.add_argument(
        "--token_dropout",
        type=number,
        default=0.15,
        help="share of the texts' tokens replaced by random ones, against unknown words; 0 for none (default 0.15)",
    )
    training.add_argument(
        "--held_out_episodes",
        type=number,
        default=0.15,
        help="share of the labelled episodes that is only judged by; 0 for none (default 0.15)",
    )
    training.add_argument(
        "--seed", type=count, default=0, help="of the split, the weights and the batches (default 0)"
    )
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device", default="auto", help="auto, cpu, cuda (default auto: cuda where there is one)"
    )
    machine.add_argument(
        "--num_workers",
        type=count,
        default=None,
        help="processes that read footage; 0 for none (default: cores, at most 8)",
    )
    return parser


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    report_all(_problems(args))

    # ---- labels and texts ----
    config = load_config(args.mineclip_config)
    labels = load_labels(args.labels)
    wordings_file = args.wordings or find_wordings(args.labels)
    wordings, held_out_wordings = load_wordings(wordings_file) if wordings_file else ({}, {})
    if args.held_out_wordings:
        held_out_wordings = load_wordings(args.held_out_wordings)[0]

    # ---- footage: where it is ----
    from training.mineclip_footage import default_workers, find_sources, hold_out, read_clips

    sources, missing = find_sources(
        {label.episode for label in labels}, args.recordings_dir, args.episodes_dir
    )
    where = " or ".join(str(path) for path in (args.recordings_dir, args.episodes_dir) if path)
    if not sources:
        raise UserError(
            f"none of the {len(missing):,} episodes that {args.labels} names is in {where} (the first is "
            f"{missing[0]}); check the folders"
        )
    if missing:
        lost = sum(label.episode in set(missing) for label in labels)
        print(f"{lost:,} labels of {len(missing):,} episodes are passed over, for these are not in {where}")
    labels = [label for label in labels if label.episode in sources]
    texts, own = texts_by_meaning(labels, wordings)
    if own and wordings:
        print(f"no wordings for {', '.join(own)}: the labels' own texts are taken")
    meanings = list(texts)
    if len(meanings) < 2:
        raise UserError(
            f"{args.labels} shows only {meanings[0]!r}; contrast needs two behaviours or texts at least"
        )
    held_texts = _held_out_texts(texts, held_out_wordings)

    # ---- has it been done? ----
    from steve1.checkpoints import metadata_path, read_metadata, save_mineclip, tensors_hash

    metadata_path(args.out_weights)
    identity = _identity(args, config, labels, texts, sources)
    done = read_metadata(args.out_weights)
    if args.restart_from_checkpoint and args.out_weights.exists() and done:
        if with_todays_names(done.get("identity", {})) == identity:
            print(f"{args.out_weights} is there already, by the same flags and data: skipped")
            _report({name: done["accuracy"].get(name) for name in ("seen", "held_out")})
            return
        raise UserError(
            f"{args.out_weights} was made by other flags or data; give another --out_weights, or start anew with "
            "--restart_from_checkpoint False"
        )

    # ---- footage: reading it ----
    window = config.get("window", 16)
    started = time.monotonic()
    mineclip = _new_mineclip(config, args.seed, args.device)
    workers = default_workers() if args.num_workers is None else args.num_workers
    clips, problems = read_clips(labels, sources, meanings, config["resolution"], window, workers)
    for problem in problems:
        print(f"warning: {problem}")
    shown: dict[str, set[int]] = {}
    for segment in clips.segments:
        shown.setdefault(segment.episode, set()).add(segment.meaning)
    judged = hold_out(shown, args.held_out_episodes, args.seed) if args.held_out_episodes else set()
    train, held = clips.of(set(shown) - judged), clips.of(judged)
    print(
        f"{len(clips.frames):,} labelled frames of {len(shown):,} episodes in {len(clips.segments):,} segments, "
        f"read in {time.monotonic() - started:.0f} s; {len(held):,} segments of {len(judged):,} episodes are held out"
    )
    if not held:
        print("nothing is held out, so accuracy is not measured")

    # ---- training ----
    from training.mineclip_contrast import Contrast

    names = (
        "steps",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "frames_per_clip",
        "token_dropout",
    )
    flags = {name: getattr(args, name) for name in (*names, "shift", "seed")}
    training = Contrast(mineclip, clips, train, list(texts.values()), **flags)
    checkpoint = checkpoint_file(args.out_weights)
    if args.restart_from_checkpoint and checkpoint.exists():
        resume(checkpoint, training, identity)
        print(f"going on after step {training.step:,} of {checkpoint}")
    loss = run(training, training.steps, "step", checkpoint, identity, SAVE_SECONDS)

    # ---- judging and writing ----
    results = _judge(mineclip, clips, held, texts, held_texts)
    _report({name: vars(result) for name, result in results.items()})
    metadata = {
        "accuracy": {name: vars(result) for name, result in results.items()},
        "identity": identity,
        "flags": plain_flags(args),
        "wordings": texts,
        "held_out_wordings": held_out_wordings,
        "held_out_episodes": sorted(judged),
        "labelled_frames": len(clips.frames),
        "loss_train": loss,
        "logit_scale": training.log_scale.exp().item(),
        "seconds": round(time.monotonic() - started),
    }
    mineclip = mineclip.cpu().requires_grad_(True)
    save_mineclip(mineclip, args.out_weights, metadata)
    checkpoint.unlink(missing_ok=True)
    print(f"{args.out_weights}: MineCLIP of width {config['embed_dim']}, hash {tensors_hash(mineclip)[:12]}")


def _problems(args: argparse.Namespace) -> list[str]:
    problems = out_of_range(args, "steps", "frames_per_clip", least=1)
    problems += out_of_range(args, "batch_size", least=2)
    problems += out_of_range(args, "learning_rate", above=0)
    problems += out_of_range(args, "seed", least=0, most=MAX_SEED)
    problems += out_of_range(args, "shift", "num_workers", "weight_decay", least=0, note="0: none")
    problems += out_of_range(args, "token_dropout", "held_out_episodes", least=0, below=1, note="0: none")
    if args.recordings_dir is None and args.episodes_dir is None:
        problems.append("give --recordings_dir or --episodes_dir, or both")
    problems += not_there(args, "recordings_dir", "episodes_dir", folder=True)
    problems += not_there(args, "labels", "wordings", "held_out_wordings")
    try:
        window = load_config(args.mineclip_config).get("window", 16)
    except UserError as error:
        problems.append(str(error))
    else:
        if isinstance(window, int) and args.frames_per_clip > 0 and window % args.frames_per_clip:
            problems.append(
                f"--frames_per_clip {args.frames_per_clip} does not divide the window of {window} frames"
            )
    if args.device not in ("auto", "cpu") and not args.device.startswith("cuda"):
        problems.append(f"--device {args.device}: choose auto, cpu or cuda")
    return problems


def _held_out_texts(
    texts: dict[str, list[str]], held_out: dict[str, list[str]]
) -> dict[str, list[str]] | None:
    """For each meaning its held-out wordings (those learnt, where it has none); None where none is held out."""
    learnt = {text for some in texts.values() for text in some}
    both = sorted(text for some in held_out.values() for text in some if text in learnt)
    if both:
        raise UserError(f"the held-out wording {both[0]!r} is also learnt; leave it out of one of the two")
    if not any(held_out.get(meaning) for meaning in texts):
        return None
    return {meaning: held_out.get(meaning) or some for meaning, some in texts.items()}


def _identity(
    args: argparse.Namespace,
    config: dict,
    labels: list[Label],
    texts: dict[str, list[str]],
    sources: dict[str, Any],
) -> dict[str, Any]:
    """What the weights depend on; another run of the same identity would make the same ones."""
    apart = {
        "recordings_dir",
        "episodes_dir",
        "labels",
        "wordings",
        "held_out_wordings",
        "out_weights",
        "mineclip_config",
        "device",
    }
    apart |= {"restart_from_checkpoint", "num_workers"}
    flags = {name: value for name, value in vars(args).items() if name not in apart}
    found = [(name, source.jsonl is None, source.size) for name, source in sources.items()]
    content = json.dumps([[vars(label) for label in labels], texts, found], sort_keys=True)
    return {**flags, "config": config, "data": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _new_mineclip(config: dict, seed: int, device: str) -> MineCLIP:
    import torch

    from steve1.mineclip import MineCLIP
    from steve1.mineclip.tokenizer import VOCAB_SIZE

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch finds no GPU here; use --device cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mineclip = MineCLIP(config)
    if config["vocab_size"] != VOCAB_SIZE:
        raise UserError(
            f"the configuration's vocab_size {config['vocab_size']} is not CLIP's {VOCAB_SIZE}; set it so"
        )
    return mineclip.to(device)


def _judge(
    mineclip: MineCLIP,
    clips: Clips,
    held: list[Segment],
    texts: dict[str, list[str]],
    held_texts: dict[str, list[str]] | None,
) -> dict[str, Retrieval]:
    from training.mineclip_retrieval import embed_segments, retrieve

    if not held:
        return {}
    video, meanings = embed_segments(mineclip, clips, held)
    results = {"seen": retrieve(mineclip, video, meanings, texts)}
    if held_texts:
        results["held_out"] = retrieve(mineclip, video, meanings, held_texts)
    return results


def _report(results: dict[str, dict | None]) -> None:
    for name, title in (("seen", "wordings that were learnt"), ("held_out", "held-out wordings")):
        result = results.get(name)
        if result:
            each = ", ".join(
                f"{meaning} {share:.2f}" for meaning, share in list(result["by_meaning"].items())[:20]
            )
            share = f"{result['accuracy']:.3f} of {result['clips']:,} clips find their text"
            print(f"held-out episodes, {title}: {share} ({each})")


if __name__ == "__main__":
    main()
