"""How the small trainings run (prior, MineCLIP): one process, one checkpoint file, TensorBoard, a progress bar.

The policy's training is another matter: many processes, checkpoints by Accelerate (checkpointing.py).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Protocol

from steve1.cli import UserError

LINE_SECONDS = 15.0  # between two lines where no bar can be drawn


class SmallTraining(Protocol):
    """What is run: it advances by steps or epochs, and its state is all that going on needs."""

    @property
    def position(self) -> int:
        """Steps or epochs that are done."""

    def advance(self) -> dict[str, float]:
        """Do one more; returns what is logged, by TensorBoard tag, ``loss/train`` among it."""

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: dict[str, Any]) -> None: ...


def checkpoint_file(out: Path) -> Path:
    """Where the training of the weights ``out`` keeps its checkpoint; its TensorBoard logs are in ``logs`` beside."""
    return out.with_name(f"{out.stem}_checkpoint") / "state.pt"


def run(
    training: SmallTraining,
    total: int,
    unit: str,
    checkpoint: Path,
    identity: dict[str, Any],
    save_seconds: float = 0.0,
) -> float:
    """Train to position ``total``; return the mean of the last 50 losses (NaN where there was nothing to do).

    ``checkpoint`` is written every ``save_seconds``, 0: after every ``unit``.
    """
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    from training.reporting import duration

    begun = training.position
    if begun >= total:
        return float("nan")
    recent: list[float] = []
    started = saved = told = time.monotonic()
    bar = tqdm(total=total, initial=begun, unit=unit, disable=None)
    with bar, SummaryWriter(str(checkpoint.parent / "logs"), purge_step=begun + 1) as writer:
        while training.position < total:
            values = training.advance()
            for tag, value in values.items():
                writer.add_scalar(tag, value, training.position)
            recent = [*recent[-49:], values["loss/train"]]
            now, loss = time.monotonic(), sum(recent) / len(recent)
            left = duration((now - started) / (training.position - begun) * (total - training.position))
            bar.set_postfix(loss=f"{loss:.4f}", left=left, refresh=False)
            bar.update()
            if now - saved > save_seconds:
                save_checkpoint(checkpoint, training, identity)
                saved = time.monotonic()
            if bar.disable and now - told > LINE_SECONDS:
                told = now
                print(
                    f"{unit} {training.position:,} of {total:,}, loss {loss:.4f}, {left} left",
                    flush=True,
                )
    return sum(recent) / len(recent)


def save_checkpoint(path: Path, training: SmallTraining, identity: dict[str, Any]) -> None:
    """Write the training's state and what it belongs to, whole or not at all."""
    import torch

    from steve1.files import remove_partials, whole_file

    remove_partials(path)
    with whole_file(path) as partial:
        torch.save({"identity": identity, "training": training.state()}, partial)


def resume(path: Path, training: SmallTraining, identity: dict[str, Any]) -> None:
    """Take up the checkpoint at ``path``.

    Raises:
        UserError: where it can't be read, a tensor in it holds NaN or inf, or it belongs to other data or flags.
    """
    import torch

    from steve1.checkpoints import check_finite

    remedy = "remove it, or start anew with --restart_from_checkpoint False"
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        theirs, state = with_todays_names(saved["identity"]), saved["training"]
    except OSError:
        raise
    except Exception as error:  # a damaged file can end in nearly any exception
        raise UserError(f"{path} is not a readable checkpoint ({type(error).__name__}); {remedy}") from None
    check_finite(state, path, remedy)
    differing = [
        f"{name} {theirs.get(name)} there, {value} now"
        for name, value in identity.items()
        if theirs.get(name) != value
    ]
    if differing:
        raise UserError(
            f"{path} is from a run with other data or flags ({'; '.join(differing)}); write to another file, or start "
            "anew with --restart_from_checkpoint False"
        )
    training.load_state(state)


def with_todays_names(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags that an earlier version wrote, by the names that they have today."""
    return {"learning_rate" if name == "lr" else name: value for name, value in flags.items()}


def plain_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The flags as they go into the JSON beside weights."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
