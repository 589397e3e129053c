"""Finding the files of recordings in a user's folders, however they are named, linked and nested."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from data.generation.sources import Entry, printable

VIDEO_SUFFIXES = (
    *(
        ".mp4",
        ".mkv",
        ".webm",
        ".mov",
        ".avi",
        ".m4v",
        ".flv",
        ".ts",
        ".m2ts",
        ".mts",
        ".mpg",
        ".mpeg",
        ".wmv",
    ),
    *(".3gp", ".ogv", ".f4v"),
)
MAX_NAME = 200  # bytes of an episode's name: a folder's may have 255, and files beside it are longer

SomeEntry = TypeVar("SomeEntry", bound=Entry)


def walk(root: str | os.PathLike) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder at or below ``root`` with the sorted names of its files; hidden ones are left out.

    Links are followed. A folder that several links lead to is yielded once, under its own name where it lies below
    ``root`` itself; so a link to a folder around it is no loop.
    """
    seen: set[tuple[int, int]] = set()
    links = [Path(root)]
    while links:
        found: list[Path] = []
        for link in links:
            yield from _below(link, seen, found)
        links = found


def _below(folder: Path, seen: set[tuple[int, int]], links: list[Path]) -> Iterator[tuple[Path, list[str]]]:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    names, folders = [], []
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    except PermissionError:
        print(f"{printable(str(folder))} may not be read, so what is in it is left out", file=sys.stderr)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            names.append(entry.name)
        elif entry.is_symlink():
            links.append(Path(entry.path))  # what lies here under its own name comes first
        else:
            folders.append(Path(entry.path))
    yield folder, names
    for each in folders:
        yield from _below(each, seen, links)


def is_video(name: str) -> bool:
    """Whether a file's name is a video's."""
    return os.path.splitext(name.rstrip())[1].lower() in VIDEO_SUFFIXES


def stem_of(name: str) -> str:
    """A file's name without its ending."""
    return os.path.splitext(name.rstrip())[0]


def episode_name(name: str) -> str:
    """The name of the episode's folder for a recording's name: text on one line that lists can hold.

    Spaces around it go; bytes that are no UTF-8, and control characters, become ``%XX``.
    """
    cleaned = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]",
        lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])),
        name.strip(" "),
    )
    return (
        cleaned
        if cleaned and cleaned[0] not in ".#"
        else f"%{ord(cleaned[0]) if cleaned else 32:02X}{cleaned[1:]}"
    )


def with_name_problems(entries: Sequence[SomeEntry], where: dict[int, str]) -> list[SomeEntry]:
    """The entries, with a problem where two have one name, or a name is too long. ``where``: the file of each."""
    of_name: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        of_name.setdefault(entry.name, []).append(i)
    checked = list(entries)
    for name, places in of_name.items():
        if len(places) > 1:
            files = " and ".join(where[i] for i in places)
            problem = f"{files} would make the same episode, {name}; rename one"
        elif len(os.fsencode(name)) > MAX_NAME:
            problem = f"{where[places[0]]} would make an episode whose name is too long; rename it"
        else:
            continue
        for i in places:
            checked[i] = replace(entries[i], problem=problem)
    return checked
