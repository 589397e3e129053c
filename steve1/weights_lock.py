"""The lock file: which bytes each downloaded file had the first time, so that later ones, and others', can be compared.

``weights.lock.json``: ``{"files": {NAME: {"size", "sha256", "from"}}}``. A name that stands in it is pinned: another
content is refused, by whoever downloads with this lock.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steve1.cli import UserError
from steve1.download import digest_of
from steve1.files import read_text, write_json

NAME = "weights.lock.json"


@dataclass(frozen=True)
class Pin:
    """A file's length in bytes, its SHA-256, and the address that it came from."""

    size: int
    sha256: str
    source: str


class Lock:
    """The pins of a lock file, which need not exist yet. Raises :class:`~steve1.cli.UserError` for another file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pins: dict[str, Pin] = {}
        if path.is_file():
            try:
                entries = json.loads(read_text(path))["files"]
                self._pins = {name: _pin(entry) for name, entry in entries.items()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise UserError(
                    f"{path} is no lock of weights ({type(error).__name__}: {error}); name another by "
                    "--lock, or remove it"
                ) from None

    def get(self, name: str) -> Pin | None:
        """What is pinned of a file, or None."""
        return self._pins.get(name)

    def pin(self, name: str, path: Path, source: str) -> None:
        """Pin what ``path`` holds, unless the name is pinned already; the lock file is written."""
        if name not in self._pins:
            self._pins[name] = Pin(path.stat().st_size, digest_of(path), source)
            write_json(self.path, {"files": {name: _plain(pin) for name, pin in sorted(self._pins.items())}})

    def check(self, name: str, path: Path) -> bool:
        """Whether a file that is there is pinned and equal; one that is pinned and differs raises UserError."""
        pin = self.get(name)
        if pin is None:
            return False
        size = path.stat().st_size
        if size != pin.size or digest_of(path) != pin.sha256:
            raise UserError(
                f"{path} is not the {name} that {self.path} pins ({size:,} bytes, and {pin.size:,} with SHA-256 "
                f"{pin.sha256[:12]}… are expected); move it away to fetch it again, or remove its entry from the lock"
            )
        return True


def _pin(entry: dict[str, Any]) -> Pin:
    if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        raise ValueError(f"{entry['sha256']!r} is no SHA-256")
    return Pin(int(entry["size"]), entry["sha256"], str(entry.get("from", "")))


def _plain(pin: Pin) -> dict[str, Any]:
    values = asdict(pin)
    return {"size": values["size"], "sha256": values["sha256"], "from": values["source"]}
