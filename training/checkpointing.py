"""Checkpoints of a run: whole or not at all, the last two kept, written by all processes together.

A checkpoint is a folder ``CHECKPOINT_DIR/checkpoint_STEP``: what Accelerate saves (policy, optimizer, scaler,
random states), ``progress.json``, and each process's memory of the items it is in the middle of. It is taken
between updates, so there are no gathered gradients to keep. With the items' order a function of the seed and a
position (``data.minecraft_dataset.ItemSampler``), this is what makes a resumed run exact; which flags may change
meanwhile is ``training.resuming``'s.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from steve1.checkpoints import check_finite
from steve1.cli import UserError
from steve1.vpt.recurrence import State, map_state
from training.ema import Ema

KEPT = 2
_PARTIAL = ".partial"
_MEMORIES = ("memory", "start_memory")


@dataclass
class Progress:
    """Where a run stands; everything that is not in the tensors."""

    step: int = 0
    batches: int = 0  # global batches finished; the next item is number batches * batch_size * processes
    piece: int = 0  # pieces finished of the batch at hand
    best_val_loss: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    best_ema_loss: float | None = None  # the same of the moving average, where there is one
    best_ema_step: int = 0
    val_items: int | None = None  # items that every validation of the run looks at; None: all of them
    tail: list[float] | None = (
        None  # of a wsd schedule: the frames and the share of the peak where its tail begins
    )
    spans: list[dict[str, Any]] = field(
        default_factory=list
    )  # which changeable flags held from which step on
    flags: dict[str, Any] = field(default_factory=dict)  # those that may not change on the way


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in ``folder``, oldest first."""
    found = [
        p for p in folder.glob("checkpoint_*") if p.is_dir() and p.name.removeprefix("checkpoint_").isdigit()
    ]
    return sorted(found, key=lambda p: int(p.name.removeprefix("checkpoint_")))


def save_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    progress: Progress,
    memories: Sequence[State | None],
    ema: Ema | None = None,
) -> Callable[[], None]:
    """Write a checkpoint of the prepared policy and optimizer; called by all processes together.

    ``memories``: what this process's policy remembers, and the start's, where it is held near that. ``ema``: the same
    in all processes.

    Returns what is left to do, for the main process alone, at any time before the next save: to bring the files to the
    disk and let the folder take its name. Until then the checkpoint is none.
    """
    final = folder / f"checkpoint_{progress.step}"
    partial = folder / f".{final.name}{_PARTIAL}"
    if accelerator.is_main_process:
        _remove_leftovers(folder)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    for name, memory in zip(_MEMORIES, memories, strict=False):
        torch.save(memory, partial / f"{name}_{accelerator.process_index}.pt")
    if ema is not None and accelerator.is_main_process:
        torch.save(ema.state_dict(), partial / "ema.pt")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / "progress.json").write_text(json.dumps(asdict(progress), indent=2) + "\n")
    return functools.partial(_publish, partial, final)


def _publish(partial: Path, final: Path) -> None:
    for path in (p for p in partial.rglob("*") if p.is_file()):
        with open(path, "rb") as written:
            os.fsync(written.fileno())
    if final.exists():
        _remove(final)
    os.rename(partial, final)
    for old in checkpoints(final.parent)[:-KEPT]:
        _remove(old)


def remove_checkpoints(folder: Path) -> None:
    """Delete all checkpoints of a run."""
    _remove_leftovers(folder)
    for old in checkpoints(folder):
        _remove(old)


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f".checkpoint_*{_PARTIAL}*"):
        shutil.rmtree(leftover)


def _remove(checkpoint: Path) -> None:
    # Renamed first: a kill half-way may not leave something that looks whole.
    doomed = checkpoint.with_name(f".{checkpoint.name}{_PARTIAL}.old")
    os.rename(checkpoint, doomed)
    shutil.rmtree(doomed)


def read_progress(checkpoint: Path) -> Progress:
    """The progress noted in a checkpoint."""
    return Progress(**json.loads((checkpoint / "progress.json").read_text()))


def load_checkpoint(
    accelerator: Accelerator, checkpoint: Path, held: bool = False, ema: Ema | None = None
) -> tuple[State | None, State | None]:
    """Load policy, optimizer, average and random states of a checkpoint.

    Returns what this process's policy remembers, and, where the policy is ``held`` near it, what the start does.

    Raises :class:`~steve1.cli.UserError` where weights or optimizer hold NaN or inf.
    """
    accelerator.load_state(str(checkpoint))
    loaded = {
        "weights": [model.state_dict() for model in accelerator._models],
        "optimizer": [optimizer.state_dict() for optimizer in accelerator._optimizers],
    }
    if ema is not None:
        ema.load_state_dict(_tensors(checkpoint / "ema.pt"))
        loaded["average"] = [ema.state_dict()]
    check_finite(loaded, checkpoint, "remove this checkpoint, so that the run goes on from the one before")
    found: list[State | None] = [None, None]
    for i, name in enumerate(_MEMORIES[: 1 + held]):
        memory = _tensors(checkpoint / f"{name}_{accelerator.process_index}.pt")
        found[i] = memory and map_state(lambda tensor: tensor.to(accelerator.device), memory)
    return found[0], found[1]


def _tensors(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def check_same_flags(before: dict[str, Any], now: dict[str, Any], checkpoint: Path) -> None:
    """Refuse to go on from a checkpoint of a different run; flags that an earlier version did not note are let be.

    Raises:
        UserError: naming every flag that differs, with both values.
    """
    changed = [name for name in now if name in before and before[name] != now[name]]
    if changed:
        listing = ", ".join(f"{name} was {before.get(name)} and is {now[name]}" for name in changed)
        raise UserError(
            f"{checkpoint} is of another run: {listing}; give the old values, another --checkpoint_dir, "
            "or --reset_checkpoint_dir to start over"
        )
