"""Train the goal-conditioned policy by behaviour cloning with hindsight goals (script 3).

The real run (what 3_train.sh does), and a tiny one for a laptop:

    accelerate launch --num_processes 1 --mixed_precision bf16 training/train.py \\
        --in_model data/weights/vpt/2x.model --in_weights data/weights/vpt/rl-from-foundation-2x.weights \\
        --out_weights data/weights/steve1/trained.weights --sampling neurips --checkpoint_dir data/training_checkpoint

    python training/train.py --in_model tests/tiny_policy.json --out_weights /tmp/tiny.weights \\
        --sampling my_sampling --T 64 --trunc_t 32 --batch_size 2 --gradient_accumulation_steps 1 \\
        --warmup_frames 1k --n_frames 20k --checkpoint_dir /tmp/tiny_checkpoint

The same command run again goes on where it stopped. The flags are in train_flags.py; what a run holds and writes is
in run.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steve1.cli import UserError, entry_point, report_all
from training.schedule import validation_due
from training.train_flags import build_parser, complete_model, flag_problems

if TYPE_CHECKING:
    from training.run import Batch, Run
    from training.stopping import StopRequest


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Train; see ``--help``. Writes weights beside ``--out_weights``, and logs and checkpoints."""
    args = build_parser().parse_args(argv)
    complete_model(args)
    report_all(flag_problems(args))

    import torch

    from data.loader_errors import explained
    from training.run import Run

    try:
        run = Run(args)
    except (UserError, OSError):
        if os.environ.get("RANK", "0") != "0":  # all processes find the same; one says so
            raise SystemExit(1) from None
        raise
    try:
        with explained(), run.saves:
            train(run)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU's memory is full ({str(error).partition('.')[0]}); add --gradient_checkpointing, or halve "
            "--batch_size and double --gradient_accumulation_steps (docs/finetuning.md has a table)"
        ) from None


def train(run: Run) -> None:
    """Train to the end, or until a signal asks to stop; then every weights file is in place."""
    from training.stopping import StopRequest

    run.describe()
    if run.finished():
        run.end_again()
        return
    run.prepare_features()
    run.meter.start()
    if run.progress.step == 0:
        run.validate()
    with StopRequest() as stop, run.saves:  # signals wait for what is being saved, whatever ends the loop
        loop(run, stop)
    run.end()


def loop(run: Run, stop: StopRequest) -> None:
    """Step by step: a step is one piece of ``trunc_t`` frames of every item of a batch, on every process."""
    args, progress = run.args, run.progress
    for batch in run.pieces():
        step(run, batch)

        if progress.step % args.log_freq == 0:
            run.log()
        if validation_due(progress.step, args.val_freq, args.val_freq_begin, args.val_freq_switch_steps):
            run.due.add("validation")
        if args.save_freq and progress.step % args.save_freq == 0:
            run.due.add("checkpoint")
        if progress.step % args.gradient_accumulation_steps == 0:
            between_updates(run, stop)
        if run.finished():
            return


def step(run: Run, batch: Batch) -> None:
    """Forward and backward through one piece of a batch, and an update of the weights where one is due."""
    from steve1.vpt.recurrence import detach_state

    args, accelerator, progress = run.args, run.accelerator, run.progress
    obs, actions, first = batch  # img [B, t, H, W, 3], the rest [B, t, ...]
    with accelerator.accumulate(run.policy):
        (log_probs, _), memory = run.policy(obs, first, run.memory)
        loss = -run.plain_policy.log_prob(log_probs, actions).mean()  # nats a frame
        pull = run.pull_to_start(obs, first, log_probs)  # 0 without --kl_to_start
        run.note_loss(loss)
        accelerator.backward(loss + pull)

        if accelerator.sync_gradients:  # the update's last piece: its gradients are complete
            norm = accelerator.clip_grad_norm_(run.policy.parameters(), args.max_grad_norm or math.inf)
            run.check_finite(norm)
            run.set_learning_rate(run.schedule.rate((progress.step + 1) * run.frames_per_step))
        run.optimizer.step()
        run.optimizer.zero_grad()
        if accelerator.sync_gradients:
            after_update(run)
    run.memory = detach_state(memory)  # the next piece remembers, and gradients end here
    progress.step += 1
    progress.piece += 1
    run.reporter.progress(run.frames)


def after_update(run: Run) -> None:
    """Where the flags say so, the weights are pulled towards the start's, and the average takes them in."""
    if run.start_weights is not None and not run.accelerator.optimizer_step_was_skipped:
        run.start_weights.pull(run.optimizer)
    if run.ema is not None:
        run.ema.update()


def between_updates(run: Run, stop: StopRequest) -> None:
    """What waits until no gradients are gathered: validation, snapshots, checkpoints, leaving."""
    if "validation" in run.due:
        run.validate()
    run.saves.snapshots()
    stopping = run.anywhere(stop.signal is not None)
    if stopping or "checkpoint" in run.due:
        run.saves.checkpoint()
    run.due.clear()
    run.saves.moved_on()
    if stopping:
        run.leave(stop.signal)


if __name__ == "__main__":
    main()
