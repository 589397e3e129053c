"""The training run behind ``training/train.py``: what it loads, the loop, and what it writes."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, set_seed

from steve1.checkpoints import load_model_file, metadata_path, save_weights
from steve1.cli import UserError
from steve1.vpt.recurrence import State, detach_state
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
from training.optimizer import l2_norm, make_optimizer
from training.policy import build_policy, trained_parameters
from training.provenance import check_same_mineclip
from training.reporting import Reporter, duration
from training.run_data import RunData
from training.schedule import (
    frames_per_step,
    learning_rate,
    short_count,
    snapshots_passed,
    total_steps,
    validation_due,
)
from training.stopping import StopRequest
from training.validation import TAGS, validate

# Flags that decide what a step is; a checkpoint is only good for a run with the same ones.
_FIXED_FLAGS = (
    *("in_model", "in_weights", "sampling", "data_limit", "T", "trunc_t", "batch_size", "seed"),
    *("gradient_accumulation_steps", "p_uncond", "min_btwn_goals", "max_btwn_goals", "freeze", "augment"),
)


class NonFiniteLoss(UserError):
    """The loss or the gradient is not a number; the step was not taken."""


class Trainer:
    """One run of training; ``Trainer(args).run()`` with the flags of ``training/train.py``.

    Raises :class:`~steve1.cli.UserError` for data, weights or a checkpoint that do not fit together.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        plugin = GradientAccumulationPlugin(
            num_steps=args.gradient_accumulation_steps, sync_with_dataloader=False
        )
        self.accelerator = Accelerator(gradient_accumulation_plugin=plugin)
        asked = os.environ.get("ACCELERATE_MIXED_PRECISION")  # Accelerate drops fp16 on a CPU without a word
        if asked == "fp16" and self.accelerator.device.type == "cpu":
            raise UserError(
                "fp16 is asked for and there is no GPU; launch with --mixed_precision no (or bf16)"
            )
        self.is_main = self.accelerator.is_main_process
        self.checkpoint_dir = Path(args.checkpoint_dir)
        self.out = Path(args.out_weights)
        self._check_outputs()
        self._load_data()
        self._load_policy()
        self._plan()
        self._resume()

    # ---------------------------------------------------------------- what it loads

    def _check_outputs(self) -> None:
        for kind in ("", "_latest", "_best"):
            metadata_path(self._weights_path(kind))
        found = checkpoints(self.checkpoint_dir)
        if found and not (self.args.restart_from_checkpoint or self.args.reset_checkpoint_dir):
            raise UserError(
                f"{found[-1]} exists and --restart_from_checkpoint is False; add --reset_checkpoint_dir to delete it, "
                "or name another --checkpoint_dir"
            )

    def _load_data(self) -> None:
        args, accelerator = self.args, self.accelerator
        self.policy_kwargs, self.pi_head_kwargs = load_model_file(args.in_model)
        if args.mineclip_embed_dim is not None:
            self.policy_kwargs["mineclip_embed_dim"] = args.mineclip_embed_dim
        height, width = self.policy_kwargs["img_shape"][:2]
        self.data = RunData(
            args,
            img_size=(height, width),
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            pin_memory=accelerator.device.type == "cuda",
        )
        self.validating = self.data.validation is not None

    def _load_policy(self) -> None:
        args = self.args
        set_seed(args.seed)
        policy, anew = build_policy(args, self.policy_kwargs, self.pi_head_kwargs)
        width, ours = self.data.items.embed_dim, policy.net.mineclip_embed_dim
        if width != ours:
            raise UserError(
                f"the episodes' embeddings are {width} wide, the policy takes {ours} (mineclip_embed_dim of "
                f"{args.in_model}); give --mineclip_embed_dim {width} to train a goal layer for them, or train with "
                "the embeddings that belong to the model"
            )
        if args.in_weights and not anew and not args.allow_mixed_mineclip:
            check_same_mineclip(self.data.provenance, args.in_weights)
        self.trained = trained_parameters(policy)
        self.policy, self.optimizer = self.accelerator.prepare(
            policy, make_optimizer(policy, args.weight_decay)
        )
        self.policy.train()

    def _plan(self) -> None:
        args, processes = self.args, self.accelerator.num_processes
        self.global_batch = args.batch_size * processes
        self.per_step = frames_per_step(args.trunc_t, args.batch_size, processes)
        self.total_steps = total_steps(args.n_frames, self.per_step, args.gradient_accumulation_steps)
        self.pieces = args.T // args.trunc_t

    def _resume(self) -> None:
        if self.args.reset_checkpoint_dir:  # only now, when all the rest has turned out to be in order
            if self.is_main:
                remove_checkpoints(self.checkpoint_dir)
                shutil.rmtree(self.checkpoint_dir / "logs", ignore_errors=True)
            self.accelerator.wait_for_everyone()
        flags = {name: getattr(self.args, name) for name in _FIXED_FLAGS}
        for name in ("in_model", "in_weights"):
            flags[name] = flags[name] and os.path.abspath(flags[name])
        flags["processes"] = self.accelerator.num_processes
        flags["episodes"] = self.data.provenance["episodes_hash"]
        self.progress = Progress(flags=flags)
        self.memory: State | None = None
        found = checkpoints(self.checkpoint_dir)
        if found:
            self.progress = read_progress(found[-1])
            check_same_flags(self.progress.flags, flags, found[-1])
            self.memory = load_checkpoint(self.accelerator, found[-1])
        self.reporter = Reporter(
            self.checkpoint_dir / "logs",
            Path(self.args.log_dir),
            self.progress.step,
            self.total_steps * self.per_step,
            enabled=self.is_main,
        )
        if found:
            self.reporter.say(f"Resuming from {found[-1]} at step {self.progress.step}")

    # ---------------------------------------------------------------- what it does

    def run(self) -> None:
        """Train to the end, or until a signal asks to stop; then every weights file is in place."""
        progress, say = self.progress, self.reporter.say
        self._describe()
        if self._finished():
            say(f"{self.out} is trained: {self._frames():_} frames; {self._how_to_go_on()}")
            if not self.out.exists():
                self._save_weights("")
            self.reporter.close()
            return
        self._begin_interval()
        if progress.step == 0 and self.validating:
            self._validate()
        with StopRequest() as stop:
            self._train(stop)
        if self.validating and self.last_validation != progress.step:
            self._validate()
        self._checkpoint()
        self._save_weights("")
        best = ""
        if progress.best_val_loss is not None:
            best = f", best validation loss {progress.best_val_loss:.3f} at step {progress.best_step}"
        say(f"Done: {self.out} after {self._frames():_} frames{best}")
        self.reporter.draw_curves()
        self.reporter.close()
        self.accelerator.end_training()

    def _train(self, stop: StopRequest) -> None:
        progress = self.progress
        loader = self.data.train_batches(progress.batches * self.global_batch)
        try:
            while not self._finished():
                batch = self._next_batch(loader)
                for piece in range(progress.piece, self.pieces):
                    self._step(batch, piece)
                    if self._between_updates():
                        self._after_update(stop)
                    if self._finished():
                        break
                else:
                    self.memory, progress.piece = None, 0
                    progress.batches += 1
        finally:
            loader.close()  # ends its workers now, not when an error's traceback is forgotten

    def _finished(self) -> bool:
        return self.progress.step >= self.total_steps or self._stopped_early()

    def _stopped_early(self) -> bool:
        patience = self.args.early_stopping_patience
        return bool(patience) and self.progress.validations_since_best >= patience

    def _how_to_go_on(self) -> str:
        if self._stopped_early():
            return (
                f"it stopped early, {self.progress.validations_since_best} validations after the best one; give a "
                "larger --early_stopping_patience to go on"
            )
        return "give a larger --n_frames to go on"

    def _describe(self) -> None:
        data, say = self.data, self.reporter.say
        say(
            f"Training on {len(data.items)} items of {self.args.T} frames from {data.items.frames:_} frames, "
            f"{self.total_steps:_} steps of {self.per_step:_} frames on {self.accelerator.num_processes} "
            f"process(es), {self.accelerator.device.type}, precision {self.accelerator.mixed_precision}"
        )
        if data.left_out:
            say(
                f"{len(data.left_out)} episode(s) shorter than T + 15 = {self.args.T + 15} frames are left out: "
                + ", ".join(Path(path).name for path in data.left_out)
            )
        say(self.trained)
        if not self.args.in_weights:
            say("No --in_weights: the policy starts from random weights")

    def _next_batch(self, loader: Any) -> tuple:
        began = time.perf_counter()
        batch = next(loader)
        self.waited += time.perf_counter() - began
        return batch

    def _step(self, batch: tuple, piece: int) -> None:
        """One step: a piece of ``trunc_t`` frames forward and backward, and an update where one is due."""
        args, accelerator, progress = self.args, self.accelerator, self.progress
        obs, actions, firsts = batch
        window = slice(piece * args.trunc_t, (piece + 1) * args.trunc_t)

        def part(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[:, window].to(accelerator.device, non_blocking=True)

        plain = accelerator.unwrap_model(self.policy)
        if self.memory is None:
            self.memory = plain.initial_state(len(firsts))
        seen = {name: part(value) for name, value in obs.items()}
        if args.augment:
            begin = progress.batches * self.global_batch + accelerator.process_index * args.batch_size
            seen["img"] = augment(seen["img"], draw(args.seed, range(begin, begin + args.batch_size)))
        with accelerator.accumulate(self.policy):
            (log_probs, _), memory = self.policy(seen, part(firsts), self.memory)
            loss = -plain.log_prob(log_probs, {name: part(value) for name, value in actions.items()}).mean()
            self._check_finite("loss", loss.item())
            accelerator.backward(loss)
            frames = (progress.step + 1) * self.per_step
            if accelerator.sync_gradients:
                limit = args.max_grad_norm or math.inf
                norm = float(accelerator.clip_grad_norm_(self.policy.parameters(), limit))
                if accelerator.scaler is None:  # fp16's scaler skips such steps itself and lowers its scale
                    self._check_finite("gradient", norm)
                self.grad_norm = norm
                self.learning_rate = learning_rate(
                    frames, args.learning_rate, args.warmup_frames, args.n_frames
                )
                for group in self.optimizer.param_groups:
                    group["lr"] = self.learning_rate
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.memory = detach_state(memory)
        self.losses.append(loss.item())
        progress.step += 1
        progress.piece = piece + 1
        self.reporter.progress(frames)
        if progress.step % args.log_freq == 0:
            self._log()
        if validation_due(progress.step, args.val_freq, args.val_freq_begin, args.val_freq_switch_steps):
            self.validation_pending = True
        if args.save_freq and progress.step % args.save_freq == 0:
            self.checkpoint_pending = True

    def _between_updates(self) -> bool:
        return self.progress.step % self.args.gradient_accumulation_steps == 0

    def _after_update(self, stop: StopRequest) -> None:
        """What waits for an update to be complete: validation, snapshots, checkpoints, leaving."""
        args, progress = self.args, self.progress
        if self.validation_pending and self.validating:
            self._validate()
        self.validation_pending = False
        per_update = self.per_step * args.gradient_accumulation_steps
        for frames in snapshots_passed(
            self._frames() - per_update, self._frames(), args.snapshot_every_n_frames
        ):
            self._save_weights(f"_snapshot_{short_count(frames)}")
        stopping = self._anywhere(stop.signal is not None)
        if self.checkpoint_pending or stopping:
            self._checkpoint()
        if stopping:
            name = signal.Signals(stop.signal).name if stop.signal else "a signal to another process"
            self.reporter.say(f"Stopped by {name} at step {progress.step}; run the same command to go on")
            self.reporter.close()
            raise SystemExit(128 + (stop.signal or signal.SIGTERM))

    def _anywhere(self, flag: bool) -> bool:
        if self.accelerator.num_processes == 1:
            return flag
        mine = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(mine, reduction="sum").item())

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"the {what} became {value} at step {self.progress.step + 1}, so this step was not taken; "
                f"the last good weights are {self._weights_path('_latest')} and the checkpoint in "
                f"{self.checkpoint_dir}; lower --learning_rate, or use bf16 in place of fp16"
            )

    def _validate(self) -> None:
        progress, say, began = self.progress, self.reporter.say, time.perf_counter()
        say(f"Running validation at step {progress.step}...")
        self.last_validation = progress.step
        losses = validate(self.accelerator, self.policy, self.data.val_batches(), self.args.trunc_t)
        self.reporter.metrics(progress.step, {**losses, "processed_frames": self._frames()})
        names = {
            "loss/val": "val_loss",
            "loss/val_uncond": "val_loss_uncond",
            "loss/val_shuffled": "val_loss_shuffled",
        }
        say("\n".join(f"    {names[tag]}: {value:.3f}" for tag, value in losses.items()))
        loss = losses[TAGS["right"]]
        if self.args.save_each_val:
            self._save_weights(f"_step_{progress.step}")
        if progress.step and (progress.best_val_loss is None or loss < progress.best_val_loss):
            progress.best_val_loss, progress.best_step = loss, progress.step
            say(f"New best validation loss: {loss:.3f}, saving best val model weights...")
            progress.validations_since_best = 0
            self._save_weights("_best")
        elif progress.step:
            progress.validations_since_best += 1
            if self._stopped_early():
                say(
                    f"Stopping early: no better validation loss than {progress.best_val_loss:.3f} of step "
                    f"{progress.best_step} in {progress.validations_since_best} validations"
                )
        self.reporter.draw_curves()
        self.paused += time.perf_counter() - began

    def _begin_interval(self) -> None:
        """Start counting time and losses for the next line of metrics."""
        self.losses: list[float] = []
        self.waited = self.paused = 0.0
        self.interval_began = time.perf_counter()

    # ---------------------------------------------------------------- what it writes

    last_validation = -1
    validation_pending = checkpoint_pending = False
    grad_norm = learning_rate = 0.0

    def _frames(self) -> int:
        return self.progress.step * self.per_step

    def _log(self) -> None:
        seconds = time.perf_counter() - self.interval_began - self.paused
        mean = torch.tensor(self.losses, dtype=torch.float64).mean().to(self.accelerator.device)
        steps_a_second = len(self.losses) / seconds
        values = {
            "loss/train": self.accelerator.reduce(mean, reduction="mean").item(),
            "learning_rate": self.learning_rate,
            "grad_l2_norm": self.grad_norm,
            "weights_l2_norm": l2_norm(self.policy),
            "processed_frames": self._frames(),
            "frames_per_second": steps_a_second * self.per_step,
            "data_wait_share": self.waited / seconds,
            "epoch": self._frames() / (len(self.data.items) * self.args.T),
        }
        if self.accelerator.device.type == "cuda":
            values["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        self.reporter.training(
            self.progress.step, values, (self.total_steps - self.progress.step) / steps_a_second
        )
        self._begin_interval()

    def _checkpoint(self) -> None:
        self.checkpoint_pending = False
        began = time.perf_counter()
        save_checkpoint(self.accelerator, self.checkpoint_dir, self.progress, self.memory)
        self._save_weights("_latest")
        took = time.perf_counter() - began
        self.paused += took
        self.reporter.say(f"Saved the checkpoint of step {self.progress.step} in {duration(took)}")

    def _weights_path(self, kind: str) -> Path:
        return self.out.with_name(f"{self.out.stem}{kind}.weights")

    def _save_weights(self, kind: str) -> None:
        state = self.accelerator.get_state_dict(self.policy)
        if self.is_main:
            save_weights(state, self._weights_path(kind), self._metadata())
        self.accelerator.wait_for_everyone()

    def _metadata(self) -> dict[str, Any]:
        """What stands in the JSON beside weights; its ``model`` part serves as an architecture file."""
        return {
            "model": {"args": {"net": {"args": self.policy_kwargs}, "pi_head_opts": self.pi_head_kwargs}},
            "flags": vars(self.args),
            "data": self.data.provenance,
            "step": self.progress.step,
            "processed_frames": self._frames(),
            "best_val_loss": self.progress.best_val_loss,
            "best_step": self.progress.best_step,
        }
