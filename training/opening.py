"""What a run is made from: Accelerate as the flags want it, a policy that fits the data; and how that reads."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, set_seed

from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training.feature_cache import FeatureCache, why_not
from training.memory_count import memory_note
from training.policy import build_policy, compiles, trained_parameters
from training.resuming import flag_spans
from training.run_data import RunData, check_same_mineclip

if TYPE_CHECKING:
    from training.run import Run


def make_accelerator(args: argparse.Namespace) -> Accelerator:
    """Accelerate for a run; raises UserError for fp16 without a GPU, and for what needs whole weights under FSDP."""
    plugin = GradientAccumulationPlugin(
        num_steps=args.gradient_accumulation_steps, sync_with_dataloader=False
    )
    # Gradients live in the buckets that are reduced: no second copy of them, and none is copied there.
    buckets = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    accelerator = Accelerator(gradient_accumulation_plugin=plugin, kwargs_handlers=[buckets])
    torch.backends.cudnn.benchmark = True  # shapes never change, so its search for quick convolutions pays
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION")  # Accelerate drops fp16 on a CPU without a word
    if asked == "fp16" and accelerator.device.type == "cpu":
        raise UserError("fp16 is asked for and there is no GPU; launch with --mixed_precision no (or bf16)")
    if args.ema and _sharded(accelerator):
        raise UserError(
            f"--ema {args.ema:g} can't average what FSDP keeps in parts; leave one of the two out"
        )
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
    for flag, weight in (("kl_to_start", args.kl_to_start), ("l2_to_start", args.l2_to_start)):
        if weight and anew:
            raise UserError(
                f"--{flag} {weight:g}: {', '.join(anew)} are not in {args.in_weights}, so the start knows nothing of "
                "these goals and there is nothing to stay near; leave it out"
            )
    if args.in_weights and not anew and not args.allow_mixed_mineclip:
        check_same_mineclip(data.provenance, args.in_weights)
    return policy, trained_parameters(policy)


def _sharded(accelerator: Accelerator) -> bool:
    return accelerator.distributed_type == DistributedType.FSDP


def feature_cache(
    args: argparse.Namespace, accelerator: Accelerator, policy: MinecraftAgentPolicy
) -> tuple[FeatureCache | None, str]:
    """Where a run's picture features are kept, if they are, and a sentence where they could be and are not."""
    reason = why_not(policy, args.augment, _sharded(accelerator)) if args.cache_features else ""
    if reason is None:
        precision = str(accelerator.mixed_precision)
        return FeatureCache(policy, precision, Path(args.checkpoint_dir) / "features"), ""
    return None, reason and f"Picture features are not kept, but computed in every step: {reason}"


def fill_features(run: Run, cache: FeatureCache) -> None:
    """Compute the features that are missing, shared out to the processes, and serve them."""
    accelerator, say = run.accelerator, run.reporter.say
    missing = cache.missing(run.data.datasets)
    needed = cache.check_room(missing)
    accelerator.wait_for_everyone()  # all have looked before any writes
    if missing:
        say(f"Computing the picture features of {len(missing)} episode(s), {needed / 1e6:.0f} MB")
    with accelerator.autocast():
        for dataset, episode_dir in missing[accelerator.process_index :: accelerator.num_processes]:
            cache.compute(dataset, episode_dir)
        accelerator.wait_for_everyone()
        for dataset, episode_dir in cache.missing(run.data.datasets):  # a machine without the others' disk
            cache.compute(dataset, episode_dir)
    cache.serve(run.data.datasets)
    say(f"Training from picture features that are kept in {cache.folder}")


def description(run: Run) -> Iterator[str]:
    """What is trained on what, in lines for the log."""
    args, data, accelerator = run.args, run.data, run.accelerator
    yield (
        f"Training on {len(data.items)} items of {args.T} frames from {data.items.frames:_} frames, "
        f"{run.total_steps:_} steps of {run.frames_per_step:_} frames on {accelerator.num_processes} "
        f"process(es), {accelerator.device.type}, precision {accelerator.mixed_precision}"
        + (", compiled" if compiles(args) else "")
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
    if run.features_note:
        yield run.features_note
    if accelerator.device.type == "cuda":
        card = torch.cuda.get_device_properties(accelerator.device).total_memory
        bf16 = accelerator.mixed_precision != "no"
        with torch.random.fork_rng():
            yield memory_note(args, run.policy_kwargs, run.pi_head_kwargs, bf16, card)
    if not args.in_weights:
        yield "No --in_weights: the policy starts from random weights"


def metadata(run: Run) -> dict[str, Any]:
    """What stands in the JSON beside weights; its ``model`` part serves as an architecture file."""
    progress, data = run.progress, run.data
    return {
        "model": {"args": {"net": {"args": run.policy_kwargs}, "pi_head_opts": run.pi_head_kwargs}},
        "flags": vars(run.args),
        "flag_spans": flag_spans(progress),
        "data": data.provenance,
        "step": progress.step,
        "processed_frames": run.frames,
        "best_val_loss": progress.best_val_loss,
        "best_step": progress.best_step,
        "best_ema_loss": progress.best_ema_loss,
        "best_ema_step": progress.best_ema_step,
        "val_items": len(data.val_items) if data.validation is not None else 0,
    }
