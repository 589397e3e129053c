"""The policy that a run trains: built, filled with weights, partly frozen; and its optimizer.

AdamW, with weight decay on the matrices of linear and convolutional layers alone. Knows nothing of data and steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from steve1.checkpoints import load_weights
from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training.schedule import short_count
from training.train_flags import PARTS, part_scales, plain_part

_DECAYED = (nn.Linear, nn.Conv2d, nn.Conv3d)


def build_policy(
    args: argparse.Namespace, policy_kwargs: dict, pi_head_kwargs: dict
) -> tuple[MinecraftAgentPolicy, list[str]]:
    """The policy of a run's flags, ready to be prepared by Accelerate, and which of its tensors start anew.

    Raises:
        UserError: for weights that do not fit, or a ``--freeze`` name that the policy does not have.
    """
    policy = MinecraftAgentPolicy(policy_kwargs, pi_head_kwargs)
    anew: list[str] = []
    if args.in_weights:
        anew = load_weights(policy, args.in_weights, new_embedding=args.mineclip_embed_dim is not None)
    # No loss reaches the value head; left trainable, it would stall processes that wait for its gradient.
    policy.value_head.requires_grad_(False)
    for name in args.freeze:
        _part(policy, name).requires_grad_(False)
    if not any(p.requires_grad for p in policy.parameters()):
        raise UserError("--freeze freezes every part of the policy; leave at least one to be trained")
    policy.net.gradient_checkpointing = args.gradient_checkpointing
    if compiles(args):
        # Shapes never change, validation's neither: a graph for any shape would be slower, and is made at once
        # where one differs, such as a short last batch.
        policy.compile(dynamic=False)
    return policy, anew


def compiles(args: argparse.Namespace) -> bool:
    """Whether the policy is compiled: as ``--compile`` says, and where it says nothing, on a GPU that can.

    Without being asked not under FSDP, nor with --gradient_checkpointing, whose parts of a batch would each be
    compiled for minutes.
    """
    if args.compile is not None:
        return args.compile
    able = torch.cuda.is_available() and importlib.util.find_spec("triton") and shutil.which("cc")
    fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"
    return bool(able) and not fsdp and not args.gradient_checkpointing


def _part(policy: MinecraftAgentPolicy, name: str, flag: str = "--freeze") -> nn.Module:
    """The module called ``name``, of the network or of the policy; ``flag`` asked for it."""
    plain = plain_part(name)
    module: nn.Module = policy if plain.startswith(("pi_head", "value_head")) else policy.net
    known = ""
    for step in plain.split("."):
        children = dict(module.named_children())
        if step not in children:
            here = f"{known} has {', '.join(children)}" if children else f"{known} has no parts of its own"
            if not known:
                here = f"this policy has {', '.join(p for p in PARTS if p in (*children, 'pi_head'))}"
            raise UserError(f"{flag} {name}: there is no such part; {here}")
        module, known = children[step], f"{known}.{step}".lstrip(".")
    return module


def trained_parameters(policy: MinecraftAgentPolicy) -> str:
    """A table of the policy's parts: how many of their parameters are trained."""
    lines, total = [], 0
    for name, part in [*policy.net.named_children(), ("pi_head", policy.pi_head)]:
        count = sum(p.numel() for p in part.parameters())
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        total += trained
        what = "frozen" if not trained else "trained" if trained == count else f"{trained:_} trained"
        lines.append(f"    {name:<22} {count:>13_}  {what}")
    return "\n".join([f"Trainable parameters: {total:_} ({short_count(round(total, -3))})", *lines])


def scales_of(policy: MinecraftAgentPolicy, lr_scale: Sequence[str]) -> dict[nn.Parameter, float]:
    """The scale of ``--lr_scale`` of each parameter that has one; of a part within a part, its own.

    Raises:
        UserError: for a part that the policy does not have, or that is frozen, where a rate would do nothing.
    """
    scales: dict[nn.Parameter, float] = {}
    for name, scale in sorted(part_scales(lr_scale).items(), key=lambda item: item[0].count(".")):
        part = _part(policy, name, "--lr_scale")
        trained = [p for p in part.parameters() if p.requires_grad]
        if not trained:
            raise UserError(
                f"--lr_scale {name}: this part is not trained, so a rate does nothing; leave it out"
            )
        scales.update(dict.fromkeys(trained, scale))
    return scales


def parameter_groups(
    module: nn.Module, weight_decay: float, scales: Mapping[nn.Parameter, float] | None = None
) -> list[dict]:
    """The groups of an optimizer, two for each learning rate: decayed (weights of linear and conv layers) and the rest.

    Biases, norms, the relative-position basis and recurrent weights are not decayed; parameters that do not
    require a gradient are in no group. ``lr_scale`` of a group is what the run's learning rate is multiplied by.
    """
    scales = scales or {}
    decayed = {id(m.weight) for m in module.modules() if isinstance(m, _DECAYED)}
    groups = []
    for scale in sorted({1.0, *scales.values()}, reverse=True):
        trained = [p for p in module.parameters() if p.requires_grad and scales.get(p, 1.0) == scale]
        for decays in (True, False):
            params = [p for p in trained if (id(p) in decayed) == decays]
            decay = weight_decay if decays else 0.0
            groups.append({"params": params, "weight_decay": decay, "decays": decays, "lr_scale": scale})
    return [group for group in groups if group["params"]]


def make_optimizer(
    module: nn.Module, weight_decay: float, scales: Mapping[nn.Parameter, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over the trained parameters; the learning rate is set before every update.

    The fused kernel does the same arithmetic in one pass over memory.
    """
    return torch.optim.AdamW(parameter_groups(module, weight_decay, scales), lr=0.0, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the update that follows, for each group by its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)  # groups of earlier versions have no scale


def set_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Another weight decay for the parameters that are decayed, after a checkpoint has brought its own."""
    # Checkpoints of earlier versions have no "decays"; there the decayed group, if there is one, comes first.
    for i, group in enumerate(optimizer.param_groups):
        group.setdefault("decays", i == 0 and (len(optimizer.param_groups) == 2 or group["weight_decay"] > 0))
        group["weight_decay"] = weight_decay if group["decays"] else 0.0


@torch.no_grad()
def l2_norm(tensors: Iterable[torch.Tensor]) -> float:
    """The L2 norm of all tensors together."""
    norms = [tensor.detach().float().norm() for tensor in tensors]
    return torch.stack(norms).norm().item()
