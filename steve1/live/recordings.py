"""Recordings of a live session, as OpenAI's recorder would make them: ``video.mp4`` with ``actions.jsonl`` beside it.

Every tick is recorded: the picture that was seen, and what was done then and by whom (docs/formats.md). While it grows
a recording lies in a hidden folder, which converters pass over, and is whole on the disk at any moment but for the last
half second; saving gives the folder its name. What a killed session left is taken up by :func:`recover`.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av

from steve1.cli import UserError
from steve1.config import FPS, version
from steve1.files import write_json
from steve1.films.film import Encoder
from steve1.live.lines import CENTRE, WINDOW, LineWriter
from steve1.live.tick import HUMAN, TickInfo

VIDEO, LINES, ABOUT = "video.mp4", "actions.jsonl", "recording.json"
MAX_LABEL = 200  # characters
_GROWING = ".unsaved"
_PICTURES = FPS // 2  # of a fragment: what a killed session can lose
# Nothing is kept back in the encoder, and every fragment begins with a picture that needs no other.
_ENCODING = {
    "crf": "18",
    "preset": "veryfast",
    "tune": "zerolatency",
    "g": str(_PICTURES),
    "keyint_min": str(_PICTURES),
    "x264-params": "mbtree=0:scenecut=0",
}
_FRAGMENTS = {"movflags": "+frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}


@dataclass(frozen=True)
class SavedRecording:
    """A recording on the disk. ``human``: ticks in which a person did something. ``label``: a sentence, or ""."""

    folder: Path
    ticks: int
    human: int
    label: str = ""


class Recordings:
    """Records a session into folders below ``folder``; lives in the game's thread.

    ``notes``: what every recording's JSON says besides. ``saved``: what is on the disk. ``problem``: why nothing is
    recorded any more, "" while all is well; saving or discarding begins anew.
    """

    def __init__(self, folder: Path, notes: Mapping[str, Any]) -> None:
        self.saved: list[SavedRecording] = []
        self.problem = ""
        self._folder, self._notes = folder, dict(notes)
        self._stem = time.strftime("live_%Y%m%d_%H%M%S")
        self._growing: _Growing | None = None
        self._segment = 0

    @property
    def ticks(self) -> int:
        """Ticks that are not saved yet."""
        return self._growing.ticks if self._growing else 0

    @property
    def human(self) -> int:
        """Those of them in which a person did something."""
        return self._growing.played[HUMAN] if self._growing else 0

    def add(self, tick: TickInfo, slot: int) -> None:
        """Append a tick that was played; ``slot``: the hot bar's that is chosen after it, 0 to 8."""
        if self.problem:
            return
        try:
            if self._growing is None:
                self._growing = _Growing(self._free_name(), {**self._notes, "world": tick.world})
            self._growing.add(tick, slot, self._segment)
        except Exception as error:
            self.problem = f"recording stopped: {error}. Save or discard the recording to begin another"
            if self._growing is not None:
                with contextlib.suppress(
                    Exception
                ):  # closing what can't be written fails for the same reason
                    self._growing.close()

    def new_world(self) -> None:
        """The world began anew: no action leads over to it."""
        self._segment += 1

    def save(self, label: str = "") -> SavedRecording:
        """Put what was recorded where converters read it, and begin anew. Raises UserError where there is nothing."""
        growing, self._growing, self.problem = self._growing, None, ""
        if growing is None or growing.ticks == 0:
            raise UserError("nothing has been recorded since the last save")
        saved = _keep(growing.folder, growing.about(label), growing.close)
        self.saved.append(saved)
        return saved

    def discard(self) -> None:
        """Throw away what is not saved, and begin anew."""
        growing, self._growing, self.problem = self._growing, None, ""
        if growing is not None:
            with contextlib.suppress(Exception):
                growing.close()
            shutil.rmtree(growing.folder, ignore_errors=True)

    def close(self) -> None:
        """End: what a person played is kept, what the agent did alone is not."""
        if self.human:
            self.save()
        else:
            self.discard()

    def _free_name(self) -> Path:
        for number in itertools.count(len(self.saved) + 1):
            path = self._folder / f"{self._stem}_{number:02d}"
            growing = self._folder / f".{path.name}{_GROWING}"
            if not path.exists() and not growing.exists():
                return growing
        raise AssertionError


class _Growing:
    """One recording that is being made in ``folder``, which is locked while its process lives."""

    def __init__(self, folder: Path, notes: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        self.folder, self.ticks = folder, 0
        self.played: Counter[str] = Counter()
        self._notes = notes
        self._prompts: list[dict[str, Any]] = []
        self._mouse, self._segment = CENTRE, -1
        self._deaths, self._alive = 0, True
        self._writer = LineWriter()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_locked(folder))
        write_json(folder / ABOUT, self.about(""))
        lines: IO[bytes] = open(folder / LINES, "wb", buffering=0)  # noqa: SIM115 (closed by the stack)
        self._lines = self._stack.enter_context(lines)
        container = av.open(str(folder / VIDEO), "w", format="mp4", options=_FRAGMENTS)
        self._encoder = Encoder(container, options=_ENCODING)
        self._container = container

    def add(self, tick: TickInfo, slot: int, segment: int) -> None:
        gui = bool(tick.info.get("isGuiOpen", False))
        if not gui or segment != self._segment:
            self._mouse = CENTRE
        place, inventory = _seen(tick.obs)
        line = self._writer.line(
            tick.action, self.ticks, gui, self._mouse, slot, place, inventory, self._stats(tick.obs)
        )
        mouse = line["mouse"]
        for name in ("dx", "dy"):
            mouse[name] = round(mouse[name], 6)  # a person's are whole pixels
        # The worlds draw the cursor themselves, where OpenAI's recorder left it out.
        line |= {"player": tick.by, "segment": segment, "cursorInPicture": True}
        if gui:
            self._mouse = _moved(self._mouse, mouse["dx"], mouse["dy"])
        self._encoder.add(tick.obs["pov"])
        self._lines.write(json.dumps(line).encode() + b"\n")
        asked = {
            "prompt": tick.prompt.text,
            "cond_scale": tick.prompt.cond_scale,
            "seed": tick.prompt.seed,
        }
        if not self._prompts or any(self._prompts[-1][name] != value for name, value in asked.items()):
            self._prompts.append({"tick": self.ticks, **asked})
        self.played[_who(line)] += 1
        self.ticks, self._segment = self.ticks + 1, segment

    def _stats(self, obs: Mapping[str, Any]) -> dict[str, int]:
        """How often the player died and what was mined; nothing where the world does not tell who lives."""
        life = obs.get("life_stats", {})
        if "is_alive" not in life:
            return {}
        alive = bool(life["is_alive"])
        self._deaths += self._alive and not alive
        self._alive = alive
        mined = obs.get("mine_block", {}).items()
        return {
            "minecraft.custom:minecraft.deaths": self._deaths,
            **{f"minecraft.mined:minecraft.{name}": int(n) for name, n in mined if n},
        }

    def about(self, label: str) -> dict[str, Any]:
        """What ``recording.json`` says."""
        return {
            "label": label or None,
            "ticks": self.ticks,
            "fps": FPS,
            "played": dict(self.played),
            "asked": self._prompts,
            **self._notes,
            "version": version(),
        }

    def close(self) -> None:
        """Write what is kept back; the lock goes."""
        with self._stack:
            if self.ticks:
                self._encoder.finish()
            self._container.close()


def recover(folder: Path) -> list[SavedRecording]:
    """Take up what killed sessions left below ``folder``: what a person played becomes a recording, the rest goes.

    Of the last half second at most nothing is left. A session that lives keeps what it is recording.
    """
    found = []
    for growing in sorted(folder.glob(f".*{_GROWING}")) if folder.is_dir() else []:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_locked(growing))
            except BlockingIOError:
                continue
            pictures = _whole_pictures(growing / VIDEO)
            played = _cut_lines(growing / LINES, pictures)
            if played[HUMAN]:
                try:
                    about = json.loads((growing / ABOUT).read_text(encoding="utf-8"))
                except ValueError:
                    about = {}
                counted = {"ticks": played.total(), "played": dict(played)}
                found.append(_keep(growing, {**about, **counted}, lambda: None))
            else:
                shutil.rmtree(growing)
    return found


def _keep(growing: Path, about: dict[str, Any], close: Any) -> SavedRecording:
    """Give a recording that has grown its name; ``close`` ends it before."""
    write_json(growing / ABOUT, about)
    close()
    (growing / _LOCK).unlink(missing_ok=True)
    path = growing.with_name(growing.name.removeprefix(".").removesuffix(_GROWING))
    os.rename(growing, path)
    return SavedRecording(path, about["ticks"], about["played"].get(HUMAN, 0), about.get("label") or "")


_LOCK = ".lock"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the system lets go of with the process; BlockingIOError where another has it."""
    with open(folder / _LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _whole_pictures(video: Path) -> int:
    """Cut a fragmented video off behind its last whole fragment; the number of its pictures."""
    end = 0
    with contextlib.suppress(OSError), open(video, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        place, box = 0, b""
        while place + 8 <= size:
            file.seek(place)
            length, box = int.from_bytes(file.read(4), "big"), file.read(4)
            if length < 8 or place + length > size:
                break
            place += length
            if box == b"mdat":
                end = place
    if not end:
        return 0
    os.truncate(video, end)
    with av.open(str(video)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def _cut_lines(path: Path, pictures: int) -> Counter[str]:
    """Keep the first lines, one a picture; how many of them are whose."""
    played: Counter[str] = Counter()
    end = 0
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in itertools.islice(file, pictures):
            try:
                who = _who(json.loads(line))
            except (ValueError, KeyError, TypeError):
                break
            played[who] += 1
            end += len(line)
    if path.exists():
        os.truncate(path, end)
    return played


def _who(line: Mapping[str, Any]) -> str:
    """Who did something in a line's tick: "human", "agent", or "nobody" while a person held still."""
    mouse = line["mouse"]
    still = not (line["keyboard"]["keys"] or mouse["buttons"] or mouse["dx"] or mouse["dy"])
    return "nobody" if still and line["player"] == HUMAN else str(line["player"])


def _seen(obs: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, int]]:
    """Place and inventory of an observation, as far as the world tells."""
    place = {name: float(value) for name, value in obs.get("location_stats", {}).items() if name in _PLACE}
    held = {name: int(n) for name, n in obs.get("inventory", {}).items() if name != "air" and n}
    return place, held


_PLACE = ("xpos", "ypos", "zpos", "yaw", "pitch")


def _moved(mouse: tuple[float, float], dx: float, dy: float) -> tuple[float, float]:
    """Where the cursor is after a camera move in pixels; it stays in the window."""
    return min(max(mouse[0] + dx, 0.0), WINDOW[0] - 1.0), min(max(mouse[1] + dy, 0.0), WINDOW[1] - 1.0)
