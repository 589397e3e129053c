"""One recording, a video and a line of JSON for each tick, as frames and environment actions, paired by time.

The lines are OpenAI's contractor format (data/recorder_lines.py) or MineRL's actions (data/action_lines.py), told
apart by the first one; a video without lines is labelled tick by tick. Knows nothing of episodes.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.action_lines import BINARY_KEYS, ActionLines, parse_action_lines, without_null_frames
from data.json_lines import json_lines
from data.line_cuts import find_cuts
from data.pairing import Clock, Paired, choose_clock, lengths_agree, pair
from data.recorder_lines import parse_recorder_lines, says_no_player
from data.recording_options import WINDOW, RecordingOptions
from steve1.cli import UserError
from steve1.config import FPS

if TYPE_CHECKING:
    from data.timeline import Timeline
    from data.video import Picture

__all__ = ["ActionLines", "Recording", "RecordingWarning", "parse_actions", "read_lines", "read_recording"]

DEFAULTS = RecordingOptions()
NULL, OTHERS, HOLE, SHORT = (
    "null actions",
    "of another player (--only)",
    "the video has a hole there",
    "the video is shorter than its actions, or damaged",
)
MISSING = "a piece is missing"  # why there is a cut
_WIDEST = 2.1  # times the height; the game at 16:9 is 1.78


class RecordingWarning(UserWarning):
    """Part of a recording can't be used; the message says which and how much."""


def parse_actions(
    lines: Iterable[dict], legacy_int_camera: bool = False, name: str | os.PathLike = "the recording"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Environment actions of a recording's contractor lines, without null frames.

    Args:
        lines: one dict per frame.
        legacy_int_camera: cut angles to whole degrees, as the published converter does by mistake.
        name: what error messages call the recording.

    Returns:
        ``(kept, env_actions)``: the numbers of the lines that are not null, int64 [n], from 0; and for these
        MineRL's 23 binary keys, int64 [n], and ``camera``, float64 [n, 2] degrees (pitch, yaw).

    Angles that are not finite count as glitches, like those of more than 180 degrees: they become 0. Raises
    :class:`~steve1.cli.UserError` naming the line and field where one is missing or of a wrong type.
    """
    options = RecordingOptions(legacy_int_camera=legacy_int_camera)
    parsed = parse_recorder_lines(lines, options, name, cursor=False)
    return parsed.kept, parsed.env_actions


def read_lines(jsonl_path: str | os.PathLike) -> Iterator[dict]:
    """Yield a recording's lines as dicts, one at a time, of a file in UTF-8, or in UTF-16 with its mark or without.

    A torn last line (of a recording that was cut off) ends the lines with a :class:`RecordingWarning`; any
    other line that is no JSON object raises :class:`~steve1.cli.UserError` naming the file and line.
    """
    return json_lines(jsonl_path, _warn)


def read_recording(
    video_path: str | os.PathLike, jsonl_path: str | os.PathLike, options: RecordingOptions = DEFAULTS
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yield ``(frame, env_action)`` of each frame that is not null: uint8 [H, W, 3] RGB, and a MineRL action.

    The mouse cursor is drawn where a screen is open. The video is decoded as it is consumed. Where a frame can't be
    decoded, the recording ends; that and all else that can't be used is a :class:`RecordingWarning`.
    """
    recording = Recording.read(video_path, jsonl_path, options)
    actions = recording.actions.env_actions
    for row, frame in recording.paired_frames():
        yield frame, {key: values[row].copy() for key, values in actions.items()}
    for warning in recording.warnings:
        _warn(warning)


class Recording:
    """A video with its actions, one for each tick of 1/20 s.

    When ``frames()`` has been consumed these are complete: ``actions`` (those of the frames that it yielded),
    ``warnings`` (sentences about what can't be used or isn't sure), ``cuts_by`` (reason -> numbers of the yielded
    frames that no action led to: a piece of the recording is missing before them, or data/line_cuts.py says so; no
    reason that the lines don't tell of), ``dropped`` (reason -> lines without a frame) and ``pairing`` (how pictures
    and lines were paired, plain JSON). ``decoder`` says what decodes the pictures.
    """

    def __init__(
        self,
        video_path: str | os.PathLike,
        actions: ActionLines,
        actions_name: str,
        options: RecordingOptions = DEFAULTS,
    ) -> None:
        from data.video import decoder_name

        self.video_path, self.actions, self.actions_name = Path(video_path), actions, actions_name
        self.options = options
        self._labelled = False
        self._sound: int | None = None  # pictures before the first that can't be decoded
        self.warnings: list[str] = list(actions.notes)
        self.cuts_by: dict[str, list[int]] = {MISSING: []}
        self.dropped: Counter[str] = Counter()
        self.pairing: dict[str, Any] = {}
        self.decoder = decoder_name()

    @property
    def cuts(self) -> list[int]:
        """The frames that begin a new segment, for whatever reason, ascending."""
        return sorted({cut for cuts in self.cuts_by.values() for cut in cuts})

    @classmethod
    def read(
        cls,
        video_path: str | os.PathLike,
        jsonl_path: str | os.PathLike,
        options: RecordingOptions = DEFAULTS,
    ) -> Recording:
        """A recording whose actions are contractor lines or MineRL's, told apart by the first line."""
        found: list[str] = []
        actions = _parse_any(json_lines(jsonl_path, found.append), options, Path(jsonl_path))
        recording = cls(video_path, actions, Path(jsonl_path).name, options)
        recording.warnings += found
        return recording

    @classmethod
    def label(
        cls,
        video_path: str | os.PathLike,
        label: Callable[[Iterable[np.ndarray]], dict[str, np.ndarray]],
        options: RecordingOptions = DEFAULTS,
    ) -> Recording:
        """A video without lines, whose ticks' pictures ``label`` gives actions: arrays [T], MineRL's keys and camera.

        The video is decoded once for that and once for ``frames()``.
        """
        nothing = {key: np.zeros(0, np.int64) for key in BINARY_KEYS}
        unlabelled = cls(
            video_path,
            ActionLines(0, np.zeros(0, np.int64), {**nothing, "camera": np.zeros((0, 2))}, []),
            "its labelling",
            options,
        )
        ticks: list[int] = []

        def images() -> Iterator[np.ndarray]:
            timeline = unlabelled._read_timeline()
            n = len(timeline.times) if options.fps_as_ticks else round(timeline.seconds * FPS)
            for paired in unlabelled._pair(timeline, np.arange(n)):
                ticks.append(paired.row)
                yield paired.picture.rgb()

        labels = label(images())
        kept = np.array(ticks, dtype=np.int64)
        actions = without_null_frames(labels)
        actions.kept = kept[actions.kept]
        actions.n_lines = int(kept[-1]) + 1 if len(kept) else 0
        recording = cls(video_path, actions, "its labelling", options)
        recording._labelled = True
        return recording

    def frames(self, images: Iterable[np.ndarray] | None = None) -> Iterator[np.ndarray]:
        """Yield the frames of the lines that are not null, uint8 [H, W, 3] RGB, by default from the video.

        ``images``: instead, a picture for each line. The mouse cursor is drawn where a screen is open. Raises
        :class:`~steve1.cli.UserError` when the video can't be read at all, or can't belong to the lines.
        """
        rows: list[int] = []
        for row, image in self.paired_frames(images):
            rows.append(row)
            yield image
        if len(rows) < len(self.actions.kept):
            self.actions = self.actions.rows(rows)

    def paired_frames(self, images: Iterable[np.ndarray] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As :meth:`frames`, with the number among ``actions.kept`` that each frame belongs to."""
        self.dropped[OTHERS] = self.actions.others
        self.dropped[NULL] = self.actions.n_lines - self.actions.others - len(self.actions.kept)
        pictures = self._from_video() if images is None else enumerate(_chosen(images, self.actions.kept))
        # How many cuts there are up to each kept line.
        passed = {
            reason: np.searchsorted(lines, self.actions.kept, side="right")
            for reason, lines in self.actions.cuts.items()
        }
        self.cuts_by |= {reason: [] for reason in passed}
        n, before = 0, -1
        for n, (row, image) in enumerate(pictures, 1):
            if before >= 0:
                for reason, counts in passed.items():
                    if counts[row] > counts[before]:
                        self.cuts_by[reason].append(n - 1)
            before = row
            if n == 1 and images is None:
                self._look_at_shape(*image.shape[:2])
            self._draw_cursor(image, row)
            yield row, image
        if images is not None and n < len(self.actions.kept):
            self.dropped[SHORT] = len(self.actions.kept) - n
            self.warnings.append(
                f"{self.video_path}: pictures are missing for its last {self.dropped[SHORT]:,} lines"
            )

    def _from_video(self) -> Iterator[tuple[int, np.ndarray]]:
        timeline = self._read_timeline()
        if self.options.fps_as_ticks or self._labelled:
            clock = Clock("line", np.arange(self.actions.n_lines))
        else:
            clock = self._clock(timeline)
        # All lines are paired, also those without an action: a hole is one whatever was done in it.
        rows = np.full(self.actions.n_lines, -1)
        rows[self.actions.kept] = np.arange(len(self.actions.kept))
        n = held = line = 0
        cut = False
        for paired in self._pair(timeline, clock.ticks):
            self.dropped[HOLE] += int((rows[line : paired.row] >= 0).sum())
            line, cut, row = paired.row + 1, cut or paired.cut, int(rows[paired.row])
            if row < 0:
                continue
            if cut and n:
                self.cuts_by[MISSING].append(n)
            n, held, cut = n + 1, held + paired.held, False
            yield row, paired.picture.rgb()
            if n == len(self.actions.kept):
                break
        self.dropped[SHORT] += int((rows[line:] >= 0).sum())
        self._say_how(timeline, clock, held, self.actions.n_lines - line)

    def _read_timeline(self) -> Timeline:
        from data.timeline import read_timeline

        timeline = read_timeline(self.video_path)
        if timeline.moment is None and not self.options.fps_as_ticks:
            if not timeline.header_rate:
                raise UserError(
                    f"{self.video_path} does not say its frame rate; give --fps_as_ticks if a picture is a tick"
                )
            self.warnings.append(
                f"{self.video_path} has no timestamps, so its pictures are taken to be {timeline.header_rate:g} a "
                "second, as its header says"
            )
        return timeline

    def _clock(self, timeline: Timeline) -> Clock:
        """The lines' ticks. Raises UserError where they can't belong to the video."""
        n, lines = len(timeline.times), self.actions.n_lines
        one_each = timeline.ticks_exactly and n == lines
        clock = choose_clock(lines, self.actions.clocks, timeline.seconds, one_each)
        if lengths_agree(clock.length, timeline.seconds):
            return clock
        torn = choose_clock(lines, self.actions.clocks, timeline.announced, False)
        if timeline.announced > timeline.seconds and lengths_agree(torn.length, timeline.announced):
            return torn
        ticks = round(timeline.seconds * FPS)
        by = "" if clock.name == "line" else f" ({clock.length:,} ticks by their {clock.name})"
        raise UserError(
            f"{self.video_path} has {n:,} frames at {timeline.rate:.4g} a second ({ticks:,} ticks of 1/20 s), but "
            f"{self.actions_name} has {lines:,} lines{by}; give --fps_as_ticks if each frame is one line's tick, or "
            "leave this recording out"
        )

    def _pair(self, timeline: Timeline, ticks: np.ndarray) -> Iterator[Paired[Picture]]:
        options = self.options
        if options.fps_as_ticks:
            times: Iterator[tuple[float, Picture]] = (
                (i / FPS, p) for i, p in enumerate(self._sound_pictures())
            )
            return pair(ticks, times, 1 / FPS, len(timeline.times))
        return pair(ticks, self._timed(timeline), timeline.last_seconds, options.max_hole_ticks)

    def _sound_pictures(self) -> Iterator[Picture]:
        from data.video import Undecodable, pictures

        try:
            yield from pictures(self.video_path)
        except Undecodable as error:
            self._sound = error.good

    def _timed(self, timeline: Timeline) -> Iterator[tuple[float, Picture]]:
        first = last = None
        for i, picture in enumerate(self._sound_pictures()):
            moment = None if timeline.moment is None else picture.seconds(timeline.moment)
            if timeline.moment is None:
                seconds = i * timeline.step
            elif moment is None:
                seconds = 0.0 if last is None else last + timeline.step
            else:
                first = moment if first is None else first
                seconds = moment - first
            if last is not None and seconds < last:
                raise UserError(
                    f"{self.video_path}: its timestamps fall back from {last:.3f} s to {seconds:.3f} s; write it anew "
                    "with ffmpeg -i IN -c copy OUT.mkv, or encode it again"
                )
            last = seconds
            yield seconds, picture

    def _say_how(self, timeline: Timeline, clock: Clock, held: int, left: int) -> None:
        lines, name = self.actions.n_lines, self.actions_name
        self.pairing = {
            "resampled": not timeline.ticks_exactly and not self.options.fps_as_ticks,
            "pictures": len(timeline.times),
            "seconds": round(timeline.seconds, 3),
            "pictures_a_second": round(timeline.rate, 3),
            "lines": lines,
            "by": "index"
            if self.options.fps_as_ticks
            else "time"
            if timeline.moment
            else "index at the header's rate",
            "ticks_by": clock.name,
            "ticks_left_out": clock.left_out,
            "ticks_repeated": clock.repeated,
            "frames_shown_again": held,
            "max_hole_ticks": self.options.max_hole_ticks,
        }
        if clock.left_out or clock.repeated:
            self.warnings.append(
                f"{name}: by its lines' {clock.name}, {clock.left_out:,} ticks were left out and {clock.repeated:,} "
                "written again; each line has the picture of its tick"
            )
        if self.dropped[HOLE]:
            self.warnings.append(
                f"{self.video_path} has holes of more than {self.options.max_hole_ticks} ticks of 1/20 s "
                f"(--max_hole_ticks): {self.dropped[HOLE]:,} lines in them are left out"
            )
        if self.dropped[SHORT]:
            where = f"after {timeline.seconds:.2f} s"
            if self._sound is not None:
                where = f"after {self._sound:,} frames, where a frame can't be decoded"
            self.warnings.append(
                f"{self.video_path} ends {where}, but {name} has {lines:,} lines ({clock.length / FPS:.2f} s): its "
                f"last {left:,} lines are left out"
            )
        elif (more := timeline.seconds - clock.length / FPS) > 1.5 / FPS and not self.options.fps_as_ticks:
            self.warnings.append(
                f"{self.video_path} lasts {timeline.seconds:.2f} s, but {name} has {lines:,} lines "
                f"({clock.length / FPS:.2f} s): the video's last {more:.2f} s are left out"
            )
        elif self.options.fps_as_ticks and len(timeline.times) > lines:
            self.warnings.append(
                f"{self.video_path} has {len(timeline.times):,} pictures, but {name} has {lines:,} lines: the last "
                f"{len(timeline.times) - lines:,} pictures are left out"
            )

    def _look_at_shape(self, height: int, width: int) -> None:
        if width < height or width > _WIDEST * height:
            kind = "a portrait picture" if width < height else "very wide"
            self.warnings.append(
                f"{self.video_path} is {kind} ({width}x{height}), which is squeezed into a square as the game's 16:9 "
                "is: cut it to the game's own picture with ffmpeg's crop if it is not the game alone"
            )

    def _draw_cursor(self, image: np.ndarray, row: int) -> None:
        mouse = self.actions.cursor[row]
        if mouse is None:
            return
        from blockworld.drawing.cursor import draw_cursor

        height, width = image.shape[:2]
        window = self.options.window
        # The published formula goes by the height alone.
        across = (height, WINDOW[1]) if window is None else (width, window[0])
        down = (height, WINDOW[1]) if window is None else (height, window[1])
        x, y = int(mouse[0] * across[0] / across[1]), int(mouse[1] * down[0] / down[1])
        draw_cursor(image, x, y)


def _chosen(images: Iterable[np.ndarray], kept: np.ndarray) -> Iterator[np.ndarray]:
    wanted = iter(kept.tolist())
    number = next(wanted, None)
    for i, image in enumerate(images):
        if number is None:
            return
        if i == number:
            yield image
            number = next(wanted, None)


def _parse_any(lines: Iterator[dict], options: RecordingOptions, name: Path) -> ActionLines:
    """Contractor lines or MineRL's actions, told apart by the first line."""
    first = next(lines, None)
    if first is None:
        raise UserError(f"{name} has no lines; record again, or remove it")
    every = _chain(first, lines)
    ours = {"camera", "buttons", "action", *BINARY_KEYS} & set(first)
    if "mouse" in first or "keyboard" in first or not ours:
        return parse_recorder_lines(every, options, name)
    if options.only != "all":
        raise UserError(says_no_player(name, options.only))
    known = list(every)
    actions = without_null_frames(parse_action_lines(known, name))
    actions.cuts = find_cuts(known)
    return actions


def _chain(first: dict, rest: Iterator[dict]) -> Iterator[dict]:
    yield first
    yield from rest


def _warn(message: str) -> None:
    warnings.warn(message, RecordingWarning, stacklevel=3)
