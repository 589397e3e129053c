"""Validation: the mean loss a frame over the whole validation set, with goals that never change.

Three losses show whether the policy listens: with the right goals, without a goal, and with the goals of
another item. A policy that follows its goals does best with the right ones and worst with another's.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from data.minecraft_dataset import MinecraftDataset

GOALS = ("right", "none", "shuffled")
TAGS = {"right": "loss/val", "none": "loss/val_uncond", "shuffled": "loss/val_shuffled"}


class ValidationItems(torch.utils.data.Dataset):
    """Every nth item of a dataset, with the goals of another item beside its own.

    Items: ``(img [T, H, W, 3], embeds {"right", "shuffled": [T, E]}, actions, firsts)``. The other item is the one
    half the list away, so it is fixed, and in most cases of another episode.
    """

    def __init__(self, dataset: MinecraftDataset, every_nth: int = 1):
        self.dataset = dataset
        self.items = range(0, len(dataset), every_nth)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        obs, actions, firsts = self.dataset[self.items[index]]
        other = self.items[(index + len(self.items) // 2) % len(self.items)]
        embeds = {"right": obs["mineclip_embed"], "shuffled": self.dataset.goal_embeds(other)}
        return obs["img"], embeds, actions, firsts


@torch.no_grad()
def validate(
    accelerator: Accelerator, policy: nn.Module, loader: Iterable[tuple], trunc_t: int
) -> dict[str, float]:
    """Mean negative log-probability of the actions, nats a frame, by TensorBoard tag.

    ``loader`` yields this process's share of :class:`ValidationItems`; the means are over all processes. The
    policy is left in training mode. With a single item there is no other's goal, and no shuffled loss.
    """
    policy.eval()
    plain = accelerator.unwrap_model(policy)
    # Per kind of goal the sum of losses; last the number of frames. float64, so the order of sums is harmless.
    sums = torch.zeros(len(GOALS) + 1, dtype=torch.float64, device=accelerator.device)
    for img, embeds, actions, firsts in loader:
        batch, length = firsts.shape
        states = {goal: plain.initial_state(batch) for goal in GOALS}
        for begin in range(0, length, trunc_t):
            piece = slice(begin, begin + trunc_t)
            frames = img[:, piece].to(accelerator.device)
            first = firsts[:, piece].to(accelerator.device)
            taken = {name: value[:, piece].to(accelerator.device) for name, value in actions.items()}
            for i, goal in enumerate(GOALS):
                source = embeds["right" if goal == "none" else goal][:, piece].to(accelerator.device)
                obs = {
                    "img": frames,
                    "mineclip_embed": torch.zeros_like(source) if goal == "none" else source,
                }
                (log_probs, _), states[goal] = policy(obs, first, states[goal])
                sums[i] -= plain.log_prob(log_probs, taken).double().sum()
            sums[-1] += first.numel()
    sums = accelerator.reduce(sums, reduction="sum")
    policy.train()
    means = (sums[:-1] / sums[-1]).tolist()
    return {TAGS[goal]: mean for goal, mean in zip(GOALS, means, strict=True) if np.isfinite(mean)}
