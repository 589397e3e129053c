"""Validation: the mean loss a frame over the validation items, with goals that never change.

Three losses show whether the policy listens: with the right goals, without a goal, and with the goals of
another item. A policy that follows its goals does best with the right ones and worst with another's. The pictures
are encoded once for all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from data.minecraft_dataset import MinecraftDataset
from steve1.streams import numpy_stream

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


def choose_items(n_items: int, wanted: int, seed: int) -> list[int]:
    """``wanted`` of the validation items 0 .. ``n_items`` - 1, by the seed alone, ascending; all where it wants more.

    The choice of fewer items is a part of the choice of more.
    """
    if wanted >= n_items:
        return list(range(n_items))
    return sorted(numpy_stream("validation items", seed).permutation(n_items)[:wanted].tolist())


def share_out(items: Sequence[int], process: int, processes: int) -> tuple[list[int], list[bool]]:
    """A process's share of the items, and which of them count.

    All shares have one length, so that all processes call the policy equally often (FSDP waits for each other's
    calls); what is missing is filled up with items that do not count.
    """
    mine = list(items[process::processes])
    missing = -(-len(items) // processes) - len(mine)
    return mine + [items[0]] * missing, [True] * len(mine) + [False] * missing


@torch.no_grad()
def validate(
    accelerator: Accelerator,
    policy: nn.Module,
    loader: Iterable[tuple],
    trunc_t: int,
    counting: Sequence[bool] | None = None,
) -> dict[str, float]:
    """Mean negative log-probability of the actions, nats a frame, by TensorBoard tag.

    ``loader`` yields this process's share of :class:`ValidationItems`, of which those count that ``counting`` says
    (None: all); the means are over all processes. The policy is left in training mode. With a single item there is
    no other's goal, and no shuffled loss.
    """
    policy.eval()
    plain, device = accelerator.unwrap_model(policy), accelerator.device
    # Per kind of goal the sum of losses; last the number of frames. float64, so the order of sums is harmless.
    sums = torch.zeros(len(GOALS) + 1, dtype=torch.float64, device=device)
    served = 0
    for img, embeds, actions, firsts in loader:
        batch, length = firsts.shape
        counts = torch.tensor(
            counting[served : served + batch] if counting else [True] * batch, device=device
        )
        served += batch
        states = [plain.initial_state(batch) for _ in GOALS]
        for begin in range(0, length, trunc_t):
            piece = slice(begin, begin + trunc_t)
            right, shuffled = (embeds[name][:, piece].to(device) for name in ("right", "shuffled"))
            goals = [right, torch.zeros_like(right), shuffled]
            taken = {name: value[:, piece].to(device) for name, value in actions.items()}
            seen, first = {"img": img[:, piece].to(device)}, firsts[:, piece].to(device)
            outputs, states = policy(seen, first, states, goals)
            for i, (log_probs, _) in enumerate(outputs):
                sums[i] -= (plain.log_prob(log_probs, taken) * counts[:, None]).double().sum()
            sums[-1] += counts.sum() * first.shape[1]
    sums = accelerator.reduce(sums, reduction="sum")
    policy.train()
    means = (sums[:-1] / sums[-1]).tolist()
    return {TAGS[goal]: mean for goal, mean in zip(GOALS, means, strict=True) if np.isfinite(mean)}
