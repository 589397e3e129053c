"""How a recording is to be read where it doesn't say so itself: the options of every converter that reads videos."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from steve1.cli import boolean, count, number, out_of_range
from steve1.live.lines import DEGREES_PER_PIXEL, WINDOW

__all__ = [
    "DEGREES_PER_PIXEL",
    "MAX_HOLE_TICKS",
    "ONLY",
    "WINDOW",
    "RecordingOptions",
    "add_recording_flags",
    "recording_options",
    "recording_problems",
]

MAX_HOLE_TICKS = 10
ONLY = ("all", "human", "agent")


@dataclass(frozen=True)
class RecordingOptions:
    """How to read a recording.

    ``legacy_int_camera``: cut angles to whole degrees. ``fps_as_ticks``: the k-th picture belongs to the k-th line,
    whatever the timestamps say. ``window``: width and height, in pixels, of the window that the cursor's place
    counts in, None for OpenAI's 1280x720. ``degrees_per_pixel``: degrees that the view turns for a pixel of
    mouse.dx, None for OpenAI's 0.15. ``max_hole_ticks``: so many ticks in a row may show the picture before them
    where the video has none for them; 0: none may. ``only``: the ticks of this player alone, "human" or "agent", by
    the lines' ``player``; "all" are everybody's.
    """

    legacy_int_camera: bool = False
    fps_as_ticks: bool = False
    window: tuple[int, int] | None = None
    degrees_per_pixel: float | None = None
    max_hole_ticks: int = MAX_HOLE_TICKS
    only: str = "all"


def add_recording_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that :func:`recording_options` reads."""
    group = parser.add_argument_group("pictures and lines")
    group.add_argument(
        "--fps_as_ticks",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="take the k-th picture as the k-th line's, a tick of 1/20 s each, whatever times the file gives them "
        "(default: False, pair them by time)",
    )
    group.add_argument(
        "--max_hole_ticks",
        type=count,
        default=MAX_HOLE_TICKS,
        help="ticks of 1/20 s in a row that show the picture before them where the video has none for them; a longer "
        f"hole is cut out (default: {MAX_HOLE_TICKS}; 0: every hole is)",
    )
    group.add_argument(
        "--window",
        default=None,
        metavar="WxH",
        help="pixels of the recorder's window, which mouse.x and mouse.y count in (default: OpenAI's 1280x720)",
    )
    group.add_argument(
        "--degrees_per_pixel",
        type=number,
        default=None,
        help="degrees that the view turns for one pixel of mouse.dx (default: OpenAI's 0.15)",
    )
    group.add_argument(
        "--legacy_int_camera",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="cut camera angles to whole degrees, as the published converter does by mistake (default: False)",
    )


def recording_problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags of :func:`add_recording_flags`, a sentence each."""
    problems = out_of_range(args, "max_hole_ticks", least=0, note="0: every hole is cut out")
    if args.window is not None and _size(args.window) is None:
        problems.append(f"--window {args.window} is no size; give width x height in pixels, such as 1280x720")
    return problems + out_of_range(args, "degrees_per_pixel", above=0, most=180, note="OpenAI's: 0.15")


def recording_options(args: argparse.Namespace) -> RecordingOptions:
    """The options that the flags ask for; they must have no problems."""
    return RecordingOptions(
        legacy_int_camera=args.legacy_int_camera,
        fps_as_ticks=args.fps_as_ticks,
        window=None if args.window is None else _size(args.window),
        degrees_per_pixel=args.degrees_per_pixel,
        max_hole_ticks=args.max_hole_ticks,
    )


def _size(text: str) -> tuple[int, int] | None:
    width, cross, height = text.lower().partition("x")
    if not cross or not all(part.isascii() and part.isdigit() for part in (width, height)):
        return None
    size = int(width), int(height)
    return size if min(size) >= 16 and max(size) <= 100_000 else None
