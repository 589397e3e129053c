"""The data of a training run: its lists of episodes, their items, the loaders that serve them, and where it is from."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Subset

from data.EpisodeStorage import EpisodeStorage
from data.loader_errors import machine_processes, shared_memory_note
from data.minecraft_dataset import ItemSampler, MinecraftDataset, batches, load_sampling
from data.mixture import load_mixture
from steve1.checkpoints import read_metadata
from steve1.cli import UserError
from training.policy import compiles
from training.staging import PiecesFirst
from training.stopping import end_workers_at_exit, ignore_stop_signals
from training.validation import ValidationItems, ValidationPart, choose_items, share_out


class RunData:
    """What the flags of ``training/train.py`` say about data, loaded; ``validation`` is None where it is off.

    ``val_items`` are the places of the items that every validation looks at, among those of ``validation``.

    Args:
        img_size: (height, width) that the policy sees.
        first_within: whether the policy takes ``first`` within a piece.
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
        first_within: bool = False,
    ):
        self._args, self._process, self._processes, self._pin = args, process, processes, pin_memory
        self._collate = PiecesFirst(args.trunc_t, first_within)
        train_dirs, val_dirs = load_sampling(args.sampling_dir, args.sampling)
        if args.data_limit:
            train_dirs = train_dirs[: args.data_limit]
        goals = {"min_btwn_goals": args.min_btwn_goals, "max_btwn_goals": args.max_btwn_goals}
        sampled = {"goal_sampling": args.goal_sampling, "seed": args.seed}
        common: dict[str, Any] = {"T": args.T, **goals, **sampled, "img_size": img_size}
        self.items = MinecraftDataset(train_dirs, p_uncond=args.p_uncond, **common)
        self.mixture = load_mixture(args.sampling_dir, args.sampling)
        self.groups = self.mixture.groups(self.items) if self.mixture else None
        datasets = self.mixture and {"names": self.mixture.names, "weights": self.mixture.weights}
        self.provenance = {
            **dataset_provenance(train_dirs + val_dirs, args.allow_mixed_mineclip),
            "datasets": datasets,
            "goal_sampling": args.goal_sampling,
            "marked_by": self.items.marked_by,
        }
        validating = args.val_freq or args.val_freq_begin
        if validating and not val_dirs:
            raise UserError(
                f"the sampling {args.sampling!r} has no validation episodes; create it with more --val_frames, "
                "or turn validation off with --val_freq 0 --val_freq_begin 0"
            )
        self.validation: ValidationItems | None = None
        self.left_out = self.items.left_out
        if validating:
            held_out = MinecraftDataset(val_dirs, p_uncond=0.0, **common)
            if held_out.marked_by != self.items.marked_by:
                raise UserError(
                    f"the boundaries of the episodes to train on ({train_dirs[0]}) and of those to validate on "
                    f"({val_dirs[0]}) were marked by different policies or rules; mark all by one with "
                    "data/generation/mark_boundaries.py --replace True"
                )
            self.validation = ValidationItems(held_out, args.val_every_nth)
            self.left_out = self.left_out + held_out.left_out
            owners = self.mixture.owners(held_out) if self.mixture else [0] * len(held_out)
            self._val_owners = [owners[item] for item in self.validation.items]
            self.choose_validation(len(self.validation))
            if held_out.embed_dim != self.items.embed_dim:
                raise UserError(
                    f"the embeddings of the episodes to train on are {self.items.embed_dim} wide "
                    f"({train_dirs[0]}), and those to validate on {held_out.embed_dim} ({val_dirs[0]}); make a "
                    "sampling of one kind"
                )
        self._check_best_by(args.best_by)

    @property
    def datasets(self) -> list[MinecraftDataset]:
        """That to train on, and that to validate on where there is one."""
        return [self.items, *([self.validation.dataset] if self.validation is not None else [])]

    def shared_memory_note(self) -> str | None:
        """A sentence where this machine's shared memory will not hold what the workers load ahead; else None."""
        return shared_memory_note(
            self.items.item_bytes * self._args.batch_size,
            self._args.num_workers,
            loaders=1 if self.validation is None else 2,
            processes=machine_processes(),
        )

    def choose_validation(self, wanted: int) -> None:
        """Validate on so many of the validation items, chosen by the seed."""
        assert self.validation is not None
        self.val_items = choose_items(self._val_owners, wanted, self._args.seed)

    def _check_best_by(self, name: str | None) -> None:
        if name is None:
            return
        known = []
        if self.mixture is not None and self.validation is not None:
            known = [self.mixture.names[owner] for owner in sorted(set(self._val_owners))]
        if name not in known:
            has = (
                f"validates on {', '.join(known)}"
                if known
                else "has no datasets with validation items of their own"
            )
            raise UserError(
                f"--best_by {name}: the sampling {self._args.sampling!r} {has}; give one of these, or make one of "
                "several --dataset_dirs"
            )

    def train_batches(self, start_item: int) -> Generator[Any, None, None]:
        """This process's batches of the run's stream of items, from place ``start_item`` on, without end.

        Tensors are pieces first (staging.py): [pieces, B, t, ...].
        """
        sampler = ItemSampler(
            len(self.items),
            self._args.batch_size,
            rank=self._process,
            world_size=self._processes,
            seed=self._args.seed,
            start_item=start_item,
            groups=self.groups,
        )
        return self._batches(self.items, batch_sampler=sampler)

    def validation_part(self) -> ValidationPart:
        """What this process validates on."""
        assert self.validation is not None
        multiple = self._args.batch_size if compiles(self._args) else 1
        mine, counting = share_out(self.val_items, self._process, self._processes, multiple)
        owners = [
            self._val_owners[item] if counts else None for item, counts in zip(mine, counting, strict=True)
        ]
        batches = self._batches(Subset(self.validation, mine), batch_size=self._args.batch_size)
        others = len(self.validation) > 1
        if self.mixture is None:
            return ValidationPart(batches, owners, others=others)
        weights = self.mixture.weights
        if weights is not None and not sum(weights[owner] for owner in set(self._val_owners)):
            weights = None  # they are none of the datasets that are trained on (--val_from)
        if weights is None and len(self.val_items) < len(
            self._val_owners
        ):  # as large as they are, not as chosen
            weights = [self._val_owners.count(owner) for owner in range(len(self.mixture.names))]
        return ValidationPart(batches, owners, self.mixture.names, weights, others)

    def _batches(self, dataset: Any, **how: Any) -> Generator[Any, None, None]:
        end_workers_at_exit()
        loader = DataLoader(
            dataset,
            num_workers=self._args.num_workers,
            worker_init_fn=ignore_stop_signals,
            pin_memory=self._pin,
            collate_fn=self._collate,
            **how,
        )
        return batches(loader)


def dataset_provenance(episode_dirs: Sequence[str], allow_mixed_mineclip: bool = False) -> dict[str, Any]:
    """The number of episodes and frames, a hash of their names and lengths, and the MineCLIPs that embedded them.

    Raises:
        UserError: where two MineCLIPs, or embeddings of two widths, made the episodes' goals; the first is
            accepted with ``allow_mixed_mineclip``.
    """
    digest = hashlib.sha256()
    frames = 0
    mineclips: dict[str, str] = {}  # hash or width -> an episode that has it
    widths: dict[int, str] = {}
    for path in episode_dirs:
        episode = EpisodeStorage(path)
        digest.update(f"{Path(path).name} {len(episode)}\n".encode())
        frames += len(episode)
        if episode.metadata.get("mineclip_hash"):
            mineclips.setdefault(episode.metadata["mineclip_hash"], path)
        if episode.metadata.get("embed_dim"):
            widths.setdefault(int(episode.metadata["embed_dim"]), path)
    if len(widths) > 1:
        found = ", ".join(f"{width} in {path}" for width, path in sorted(widths.items()))
        raise UserError(
            f"the episodes' embeddings have {len(widths)} widths ({found}); make a sampling of one kind"
        )
    if len(mineclips) > 1 and not allow_mixed_mineclip:
        found = ", ".join(f"{hash_[:12]} in {path}" for hash_, path in sorted(mineclips.items()))
        raise UserError(
            f"the episodes' embeddings were made by {len(mineclips)} different MineCLIPs ({found}), and goals of one "
            "mean nothing to the other; convert them with one, or give --allow_mixed_mineclip"
        )
    return {
        "episodes": len(episode_dirs),
        "frames": frames,
        "episodes_hash": digest.hexdigest(),
        "mineclip_hashes": sorted(mineclips),
    }


def check_same_mineclip(provenance: dict[str, Any], in_weights: str | os.PathLike) -> None:
    """Refuse to fine-tune weights with goals of another MineCLIP than they were trained with, as far as is known.

    Raises:
        UserError: with both names.
    """
    before = read_metadata(in_weights).get("data", {}).get("mineclip_hashes") or []
    other = [hash_ for hash_ in provenance["mineclip_hashes"] if hash_ not in before]
    if before and other:
        raise UserError(
            f"{in_weights} was trained with goals of MineCLIP {before[0][:12]}, and the episodes' embeddings are of "
            f"MineCLIP {other[0][:12]}; convert the episodes with the first, or give --allow_mixed_mineclip to let "
            "the policy learn the new goals"
        )
