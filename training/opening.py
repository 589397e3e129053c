"""What a run is made from: Accelerate as the flags want it, a policy that fits the data; and how that reads."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, set_seed

from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training.policy import build_policy, trained_parameters
from training.run_data import RunData, check_same_mineclip

if TYPE_CHECKING:
    from training.run import Run


def make_accelerator(args: argparse.Namespace) -> Accelerator:
    """Accelerate for a run; raises UserError for fp16 without a GPU."""
    plugin = GradientAccumulationPlugin(
        num_steps=args.gradient_accumulation_steps, sync_with_dataloader=False
    )
    accelerator = Accelerator(gradient_accumulation_plugin=plugin)
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION")  # Accelerate drops fp16 on a CPU without a word
    if asked == "fp16" and accelerator.device.type == "cpu":
        raise UserError("fp16 is asked for and there is no GPU; launch with --mixed_precision no (or bf16)")
    return accelerator


def load_policy(
    args: argparse.Namespace, policy_kwargs: dict, pi_head_kwargs: dict, data: RunData
) -> tuple[MinecraftAgentPolicy, str]:
    """The policy to train, and a table of what of it is trained.

    Raises:
        UserError: for weights that do not fit, or goals of another width or MineCLIP than the policy takes.
    """
    set_seed(args.seed)
    policy, anew = build_policy(args, policy_kwargs, pi_head_kwargs)
    width, ours = data.items.embed_dim, policy.net.mineclip_embed_dim
    if width != ours:
        raise UserError(
            f"the episodes' embeddings are {width} wide, the policy takes {ours} (mineclip_embed_dim of "
            f"{args.in_model}); give --mineclip_embed_dim {width} to train a goal layer for them, or train with "
            "the embeddings that belong to the model"
        )
    if args.in_weights and not anew and not args.allow_mixed_mineclip:
        check_same_mineclip(data.provenance, args.in_weights)
    return policy, trained_parameters(policy)


def description(run: Run) -> Iterator[str]:
    """What is trained on what, in lines for the log."""
    args, data, accelerator = run.args, run.data, run.accelerator
    yield (
        f"Training on {len(data.items)} items of {args.T} frames from {data.items.frames:_} frames, "
        f"{run.total_steps:_} steps of {run.frames_per_step:_} frames on {accelerator.num_processes} "
        f"process(es), {accelerator.device.type}, precision {accelerator.mixed_precision}"
    )
    if data.mixture is not None and data.groups is not None:
        drawn = [
            (name, w) for name, w in zip(data.mixture.names, data.mixture.weights or (), strict=True) if w
        ]
        yield "Drawn: " + ", ".join(
            f"{weight:.1%} of the items from {name} ({len(items)} items)"
            for (name, weight), (items, _) in zip(drawn, data.groups, strict=True)
        )
    if data.left_out:
        yield (
            f"{len(data.left_out)} episode(s) shorter than T + 15 = {args.T + 15} frames are left out: "
            + ", ".join(Path(path).name for path in data.left_out)
        )
    if data.validation is not None and len(data.val_items) < len(data.validation):
        yield (
            f"Every validation looks at the same {len(data.val_items)} of {len(data.validation)} items, chosen by "
            f"--seed, so as to take {args.val_share:.0%} of the time at most; --val_share 0 takes all"
        )
    note = data.shared_memory_note()
    if note is not None:
        yield note
    yield run.trained
    if not args.in_weights:
        yield "No --in_weights: the policy starts from random weights"
