"""What a recorder's own options file (``NAME-options.json``) says of the window and the mouse.

The file is JSON with Minecraft's options among others, nested or not. What is said in no way known here has no effect.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from data.recording_options import WINDOW, RecordingOptions
from steve1.cli import UserError
from steve1.files import read_text

_MINECRAFTS = 0.5  # the sensitivity at which a pixel is 0.15 degrees
_SIZES = (("windowwidth", "windowheight"), ("width", "height"), ("overridewidth", "overrideheight"))


def with_recorders_options(options: RecordingOptions, path: str | None) -> RecordingOptions:
    """The options, with the window and the mouse's scale from the file ``path`` where no flag sets them.

    A sensitivity s from 0 to 1 is ``(0.6 s + 0.2)^3 * 8 * 0.15`` degrees a pixel, Minecraft's own formula; 0.5 gives
    OpenAI's 0.15. Raises UserError for a file that can't be read.
    """
    if path is None or not os.path.isfile(path):
        return options
    try:
        known = dict(_flat(json.loads(read_text(path))))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{path} is not JSON ({error})"
        raise UserError(f"{reason}; mend or remove it") from None
    window, scale = options.window, options.degrees_per_pixel
    if window is None:
        window = _window(known)
    sensitivity = known.get("mousesensitivity", known.get("sensitivity", _MINECRAFTS))
    if scale is None and _is_share(sensitivity) and sensitivity != _MINECRAFTS:
        scale = (0.6 * sensitivity + 0.2) ** 3 * 8 * 0.15
    return replace(options, window=window, degrees_per_pixel=scale)


def _flat(content: Any) -> Iterator[tuple[str, Any]]:
    """All values of nested objects by their keys' letters in lower case; those further out come last."""
    if isinstance(content, dict):
        for value in content.values():
            yield from _flat(value)
        for key, value in content.items():
            yield re.sub(r"[^a-z]", "", key.lower()), value


def _window(known: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where nothing is said, or what is the default."""
    found = None
    for width, height in _SIZES:
        size = known.get(width), known.get(height)
        if found is None and all(isinstance(n, int) and n >= 16 for n in size):
            found = size
    for key in ("window", "windowsize", "resolution"):
        value = known.get(key)
        text = "x".join(map(str, value)) if isinstance(value, list) and len(value) == 2 else value
        match = re.fullmatch(r"(\d{2,5})\s*[xX*]\s*(\d{2,5})", text) if isinstance(text, str) else None
        if found is None and match:
            found = int(match[1]), int(match[2])
    return None if found == WINDOW else found  # type: ignore[return-value]


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
