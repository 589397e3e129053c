"""The film of a live session, part after part, each an mp4 beside a JSON of what was asked of the agent and when.

Pictures are encoded as they come, so a long session costs no memory; finishing a part happens beside the game.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steve1.cli import UserError
from steve1.config import FPS, version
from steve1.files import write_json
from steve1.films.film import Film, caption_strip

CAPTION_ROWS = 2


@dataclass(frozen=True)
class Prompt:
    """What the agent is asked from a frame on. ``text`` "" is no goal; ``cond_scale`` 0 is no guidance."""

    text: str
    cond_scale: float
    seed: int

    @property
    def caption(self) -> str:
        return self.text or "no goal"


@dataclass(frozen=True)
class SavedFilm:
    """A part that is on the disk."""

    video: Path
    frames: int
    prompts: list[dict[str, Any]]

    @property
    def json(self) -> Path:
        return self.video.with_suffix(".json")


@dataclass
class _Part:
    film: Film
    prompts: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    """Films what the agent sees, with the prompt on a strip below, into ``folder``.

    Args:
        notes: what every part's JSON says besides: weights, world, settings.

    Used by one thread. A part begins with its first picture and ends with :meth:`finish`; the next picture begins
    the next part. ``saved`` lists the parts that are on the disk.
    """

    def __init__(self, folder: Path, notes: dict[str, Any]) -> None:
        self.saved: list[SavedFilm] = []
        self._folder, self._notes = folder, dict(notes)
        self._stem = time.strftime("live_%Y%m%d_%H%M%S")
        self._number = 0
        self._part: _Part | None = None
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="film")
        self._strip: tuple[str, np.ndarray] | None = None

    @property
    def frames(self) -> int:
        """Pictures in the part that is being filmed."""
        return self._part.film.frames if self._part else 0

    def add(self, picture: np.ndarray, prompt: Prompt) -> None:
        """Append the picture, uint8 [H, W, 3], that the agent acts on, and what it is asked then."""
        if self._part is None:
            self._part = self._begin()
        asked = {"prompt": prompt.text, "cond_scale": prompt.cond_scale, "seed": prompt.seed}
        prompts, frame = self._part.prompts, self._part.film.frames
        if not prompts or any(prompts[-1][name] != value for name, value in asked.items()):
            prompts.append({"frame": frame, "seconds": frame / FPS, **asked})
        if self._strip is None or self._strip[0] != prompt.caption:
            self._strip = (prompt.caption, caption_strip(prompt.caption, picture.shape[1], CAPTION_ROWS))
        self._part.film.add(np.vstack([picture, self._strip[1]]))

    def note(self, **facts: Any) -> None:
        """Add to what the coming parts' JSON says besides."""
        self._notes |= facts

    def event(self, name: str) -> None:
        """Note that something happened before the coming frame: "reset_agent", "reset_world" and the like."""
        if self._part is not None:
            frame = self._part.film.frames
            self._part.events.append({"frame": frame, "seconds": frame / FPS, "event": name})

    def finish(self) -> Future[SavedFilm]:
        """End the part; the result comes when its files are whole. Raises UserError where there is no picture."""
        part, self._part = self._part, None
        if part is None:
            raise UserError("nothing has been filmed since the last save")
        return self._finisher.submit(self._close, part)

    def abandon(self, error: BaseException) -> None:
        """Drop the part that could not be written."""
        part, self._part = self._part, None
        if part is not None:
            with contextlib.suppress(Exception):  # closing what can't be written fails for the same reason
                part.film.__exit__(type(error), error, error.__traceback__)

    def close(self) -> None:
        """Finish what is being filmed, and wait until every part is on the disk."""
        last = self.finish() if self._part is not None else None
        self._finisher.shutdown(wait=True)
        if last is not None:
            last.result()

    def _begin(self) -> _Part:
        self._number += 1
        while (path := self._folder / f"{self._stem}_{self._number:02d}.mp4").exists():
            self._number += 1
        return _Part(Film(path, caption=None).__enter__())

    def _close(self, part: _Part) -> SavedFilm:
        saved = SavedFilm(Path(part.film.path), part.film.frames, part.prompts)
        content = {
            "video": saved.video.name,
            "frames": saved.frames,
            "fps": FPS,
            "prompts": part.prompts,
            "events": part.events,
            **self._notes,
            "version": version(),
        }
        # The JSON first: a video that is there always has its prompts.
        try:
            write_json(saved.json, content)
        except BaseException as error:
            part.film.__exit__(type(error), error, error.__traceback__)
            raise
        part.film.__exit__(None, None, None)
        self.saved.append(saved)
        return saved
