"""Recordings, a video and its lines of actions each, as a source's entries; where OpenAI's are, and fetching one."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from data.generation.disk_space import MAX_FRAMES, frames_of_lines
from data.generation.folders import episode_name, is_video, stem_of, walk, with_name_problems
from data.generation.sources import (
    Blocked,
    Entry,
    Missing,
    Told,
    Unreachable,
    blamed_frames,
    file_state,
    printable,
)
from steve1.cli import UserError

if TYPE_CHECKING:
    from data.action_lines import ActionLines
    from data.contractor import Recording

BASE_URL = "https://openaipublic.blob.core.windows.net/minecraft-rl/snapshots/"
INDICES = {
    "6.x": "all_6xx_Jun_29.json",
    "7.x": "all_7xx_Apr_6.json",
    "8.x": "all_8xx_Jun_29.json",
    "9.x": "all_9xx_Jun_29.json",
    "10.x": "all_10xx_Jun_29.json",
    # BASALT 2022: every recording shows one task.
    "FindCave": "find-cave-Jul-28.json",
    "MakeWaterfall": "waterfall-Jul-28.json",
    "MakeVillageAnimalPen": "pen-animals-Jul-28.json",
    "BuildVillageHouse": "build-house-Jul-28.json",
}
TASKS = {
    "FindCave": "find a cave",
    "MakeWaterfall": "make a waterfall",
    "MakeVillageAnimalPen": "build an animal pen",
    "BuildVillageHouse": "build a house",
}
RETRY_SECONDS = 1.0  # before the first retry of a download, doubled for each further one


@dataclass(frozen=True)
class Recorded(Entry):
    """A recording's files: paths, or addresses where it is ``remote``. ``origin``: where the video came from.

    ``options``: where the recorder's own options may lie. ``about``: what ``run_interactive.py`` notes of it.
    """

    video: str = ""
    actions: str | None = None
    options: str | None = None
    origin: str = ""
    about: str | None = None

    def state(self) -> Any:
        files = [path for path in (self.video, self.actions, self.options, self.about) if path is not None]
        return files if self.remote else {printable(path): file_state(path) for path in files}

    def most_frames(self) -> int:
        if self.remote:
            return MAX_FRAMES
        return frames_of_lines(self.actions) if self.actions is not None else 0

    def bytes(self) -> dict[str, int] | None:
        """The sizes of a local recording's files."""
        if self.remote:
            return None
        files = {"video": self.video, "actions": self.actions}
        return {key: os.path.getsize(path) for key, path in files.items() if path and os.path.isfile(path)}


class RecordingPiece:
    """A recording as one episode. ``in_menu``: lines that :func:`without_closing_menu` took off."""

    def __init__(
        self,
        name: str,
        recording: Recording,
        metadata: dict,
        labelled: bool = False,
        in_menu: int = 0,
    ) -> None:
        self._in_menu = in_menu
        self.name, self._recording, self._metadata, self._labelled = name, recording, metadata, labelled
        self.expected = len(recording.actions.kept)

    def frames(self) -> Iterator[np.ndarray]:
        return blamed_frames(self._recording.frames())

    def finish(self, n: int) -> tuple[dict, dict]:
        actions = self._recording.actions
        its = self._recording
        known = {
            "recorded_frames": actions.n_lines,
            "warnings": [printable(warning) for warning in its.warnings],
            "resampled_to_20_hz": its.pairing["resampled"],
            "cuts": [cut for cut in its.cuts if cut < n],
            "cuts_by": self._cuts_by(n),
            "pairing": its.pairing,
            "decoder": its.decoder,
        }
        return {key: values[:n] for key, values in actions.env_actions.items()}, {**self._metadata, **known}

    def _cuts_by(self, n: int) -> dict[str, list[int]]:
        return {reason: [cut for cut in cuts if cut < n] for reason, cuts in self._recording.cuts_by.items()}

    def told(self, n: int | None) -> Told:
        warnings = tuple(self._recording.warnings)
        if n is None:
            return Told(warnings=warnings)
        from data.contractor import NULL
        from data.line_cuts import REASONS

        cuts: dict[str, int | None] = {
            **dict.fromkeys(REASONS),
            **{k: len(v) for k, v in self._cuts_by(n).items()},
        }
        dropped = {**self._recording.dropped, "in the closing menu": self._in_menu}
        dropped[NULL] -= self._in_menu
        return Told(
            warnings=warnings,
            dropped=tuple(dropped.items()),
            cuts=tuple(cuts.items()),
            labelled=self._labelled,
        )


def without_closing_menu(actions: ActionLines) -> tuple[ActionLines, int]:
    """The actions without the press of ESC that ends an episode and the menu behind it; and how many lines those are.

    BASALT's players ended every episode so. A screen that is open at the end for another reason stays.
    """
    escape = actions.env_actions["ESC"].astype(bool)
    stop = len(actions.kept)
    while stop and actions.cursor[stop - 1] is not None:
        stop -= 1
    # The screen is open on the line of the press, or on the next.
    if not escape[max(0, stop - 1) : stop + 1].any():
        return actions, 0
    while stop and escape[stop - 1]:
        stop -= 1
    return actions.rows(range(stop)), len(actions.kept) - stop


def made_otherwise(entry: Recorded, settings: dict[str, Any], metadata: dict, path: Path) -> None:
    """Raise UserError where the episode ``path`` was made with other settings, Blocked where of another recording."""
    theirs = {"only": "all", **metadata.get("settings", {})}
    other = [key for key, value in settings.items() if key in theirs and theirs[key] != value]
    if other:
        was = ", ".join(f"--{key} {theirs[key]}" for key in other)
        raise UserError(f"{path} was made with {was}; remove it, or choose another --output_dir")
    origin = metadata.get("source")
    both = (
        not entry.remote
        and isinstance(origin, str)
        and os.path.exists(origin)
        and os.path.exists(entry.video)
    )
    if both and not os.path.samefile(origin or "", entry.video):
        raise Blocked(
            f"{path} was made of {origin}, not of {printable(entry.video)}; rename one, or "
            "choose another --output_dir"
        )


def unchanged(entry: Recorded, metadata: dict) -> bool:
    """Whether a local recording's files have the sizes that they had when its episode was made."""
    then = metadata.get("source_bytes")
    return then is None or entry.remote or then == entry.bytes()


def read_index(path: str | os.PathLike) -> list[Recorded]:
    """The recordings of an index file ``{"basedir": address or folder, "relpaths": [...]}``, in its order.

    Relpaths may come with or without ``.mp4``.
    """
    import json

    from steve1.files import read_text

    try:
        index = json.loads(read_text(path))
        basedir, relpaths = index["basedir"], index["relpaths"]
        if not isinstance(basedir, str) or not all(isinstance(relpath, str) for relpath in relpaths):
            raise TypeError("basedir or relpaths")
    except UserError:
        raise
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f'{path} is no index of recordings: it should be JSON {{"basedir": "...", "relpaths": ["..."]}}; '
            "remove it to download it again, or name another"
        ) from None
    remote = basedir.startswith(("http://", "https://"))
    found: dict[str, Recorded] = {}
    again: list[Recorded] = []
    for relpath in relpaths:
        # Addresses are joined as the published code does: basedir ends with a slash.
        base = f"{basedir.rstrip('/')}/{relpath.lstrip('/')}".removesuffix(".mp4")
        name = PurePosixPath(relpath).name.removesuffix(".mp4")
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
            raise UserError(
                f"{path} lists {relpath!r}, which is no recording's name; mend or remove that entry"
            )
        base = base if remote else os.path.abspath(base)
        video = f"{base}.mp4"
        entry = Recorded(name, remote, "", video, f"{base}.jsonl", f"{base}-options.json", video)
        # A recording that is listed twice is one recording: its files and its episode have one name.
        if found.setdefault(name, entry).video != video:
            problem = f"{path} lists it at {found[name].video} and at {video}; the first is taken"
            again.append(replace(entry, problem=problem))
    return [*found.values(), *again]


def in_folder(local_dir: str | os.PathLike, names: Sequence[str] | None = None) -> list[Recorded]:
    """The recordings NAME.mp4 (or another video) with NAME.jsonl at or below a folder, by name.

    Of an index's ``names`` alone if given, those that are not there included.
    """
    found: list[Recorded] = []
    for folder, files in walk(local_dir):
        known = {file.lower(): file for file in reversed(files)}
        for file in filter(is_video, files):
            stem = stem_of(file)
            beside = [
                known.get(f"{stem}{ending}".lower(), f"{stem}{ending}")
                for ending in (".jsonl", "-options.json")
            ]
            video, actions, options = (os.path.abspath(folder / name) for name in (file, *beside))
            found.append(Recorded(episode_name(stem), False, "", video, actions, options, video))
    if names is not None:
        wanted = set(names)
        found = [entry for entry in found if entry.name in wanted]
        missing = wanted - {entry.name for entry in found}
        root = os.path.abspath(local_dir)
        for name in missing:
            video = os.path.join(root, f"{name}.mp4")
            found.append(Recorded(name, False, "", video, f"{video[:-4]}.jsonl", None, video))
    order = {name: i for i, name in enumerate(names)} if names is not None else {}
    found.sort(key=lambda entry: (order.get(entry.name, 0), entry.name, entry.video))
    return with_name_problems(found, {i: entry.video for i, entry in enumerate(found)})


def obtain(entry: Recorded, cache: Path, stop: threading.Event | None = None) -> Recorded:
    """The recording as local files, downloaded where they are remote.

    Raises :class:`~data.generation.sources.Missing`; Unreachable when it may work later; :class:`Stopped` soon after
    ``stop`` was set.
    """
    from steve1.download import NotFound, fetch

    if not entry.remote:
        return entry
    told = stop or threading.Event()

    def look(_have: int = 0, _total: int | None = None) -> None:
        if told.is_set():
            raise Stopped(entry.name)

    def wait(seconds: float) -> None:
        told.wait(seconds)
        look()

    def get(address: str, path: Path) -> None:
        look()
        fetch(address, path, delay=RETRY_SECONDS, sleep=wait, progress=look)

    video, actions, options = cached(entry, cache)
    try:
        # The small file first: where it is missing, the large one need not come.
        get(entry.actions or "", actions)
        get(entry.video, video)
    except NotFound as error:
        raise Missing(str(error)) from None
    except UserError as error:
        raise Unreachable(str(error)) from None
    has_options = _optional(get, entry.options, options)
    return replace(
        entry,
        remote=False,
        video=str(video),
        actions=str(actions),
        options=str(options) if has_options else None,
    )


def _optional(get: Callable[[str, Path], None], address: str | None, path: Path) -> bool:
    from steve1.download import NotFound

    if address is None:
        return False
    try:
        get(address, path)
    except NotFound:
        return False
    except UserError as error:
        raise Unreachable(str(error)) from None
    return True


class Stopped(Exception):
    """A download was told to stop; what has arrived is kept for the next run."""


def cached(entry: Recorded, cache: Path) -> tuple[Path, Path, Path]:
    """Where a remote recording's files lie while they are converted."""
    return cache / f"{entry.name}.mp4", cache / f"{entry.name}.jsonl", cache / f"{entry.name}-options.json"


def discard(entry: Recorded, cache: Path) -> None:
    """Remove what was downloaded of a recording; local recordings are not touched."""
    if entry.remote:
        for path in cached(entry, cache):
            path.unlink(missing_ok=True)
