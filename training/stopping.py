"""Stopping a run when it is asked to: between updates, with everything saved."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal to get when the parent process ends
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def ignore_stop_signals(_worker: int) -> None:
    """Leave stopping to the training process: signals sent to the whole group reach its data loaders too."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


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
        if launched and sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
