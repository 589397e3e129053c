"""What worlds tell: that one is lost, as an error, and lines on stderr that are said once."""

from __future__ import annotations

import functools
import sys

from steve1.cli import UserError


class WorldLost(UserError):
    """The world crashed or hung: the episode ends here, and ``reset`` makes a fresh world."""


@functools.cache
def say_once(text: str) -> None:
    """Print a line on stderr, the first time that it is said."""
    print(text, file=sys.stderr)
