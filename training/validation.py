"""Validation: the mean loss a frame over the validation items, with goals that never change.

Three losses show whether the policy listens: with the right goals, without a goal, and with the goals of
another item. A policy that follows its goals does best with the right ones and worst with another's. The pictures
are encoded once for all three.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils._pytree import tree_map

from data.minecraft_dataset import MinecraftDataset
from steve1.streams import numpy_stream
from training.staging import on_device

GOALS = ("right", "none", "shuffled")
TAGS = {"right": "loss/val", "none": "loss/val_uncond", "shuffled": "loss/val_shuffled"}


def ema_tag(tag: str) -> str:
    """The tag of a loss for the moving average of the weights: ``loss/val/NAME`` -> ``loss/val_ema/NAME``."""
    return tag.replace("loss/val", "loss/val_ema", 1)


class ValidationItems(torch.utils.data.Dataset):
    """Every nth item of a dataset, with the goals of another item beside its own.

    Items: ``(seen {"img": [T, H, W, 3]}, embeds {"right", "shuffled": [T, E]}, actions, firsts)``. The other item is
    the one half the list away, so it is fixed, and in most cases of another episode.
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
        seen = {name: value for name, value in obs.items() if name != "mineclip_embed"}
        return seen, embeds, actions, firsts


def choose_items(owners: Sequence[int], wanted: int, seed: int) -> list[int]:
    """``wanted`` of the validation items, by the seed alone, ascending; all where it wants more.

    ``owners`` says of each item which dataset it is of; each dataset gets as many, or all that it has.
    """
    if wanted >= len(owners):
        return list(range(len(owners)))
    groups = [np.flatnonzero(np.array(owners) == owner) for owner in sorted(set(owners))]
    chosen: list[int] = []
    for left, items in zip(range(len(groups), 0, -1), sorted(groups, key=len), strict=True):
        order = numpy_stream("validation items", seed, owners[items[0]]).permutation(len(items))
        chosen += items[order[: max((wanted - len(chosen)) // left, 1)]].tolist()
    return sorted(chosen)


def share_out(
    items: Sequence[int], process: int, processes: int, multiple: int = 1
) -> tuple[list[int], list[bool]]:
    """A process's share of the items, and which of them count.

    All shares have one length, so that all processes call the policy equally often (FSDP waits for each other's
    calls), and that a multiple of ``multiple`` (of the batch size: a compiled policy knows one shape). What is missing
    is filled up with items that do not count.
    """
    mine = list(items[process::processes])
    length = -(-len(items) // (processes * multiple)) * multiple
    missing = length - len(mine)
    return mine + [items[0]] * missing, [True] * len(mine) + [False] * missing


@dataclass(frozen=True)
class ValidationPart:
    """What a process validates on.

    Attributes:
        batches: of :class:`ValidationItems`, pieces first (staging.py).
        owners: of each item that they yield, in their order: its dataset, or None where the item does not count.
        datasets: names of those that get a loss of their own, ``loss/val/NAME``.
        weights: of the datasets' means in the three losses; None: their mean over frames.
        others: whether there is another item to take shuffled goals from; without one there is no such loss.
    """

    batches: Iterable[tuple]
    owners: Sequence[int | None]
    datasets: Sequence[str] = ()
    weights: Sequence[float] | None = None
    others: bool = True


@torch.no_grad()
def validate(accelerator: Accelerator, policy: nn.Module, part: ValidationPart) -> dict[str, float]:
    """Mean negative log-probability of the actions, nats a frame, by TensorBoard tag, over all processes.

    The policy is left in training mode.
    """
    policy.eval()
    plain, device = accelerator.unwrap_model(policy), accelerator.device
    # Per dataset and kind of goal the sum of losses; last the frames. float64, so the order of sums is harmless.
    shape = max(len(part.datasets), 1), len(GOALS) + 1
    sums = torch.zeros(shape, dtype=torch.float64, device=device)
    served = 0
    for pieces in part.batches:
        n_pieces, batch = pieces[-1].shape[:2]
        owners = part.owners[served : served + batch]
        of = [torch.tensor([owner == row for owner in owners], device=device) for row in range(shape[0])]
        served += batch
        states = [plain.initial_state(batch) for _ in GOALS]
        cut = (tree_map(operator.itemgetter(piece), pieces) for piece in range(n_pieces))
        for seen, embeds, taken, first in on_device(cut, device):
            goals = [embeds["right"], torch.zeros_like(embeds["right"]), embeds["shuffled"]]
            outputs, states = policy(seen, first, states, goals)
            for i, (log_probs, _) in enumerate(outputs):
                losses = -plain.log_prob(log_probs, taken)  # [B, t]
                for row, counts in enumerate(of):
                    sums[row, i] += (losses * counts[:, None]).double().sum()
            for row, counts in enumerate(of):
                sums[row, -1] += counts.sum() * first.shape[1]
    sums = accelerator.reduce(sums, reduction="sum").cpu()
    policy.train()
    return _by_tag(sums, part)


def _by_tag(sums: torch.Tensor, part: ValidationPart) -> dict[str, float]:
    """The means of :func:`validate` from its sums, float64 [datasets, goals + 1]."""
    each = (sums[:, :-1] / sums[:, -1:]).numpy()  # NaN for a dataset without validation items
    if part.weights is None:
        whole = sums.sum(dim=0)
        means = (whole[:-1] / whole[-1]).numpy()
    else:
        there = (sums[:, -1] > 0).numpy()
        means = np.average(each[there], axis=0, weights=np.array(part.weights)[there])
    kinds = GOALS if part.others else GOALS[:-1]
    found = {TAGS[goal]: float(mean) for goal, mean in zip(kinds, means, strict=False)}
    own = {
        f"{TAGS['right']}/{name}": float(loss) for name, loss in zip(part.datasets, each[:, 0], strict=False)
    }
    return {**found, **{tag: loss for tag, loss in own.items() if np.isfinite(loss)}}
