"""The policy that a run began with, kept to hold the trained one near it (``--kl_to_start``)."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from steve1.embed_conditioned_policy import MinecraftAgentPolicy, Obs
from steve1.vpt.recurrence import State


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
