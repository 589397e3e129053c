"""Writing files and folders so that they are either whole or absent: write beside, then rename."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

PARTIAL = ".partial"


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it replaces ``path``, on failure it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
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


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` in UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
