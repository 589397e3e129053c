"""Other programs run as a user would run them, in processes that end with this one.

Those of this repository end with it however it ends: they are asked by SIGTERM, which their entry points answer by
tidying up (``steve1/cli.py``), and on Linux the kernel asks them where this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal to get when the parent process ends
_STARTER = "STEVE1_STARTER"  # the process that a program ends with
_LOOK_S = 0.05


@dataclass(frozen=True)
class Program:
    """What to run: a command, and what it is called. ``log``: the file that its words are appended to; None: nowhere.

    ``env``: environment variables besides this process's own. Errors go to the log too, or to this process's stderr.
    """

    name: str
    command: Sequence[object]
    log: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True)
class Ended:
    """A program that ended: its exit code (negative: by a signal) and the seconds that it took."""

    program: Program
    code: int
    seconds: float


def run_programs(programs: Iterable[Program], at_once: int = 1) -> Generator[Ended, None, None]:
    """Run them, up to ``at_once`` side by side, begun in their order; yield each as it ends.

    Leaving early (Ctrl-C, a signal, an error, closing the iterator) ends those that run, and waits for their end.
    """
    waiting, running = deque(programs), dict[subprocess.Popen, tuple[Program, float]]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                program = waiting.popleft()
                running[_start(program)] = program, time.monotonic()
            ended = [process for process in running if process.poll() is not None]
            for process in ended:
                program, began = running.pop(process)
                yield Ended(program, process.returncode, time.monotonic() - began)
            if not ended:
                time.sleep(_LOOK_S)
    finally:
        _end(list(running))


def _start(program: Program) -> subprocess.Popen:
    env = {**os.environ, **program.env, _STARTER: str(os.getpid())}
    with contextlib.ExitStack() as opened:
        log: int | object = subprocess.DEVNULL
        if program.log is not None:
            program.log.parent.mkdir(parents=True, exist_ok=True)
            log = opened.enter_context(open(program.log, "a", encoding="utf-8"))
        return subprocess.Popen(
            [str(part) for part in program.command],
            cwd=program.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,  # type: ignore[arg-type]
            stderr=None if program.log is None else subprocess.STDOUT,
        )


def _end(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def end_with_starter() -> None:
    """In a program: be asked to end by SIGTERM when the process that :func:`run_programs` was called in is killed."""
    starter = os.environ.pop(_STARTER, None)
    if starter is not None and starter == str(os.getppid()):
        end_with_parent()


def end_with_parent() -> None:
    """On Linux: get SIGTERM when the parent process ends, however it does."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
