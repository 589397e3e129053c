"""Files and folders that are either whole or absent (write beside, then rename); users' texts as editors save them."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, Any

from steve1.cli import UserError

PARTIAL = ".partial"


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike, before: Callable[[], object] | None = None) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it replaces ``path``, on failure it is removed.

    ``before`` is called when all is on the disk and only the rename is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        if before is not None:
            before()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a new folder beside ``path``; on success it takes ``path``'s place, on failure it is removed.

    What a killed process left half-written for the same ``path`` is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(path)
    partial = _beside(path)
    partial.mkdir()
    try:
        yield partial
        old = None
        if path.exists():
            old = _beside(path)
            os.rename(path, old)
        os.rename(partial, path)
        if old is not None:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partials(path: str | os.PathLike) -> None:
    """Remove what a killed process left half-written for the file or folder ``path``."""
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????{PARTIAL}"):
        _remove(leftover)


def sweep(folder: str | os.PathLike, names: Container[str]) -> None:
    """As :func:`remove_partials` for all files and folders of ``folder`` that ``names`` holds, in one look."""
    if os.path.isdir(folder):
        for leftover in list(Path(folder).iterdir()):
            match = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(PARTIAL)}", leftover.name)
            if match and match[1] in names:
                _remove(leftover)


def _remove(leftover: Path) -> None:
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)


def hold(folder: str | os.PathLike, flag: str) -> IO[bytes]:
    """Take ``folder``, given by ``flag``, for this process alone, until the open file that is returned is closed.

    The system lets go of it with the process, and workers forked from it don't keep it. Raises :class:`UserError`
    where another process has it; where the file system has no locks, it is not known whether one has.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "wb")  # noqa: SIM115 - it is what is held
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in (errno.EACCES, errno.EAGAIN):
            lock.close()
            raise UserError(
                f"{flag} {folder} is in use by another run; wait for its end, or give another folder"
            ) from None
    return lock


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` in UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


# What editors write before a text to say how it is coded. UTF-32's begins as UTF-16's does, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: str | os.PathLike) -> str:
    """A text file that a user brings, as any editor saves it: UTF-8, or UTF-16 and UTF-32, with a mark or without.

    The mark is no part of the text, and every line ends with ``\\n``. Other codings can't be told from each other
    (a GBK file is a Latin-1 file too), so they are refused: :class:`~steve1.cli.UserError` names the file and line.
    """
    content = Path(path).read_bytes()
    coding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if coding is None:
        coding = _unmarked(content)
    try:
        text = content.decode(coding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: it is no {coding.upper()} text (byte {content[error.start]:#04x}); save the file as "
            "UTF-8 in your editor"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_object(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON object in a file; raises :class:`~steve1.cli.UserError` where there is none."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); mend it or make it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, where a JSON object is needed")
    return content


def _unmarked(content: bytes) -> str:
    """UTF-8, but for a text whose ASCII letters have a zero byte beside them."""
    start = content[:200]
    if b"\0" in start:
        even, odd = start[0::2].count(0), start[1::2].count(0)
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"
