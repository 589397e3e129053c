"""What a run is made from: Accelerate as the flags want it, and a policy that fits the data."""

from __future__ import annotations

import argparse
import os

from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, set_seed

from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training.policy import build_policy, trained_parameters
from training.run_data import RunData, check_same_mineclip


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
