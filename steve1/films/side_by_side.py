"""Films of a batch of episodes: one an episode, in which several agents' pictures stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

import numpy as np

from steve1.films.film import Film, caption_strip
from steve1.films.overlay import Overlay
from steve1.playing.agents import PreparedEpisode
from steve1.playing.batches import Mind, Moments

_GAP = 8  # pixels between two agents' pictures


class SideBySide:
    """Joins several agents' pictures of one moment into one, each under its label; a single one's is left as it is.

    Once an agent's episode has ended, its last picture stays, darkened.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = list(labels)
        self._last: list[np.ndarray | None] = [None] * len(self._labels)
        self._ended = [False] * len(self._labels)

    def join(self, pictures: Sequence[np.ndarray | None]) -> np.ndarray:
        """One picture, uint8 [H, W, 3], H and W even, of each agent's, uint8 [h, w, 3]; None where it has ended."""
        if len(pictures) == 1 and pictures[0] is not None:
            return pictures[0]
        known = next(picture for picture in (*pictures, *self._last) if picture is not None)
        halves = []
        for side, (picture, label) in enumerate(zip(pictures, self._labels, strict=True)):
            if picture is not None:
                self._last[side] = picture
            elif not self._ended[side]:
                last = self._last[side]
                self._last[side] = np.zeros_like(known) if last is None else last // 2
                self._ended[side] = True
            text = f"{label} (ended)" if self._ended[side] else label
            halves += [np.vstack([caption_strip(text, known.shape[1], rows=1), self._last[side]])]  # type: ignore[list-item]
            halves += [np.full((len(halves[0]), _GAP, 3), 40, np.uint8)]
        return np.hstack(halves[:-1])


class BatchFilms:
    """The films of a batch, as a context manager: whole when it is left in peace, absent when it is left by an error.

    What ``steve1.playing.batches.MakeWatcher`` asks for. An episode that never shows a picture has no film.
    """

    def __init__(self, batch: Sequence[PreparedEpisode], labels: Sequence[str]) -> None:
        self._plans = [episode.plan for episode in batch]
        self._joiners = [SideBySide(labels) for _ in batch]
        self._films: dict[int, Film] = {}
        self._open = ExitStack()

    def __enter__(self) -> BatchFilms:
        return self

    def add(self, moments: Moments, minds: Sequence[Mind]) -> None:
        """Append the pictures of one moment, an agent each, a row each; None where an episode has ended."""
        for row, plan in enumerate(self._plans):
            pictures = [seen[row] for seen in moments]
            if all(picture is None for picture in pictures):
                continue
            if row not in self._films:
                self._films[row] = self._open.enter_context(Film(plan.video, plan.caption))
            self._films[row].add(self._joiners[row].join(pictures))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)


class OverlaidFilms(BatchFilms):
    """The films of a batch; below each agent's picture stands what is behind it (``steve1.films.overlay``)."""

    def __init__(self, batch: Sequence[PreparedEpisode], labels: Sequence[str]) -> None:
        super().__init__(batch, labels)
        self._overlays = [Overlay(episode.about[0].get("goal_strip")) for episode in batch]

    def __enter__(self) -> OverlaidFilms:
        return self

    def add(self, moments: Moments, minds: Sequence[Mind]) -> None:
        """As :meth:`BatchFilms.add`; what was thought of the pictures that are there is asked of ``minds``."""
        drawn = [
            [
                None if picture is None else overlay.add(picture, mind.look(row))
                for row, (picture, overlay) in enumerate(zip(seen, self._overlays, strict=True))
            ]
            for seen, mind in zip(moments, minds, strict=True)
        ]
        super().add(drawn, minds)
