"""Stopping a run when it is asked to: between updates, with everything saved."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import signal
from typing import Any

from steve1.programs import end_with_parent

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def ignore_stop_signals(_worker: int) -> None:
    """Leave stopping to the training process: signals sent to the whole group reach its data loaders too."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@functools.cache
def end_workers_at_exit() -> None:
    """Kill what data loaders are left when this process ends.

    Python would ask them by SIGTERM, which they ignore, and wait for ever; that is where an error leaves loaders
    alive.
    """
    atexit.register(_kill_children)


def _kill_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report each as a failed worker
    for child in multiprocessing.active_children():
        child.kill()


class StopRequest:
    """Notes SIGTERM, SIGINT and SIGUSR1 (SLURM's warning) while it is entered; a second SIGINT interrupts.

    On Linux the end of the launching process (``accelerate launch``, which does not pass signals on) counts as
    a SIGTERM.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def _note(self, number: int, _frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        launched = "ACCELERATE_MIXED_PRECISION" in os.environ  # which accelerate launch sets
        if launched:
            end_with_parent()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
