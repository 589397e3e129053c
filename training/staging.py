"""Batches on their way to the device: cut into pieces that are contiguous in memory, and copied one piece ahead.

A piece is what one step sees: ``trunc_t`` frames of every item of a batch. A slice of a batch [B, T, ...] is not
contiguous, so that a copy of it to a GPU is gathered by the CPU first and held up by it; a piece of [pieces, B, t, ...]
is, and from pinned memory the GPU fetches it by itself, while it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import default_collate

from steve1.cli import UserError

Item = TypeVar("Item")
Begun = TypeVar("Begun")


@dataclass(frozen=True)
class PiecesFirst:
    """A DataLoader's ``collate_fn``: items with arrays [T, ...] -> the same structure, tensors [pieces, B, t, ...].

    The last part of an item is its ``first``, bool [T].

    Args:
        trunc_t: frames of a piece; T is a multiple of it.
        first_within: whether the policy takes ``first`` at any frame of a piece (docs/formats.md: an LSTM that is
            masked does), not at the piece's first one only.

    Raises :class:`~steve1.cli.UserError` where an item has ``first`` where the policy would not take it.
    """

    trunc_t: int
    first_within: bool = False

    def __call__(self, items: Sequence[tuple]) -> Any:
        length = len(items[0][-1])
        assert length % self.trunc_t == 0
        n_pieces = length // self.trunc_t

        def part(item: tuple, piece: int) -> Any:
            return tree_map(lambda array: array[piece * self.trunc_t :][: self.trunc_t], item)

        # Stacked all at once, in a worker in shared memory: the one copy that there is.
        stacked = default_collate([part(item, piece) for piece in range(n_pieces) for item in items])
        batch = tree_map(lambda tensor: tensor.unflatten(0, (n_pieces, len(items))), stacked)
        if not self.first_within and batch[-1][:, :, 1:].any():
            raise UserError(
                f"an item's `first` is true within a piece of --trunc_t {self.trunc_t} frames, and the policy's memory "
                "is wiped at a piece's first frame only; this is a fault of the dataset's code"
            )
        return batch


def ahead(
    source: Iterable[Item], begin: Callable[[Item], Begun], ready: Callable[[Begun], Item]
) -> Iterator[Item]:
    """What ``source`` yields, each one begun before the one before it is given out, and made ready when it is."""
    begun: list[Begun] = []
    for item in source:
        following = begin(item)
        if begun:
            yield ready(begun.pop())
        begun.append(following)
    if begun:
        yield ready(begun.pop())


def on_device(source: Iterable[Item], device: torch.device) -> Iterator[Item]:
    """The same with their tensors on ``device``; on a GPU by a copy stream that is one ahead of the steps."""

    def copied(item: Item) -> Any:
        return tree_map(
            lambda leaf: leaf.to(device, non_blocking=True) if isinstance(leaf, torch.Tensor) else leaf, item
        )

    if device.type != "cuda":
        yield from map(copied, source)
        return
    copying = torch.cuda.Stream(device)

    def begin(item: Item) -> tuple[Item, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            return copied(item), copying.record_event()

    def ready(begun: tuple[Item, torch.cuda.Event]) -> Item:
        item, there = begun
        steps = torch.cuda.current_stream(device)
        steps.wait_event(there)
        for leaf in tree_leaves(item):
            if isinstance(leaf, torch.Tensor):
                leaf.record_stream(
                    steps
                )  # its memory is not the copy stream's to use again before the step is over
        return item

    yield from ahead(source, begin, ready)
