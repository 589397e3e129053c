"""Where contractor recordings are, and bringing one here: index files, local folders, downloads.

Knows nothing of episodes. What is downloaded lies in a cache folder until :func:`discard` removes it.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from steve1.cli import UserError

BASE_URL = "https://openaipublic.blob.core.windows.net/minecraft-rl/snapshots/"
INDICES = {
    "6.x": "all_6xx_Jun_29.json",
    "7.x": "all_7xx_Apr_6.json",
    "8.x": "all_8xx_Jun_29.json",
    "9.x": "all_9xx_Jun_29.json",
    "10.x": "all_10xx_Jun_29.json",
}
RETRY_SECONDS = 1.0  # before the first retry of a download, doubled for each further one


@dataclass(frozen=True)
class Source:
    """Where a recording's two files are: addresses, or paths (``remote`` False)."""

    name: str
    video: str
    actions: str
    remote: bool


class Unreachable(Exception):
    """A download failed for a reason that may pass."""


class Stopped(Exception):
    """A download was told to stop; what has arrived is kept for the next run."""


def read_index(path: str | os.PathLike) -> list[Source]:
    """The recordings of an index file ``{"basedir": address or folder, "relpaths": [...]}``, in its order."""
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
        basedir, relpaths = index["basedir"], index["relpaths"]
        if not isinstance(basedir, str) or not all(isinstance(relpath, str) for relpath in relpaths):
            raise TypeError("basedir or relpaths")
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f'{path} is no index of recordings: it should be JSON {{"basedir": "...", "relpaths": ["..."]}}; '
            "remove it to download it again, or name another"
        ) from None
    remote = basedir.startswith(("http://", "https://"))
    sources: dict[str, Source] = {}
    for relpath in relpaths:
        # Addresses are joined as the published code does: basedir ends with a slash.
        video = f"{basedir.rstrip('/')}/{relpath.lstrip('/')}"
        name = PurePosixPath(relpath).stem
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
            raise UserError(
                f"{path} lists {relpath!r}, which is no recording's name; mend or remove that entry"
            )
        # A recording that is listed twice is one recording: its files and its episode have one name.
        sources.setdefault(name, Source(name, video, video.removesuffix(".mp4") + ".jsonl", remote))
    return list(sources.values())


def in_folder(local_dir: str | os.PathLike, names: Sequence[str] | None = None) -> list[Source]:
    """The recordings NAME.mp4 with NAME.jsonl at or below a folder; of an index's ``names`` alone if given."""
    videos = {
        path.stem: path for path in sorted(Path(local_dir).rglob("*.mp4")) if not path.name.startswith(".")
    }
    wanted = sorted(videos) if names is None else names
    missing = Path(local_dir)
    paths = {name: videos.get(name, missing / f"{name}.mp4") for name in wanted}
    return [Source(name, str(path), str(path.with_suffix(".jsonl")), False) for name, path in paths.items()]


def obtain(source: Source, cache: Path, stop: threading.Event | None = None) -> tuple[Path, Path]:
    """The recording's video and lines as local files, downloaded where they are remote.

    Raises :class:`~steve1.download.NotFound`; :class:`Unreachable` when it may work later; :class:`Stopped`
    soon after ``stop`` was set.
    """
    from steve1.download import NotFound, fetch

    if not source.remote:
        for local in (source.video, source.actions):
            if not os.path.isfile(local):
                raise NotFound(f"{local} does not exist")
        return Path(source.video), Path(source.actions)
    told = stop or threading.Event()

    def look(_have: int = 0, _total: int | None = None) -> None:
        if told.is_set():
            raise Stopped(source.name)

    def wait(seconds: float) -> None:
        told.wait(seconds)
        look()

    video, actions = cached(source, cache)
    try:
        # The small file first: where it is missing, the large one need not come.
        for address, path in ((source.actions, actions), (source.video, video)):
            look()
            fetch(address, path, delay=RETRY_SECONDS, sleep=wait, progress=look)
    except NotFound:
        raise
    except UserError as error:
        raise Unreachable(str(error)) from None
    return video, actions


def cached(source: Source, cache: Path) -> tuple[Path, Path]:
    """Where a remote recording's files lie while they are converted."""
    return cache / f"{source.name}.mp4", cache / f"{source.name}.jsonl"


def discard(source: Source, cache: Path) -> None:
    """Remove what was downloaded of a recording; local recordings are not touched."""
    if source.remote:
        for path in cached(source, cache):
            path.unlink(missing_ok=True)
