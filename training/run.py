"""One run of training: what it holds, and what is done with it as a whole. The loop is in train.py."""

from __future__ import annotations

import argparse
import operator
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map

from steve1.checkpoints import load_model_file, metadata_path, tensors_hash
from steve1.cli import UserError
from steve1.files import hold
from steve1.vpt.recurrence import State
from training.augmentation import augment, draw
from training.checkpointing import (
    Progress,
    check_same_flags,
    checkpoints,
    load_checkpoint,
    read_progress,
    remove_checkpoints,
)
from training.ema import Ema
from training.finiteness import Noted
from training.memory_count import peak_flops, step_flops
from training.meter import Meter, metrics
from training.opening import (
    description,
    feature_cache,
    fill_features,
    load_policy,
    make_accelerator,
)
from training.policy import make_optimizer, scales_of, set_learning_rate, set_weight_decay
from training.reporting import Reporter
from training.resuming import (
    OFF,
    begin_span,
    changeable_flags,
    fixed_flags,
    schedule_from_here,
)
from training.run_data import RunData
from training.saving import Saves
from training.schedule import (
    affordable_items,
    frames_per_step,
    n_validations,
    total_steps,
)
from training.staging import on_device
from training.start_policy import StartPolicy, StartWeights, kl_divergence
from training.validation import TAGS, ema_tag, validate

# A piece of a batch:
# (obs {"img": uint8 [B, t, H, W, 3], "mineclip_embed": [B, t, E]}, actions {name: int [B, t]}, first bool [B, t])
Batch = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]


class Run:
    """One run of training, made from the flags of ``training/train.py``, gone on with where there is a checkpoint.

    Attributes:
        progress: where the run stands: steps, batches, pieces, the best validation. In every checkpoint.
        memory: what the policy remembers of the items at hand; None between batches. In every checkpoint.
        policy, optimizer: prepared by Accelerate; ``plain_policy`` is the policy without its wrapping.
        data: the items to train and validate on.
        total_steps, frames_per_step: the run's length, and frames of a step over all processes.
        schedule: the learning rate as a function of frames.
        ema: the moving average of the weights. start, start_weights: the policy that this one is held near, and its
            weights. features: the kept picture features. Each is None where the flags do not ask for it.
        noted: what the steps since the last update came to.
        due: of "validation" and "checkpoint" what waits for the end of the update.
        saves: what is written, in a thread of its own where that takes long.
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
        self.noted = Noted()
        self.meter = Meter()
        self.accelerator = make_accelerator(args)
        self.is_main = self.accelerator.is_main_process
        self.saves = Saves(self)
        self._check_outputs()

        self.policy_kwargs, self.pi_head_kwargs = load_model_file(args.in_model)
        if args.mineclip_embed_dim is not None:
            self.policy_kwargs["mineclip_embed_dim"] = args.mineclip_embed_dim
        self.data = self._load_data()
        policy, self.trained = load_policy(args, self.policy_kwargs, self.pi_head_kwargs, self.data)
        self.start = StartPolicy(policy).to(self.accelerator.device) if args.kl_to_start else None
        self.start_hash = tensors_hash(policy) if args.kl_to_start or args.l2_to_start else None
        optimizer = make_optimizer(policy, args.weight_decay, scales_of(policy, args.lr_scale))
        self.policy, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.plain_policy = self.accelerator.unwrap_model(self.policy)
        self.policy.train()
        self.ema = Ema(self.policy, args.ema) if args.ema else None
        self.start_weights = StartWeights(self.policy, args.l2_to_start) if args.l2_to_start else None
        self.features, self.features_note = feature_cache(args, self.accelerator, self.plain_policy)

        processes = self.accelerator.num_processes
        self.global_batch = args.batch_size * processes
        self.frames_per_step = frames_per_step(args.trunc_t, args.batch_size, processes)
        self.total_steps = total_steps(args.n_frames, self.frames_per_step, args.gradient_accumulation_steps)
        self._take_up()

    # ---- how it begins ----

    def _check_outputs(self) -> None:
        kinds = ("", "_latest", "_best", *(("_ema", "_ema_latest", "_ema_best") if self.args.ema else ()))
        for kind in kinds:
            metadata_path(self.saves.path(kind))
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
            first_within=self.policy_kwargs.get("recurrence_type") == "multi_masked_lstm",
        )

    def _take_up(self) -> None:
        """Go on from the last checkpoint where there is one; begin to report."""
        if self.is_main:
            self._held = hold(self.checkpoint_dir, "--checkpoint_dir")
        if self.args.reset_checkpoint_dir:  # only now, when all the rest has turned out to be in order
            if self.is_main:
                remove_checkpoints(self.checkpoint_dir)
                shutil.rmtree(self.checkpoint_dir / "logs", ignore_errors=True)
            self.accelerator.wait_for_everyone()
        args, accelerator = self.args, self.accelerator
        flags = fixed_flags(args, accelerator.num_processes, self.data.provenance, self.start_hash)
        self.progress = progress = Progress(flags=flags, val_items=self._affordable_val_items())
        found = checkpoints(self.checkpoint_dir)
        if found:
            self.progress = progress = read_progress(found[-1])
            check_same_flags({**OFF, **progress.flags}, flags, found[-1])
            progress.flags = flags
        self.schedule, change = schedule_from_here(args, progress, self.frames)
        progress.tail = (
            [self.schedule.tail_from, self.schedule.tail_share] if self.schedule.kind == "wsd" else None
        )
        changed = begin_span(progress, changeable_flags(args, accelerator.mixed_precision))
        if found:
            self.memory, start_memory = load_checkpoint(
                accelerator, found[-1], self.start is not None, self.ema
            )
            if self.start is not None:
                self.start.memory = start_memory
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
        return affordable_items(args.val_share, args.n_frames, args.T, often * (2 if args.ema else 1))

    def describe(self) -> None:
        """Say what is trained on what."""
        for line in description(self):
            self.reporter.say(line)
        if self.accelerator.device.type == "cuda" and self.features is None:
            with torch.random.fork_rng():
                self.meter.flops = step_flops(self.policy_kwargs, self.pi_head_kwargs, self.args.freeze)
            self.meter.peak = peak_flops(torch.cuda.get_device_name(self.accelerator.device))

    def prepare_features(self) -> None:
        """Where pictures' features are kept: compute what is missing, and serve them in place of pictures."""
        if self.features is not None:
            fill_features(self, self.features)

    # ---- what the loop asks for ----

    def pieces(self) -> Iterator[Batch]:
        """Batches piece by piece, on this process's device, from where the run stands on, without end.

        Before a batch's first piece the memory is emptied. Augmented where the flags say so.
        """
        args, progress = self.args, self.progress
        begin = progress.batches, progress.piece
        if progress.piece == args.T // args.trunc_t:
            begin = progress.batches + 1, 0
        self.saves.wait()  # the loader's workers fork from this process
        with closing(self.data.train_batches(begin[0] * self.global_batch)) as batches:
            for number, piece, batch in on_device(self._cut(batches, *begin), self.accelerator.device):
                progress.batches, progress.piece = number, piece
                if piece == 0:
                    self.memory = self.plain_policy.initial_state(args.batch_size)
                    if self.start is not None:
                        self.start.memory = None
                if args.augment:
                    place = number * self.global_batch + self.accelerator.process_index * args.batch_size
                    drawn = draw(args.seed, range(place, place + args.batch_size))
                    batch[0]["img"] = augment(batch[0]["img"], drawn)
                yield batch

    def _cut(self, batches: Iterator[Any], number: int, piece: int) -> Iterator[tuple[int, int, Batch]]:
        """Batch after batch, the first of them ``number`` and from ``piece`` on: its number, the piece's, the piece."""
        while True:
            with self.meter.waiting():
                batch = next(batches)
            for place in range(piece, self.args.T // self.args.trunc_t):
                yield number, place, tree_map(operator.itemgetter(place), batch)
            number, piece = number + 1, 0

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the update that follows."""
        self.meter.learning_rate = rate
        set_learning_rate(self.optimizer, rate)

    def pull_to_start(
        self, obs: dict[str, torch.Tensor], first: torch.Tensor, log_probs: dict[str, torch.Tensor]
    ) -> torch.Tensor | float:
        """What ``--kl_to_start`` adds to the loss of a piece of the batch; 0 without it."""
        if self.start is None:
            return 0.0
        with self.accelerator.autocast():
            kl = kl_divergence(self.start.log_probs(obs, first), log_probs)
        self.noted.add("KL to the start", self.progress.step + 1, kl.detach())
        self.meter.kls.append(kl.detach())
        return self.args.kl_to_start * kl

    def note_loss(self, loss: torch.Tensor) -> None:
        """Keep a step's loss, on the device, for the check before the update and for the next line of metrics."""
        self.noted.add("loss", self.progress.step + 1, loss.detach())
        self.meter.losses.append(loss.detach())

    def check_finite(self, grad_norm: torch.Tensor) -> None:
        """Before an update: raises NonFinite where a loss of its steps, or its gradient, is no number."""
        self.meter.grad_norm = self.noted.check(
            self.progress.step + 1,
            grad_norm,
            skips=self.accelerator.scaler is not None,
            remedy=f"the last good weights are {self.saves.path('_latest')} and the checkpoint in "
            f"{self.checkpoint_dir}; lower --learning_rate, or use bf16 in place of fp16",
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
        self.reporter.training(self.progress.step, *metrics(self))
        self.meter.begin()

    def validate(self) -> None:
        """Measure the validation losses, and keep the weights where they are the best so far."""
        if self.data.validation is None:
            return
        progress = self.progress
        if self.args.num_workers:  # which fork
            with self.meter.pausing():
                self.saves.wait()
        self.reporter.say(f"Running validation at step {progress.step}...")
        with self.meter.validating():
            losses = self._losses()
            if self.ema is not None:
                with self.ema.in_place():
                    losses |= {ema_tag(tag): loss for tag, loss in self._losses().items()}
        with self.meter.pausing():
            self.last_validation = progress.step
            self.reporter.validation(progress.step, losses, self.frames)
            if self.args.save_each_val:
                self.saves.weights(f"_step_{progress.step}")
            deciding = TAGS["right"] + (f"/{self.args.best_by}" if self.args.best_by else "")
            self._compare_with_best(losses[deciding])
            if self.ema is not None:
                self._compare_average(losses[ema_tag(deciding)])
            self.reporter.draw_curves()

    def _losses(self) -> dict[str, float]:
        return validate(self.accelerator, self.policy, self.data.validation_part())

    def _compare_with_best(self, loss: float) -> None:
        progress, say = self.progress, self.reporter.say
        if progress.best_val_loss is None or loss < progress.best_val_loss:
            progress.best_val_loss, progress.best_step = loss, progress.step
            progress.validations_since_best = 0
            if progress.step:
                say(f"New best validation loss: {loss:.3f}, saving best val model weights...")
            self.saves.weights("_best")  # the start's too: what comes after has to be better than that
            return
        progress.validations_since_best += 1
        if self._stopped_early():
            say(
                f"Stopping early: no better validation loss than {progress.best_val_loss:.3f} of step "
                f"{progress.best_step} in {progress.validations_since_best} validations"
            )

    def _compare_average(self, loss: float) -> None:
        progress = self.progress
        if progress.best_ema_loss is None or loss < progress.best_ema_loss:
            progress.best_ema_loss, progress.best_ema_step = loss, progress.step
            self.saves.average("_best")

    # ---- how it ends ----

    def end(self) -> None:
        """Validate, save and say what has become of it."""
        progress = self.progress
        if self.last_validation != progress.step:
            self.validate()
        self.saves.checkpoint()
        self.saves.weights("")
        self.saves.finish()
        best = ""
        if progress.best_val_loss is not None:
            best = f", best validation loss {progress.best_val_loss:.3f} at step {progress.best_step}"
            if progress.best_step == 0:
                best += (
                    f", its start: no validation was better, so {self.saves.path('_best')} holds the weights that it "
                    "began with"
                )
        if progress.best_ema_loss is not None:
            best += f"; of the average {progress.best_ema_loss:.3f} at step {progress.best_ema_step}"
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
            self.saves.weights("")
            self.saves.finish()
        self.reporter.close()

    def leave(self, number: int | None) -> None:
        """End the process because of a signal, when the checkpoint that was saved is whole."""
        self.saves.finish()
        name = signal.Signals(number).name if number else "a signal to another process"
        self.reporter.say(f"Stopped by {name} at step {self.progress.step}; run the same command to go on")
        self.reporter.close()
        raise SystemExit(128 + (number or signal.SIGTERM))
