"""Reading a local copy of MineStudio's dataset: LMDB environments of chunks, by episode. Writes nothing.

``DATASET/{video,action}/part-N/`` each hold, under the key ``str((episode_idx, chunk_start))``, 32 frames: a whole
MP4 for video, a pickled ``{name: array [32, ...]}`` for actions; and pickled under ``__chunk_size__`` and
``__chunk_infos__`` how long a chunk is and which episodes there are (docs/formats.md). An episode is matched across
the two kinds by its name: its part and number may differ. ``meta_info`` and other kinds are not needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.action_lines import BINARY_KEYS, checked_actions
from steve1.cli import UserError
from steve1.safe_pickle import load_pickle

if TYPE_CHECKING:
    import lmdb

KINDS = ("video", "action")


class BadChunk(Exception):
    """A chunk is missing or can't be used; the message says which and why."""


@dataclass(frozen=True)
class Chunks:
    """The chunks of one episode in one kind's part."""

    part: Part
    index: int
    n_frames: int

    def get(self, start: int) -> tuple[str, bytes]:
        """The chunk that begins at a frame, and what to call it. Raises :class:`BadChunk` where there is none."""
        key = str((self.index, start))
        name = f"{self.part.path}, chunk {key}"
        content = self.part.get(key)
        if content is None:
            raise BadChunk(f"{name} is missing")
        return name, content


@dataclass(frozen=True)
class Episode:
    """An episode that both kinds have."""

    name: str
    video: Chunks
    action: Chunks

    @property
    def n_frames(self) -> int:
        """Frames that both kinds have."""
        return min(self.video.n_frames, self.action.n_frames)

    @property
    def chunk_size(self) -> int:
        """Frames of a chunk, the last one of an episode excepted."""
        return self.video.part.chunk_size

    def read(self, start: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """The chunk at a frame: n pictures uint8 [H, W, 3] RGB, and MineRL's 23 keys [n] and camera [n, 2].

        Raises :class:`BadChunk` where one of the two is missing, damaged, of another length or asks for code.
        """
        from data.video import decode

        n = min(self.chunk_size, self.n_frames - start)
        name, content = self.action.get(start)
        actions = _actions(name, content, n)
        name, content = self.video.get(start)
        try:
            frames = list(decode(name, content))
        except UserError as error:
            raise BadChunk(str(error)) from None
        if len(frames) != n:
            raise BadChunk(f"{name} holds {len(frames)} frames, {n} are needed")
        return frames, actions


class Part:
    """One LMDB environment. Raises UserError where it can't be read."""

    def __init__(self, path: Path) -> None:
        import lmdb

        self.path = path
        try:
            # Nothing is locked or written, so a read-only copy will do.
            self._env: lmdb.Environment = lmdb.open(
                str(path), readonly=True, lock=False, create=False, readahead=False, max_readers=1
            )
        except lmdb.Error as error:
            raise UserError(f"{path} is no readable LMDB ({error}); fetch it again") from None
        self.chunk_size = self._number("__chunk_size__")
        self.infos = self._infos()

    def get(self, key: str) -> bytes | None:
        """What is kept under a key, None where there is nothing."""
        import lmdb

        try:
            with self._env.begin() as transaction:
                return transaction.get(key.encode())
        except lmdb.Error as error:
            raise UserError(f"{self.path} is damaged ({error}); fetch it again") from None

    def close(self) -> None:
        """Let go of the files."""
        self._env.close()

    def _pickled(self, key: str) -> Any:
        content = self.get(key)
        if content is None:
            raise UserError(f"{self.path} has no {key}; it is no part of MineStudio's dataset, or damaged")
        return _load(content, f"{self.path}, {key}")

    def _number(self, key: str) -> int:
        value = self._pickled(key)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise UserError(f"{self.path}, {key} should be a number of frames; fetch it again")
        return int(value)

    def _infos(self) -> list[tuple[str, int, int]]:
        """(episode, its number in this part, its frames)."""
        try:
            return [
                (str(info["episode"]), int(info["episode_idx"]), int(info["num_frames"]))
                for info in self._pickled("__chunk_infos__")
            ]
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{self.path}, __chunk_infos__ should list episode, episode_idx and num_frames "
                f"({type(error).__name__}: {error}); fetch it again"
            ) from None


class Dataset:
    """The episodes of a folder that holds ``video/part-*`` and ``action/part-*``; a context that closes them.

    ``episodes``: those that both kinds have, sorted by name. ``problems``: a sentence for each that is not whole.
    Raises UserError where a kind has no part, or a part can't be read.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.problems: list[str] = []
        self._parts: list[Part] = []
        try:
            found = {kind: self._kind(kind) for kind in KINDS}
        except BaseException:
            self.close()
            raise
        self.episodes = list(self._matched(**found))

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for part in self._parts:
            part.close()

    def _kind(self, kind: str) -> dict[str, Chunks]:
        paths = sorted(path.parent for path in (self.folder / kind).glob("*/data.mdb"))
        if not paths:
            raise UserError(
                f"{self.folder / kind} holds no part-N/data.mdb; give the folder of MineStudio's dataset that has "
                "video/ and action/ in it"
            )
        found: dict[str, Chunks] = {}
        for path in paths:
            part = Part(path)
            self._parts.append(part)
            for name, index, n_frames in part.infos:
                if name in found:
                    self.problems.append(
                        f"{name} stands in {found[name].part.path} and in {path}: the first is taken"
                    )
                else:
                    found[name] = Chunks(part, index, n_frames)
        return found

    def _matched(self, video: dict[str, Chunks], action: dict[str, Chunks]) -> Iterator[Episode]:
        for name in sorted({*video, *action}):
            if not is_folder_name(name):
                self.problems.append(f"{name!r} is passed over: it is no name for a folder")
            elif name not in video or name not in action:
                kind = "action" if name in video else "video"
                self.problems.append(f"{name} is passed over: it has no {kind}")
            elif video[name].part.chunk_size != action[name].part.chunk_size:
                self.problems.append(f"{name} is passed over: its chunks differ in length between the kinds")
            else:
                episode = Episode(name, video[name], action[name])
                if video[name].n_frames != action[name].n_frames:
                    self.problems.append(
                        f"{name}: {video[name].n_frames:,} frames of video, {action[name].n_frames:,} of action; "
                        f"the first {episode.n_frames:,} are taken"
                    )
                yield episode


def is_folder_name(name: str) -> bool:
    """Whether a name is safe as a folder's: one part, not hidden."""
    return bool(name) and not name.startswith(".") and not set(name) & set('/\\\0:*?"<>|\n')


def _actions(name: str, content: bytes, n: int) -> dict[str, np.ndarray]:
    try:
        chunk = _load(content, name)
        columns = {key: np.asarray(chunk[key]).reshape(-1) for key in BINARY_KEYS if key in chunk}
        if not columns:
            raise ValueError("none of MineRL's keys is in it")
        buttons, camera = checked_actions({**columns, "camera": np.asarray(chunk["camera"])}, n)
    except (UserError, TypeError, ValueError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadChunk(reason if name in reason else f"{name}: {reason}") from None
    return {**dict(zip(BINARY_KEYS, buttons.T, strict=True)), "camera": camera}


def _load(content: bytes, name: str) -> Any:
    file = io.BytesIO(content)
    file.name = name  # type: ignore[attr-defined]  # what the reader calls it in its errors
    return load_pickle(file)
