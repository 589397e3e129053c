"""The process that MineRL runs in: started, asked, and ended so that nothing of it is left.

What is asked and answered is ``minerl.py``'s affair; how messages look is told in ``minerl_worker.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from typing import IO, Any

from steve1.cli import UserError
from steve1.envs import minerl_worker
from steve1.envs.minerl_worker import MARK, kill_marked, read_message, write_message
from steve1.envs.telling import WorldLost, say_once

_GRACE_S = 10.0  # for leaving in peace
_SHARED_MEMORY = "/dev/shm"


class WorldProcess:
    """One worker. Anything that goes wrong ends it, whole, and is told as :class:`~steve1.envs.WorldLost`.

    ``python``: its interpreter. ``picture_size``: bytes of the picture that it shares with us.
    """

    def __init__(self, python: str, picture_size: int) -> None:
        if os.name != "posix":
            raise UserError("MineRL is run on Linux or macOS; on Windows use WSL 2, or --env blockworld")
        self._mark = uuid.uuid4().hex
        folder = _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else None
        with contextlib.ExitStack() as opened:
            # A file without a name: two Pythons map it, and it is gone when both are, however they end.
            shared = opened.enter_context(tempfile.TemporaryFile(dir=folder))
            shared.truncate(picture_size)
            self.picture = mmap.mmap(shared.fileno(), picture_size)
            self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
            read_there, self._write = os.pipe()
            opened.callback(os.close, read_there)
            self._read, write_there = os.pipe()
            opened.callback(os.close, write_there)
            files = (read_there, write_there, shared.fileno())
            worker = [
                *("env", f"{MARK}={self._mark}", python, minerl_worker.__file__),
                *("--files", *map(str, files)),
            ]
            display = _display()
            self._wrapped = bool(display)
            self._process = subprocess.Popen(
                [*display, *worker],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.alive = True
        _leave_none_at_exit()
        _living.add(self)

    def ask(self, request: dict[str, Any], within: float) -> dict[str, Any]:
        """The worker's answer.

        Raises WorldLost when it fails or takes over ``within`` seconds, and ModuleNotFoundError when its Python has
        no MineRL 1.0; the worker has then been ended.
        """
        doing = request["do"]
        if not self.alive:
            raise WorldLost(f"MineRL's process has ended; {doing} has no world")
        try:
            write_message(self._write, request)
            answer = read_message(self._read, time.monotonic() + within)
        except TimeoutError:
            raise self._lost(f"MineRL gave no answer to {doing} for {within:g} s") from None
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            raise self._lost(f"MineRL's process {_how_it_ended(self._process)} during {doing}") from None
        except BaseException:
            # Ctrl-C in the middle of a talk: what is half said can't be taken up again.
            self.kill()
            raise
        if "error" in answer:
            lost = self._lost(f"MineRL failed in {doing}: {answer['error']}")
            raise ModuleNotFoundError(answer["error"]) if answer["missing"] else lost
        return answer

    def close(self) -> None:
        """Let the worker close its world, then make sure that nothing of it is left."""
        if self.alive:
            with contextlib.suppress(WorldLost):
                self.ask({"do": "close"}, _GRACE_S)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the worker, Java and all else that it started, at once. Does nothing the second time."""
        if not self.alive:
            return
        self.alive = False
        _living.discard(self)
        kill_marked(self._mark)
        try:
            # xvfb-run takes its display down by itself when the worker is gone.
            self._process.wait(_GRACE_S if self._wrapped else 0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        os.close(self._write)
        os.close(self._read)
        self._log.close()
        self.picture.close()

    def _lost(self, what: str) -> WorldLost:
        said = self._last_words()
        self.kill()
        return WorldLost(f"{what}{f' (its last words: {said})' if said else ''}")

    def _last_words(self) -> str:
        """The end of what worker and Java printed, on one line."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(size - 2000, 0))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        return " | ".join(line for line in lines[-8:] if line)[-400:]


_living: set[WorldProcess] = set()


@functools.cache
def _leave_none_at_exit() -> None:
    def leave_none() -> None:
        for process in list(_living):
            process.kill()

    atexit.register(leave_none)


def _display() -> list[str]:
    """The command that gives the worker a display, where Linux has none; empty where it needs none.

    Raises UserError where a display is needed and can't be had.
    """
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return []
    if shutil.which("xvfb-run") is None:
        raise UserError(
            "MineRL needs a display and $DISPLAY is not set; install xvfb (apt-get install xvfb) and run the same "
            "command again, or put `xvfb-run -a` before it"
        )
    say_once("$DISPLAY is not set, so MineRL is given a display by xvfb-run")
    return ["xvfb-run", "-a", "-s", "-screen 0 1024x768x24"]


def _how_it_ended(process: subprocess.Popen) -> str:
    code = process.poll()
    if code is None:
        return "closed its pipe"
    # A shell in between (xvfb-run) tells of a signal as 128 + its number.
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}" if number > 0 else f"ended with code {code}"
    return f"ended with code {code}"
