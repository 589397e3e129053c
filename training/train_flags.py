"""The flags of ``training/train.py``: each with its unit, its default and its rule. Loads nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from data.item_flags import add_item_flags, add_list_flags, item_problems
from steve1 import hub
from steve1.cli import boolean, count, number, out_of_range
from steve1.config import data_root, logs_dir
from steve1.streams import MAX_SEED
from training.schedule import SCHEDULES

# The parts of the policy, as --freeze takes them; parts of parts have dotted names (recurrent_layer.blocks.0).
PARTS = (
    *("img_process", "mineclip_embed_linear", "pre_lstm_ln", "recurrent_layer", "lastlayer", "final_ln"),
    "pi_head",
)


def plain_part(name: str) -> str:
    """A part's name without the ``policy.`` and ``net.`` that users copy from elsewhere."""
    return name.removeprefix("policy.").removeprefix("net.")


def part_scales(given: Sequence[str]) -> dict[str, float]:
    """What ``--lr_scale PART=S ...`` says, by part; raises ValueError for what is not of that form."""
    pairs = (text.partition("=") for text in given)
    return {plain_part(name): number(scale) for name, _, scale in pairs}


def unknown_parts(names: Sequence[str], flag: str = "--freeze") -> list[str]:
    """One sentence for each name that belongs to no part of any policy; the rest needs the model itself."""
    return [
        f"{flag} {name}: the policy has no such part; its parts are {', '.join(PARTS)}"
        for name in names
        if plain_part(name).partition(".")[0] not in (*PARTS, "value_head")
    ]


def _scale_problems(given: Sequence[str]) -> list[str]:
    """What is wrong with ``--lr_scale``."""
    problems = unknown_parts([text.partition("=")[0] for text in given], "--lr_scale")
    for text in given:
        name, _, scale = text.partition("=")
        try:
            fine = 0 < number(scale) < float("inf")
        except (ValueError, argparse.ArgumentTypeError):
            fine = False
        if not fine:
            problems.append(
                f"--lr_scale {text} must be PART=S with S above 0, as in img_process=0.1; --freeze {name} is for 0"
            )
    names = [plain_part(text.partition("=")[0]) for text in given]
    problems += [
        f"--lr_scale names {name} twice; give it once" for name in sorted(set(names)) if names.count(name) > 1
    ]
    return problems


def build_parser() -> argparse.ArgumentParser:
    """All flags of training, grouped by concern."""
    parser = argparse.ArgumentParser(
        description="Train the goal-conditioned policy by behaviour cloning with hindsight goals.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    switch: dict[str, Any] = {"type": boolean, "nargs": "?", "const": True}

    group = parser.add_argument_group("weights")
    group.add_argument(
        "--in_model",
        default=None,
        help="architecture: a VPT .model file, or .json of the same nesting. None: what --in_weights holds, in the "
        "hub's form",
    )
    group.add_argument(
        "--in_weights",
        default=None,
        help="weights to start from (VPT's or STEVE-1's; a file, or the hub's form, or hf://OWNER/NAME); none: "
        "random initial weights",
    )
    group.add_argument(
        "--out_weights",
        required=True,
        help="the trained weights, ending in .weights; OUT_latest, OUT_best and OUT_snapshot_5M are written beside",
    )
    group.add_argument(
        "--freeze",
        nargs="*",
        default=[],
        metavar="PART",
        help="parts that are not trained, as in --freeze img_process recurrent_layer.blocks.0; none: all are trained",
    )
    group.add_argument(
        "--cache_features",
        default=True,
        help="with --freeze img_process: compute each frame's picture features once, keep them in "
        "checkpoint_dir/features, and train from there: the same loss, many times quicker; False: compute them anew "
        "in every step, as --augment does in any case",
        **switch,
    )
    group.add_argument(
        "--mineclip_embed_dim",
        type=count,
        default=None,
        help="width of the goal embeddings, for another embedding model; a goal layer of another width in --in_weights "
        "starts anew. None: what --in_model says (512 where it says nothing)",
    )

    group = parser.add_argument_group("data")
    add_list_flags(group)
    group.add_argument(
        "--num_workers", type=count, default=4, help="processes that load data; 0: the main one does"
    )
    group.add_argument(
        "--augment",
        default=False,
        help="change brightness and contrast by up to 10 %% and make 10 %% of the items grey; "
        "one draw an item, on the device",
        **switch,
    )
    group.add_argument(
        "--allow_mixed_mineclip",
        default=False,
        help="accept goals of different MineCLIPs, in the episodes or between them and --in_weights",
        **switch,
    )

    add_item_flags(parser)

    group = parser.add_argument_group("optimization")
    group.add_argument("--batch_size", type=count, default=12, help="items per process and step")
    group.add_argument("--gradient_accumulation_steps", type=count, default=4, help="steps per update")
    group.add_argument("--learning_rate", type=number, default=4e-5, help="peak learning rate")
    group.add_argument(
        "--warmup_frames", type=count, default=10_000_000, help="frames of linear warm-up; 0: none"
    )
    group.add_argument(
        "--n_frames", type=count, default=100_000_000, help="frames to train on, over all processes"
    )
    group.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="cosine",
        help="after the warm-up: cosine falls towards 1.1 * n_frames; constant stays at the peak; wsd stays there, and "
        "falls in a straight line over the last decay_frames (formulas: training/schedule.py)",
    )
    group.add_argument(
        "--decay_frames",
        type=count,
        default=0,
        help="length of the tail of --schedule wsd; 0: a tenth of n_frames",
    )
    group.add_argument(
        "--weight_decay", type=number, default=0.039428, help="of linear and conv matrices; 0: none"
    )
    group.add_argument(
        "--max_grad_norm", type=number, default=5.0, help="clip the gradient's L2 norm; 0: never"
    )
    group.add_argument(
        "--lr_scale",
        nargs="*",
        default=[],
        metavar="PART=S",
        help="multiply the learning rate of parts, as in --lr_scale img_process=0.1 recurrent_layer=0.3, with the "
        "names of --freeze; none: one rate for all",
    )
    group.add_argument(
        "--kl_to_start",
        type=number,
        default=0.0,
        help="weight of KL(start || policy) in the loss, nats a frame on the batch's frames, to keep the policy near "
        "--in_weights; a second forward pass; 0: off",
    )
    group.add_argument(
        "--l2_to_start",
        type=number,
        default=0.0,
        help="pull the trained weights towards those of --in_weights after every update, by this times the learning "
        "rate times what is between them (100, say); 0: off",
    )
    group.add_argument(
        "--ema",
        type=number,
        default=0.0,
        help="decay an update of a moving average of the weights, 0.999 say, which is validated and saved beside them: "
        "OUT_ema, OUT_ema_best, ...; 0: off",
    )
    group.add_argument(
        "--seed",
        type=count,
        default=0,
        help="of initial weights, data order, goals, dropout and augmentation",
    )
    group.add_argument(
        "--gradient_checkpointing",
        default=False,
        help="compute activations twice instead of keeping them: less memory, slower, the same loss",
        **switch,
    )
    group.add_argument(
        "--compile",
        default=None,
        help="compile the policy with torch.compile: minutes at the start, quicker steps (needs a C++ compiler). None: "
        "on a GPU, but for --gradient_checkpointing and FSDP; False: never",
        **switch,
    )

    group = parser.add_argument_group(
        "validation, logs and checkpoints (a step is trunc_t frames of each item)"
    )
    group.add_argument("--val_freq", type=count, default=1000, help="steps between validations; 0: never")
    group.add_argument(
        "--val_freq_begin", type=count, default=100, help="the same during the first steps; 0: never"
    )
    group.add_argument(
        "--val_freq_switch_steps", type=count, default=500, help="how many steps are the first ones"
    )
    group.add_argument(
        "--val_every_nth", type=count, default=1, help="validate on every nth item only; 1: on all"
    )
    group.add_argument(
        "--val_share",
        type=number,
        default=0.1,
        help="share of the run's time that validations may take: where all items would take more, every validation "
        "looks at the same fewer items, chosen by the seed; 0: all items, whatever it takes",
    )
    group.add_argument(
        "--best_by",
        metavar="NAME",
        default=None,
        help="the dataset whose own validation loss, loss/val/NAME, decides OUT_best and early stopping, in a sampling "
        "of several; none: loss/val does, in which each has its weight",
    )
    group.add_argument(
        "--early_stopping_patience",
        type=count,
        default=0,
        help="stop after this many validations in a row without a new best loss; 0: never",
    )
    group.add_argument(
        "--save_each_val", default=False, help="keep OUT_step_N.weights of every validation", **switch
    )
    group.add_argument(
        "--save_freq", type=count, default=1000, help="steps between checkpoints; 0: only at the end"
    )
    group.add_argument("--log_freq", type=count, default=100, help="steps between lines of metrics")
    group.add_argument(
        "--snapshot_every_n_frames",
        type=count,
        default=50_000_000,
        help="keep OUT_snapshot_N.weights; 0: none",
    )
    group.add_argument(
        "--checkpoint_dir",
        default=str(data_root() / "training_checkpoint"),
        help="what a resumed run needs, and logs/",
    )
    group.add_argument(
        "--restart_from_checkpoint",
        default=True,
        help="go on from the checkpoint in checkpoint_dir if there is one; False: refuse to if there is",
        **switch,
    )
    group.add_argument(
        "--reset_checkpoint_dir",
        default=False,
        help="delete the checkpoint and the logs and start over",
        **switch,
    )
    group.add_argument("--log_dir", default=str(logs_dir() / "training"), help="folder of train_YYYYMMDD.log")
    return parser


def complete_model(args: argparse.Namespace) -> None:
    """Take the architecture from ``--in_weights`` where that is in the hub's form and none was given."""
    if args.in_model is None and args.in_weights and hub.is_hub(args.in_weights):
        args.in_model = args.in_weights


def flag_problems(args: argparse.Namespace) -> list[str]:
    """Everything that is wrong with the flags by themselves, one sentence each."""
    problems = item_problems(args)
    if args.in_model is None:
        problems.append("--in_model is needed; give data/weights/vpt/2x.model, or the JSON beside weights")
    for name in ("in_model", "in_weights"):
        place = getattr(args, name)
        wrong = hub.problem(place) if place and hub.is_hub(place) else None
        problems += [f"--{name} {place}: {wrong}"] if wrong else []
    at_least_one = ("batch_size", "gradient_accumulation_steps", "n_frames", "log_freq", "val_every_nth")
    problems += out_of_range(args, *at_least_one, "mineclip_embed_dim", least=1)
    problems += out_of_range(args, "learning_rate", above=0)
    problems += out_of_range(args, "num_workers", "warmup_frames", least=0)
    problems += out_of_range(args, "seed", least=0, most=MAX_SEED)
    problems += out_of_range(args, "decay_frames", least=0, note="0: a tenth of n_frames")
    switched_off = (
        *("weight_decay", "max_grad_norm", "val_freq", "val_freq_begin", "val_freq_switch_steps"),
        *("early_stopping_patience", "save_freq", "snapshot_every_n_frames"),
    )
    problems += out_of_range(args, *switched_off, least=0, note="0: off")
    if args.warmup_frames >= args.n_frames >= 1:
        problems.append(
            f"--warmup_frames {args.warmup_frames:_} must be below --n_frames {args.n_frames:_}; "
            "a tenth of n_frames is usual"
        )
    if args.schedule != "wsd" and args.decay_frames:
        problems.append(
            f"--decay_frames {args.decay_frames:_} is for --schedule wsd; leave it out, or give that"
        )
    tail = args.decay_frames or args.n_frames // 10
    if args.schedule == "wsd" and args.warmup_frames + tail > args.n_frames >= 1:
        problems.append(
            f"--warmup_frames {args.warmup_frames:_} and a tail of --decay_frames {tail:_} do not fit into --n_frames "
            f"{args.n_frames:_}; lower one of the two"
        )
    if args.best_by is not None and not (args.val_freq or args.val_freq_begin):
        problems.append(f"--best_by {args.best_by} needs validations; give a --val_freq above 0")
    if args.early_stopping_patience > 0 and args.val_freq <= 0:
        problems.append(
            f"--early_stopping_patience {args.early_stopping_patience} needs validations; give a --val_freq above 0"
        )
    problems += out_of_range(args, "val_share", least=0, below=1, note="0: all items")
    problems += unknown_parts(args.freeze)
    problems += _scale_problems(args.lr_scale)
    problems += out_of_range(args, "ema", least=0, below=1, note="0: off")
    problems += out_of_range(args, "kl_to_start", "l2_to_start", least=0, note="0: off")
    for name in ("kl_to_start", "l2_to_start"):
        weight = getattr(args, name)
        if weight and not args.in_weights:
            problems.append(f"--{name} {weight:g} is for a start worth staying near; give --in_weights")
    rate = args.learning_rate
    if args.l2_to_start * rate >= 1 and rate > 0:
        problems.append(
            f"--l2_to_start {args.l2_to_start:g} times --learning_rate {rate:g} must be below 1, or every update would "
            f"overshoot the start; give less than {1 / rate:g}"
        )
    if not args.out_weights.endswith(".weights"):
        problems.append(f"--out_weights {args.out_weights} must end in .weights")
    return problems
