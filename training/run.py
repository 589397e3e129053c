"""One run of training: what it holds, and what is done with it as a whole. The loop is in train.py."""

from __future__ import annotations

import argparse
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from steve1.checkpoints import load_model_file, metadata_path, save_weights
from steve1.cli import UserError
from steve1.vpt.recurrence import State
from training.augmentation import augment, draw
from training.checkpointing import (
    Progress,
    check_same_flags,
    checkpoints,
    load_checkpoint,
    read_progress,
    remove_checkpoints,
    save_checkpoint,
)
from training.meter import Meter
from training.opening import description, load_policy, make_accelerator
from training.policy import l2_norm, make_optimizer, set_weight_decay
from training.reporting import Reporter, duration
from training.resuming import (
    begin_span,
    changeable_flags,
    fixed_flags,
    flag_spans,
    schedule_from_here,
)
from training.run_data import RunData
from training.schedule import (
    affordable_items,
    frames_per_step,
    n_validations,
    short_count,
    snapshots_passed,
    total_steps,
)
from training.validation import TAGS, validate

# (obs {"img": uint8 [B, T, H, W, 3], "mineclip_embed": [B, T, E]}, actions {name: int [B, T]}, first bool [B, T])
Batch = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]


class NonFiniteLoss(UserError):
    """The loss or the gradient is not a number; the step was not taken."""


class Run:
    """One run of training, made from the flags of ``training/train.py``, gone on with where there is a checkpoint.

    Attributes:
        progress: where the run stands: steps, batches, pieces, the best validation. In every checkpoint.
        memory: what the policy remembers of the items at hand; None between batches. In every checkpoint.
        policy, optimizer: prepared by Accelerate; ``plain_policy`` is the policy without its wrapping.
        data: the items to train and validate on.
        total_steps, frames_per_step: the run's length, and frames of a step over all processes.
        schedule: the learning rate as a function of frames.
        due: of "validation" and "checkpoint" what waits for the end of the update.
        meter: what is counted between two lines of metrics. reporter: where they go.

    Raises :class:`~steve1.cli.UserError` for data, weights or a checkpoint that do not fit together.
    """

    progress: Progress
    memory: State | None = None
    last_validation = -1

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.out, self.checkpoint_dir = Path(args.out_weights), Path(args.checkpoint_dir)
        self.due: set[str] = set()
        self.meter = Meter()
        self.accelerator = make_accelerator(args)
        self.is_main = self.accelerator.is_main_process
        self._check_outputs()

        self.policy_kwargs, self.pi_head_kwargs = load_model_file(args.in_model)
        if args.mineclip_embed_dim is not None:
            self.policy_kwargs["mineclip_embed_dim"] = args.mineclip_embed_dim
        self.data = self._load_data()
        policy, self.trained = load_policy(args, self.policy_kwargs, self.pi_head_kwargs, self.data)
        optimizer = make_optimizer(policy, args.weight_decay)
        self.policy, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.plain_policy = self.accelerator.unwrap_model(self.policy)
        self.policy.train()

        processes = self.accelerator.num_processes
        self.global_batch = args.batch_size * processes
        self.frames_per_step = frames_per_step(args.trunc_t, args.batch_size, processes)
        self.total_steps = total_steps(args.n_frames, self.frames_per_step, args.gradient_accumulation_steps)
        self._take_up()

    # ---- how it begins ----

    def _check_outputs(self) -> None:
        for kind in ("", "_latest", "_best"):
            metadata_path(self.weights_path(kind))
        found = checkpoints(self.checkpoint_dir)
        if found and not (self.args.restart_from_checkpoint or self.args.reset_checkpoint_dir):
            raise UserError(
                f"{found[-1]} exists and --restart_from_checkpoint is False; add --reset_checkpoint_dir to delete it, "
                "or name another --checkpoint_dir"
            )

    def _load_data(self) -> RunData:
        height, width = self.policy_kwargs["img_shape"][:2]
        return RunData(
            self.args,
            img_size=(height, width),
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def _take_up(self) -> None:
        """Go on from the last checkpoint where there is one; begin to report."""
        if self.args.reset_checkpoint_dir:  # only now, when all the rest has turned out to be in order
            if self.is_main:
                remove_checkpoints(self.checkpoint_dir)
                shutil.rmtree(self.checkpoint_dir / "logs", ignore_errors=True)
            self.accelerator.wait_for_everyone()
        args, accelerator = self.args, self.accelerator
        flags = fixed_flags(args, accelerator.num_processes, self.data.provenance)
        self.progress = progress = Progress(flags=flags, val_items=self._affordable_val_items())
        found = checkpoints(self.checkpoint_dir)
        if found:
            self.progress = progress = read_progress(found[-1])
            check_same_flags(progress.flags, flags, found[-1])
            progress.flags = flags
        self.schedule, change = schedule_from_here(args, progress, self.frames)
        progress.tail = (
            [self.schedule.tail_from, self.schedule.tail_share] if self.schedule.kind == "wsd" else None
        )
        changed = begin_span(progress, changeable_flags(args, accelerator.mixed_precision))
        if found:
            self.memory = load_checkpoint(accelerator, found[-1])
            set_weight_decay(self.optimizer, args.weight_decay)
        if self.data.validation is not None and self.progress.val_items is not None:
            self.data.choose_validation(self.progress.val_items)
        self.reporter = Reporter(
            self.checkpoint_dir / "logs",
            Path(self.args.log_dir),
            self.progress.step,
            self.total_steps * self.frames_per_step,
            enabled=self.is_main,
        )
        if found:
            self.reporter.say(f"Resuming from {found[-1]} at step {progress.step}")
            if changed:
                self.reporter.say(f"From here on: {', '.join(changed)}")
            if change:
                self.reporter.say(change)

    def _affordable_val_items(self) -> int | None:
        args = self.args
        if not args.val_share:
            return None
        often = n_validations(
            self.total_steps, args.val_freq, args.val_freq_begin, args.val_freq_switch_steps
        )
        return affordable_items(args.val_share, args.n_frames, args.T, often)

    def describe(self) -> None:
        """Say what is trained on what."""
        for line in description(self):
            self.reporter.say(line)

    # ---- what the loop asks for ----

    def pieces(self) -> Iterator[tuple[Batch, int]]:
        """Each batch once for each of its pieces, from where the run stands on, without end.

        Before a batch's first piece the memory is empty.
        """
        progress = self.progress
        with closing(self.data.train_batches(progress.batches * self.global_batch)) as batches:
            while True:
                with self.meter.waiting():
                    batch = next(batches)
                if self.memory is None:
                    self.memory = self.plain_policy.initial_state(self.args.batch_size)
                for piece in range(progress.piece, self.args.T // self.args.trunc_t):
                    yield batch, piece
                self.memory, progress.piece = None, 0
                progress.batches += 1

    def on_device(self, batch: Batch, piece: int) -> Batch:
        """A piece of the batch on this process's device, augmented where the flags say so."""
        args, device = self.args, self.accelerator.device
        obs, actions, first = batch
        window = slice(piece * args.trunc_t, (piece + 1) * args.trunc_t)

        def part(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[:, window].to(device, non_blocking=True)

        seen = {name: part(value) for name, value in obs.items()}
        if args.augment:
            begin = (
                self.progress.batches * self.global_batch + self.accelerator.process_index * args.batch_size
            )
            seen["img"] = augment(seen["img"], draw(args.seed, range(begin, begin + args.batch_size)))
        return seen, {name: part(value) for name, value in actions.items()}, part(first)

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the update that follows."""
        self.meter.learning_rate = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def check_finite(self, what: str, value: float) -> None:
        """Raises NonFiniteLoss where ``value`` is no number."""
        if not abs(value) < float("inf"):
            raise NonFiniteLoss(
                f"the {what} became {value} at step {self.progress.step + 1}, so this step was not taken; "
                f"the last good weights are {self.weights_path('_latest')} and the checkpoint in "
                f"{self.checkpoint_dir}; lower --learning_rate, or use bf16 in place of fp16"
            )

    def anywhere(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process; asked by all of them together."""
        if self.accelerator.num_processes == 1:
            return flag
        mine = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(mine, reduction="sum").item())

    @property
    def frames(self) -> int:
        """Frames trained on, over all processes."""
        return self.progress.step * self.frames_per_step

    def finished(self) -> bool:
        return self.progress.step >= self.total_steps or self._stopped_early()

    def _stopped_early(self) -> bool:
        patience = self.args.early_stopping_patience
        return bool(patience) and self.progress.validations_since_best >= patience

    # ---- what is measured ----

    def log(self) -> None:
        """A line of training metrics, over the steps since the last one."""
        meter, seconds = self.meter, self.meter.seconds
        steps_a_second = len(meter.losses) / seconds
        mean = self.accelerator.reduce(meter.mean_loss().to(self.accelerator.device), reduction="mean")
        values = {
            "loss/train": mean.item(),
            "learning_rate": meter.learning_rate,
            "grad_l2_norm": meter.grad_norm,
            "weights_l2_norm": l2_norm(self.policy),
            "processed_frames": self.frames,
            "frames_per_second": steps_a_second * self.frames_per_step,
            "data_wait_share": meter.waited / seconds,
            "validation_share": meter.validation_share,
            "epoch": self.frames / (len(self.data.items) * self.args.T),
        }
        if self.accelerator.device.type == "cuda":
            values["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        left = (self.total_steps - self.progress.step) / steps_a_second / (1 - meter.validation_share)
        self.reporter.training(self.progress.step, values, left)
        meter.begin()

    def validate(self) -> None:
        """Measure the validation losses, and keep the weights where they are the best so far."""
        if self.data.validation is None:
            return
        progress = self.progress
        self.reporter.say(f"Running validation at step {progress.step}...")
        with self.meter.validating():
            losses = validate(self.accelerator, self.policy, self.data.validation_part(), self.args.trunc_t)
        with self.meter.pausing():
            self.last_validation = progress.step
            self.reporter.validation(progress.step, losses, self.frames)
            if self.args.save_each_val:
                self.save_weights(f"_step_{progress.step}")
            deciding = TAGS["right"] + (f"/{self.args.best_by}" if self.args.best_by else "")
            self._compare_with_best(losses[deciding])
            self.reporter.draw_curves()

    def _compare_with_best(self, loss: float) -> None:
        progress, say = self.progress, self.reporter.say
        if progress.best_val_loss is None or loss < progress.best_val_loss:
            progress.best_val_loss, progress.best_step = loss, progress.step
            progress.validations_since_best = 0
            if progress.step:
                say(f"New best validation loss: {loss:.3f}, saving best val model weights...")
            self.save_weights("_best")  # the start's too: what comes after has to be better than that
            return
        progress.validations_since_best += 1
        if self._stopped_early():
            say(
                f"Stopping early: no better validation loss than {progress.best_val_loss:.3f} of step "
                f"{progress.best_step} in {progress.validations_since_best} validations"
            )

    # ---- what is written ----

    def save_snapshots(self) -> None:
        """Keep the weights where the last update passed a multiple of ``--snapshot_every_n_frames``."""
        before = self.frames - self.frames_per_step * self.args.gradient_accumulation_steps
        for frames in snapshots_passed(before, self.frames, self.args.snapshot_every_n_frames):
            self.save_weights(f"_snapshot_{short_count(frames)}")

    def checkpoint(self) -> None:
        """Save all that going on needs, and ``_latest``."""
        began = time.perf_counter()
        with self.meter.pausing():
            save_checkpoint(self.accelerator, self.checkpoint_dir, self.progress, self.memory)
            self.save_weights("_latest")
        took = duration(time.perf_counter() - began)
        self.reporter.say(f"Saved the checkpoint of step {self.progress.step} in {took}")

    def weights_path(self, kind: str) -> Path:
        """``OUTkind.weights``."""
        return self.out.with_name(f"{self.out.stem}{kind}.weights")

    def save_weights(self, kind: str) -> None:
        """Write ``OUTkind.weights`` and its JSON; called by all processes together."""
        state = self.accelerator.get_state_dict(self.policy)
        if self.is_main:
            save_weights(state, self.weights_path(kind), self._metadata())
        self.accelerator.wait_for_everyone()

    def _metadata(self) -> dict[str, Any]:
        """What stands in the JSON beside weights; its ``model`` part serves as an architecture file."""
        return {
            "model": {"args": {"net": {"args": self.policy_kwargs}, "pi_head_opts": self.pi_head_kwargs}},
            "flags": vars(self.args),
            "flag_spans": flag_spans(self.progress),
            "data": self.data.provenance,
            "step": self.progress.step,
            "processed_frames": self.frames,
            "best_val_loss": self.progress.best_val_loss,
            "best_step": self.progress.best_step,
            "val_items": len(self.data.val_items) if self.data.validation is not None else 0,
        }

    # ---- how it ends ----

    def end(self) -> None:
        """Validate, save and say what has become of it."""
        progress = self.progress
        if self.last_validation != progress.step:
            self.validate()
        self.checkpoint()
        self.save_weights("")
        best = ""
        if progress.best_val_loss is not None:
            best = f", best validation loss {progress.best_val_loss:.3f} at step {progress.best_step}"
            if progress.best_step == 0:
                best += (
                    f", its start: no validation was better, so {self.weights_path('_best')} holds the weights that it "
                    "began with"
                )
        self.reporter.say(f"Done: {self.out} after {self.frames:_} frames{best}")
        if self.data.validation is not None:
            self.reporter.say(f"Validations took {self.meter.validation_share:.1%} of the time")
        self.reporter.draw_curves()
        self.reporter.close()
        self.accelerator.end_training()

    def end_again(self) -> None:
        """The run had ended before: say how to go on."""
        how = "give a larger --n_frames to go on"
        if self._stopped_early():
            how = (
                f"it stopped early, {self.progress.validations_since_best} validations after the best one; give a "
                "larger --early_stopping_patience to go on"
            )
        self.reporter.say(f"{self.out} is trained: {self.frames:_} frames; {how}")
        if not self.out.exists():
            self.save_weights("")
        self.reporter.close()

    def leave(self, number: int | None) -> None:
        """End the process because of a signal; a checkpoint has been saved."""
        name = signal.Signals(number).name if number else "a signal to another process"
        self.reporter.say(f"Stopped by {name} at step {self.progress.step}; run the same command to go on")
        self.reporter.close()
        raise SystemExit(128 + (number or signal.SIGTERM))
