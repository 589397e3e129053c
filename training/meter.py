"""What is counted from one line of metrics to the next: losses, the last update, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from training.policy import l2_norm

if TYPE_CHECKING:
    from training.run import Run


class Meter:
    """Counts from one line of metrics to the next.

    Attributes:
        losses: of the steps since the last line, nats a frame, wherever they were computed. kls: likewise, from the
            start, where it is measured.
        grad_norm, learning_rate: of the last update.
        waited: seconds in which the process waited for a batch.
        paused: seconds of validations and checkpoints, which are no part of the steps' time.
        flops, peak: floating-point operations of a step for one frame, and those that the card can do in a second; None
            where they are not known.
        validated: seconds of validations since the process began to train; never counted anew.
    """

    grad_norm = learning_rate = 0.0
    flops: float | None = None
    peak: float | None = None

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """The training begins now."""
        self._started, self.validated = time.perf_counter(), 0.0
        self.begin()

    def begin(self) -> None:
        """Count anew, for the next line."""
        self.losses: list[torch.Tensor] = []
        self.kls: list[torch.Tensor] = []
        self.waited = self.paused = 0.0
        self._began = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside counts as waiting for data."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Time inside does not count as steps."""
        began = time.perf_counter()
        yield
        self.paused += time.perf_counter() - began

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time inside is a validation's."""
        began = time.perf_counter()
        with self.pausing():
            yield
        self.validated += time.perf_counter() - began

    @property
    def validation_share(self) -> float:
        """Share of the time since the start that validations took."""
        return self.validated / (time.perf_counter() - self._started)

    @property
    def seconds(self) -> float:
        """Seconds that the steps took."""
        return time.perf_counter() - self._began - self.paused

    def mean_loss(self) -> torch.Tensor:
        """The mean of this process's losses, float64."""
        return torch.stack(self.losses).double().mean()

    def mean_kl(self) -> torch.Tensor:
        """The mean of this process's KLs to the start, float64."""
        return torch.stack(self.kls).double().mean()


def metrics(run: Run) -> tuple[dict[str, float], float]:
    """A line of training metrics by TensorBoard tag, over the steps since the last one, and the seconds left."""
    meter, accelerator = run.meter, run.accelerator
    mean = accelerator.reduce(meter.mean_loss(), reduction="mean").item()
    seconds = meter.seconds  # only now have the steps been computed
    steps_a_second = len(meter.losses) / seconds
    values = {
        "loss/train": mean,
        "learning_rate": meter.learning_rate,
        "grad_l2_norm": meter.grad_norm,
        "weights_l2_norm": l2_norm(run.policy.parameters()),
        "processed_frames": run.frames,
        "frames_per_second": steps_a_second * run.frames_per_step,
        "data_wait_share": meter.waited / seconds,
        "pause_share": meter.paused / (seconds + meter.paused),
        "validation_share": meter.validation_share,
        "epoch": run.frames / (len(run.data.items) * run.args.T),
    }
    if run.start is not None:
        values["loss/kl_to_start"] = accelerator.reduce(meter.mean_kl(), reduction="mean").item()
    if run.start_weights is not None:
        values["l2_to_start"] = run.start_weights.distance()
    if accelerator.device.type == "cuda":
        values["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if meter.flops and meter.peak:
        here = values["frames_per_second"] / accelerator.num_processes
        values["mfu"] = here * meter.flops / meter.peak
    left = (run.total_steps - run.progress.step) / steps_a_second / (1 - meter.validation_share)
    return values, left
