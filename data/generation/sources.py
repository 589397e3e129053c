"""What a source of episodes is: it lists what there is and says how each is opened; data/generation/convert.py drives.

A source decides nothing: what exists, what is too short, what failed before and whether it is tried again is the
driver's. A source and its entries are pickled into the processes that do the work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from steve1.cli import UserError

LABELLED = "inverse dynamics model"  # where a recording's actions are from, in metadata.json: a guess
# The machine's trouble, not that of the file which was being read.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR}


@dataclass(frozen=True)
class Entry:
    """One of what a source lists: the name of its episode, and whether it has to be fetched first.

    ``problem``: a sentence where it can't be opened as it lies there.
    """

    name: str
    remote: bool = False
    problem: str = ""

    def state(self) -> Any:
        """What it is read from, as JSON: where it is equal and the settings are, it comes out the same."""
        return self.name

    def most_frames(self) -> int:
        """At most how many frames it makes, as far as that is known without reading it."""
        return 0


class Piece(Protocol):
    """A stretch of frames that becomes one episode, ``name``. ``expected`` frames at most, where that is known."""

    name: str
    expected: int

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the pictures, uint8 [H, W, 3] RGB."""

    def finish(self, n: int) -> tuple[dict, dict]:
        """The actions of the n frames, and the metadata; asked for when the frames have ended."""

    def told(self, n: int | None) -> Told:
        """What is to be said about it, asked for last: ``n`` frames are stored, None where they were too few."""


@dataclass
class Told:
    """``said``: of the episode, behind its number of frames. ``warnings``: what can't be used. ``dropped``: reason
    -> frames. ``cuts``: reason -> how many in the episode, None where its lines don't tell. ``labelled``: its actions
    are a model's guess. ``outside``: what failed although nothing is wrong with the entry (a world that was lost)."""

    said: str = ""
    warnings: tuple[str, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    cuts: tuple[tuple[str, int | None], ...] = ()
    labelled: bool = False
    outside: str = ""


class Source:
    """Lists entries and opens them. ``what``: the word for them."""

    what = "recordings"
    empty = "nothing was found to convert"  # the error where nothing is listed
    wanted = 0  # of the entries to have episodes of; 0: all
    repeats = True  # an entry that is opened again comes out the same
    downloads = 0  # entries that are fetched ahead of those under way
    most_outside_failures = 0  # so many failures outside in a row end the run; 0: any number may occur

    def entries(self) -> list[Entry]:
        """What there is, in the order in which it is to be converted."""
        raise NotImplementedError

    def left_out(self) -> dict[str, int]:
        """What :meth:`entries` had to leave out and said: reason -> how many."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The flags that decide how an entry is read, as JSON."""
        return {}

    def check(self, entry: Entry, metadata: dict, path: Path) -> None:
        """Raise UserError where the episode ``path`` that is there was made with other settings, and
        :class:`Blocked` where it was made of something else."""

    def whole(self, entry: Entry, metadata: dict) -> bool:
        """Whether the episode that is there is all that the entry makes."""
        return True

    def fetch(self, entry: Entry, stop: threading.Event | None = None) -> Entry:
        """Bring the entry's files here; returns the entry as it lies here."""
        return entry

    def discard(self, entry: Entry) -> None:
        """Remove what :meth:`fetch` brought."""

    def gave_up(self, failures: int, last: str) -> str:
        """The sentence that ends a run with so many failures outside in a row."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Load what opening needs; called once in each process that does the work."""

    def pieces(self, entry: Entry, stored: Callable[[str], dict | None]) -> Iterator[Piece | Told]:
        """Open an entry. ``stored(name)`` is the metadata of an episode that is there, None where there is none;
        what is to be said of one that is there may be yielded in place of a piece.

        Raises :class:`Broken` where the entry itself can't be used.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what :meth:`prepare` loaded."""


class Broken(Exception):
    """An entry can't be used, and it is its own fault; the message says why."""


class Blocked(Exception):
    """Where an entry's episode should be there is something else; the message says what."""


class Missing(Exception):
    """An entry's files are not there."""


class Unreachable(Exception):
    """An entry can't be had for a reason that may pass."""


@contextlib.contextmanager
def blamed() -> Iterator[None]:
    """What goes wrong in the block is the fault of the recording that is read in it, but for the machine's trouble."""
    try:
        yield
    except UserError as error:
        raise Broken(str(error)) from None
    except MemoryError:
        raise
    except OSError as error:
        if error.errno in _MACHINE:
            raise
        raise Broken(f"{error.filename or 'a file'} can't be read ({error.strerror}); check it") from None


def blamed_frames(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames, where :func:`blamed` holds for reading them and not for what is done with them."""
    while True:
        with blamed():
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def file_state(path: str | os.PathLike | None) -> Any:
    """A local file's size and time of change, as JSON; None where there is none."""
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        return None
    return None if found is None else [found.st_size, found.st_mtime_ns]


def printable(text: str) -> str:
    """A text whose file names may not be UTF-8, as one that can be printed and written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
