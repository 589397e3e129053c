"""The episodes of datasets, and which of them were played in one sitting and so must stay together."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.EpisodeStorage import EpisodeStorage, find_episodes
from steve1.cli import UserError

# ALIAS-SESSION-YYYYMMDD-HHMMSS, a contractor recording; one session has several (docs/formats.md).
_RECORDING = re.compile(r".+-([0-9a-f]{12})-\d{8}-\d{6}")
# Stands in place of a session in hundreds of unrelated recordings.
PLACEHOLDER_SESSION = "f153ac423f61"


@dataclass(frozen=True)
class Episode:
    """What a split must know of an episode. ``dataset`` is its position in the list of dataset folders."""

    path: str
    frames: int
    session: str
    dataset: int
    mineclip_hash: str | None
    embed_dim: int | None


def session_of(path: str | os.PathLike, metadata: dict) -> str:
    """Return the play session of an episode's folder.

    ``session`` in metadata.json comes first, then a contractor recording's name; any other folder, and each
    recording with the placeholder for a session, is a session of its own.
    """
    name = os.path.basename(path)
    match = _RECORDING.fullmatch(name)
    session = metadata.get("session") or (match[1] if match else None)
    if session == PLACEHOLDER_SESSION:
        return name
    return str(session) if session else str(path)


def read_episodes(paths: Sequence[str | os.PathLike], dataset: int = 0) -> list[Episode]:
    """Return the episodes of a list of folders, in its order and without repetition, with absolute paths."""
    found: dict[str, Episode] = {}
    parents: dict[str, str] = {}  # resolved once each: there are many episodes to a folder
    for given in paths:
        parent, name = os.path.split(given)
        if parent not in parents:
            parents[parent] = os.path.realpath(parent)
        path = os.path.join(parents[parent], name)
        if name in ("", ".", "..") or os.path.islink(path):
            path = os.path.realpath(path)
        storage = EpisodeStorage(path)
        found.setdefault(
            path,
            Episode(
                path=path,
                frames=len(storage),
                session=session_of(path, storage.metadata),
                dataset=dataset,
                mineclip_hash=storage.metadata.get("mineclip_hash"),
                embed_dim=storage.metadata.get("embed_dim"),
            ),
        )
    return list(found.values())


def read_dataset(folder: str | os.PathLike, dataset: int = 0) -> list[Episode]:
    """Return all episodes at or below a dataset's folder; raises UserError where there is none."""
    paths = find_episodes(folder)
    if not paths:
        raise UserError(
            f"{folder} holds no episode; make some with 1_generate_dataset.sh or prepare_custom_data.sh"
        )
    return read_episodes(paths, dataset)
