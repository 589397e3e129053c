"""A file of JSON objects, one a line, as recorders and editors leave it: UTF-8 or UTF-16, its last line maybe torn."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterator

from steve1.cli import UserError


def json_lines(jsonl_path: str | os.PathLike, warn: Callable[[str], None]) -> Iterator[dict]:
    """Yield the objects in the lines of a file, one at a time.

    A torn last line (of a recording that was cut off) ends the lines, and ``warn`` is told in a sentence. Raises
    :class:`~steve1.cli.UserError` naming file and line for any other line that is no JSON object, or no text.
    """
    torn, blank, reason = 0, False, ""  # the first line that is no JSON, which nothing may follow
    number = 0
    try:
        for number, raw in enumerate(_raw_lines(jsonl_path), 1):
            if torn:
                if raw.strip():
                    raise UserError(
                        f"{jsonl_path}, line {torn}: {reason}; leave this recording out, or mend it"
                    )
                continue
            try:
                line = json.loads(raw.decode("utf-8") if isinstance(raw, bytes) else raw)
            except (ValueError, RecursionError) as error:
                torn, blank, reason = number, not raw.strip(), "it is torn or not JSON"
                if isinstance(error, UnicodeDecodeError):
                    reason = (
                        f"it is no UTF-8 text (byte {raw[error.start]:#04x}), or torn; save the file as UTF-8"
                    )
                continue
            if not isinstance(line, dict):
                raise UserError(
                    f"{jsonl_path}, line {number}: it is no JSON object; leave this recording out"
                )
            yield line
    except UnicodeError as error:
        raise UserError(
            f"{jsonl_path}, after line {number}: it is no text in UTF-16 ({error}); save the file as UTF-8"
        ) from None
    if torn and not blank:
        warn(f"{jsonl_path}: its last line ({torn:,}) is torn, so the recording ends before it")


def _raw_lines(path: str | os.PathLike) -> Iterator[bytes | str]:
    """The lines of a file in UTF-8 as bytes, without the mark that an editor put first; those in UTF-16 as text."""
    with open(path, "rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            coding = "utf-16"
        elif start[1:2] == b"\0" == start[3:4] and start[:1] == b"{" and start[2:3] != b"\0":
            coding = "utf-16-le"
        elif start[:1] == b"\0" == start[2:3] and start[1:2] == b"{" and start[3:4] != b"\0":
            coding = "utf-16-be"
        else:
            file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
            yield from file
            return
    with open(path, encoding=coding) as text:
        yield from text
