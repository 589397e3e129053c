"""The process that a game runs in: started, asked, and ended so that nothing of it is left.

What is asked and answered is ``worker_env.py``'s affair; how messages look is told in ``world_worker.py``.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from steve1.cli import UserError
from steve1.envs import world_worker
from steve1.envs.game_python import Game
from steve1.envs.telling import WorldLost, say_once
from steve1.envs.world_worker import FOLDER, MARK, kill_marked, read_message, write_message

_GRACE_S = 10.0  # for leaving in peace
_SHARED_MEMORY = "/dev/shm"


class WorldProcess:
    """One worker. Anything that goes wrong ends it, whole, and is told as :class:`~steve1.envs.WorldLost`.

    ``python``: its interpreter. ``picture_size``: bytes of the picture that it shares with us. ``prepare``: given
    the world's own folder, which goes with the process, returns what to put into the worker's environment.
    ``display``: the command that gives the worker a display, or nothing.
    """

    def __init__(
        self,
        game: Game,
        python: str,
        picture_size: int,
        prepare: Callable[[Path], dict[str, str]],
        display: Sequence[str],
    ) -> None:
        self._game, self._mark = game, uuid.uuid4().hex
        self._asked: tuple[str, float, float] | None = None
        self._folder = tempfile.mkdtemp(prefix=f"steve1-{game.name}-")
        try:
            self._launch(python, picture_size, prepare(Path(self._folder)), display)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.alive = True
        _leave_none_at_exit()
        _living.add(self)

    def _launch(
        self, python: str, picture_size: int, variables: dict[str, str], display: Sequence[str]
    ) -> None:
        script = Path(world_worker.__file__).with_name(f"{self._game.name}_worker.py")
        variables = {**variables, MARK: self._mark, FOLDER: self._folder}
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
                *("env", *(f"{name}={value}" for name, value in variables.items())),
                *(python, str(script), "--files", *map(str, files)),
            ]
            self._wrapped = bool(display)
            self._process = subprocess.Popen(
                [*display, *worker],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, request: dict[str, Any], within: float) -> None:
        """Ask something; :meth:`receive` gives the answer. What was asked before and not received is left unread.

        Raises WorldLost when the worker is gone.
        """
        doing = request["do"]
        if not self.alive:
            raise WorldLost(f"{self._game.title}'s process has ended; {doing} has no world")
        self._asked = (doing, within, time.monotonic() + within)
        try:
            write_message(self._write, request)
        except OSError:
            raise self._gone(doing) from None
        except BaseException:
            self.kill()  # half asked
            raise

    def receive(self) -> dict[str, Any]:
        """The worker's answer to what was sent.

        Raises WorldLost when it fails or takes over ``within`` seconds, and ModuleNotFoundError when its Python has
        not the game; the worker has then been ended.
        """
        assert self._asked is not None, "nothing was sent"
        (doing, within, deadline), self._asked = self._asked, None
        if not self.alive:
            raise WorldLost(f"{self._game.title}'s process has ended; {doing} has no world")
        try:
            # An answer that came while others were waited for is read, however late that is.
            answer = read_message(self._read, max(deadline, time.monotonic() + min(within, 1.0)))
        except TimeoutError:
            raise self._lost(f"{self._game.title} gave no answer to {doing} for {within:g} s") from None
        except (EOFError, OSError):
            raise self._gone(doing) from None
        except BaseException:
            # Ctrl-C in the middle of a talk: what is half said can't be taken up again.
            self.kill()
            raise
        if "error" in answer:
            lost = self._lost(f"{self._game.title} failed in {doing}: {answer['error']}")
            raise ModuleNotFoundError(answer["error"]) if answer["missing"] else lost
        return answer

    def ask(self, request: dict[str, Any], within: float) -> dict[str, Any]:
        """:meth:`send` and :meth:`receive`."""
        self.send(request, within)
        return self.receive()

    @property
    def waited_for(self) -> bool:
        """Whether something was sent whose answer was not received."""
        return self._asked is not None

    def _gone(self, doing: str) -> WorldLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        return self._lost(f"{self._game.title}'s process {_how_it_ended(self._process)} during {doing}")

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
        shutil.rmtree(self._folder, ignore_errors=True)

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


def check_platform(game: Game) -> None:
    """Raise UserError where no game can be run."""
    if os.name != "posix":
        raise UserError(f"{game.title} is run on Linux or macOS; on Windows use WSL 2, or --env blockworld")


def display_of(game: Game, rather_own: bool, options: Sequence[str] = ()) -> list[str]:
    """The command that gives a worker a display, where Linux has none; empty where it needs none.

    ``rather_own``: whether a display of its own is taken where ``$DISPLAY`` names one. ``options``: of xvfb-run.
    Raises UserError where a display is needed and can't be had.
    """
    if not sys.platform.startswith("linux"):
        return []
    there, own = bool(os.environ.get("DISPLAY")), shutil.which("xvfb-run")
    if there and not (rather_own and own):
        return []
    if own is None:
        raise UserError(
            f"{game.title} needs a display and $DISPLAY is not set; install xvfb (apt-get install xvfb) "
            "and run the same command again, or put `xvfb-run -a` before it"
        )
    if not there:
        say_once(f"$DISPLAY is not set, so {game.title} is given a display by xvfb-run")
    return ["xvfb-run", "-a", *options]


def _how_it_ended(process: subprocess.Popen) -> str:
    code = process.poll()
    if code is None:
        return "closed its pipe"
    # A shell in between (xvfb-run) tells of a signal as 128 + its number.
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}" if number > 0 else f"ended with code {code}"
    return f"ended with code {code}"
