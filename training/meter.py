"""What is counted from one line of metrics to the next: losses, the last update, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Meter:
    """Counts from one line of metrics to the next.

    Attributes:
        losses: of the steps since the last line, nats a frame.
        grad_norm, learning_rate: of the last update.
        waited: seconds in which the process waited for a batch.
        paused: seconds of validations and checkpoints, which are no part of the steps' time.
    """

    grad_norm = learning_rate = 0.0

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start counting anew."""
        self.losses: list[float] = []
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

    @property
    def seconds(self) -> float:
        """Seconds that the steps took."""
        return time.perf_counter() - self._began - self.paused

    def mean_loss(self) -> torch.Tensor:
        """The mean of this process's losses, float64."""
        return torch.tensor(self.losses, dtype=torch.float64).mean()
