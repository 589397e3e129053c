"""A user's own recordings in folders: which video and which actions belong together, as a source's entries.

A folder with one video is a recording, its actions being ``NAME.jsonl`` after the video or ``actions.jsonl``; of
several videos in one folder each has its own ``NAME.jsonl``. ``recording.json`` beside a single video may have a
sentence for it (``label``). Case does not matter. Nothing is guessed: a video without
actions beside a file of actions under another name is refused, and never labelled by a model in silence.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from data.generation.folders import episode_name, is_video, stem_of, walk, with_name_problems
from data.generation.recordings import Recorded

ABOUT = "recording.json"
_LINES = (".jsonl", ".ndjson", ".jsonlines", ".jsonl.txt", ".jsonl.gz")
_MAYBE = (".json", ".txt", ".csv", ".tsv", ".pkl", ".npz", ".npy", ".parquet", "")
_WORDS = (b'"mouse"', b'"keyboard"', b'"camera"', b'"newKeys"', b'"hotbar.1"')
_SNIFFED = 20_000  # bytes at a file's start


def find_recordings(input_dir: str | os.PathLike, relabel: bool = False) -> list[Recorded]:
    """All recordings at or below a folder, sorted by name; hidden files and folders are left out, links followed.

    What can't be told is an entry with a problem: two recordings of one name, a video whose actions may bear another
    name (unless ``relabel``), actions without a video.
    """
    root = Path(input_dir)
    found: list[Recorded] = []
    for folder, names in walk(root):
        found += _in_folder(root, folder, names, relabel)
    found.sort(key=lambda entry: (entry.name, entry.video))
    return with_name_problems(found, {i: entry.video or entry.actions or "" for i, entry in enumerate(found)})


def _in_folder(root: Path, folder: Path, names: list[str], relabel: bool) -> list[Recorded]:
    videos = [name for name in names if is_video(name)]
    claimed = {name: _actions_of(name, videos, names) for name in videos}
    loose = [
        name for name in names if name not in {*videos, *claimed.values()} and _are_actions(folder / name)
    ]
    if not videos:
        return [_without_video(root, folder, name) for name in loose]
    found = []
    for video in videos:
        actions = claimed[video]
        options = _beside(f"{stem_of(video)}-options.json", names) or _beside("options.json", names)
        path, actions_path, options_path = (
            os.path.abspath(folder / name) if name else None for name in (video, actions, options)
        )
        name = _name(root, folder, video if len(videos) > 1 else None)
        about = _beside(ABOUT, names) if len(videos) == 1 else None
        about_path = os.path.abspath(folder / about) if about else None
        entry = Recorded(name, False, "", path or "", actions_path, options_path, path or "", about_path)
        if actions is None and loose and not relabel:
            wanted = f"{stem_of(video)}.jsonl" + (" or actions.jsonl" if len(videos) == 1 else "")
            problem = (
                f"{entry.video} has no {wanted}, but {' and '.join(loose)} beside it, which belongs to no video; "
                "rename it after its video, or give --relabel to have the inverse dynamics model label the video"
            )
            entry = replace(entry, problem=problem)
        found.append(entry)
    return found


def _without_video(root: Path, folder: Path, name: str) -> Recorded:
    path = os.path.abspath(folder / name)
    problem = f"{path} has no video beside it; put the two into one folder, or remove it"
    return Recorded(_name(root, folder, name), False, problem, "", path, None, path)


def _name(root: Path, folder: Path, file: str | None) -> str:
    parts = [*folder.relative_to(root).parts, *([stem_of(file)] if file else [])]
    return "_".join(episode_name(part) for part in parts) or episode_name(root.resolve().name)


def _actions_of(video: str, videos: list[str], names: list[str]) -> str | None:
    own = _beside(f"{stem_of(video)}.jsonl", names)
    return own or (_beside("actions.jsonl", names) if len(videos) == 1 else None)


def _beside(name: str, names: list[str]) -> str | None:
    """The file called so: as it is written, or else in other letters' case."""
    if name in names:
        return name
    return next((other for other in names if other.rstrip().lower() == name.lower()), None)


def _are_actions(path: Path) -> bool:
    """Whether a file seems to hold actions: by its ending, or by its name or what is in it."""
    name = path.name.rstrip().lower()
    if name.endswith("-options.json") or name == "options.json":
        return False
    says_so = "action" in name
    if name.endswith(_LINES):
        return says_so or not _is_about_something_else(path)
    return os.path.splitext(name)[1] in _MAYBE and (says_so or _has_words(path))


def _is_about_something_else(path: Path) -> bool:
    """Whether lines are labels (data/text_alignment/labels.py), and so no actions."""
    start = _start(path)
    return b'"episode"' in start and b'"text"' in start


def _has_words(path: Path) -> bool:
    start = _start(path)
    return any(word in start for word in _WORDS)


def _start(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_SNIFFED).replace(b"\0", b"")  # UTF-16's
    except OSError:
        return b""
