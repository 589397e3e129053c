"""Going on with a run: which flags must stay, which may change and from when on, and the learning rate's schedule.

The state that makes going on exact is ``training.checkpointing``'s.

Every flag is one of three kinds. Those of FIXED decide what a step or a comparison of validations is; another value is
refused. Those of CHANGEABLE take effect from the next step on, and a run notes which of them held over which steps
(its *spans*). The rest is about places, looks and speed, and changes no weight.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from steve1 import hub
from steve1.cli import UserError
from training.checkpointing import Progress
from training.schedule import Schedule
from training.train_flags import part_scales

FIXED = (
    *("in_model", "in_weights", "out_weights", "mineclip_embed_dim", "freeze"),
    *("lr_scale", "kl_to_start", "l2_to_start", "ema"),
    *("sampling", "data_limit", "T", "trunc_t", "p_uncond", "min_btwn_goals", "max_btwn_goals"),
    *("goal_sampling", "augment"),
    *("batch_size", "gradient_accumulation_steps", "seed", "val_every_nth", "val_share", "best_by"),
)
CHANGEABLE = (
    *(
        "learning_rate",
        "schedule",
        "warmup_frames",
        "decay_frames",
        "n_frames",
        "weight_decay",
        "max_grad_norm",
    ),
    *("gradient_checkpointing", "compile", "cache_features"),
    *("val_freq", "val_freq_begin", "val_freq_switch_steps", "early_stopping_patience"),
)
# What earlier versions did not know, and so did not do.
OFF: dict[str, Any] = {
    "lr_scale": {},
    "kl_to_start": 0.0,
    "l2_to_start": 0.0,
    "ema": 0.0,
    "start": None,
    "goal_sampling": "uniform",
    "marked_by": None,
}
_PATHS = ("in_model", "in_weights", "out_weights")


def fixed_flags(
    args: argparse.Namespace, processes: int, data: dict[str, Any], start: str | None = None
) -> dict[str, Any]:
    """The flags that a checkpoint is bound to, and what else it is.

    ``data`` is RunData's provenance, ``start`` the hash of the weights that the policy is to stay near.
    """
    flags = {name: getattr(args, name) for name in FIXED}
    for name in _PATHS:
        flags[name] = flags[name] and hub.absolute(flags[name])
    return {
        **flags,
        "lr_scale": part_scales(args.lr_scale),
        "start": start,
        "processes": processes,
        "episodes": data["episodes_hash"],
        "datasets": data.get("datasets"),
        "marked_by": data.get("marked_by"),
    }


def changeable_flags(args: argparse.Namespace, precision: str) -> dict[str, Any]:
    """The flags of a span, and the precision that Accelerate was asked for."""
    return {**{name: getattr(args, name) for name in CHANGEABLE}, "precision": precision}


def begin_span(progress: Progress, flags: dict[str, Any]) -> list[str]:
    """Note the flags that hold from the present step on; returns a sentence for each that was another."""
    if progress.step and not progress.spans:  # a checkpoint of an earlier version
        progress.spans.append({"from_step": 0, "flags": {}})
    before = progress.spans[-1]["flags"] if progress.spans else {}
    changed = [name for name, value in flags.items() if name in before and before[name] != value]
    if before != flags:
        if progress.spans and progress.spans[-1]["from_step"] == progress.step:
            progress.spans.pop()
        progress.spans.append({"from_step": progress.step, "flags": flags})
    return [f"--{name} {flags[name]} (was {before[name]})" for name in changed]


def flag_spans(progress: Progress) -> list[dict[str, Any]]:
    """For the JSON beside weights: which flags held over which steps, the last step included.

    Empty flags: not known, an earlier version began the run.
    """
    ends = [span["from_step"] for span in progress.spans[1:]] + [progress.step]
    return [
        {"from_step": span["from_step"], "to_step": end, "flags": span["flags"]}
        for span, end in zip(progress.spans, ends, strict=True)
    ]


def schedule_from_here(args: argparse.Namespace, progress: Progress, frames: int) -> tuple[Schedule, str]:
    """The schedule for the flags of ``args``, ``frames`` frames into the run, and a sentence where it changes the rate.

    A wsd tail that has begun goes on from its present rate to the end of the new ``--n_frames``. To be called before
    :func:`begin_span`.

    Raises:
        UserError: where a tail can't be what the flags say any more.
    """
    schedule = Schedule.of(vars(args))
    before = _schedule_before(progress)
    if before is None:
        return schedule, ""
    if schedule.kind == "wsd" and before.kind == "wsd" and frames > before.tail_from:  # the tail has begun
        old = progress.spans[-1]["flags"]["decay_frames"]
        if args.decay_frames != old:
            raise UserError(
                f"--decay_frames {args.decay_frames:_}: the tail has begun at {before.tail_from:_} frames; give the "
                f"old {old:_}, and a larger --n_frames to lengthen the tail"
            )
        longer = args.n_frames != before.n_frames and args.n_frames > frames
        tail = (frames, before.share(frames)) if longer else (before.tail_from, before.tail_share)
        end = args.n_frames if longer else before.n_frames
        schedule = replace(schedule, n_frames=end, tail_from=tail[0], tail_share=tail[1])
        if longer:
            return schedule, (
                f"The tail that began at {before.tail_from:_} frames goes on to {end:_} frames, from "
                f"{schedule.rate(frames):.3g}, {tail[1]:.1%} of the peak"
            )
    elif schedule.kind == "wsd" and frames > schedule.tail_from:
        raise UserError(_late_tail(args, schedule, frames))
    return schedule, _change(before, schedule, frames)


def _schedule_before(progress: Progress) -> Schedule | None:
    if not progress.spans or not progress.spans[-1]["flags"]:
        return None
    schedule = Schedule.of(progress.spans[-1]["flags"])
    if schedule.kind == "wsd" and progress.tail:
        tail_from, tail_share = progress.tail
        schedule = replace(schedule, tail_from=int(tail_from), tail_share=tail_share)
    return schedule


def _late_tail(args: argparse.Namespace, schedule: Schedule, frames: int) -> str:
    return (
        f"--schedule wsd: its tail would have begun at {schedule.tail_from:_} frames, and the run is at {frames:_}; "
        f"give --n_frames {args.n_frames:_} a --decay_frames of at most {max(args.n_frames - frames, 0):_}, or a "
        "larger --n_frames"
    )


def _change(before: Schedule, now: Schedule, frames: int) -> str:
    old, new = before.rate(frames), now.rate(frames)
    if abs(new - old) <= 1e-6 * max(old, new):
        return ""
    what = "lifts" if new > old else "lowers"
    sentence = (
        f"Going on {what} the learning rate from {old:.3g} ({before.share(frames):.1%} of its peak) to {new:.3g} "
        f"({now.share(frames):.1%} of its peak)"
    )
    if now.kind == "cosine" and before.kind == "cosine" and now.n_frames != before.n_frames:
        sentence += (
            f", for the cosine now ends at --n_frames {now.n_frames:_} (was {before.n_frames:_}); a run of --schedule "
            "constant or wsd can be gone on with at one rate"
        )
    return sentence
