"""What a run began with, to stay near it: the policy (``--kl_to_start``), its weights (``--l2_to_start``)."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from steve1.embed_conditioned_policy import MinecraftAgentPolicy, Obs
from steve1.vpt.recurrence import State
from training.policy import l2_norm


class StartPolicy(nn.Module):
    """A frozen copy of a policy, with a memory of its own that runs beside the trained one's.

    ``memory``: of the items at hand; None between batches. In every checkpoint.
    """

    memory: State | None = None

    def __init__(self, policy: MinecraftAgentPolicy):
        super().__init__()
        self.policy = copy.deepcopy(policy).requires_grad_(False).eval()

    @torch.no_grad()
    def log_probs(self, obs: Obs, first: torch.Tensor) -> dict[str, torch.Tensor]:
        """Its log-probs ``{"buttons": [B, t, 8641], "camera": [B, t, 121]}`` of a piece of items; it remembers them."""
        if self.memory is None:
            self.memory = self.policy.initial_state(first.shape[0])
        (log_probs, _), self.memory = self.policy(obs, first, self.memory)
        return log_probs


def kl_divergence(start: dict[str, torch.Tensor], now: dict[str, torch.Tensor]) -> torch.Tensor:
    """KL(start || now) of the joint actions, nats a frame: the sum of both heads, a mean over frames; a scalar.

    In this direction what the start would do may not become unlikely, as in VPT's fine-tuning by reinforcement
    learning (Baker et al. 2022, arXiv 2206.11795).
    """
    each = (
        F.kl_div(now[name], start[name], reduction="none", log_target=True).sum(-1)
        for name in ("buttons", "camera")
    )
    return sum(kl.mean() for kl in each)  # type: ignore[return-value]


class StartWeights:
    """The trained weights as they were when the run began, and a pull of every update towards them.

    An L2 penalty of ``strength / 2 * |weights - start|^2`` (L2-SP, Li et al. 2018, arXiv 1802.01483), kept apart from
    Adam's step as AdamW keeps weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101): no gradient of it enters
    Adam's moments, which would make the pull of all weights alike, and it costs one pass over the weights an update.

    Args:
        module: as Accelerate prepared it, before a checkpoint is loaded; of sharded parameters each process keeps
            its part. Frozen parameters stay where they are by themselves.
        strength: of the pull; times a learning rate it must be below 1.
    """

    def __init__(self, module: nn.Module, strength: float):
        self.strength = strength
        self._starts = {p: p.detach().clone() for p in module.parameters() if p.requires_grad}

    @torch.no_grad()
    def pull(self, optimizer: torch.optim.Optimizer) -> None:
        """After an update, with the rates that it was made with: ``w <- w + rate * strength * (start - w)``."""
        for group in optimizer.param_groups:
            starts = [self._starts[p] for p in group["params"]]
            torch._foreach_lerp_(group["params"], starts, group["lr"] * self.strength)

    @torch.no_grad()
    def distance(self) -> float:
        """The L2 distance of all trained weights together from the start's."""
        return l2_norm(now - start for now, start in self._starts.items())
