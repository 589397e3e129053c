"""A world that fails on command, and processes that die on command; for the tests of what plays and writes episodes."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tiny_agent import PictureWorld

from data import episode_writer as episode_module


class World(PictureWorld):
    """Fails as told: ``{episode seed: step at which it raises}``, each of them once."""

    made = 0
    crashes: dict[int, int] = {}  # noqa: RUF012
    length_of: dict[int, int] = {}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.broken = False

    def reset(self):
        assert not self.broken
        self.length = self.length_of.get(self._seed, 10**9)
        return super().reset()

    def step(self, action):
        assert not self.broken
        if self.crashes.get(self._seed) == len(self.actions):
            del self.crashes[self._seed]
            self.broken = True
            raise EOFError("the Java process died")
        return super().step(action)

    def close(self):
        if self.broken:
            raise OSError("nobody is there")


def content(folder):
    """Every byte of every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(main: Callable[[], None], moment: str, patch: Callable[[], None] = lambda: None) -> None:
    """Run ``main`` in a process that dies while it writes its second episode.

    ``moment``: "before metadata" or "after metadata" of that episode (its last file); anything else is up to
    ``patch``, which is called in that process and may arrange for :func:`kill`.
    """

    def run():
        written = 0
        write_json = episode_module.write_json

        def counted(path, value):
            nonlocal written
            written += 1
            if moment == "before metadata" and written == 2:
                kill()
            write_json(path, value)
            if moment == "after metadata" and written == 2:
                kill()

        episode_module.write_json = counted
        patch()
        main()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
