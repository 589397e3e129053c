"""The data of a training run: its lists of episodes, their items, and the loaders that serve them."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from typing import Any

from torch.utils.data import DataLoader, Subset

from data.minecraft_dataset import ItemSampler, MinecraftDataset, batches, load_sampling
from steve1.cli import UserError
from training.provenance import dataset_provenance
from training.stopping import end_workers_at_exit, ignore_stop_signals
from training.validation import ValidationItems


class RunData:
    """What the flags of ``training/train.py`` say about data, loaded; ``validation`` is None where it is off.

    Args:
        img_size: (height, width) that the policy sees.
        process, processes: which of the processes this is; each gets its own slice of every batch.

    Raises :class:`~steve1.cli.UserError` for lists, episodes or embeddings that cannot be trained on together.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        img_size: tuple[int, int],
        process: int,
        processes: int,
        pin_memory: bool,
    ):
        self._args, self._process, self._processes, self._pin = args, process, processes, pin_memory
        train_dirs, val_dirs = load_sampling(args.sampling_dir, args.sampling)
        if args.data_limit:
            train_dirs = train_dirs[: args.data_limit]
        goals = {"min_btwn_goals": args.min_btwn_goals, "max_btwn_goals": args.max_btwn_goals}
        common = {"T": args.T, **goals, "seed": args.seed, "img_size": img_size}
        self.items = MinecraftDataset(train_dirs, p_uncond=args.p_uncond, **common)
        self.provenance = dataset_provenance(train_dirs + val_dirs, args.allow_mixed_mineclip)
        validating = args.val_freq or args.val_freq_begin
        if validating and not val_dirs:
            raise UserError(
                f"the sampling {args.sampling!r} has no validation episodes; create it with more --val_frames, "
                "or turn validation off with --val_freq 0 --val_freq_begin 0"
            )
        self.validation = MinecraftDataset(val_dirs, p_uncond=0.0, **common) if validating else None
        self.left_out = self.items.left_out + (self.validation.left_out if self.validation else [])

    def train_batches(self, start_item: int) -> Generator[Any, None, None]:
        """This process's batches of the run's stream of items, from place ``start_item`` on, without end."""
        sampler = ItemSampler(
            len(self.items),
            self._args.batch_size,
            rank=self._process,
            world_size=self._processes,
            seed=self._args.seed,
            start_item=start_item,
        )
        return self._batches(self.items, batch_sampler=sampler)

    def val_batches(self) -> Generator[Any, None, None]:
        """This process's share of the validation items."""
        assert self.validation is not None
        items = ValidationItems(self.validation, self._args.val_every_nth)
        mine = range(self._process, len(items), self._processes)
        return self._batches(Subset(items, mine), batch_size=self._args.batch_size)

    def _batches(self, dataset: Any, **how: Any) -> Generator[Any, None, None]:
        end_workers_at_exit()
        loader = DataLoader(
            dataset,
            num_workers=self._args.num_workers,
            worker_init_fn=ignore_stop_signals,
            pin_memory=self._pin,
            **how,
        )
        return batches(loader)
