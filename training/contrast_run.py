"""Running the contrast of training/contrast.py to its end: progress, TensorBoard, checkpoints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError
from training.one_file_checkpoint import read_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from training.contrast import Contrast

SAVE_SECONDS = 30.0
LINE_SECONDS = 15.0


def run(training: Contrast, checkpoint: Path, identity: dict[str, Any], logs: Path) -> float:
    """Train to the end, saving ``checkpoint`` now and then; return the mean loss of the last steps."""
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    from training.reporting import duration

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    saved = told = time.monotonic()
    recent: list[float] = []
    clock, begun = time.monotonic(), training.step
    bar = tqdm(total=training.steps, initial=training.step, unit="step", disable=None)
    with bar, SummaryWriter(str(logs), purge_step=training.step + 1) as writer:
        while training.step < training.steps:
            rate = training.learning_rate()
            recent = [*recent[-49:], training.run_step()]
            loss = sum(recent) / len(recent)
            writer.add_scalar("loss/train", recent[-1], training.step)
            writer.add_scalar("learning_rate", rate, training.step)
            pace = (time.monotonic() - clock) / (training.step - begun)
            left = duration(pace * (training.steps - training.step))
            bar.set_postfix(loss=f"{loss:.3f}", left=left, refresh=False)
            bar.update()
            now = time.monotonic()
            if now - saved > SAVE_SECONDS:
                save_checkpoint(checkpoint, training, identity)
                saved = time.monotonic()
            if bar.disable and now - told > LINE_SECONDS:
                told = now
                print(
                    f"step {training.step:,} of {training.steps:,}, loss {loss:.3f}, {left} left", flush=True
                )
    return sum(recent) / len(recent) if recent else float("nan")


def resume(path: Path, training: Contrast, identity: dict[str, Any]) -> None:
    """Take up the checkpoint at ``path``; raises UserError where it belongs to other data or flags."""
    theirs, state = read_checkpoint(path)
    differing = [name for name, value in identity.items() if theirs.get(name) != value]
    if differing:
        raise UserError(
            f"{path} is from a run with another {', '.join(differing)}; give another --out, or start anew with "
            "--restart_from_checkpoint False"
        )
    training.load_state(state)
