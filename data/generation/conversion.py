"""What converting contractor recordings is, whoever does it: one recording's fate, and the list of all fates.

The processes that do the work (here, or on many machines) ask a :class:`Ledger` which recording is next and
tell it what became of each.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.generation.episodes import EpisodeMaker, Summary, TooShort
from data.generation.prefetch import Ahead
from data.generation.recordings import Source, Unreachable, discard, obtain
from steve1.cli import UserError
from steve1.files import write_json

MAX_FAILURES_IN_A_ROW = 5  # downloads; then the network is down, not the recording
MADE, NOT_FOUND, AGAIN = "made", "not found", "not reachable now (run the same command again)"


@dataclass
class Outcome:
    """What became of a recording: ``kind`` is MADE, AGAIN, or why it makes no episode, with the ``reason``."""

    source: Source
    kind: str
    reason: str = ""
    warnings: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)


def convert(
    source: Source,
    files: Callable[[], tuple[Path, Path]],
    maker: EpisodeMaker,
    output: Path,
    legacy_int_camera: bool = False,
    progress: bool = True,
) -> Outcome:
    """Make the episode ``output/NAME`` of a recording whose local files ``files()`` gives, or say why not."""
    from data.contractor import Recording
    from data.recording_options import RecordingOptions
    from steve1.download import NotFound

    outcome = Outcome(source, MADE)
    try:
        video, actions = files()
        recording = Recording.read(video, actions, RecordingOptions(legacy_int_camera=legacy_int_camera))
        metadata = {"source": source.video, "legacy_int_camera": legacy_int_camera}
        n = maker.make(output / source.name, recording, metadata, progress=progress)
        outcome.summary.add(recording, n)
        outcome.warnings = list(recording.warnings)
    except NotFound as error:
        outcome.kind, outcome.reason = NOT_FOUND, str(error)
    except TooShort as short:
        outcome.kind, outcome.reason = "too short", str(short)
    except Unreachable as error:
        outcome.kind, outcome.reason = AGAIN, str(error)
    except UserError as error:
        outcome.kind, outcome.reason = "broken", str(error)
    return outcome


class Report:
    """What was not made into whole episodes, and why: a JSON file that is rewritten whole at each change.

    ``passed_over``: recordings that make no episode (kind and reason), not tried again while they are
    listed; ``try_again``: those that could not be fetched, which the next run tries; ``shortened``: those
    of which a part could not be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: dict[str, dict[str, str]] = {}
        self.try_again: dict[str, str] = {}
        self.shortened: dict[str, list[str]] = {}
        if path.exists():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                self.passed_over = {
                    name: {"kind": entry["kind"], "reason": entry["reason"]}
                    for name, entry in content["passed_over"].items()
                }
                self.try_again = dict(content.get("try_again", {}))
                self.shortened = dict(content.get("shortened", {}))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise UserError(
                    f"{path} is damaged; remove it (recordings in it are then tried again)"
                ) from None

    def __bool__(self) -> bool:
        return bool(self.passed_over or self.try_again or self.shortened)

    def add(self, outcome: Outcome) -> None:
        """Note what became of a recording."""
        name, before = outcome.source.name, self._content()
        self.try_again.pop(name, None)
        self.shortened.pop(name, None)
        if outcome.kind == AGAIN:
            self.try_again[name] = outcome.reason
        elif outcome.kind != MADE:
            self.passed_over[name] = {"kind": outcome.kind, "reason": outcome.reason}
        elif outcome.warnings:
            self.shortened[name] = outcome.warnings
        if self._content() != before:
            write_json(self.path, self._content())

    def _content(self) -> dict:
        # Sorted, so that the file does not tell in which order the recordings were done.
        return {
            "counts": dict(sorted(Counter(entry["kind"] for entry in self.passed_over.values()).items())),
            "passed_over": dict(sorted(self.passed_over.items())),
            "try_again": dict(sorted(self.try_again.items())),
            "shortened": dict(sorted(self.shortened.items())),
        }


class Ledger:
    """Says which recording is next and notes what became of it.

    The episodes made are those of one process that goes through the recordings in order and stops at
    ``wanted`` episodes (0: never), however many recordings are under way at once and whenever each ends:
    no recording is begun that could turn out not to be needed.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        wanted: int,
        report: Report,
        exists: Callable[[Source], bool],
        cache: Path,
        check_room: Callable[[int], None] = lambda n: None,
    ) -> None:
        """``exists``: is the episode there; ``check_room(n)`` raises where ``n`` more would fill the disk."""
        self.report, self.summary = report, Summary()
        self._sources: Iterator[Source] = iter(sources)
        self._wanted, self._exists, self._cache, self._check_room = wanted, exists, cache, check_room
        self._failures = 0

    @property
    def there(self) -> int:
        """The number of episodes that exist now."""
        return self.summary.episodes + self.summary.existing

    def next(self, under_way: int) -> Source | None:
        """The next recording to begin while ``under_way`` others are; None when it must wait, or none is left."""
        while not self._wanted or self.there + under_way < self._wanted:
            source = next(self._sources, None)
            if source is None:
                return None
            if self._exists(source):
                self.summary.existing += 1
            elif source.name in self.report.passed_over:
                kind = self.report.passed_over[source.name]["kind"]
                self.summary.passed_over[f"{kind} (known from before)"] += 1
            else:
                self._check_room(under_way + 1)
                return source
            discard(source, self._cache)
        return None

    def note(self, outcome: Outcome) -> None:
        """Count and say what became of a recording. Raises UserError when the network seems to be down."""
        name, kind = outcome.source.name, outcome.kind
        self.report.add(outcome)
        self.summary.merge(outcome.summary)
        if kind != NOT_FOUND:  # which says nothing about the network
            self._failures = self._failures + 1 if kind == AGAIN else 0
        if kind == MADE:
            if outcome.summary.episodes:
                print(f"{name}: {outcome.summary.frames:,} frames")
            for warning in outcome.warnings:
                print(f"{name}: {warning}")
            return
        self.summary.passed_over[kind] += 1
        if kind != AGAIN:
            print(f"{name}: passed over, {kind}: {outcome.reason}")
            return
        print(f"{name}: {outcome.reason}", file=sys.stderr)
        if self._failures == MAX_FAILURES_IN_A_ROW:
            print(self.summary.text())
            raise UserError(
                f"{self._failures} downloads in a row failed, the last one: {outcome.reason}; check the network "
                "and run the same command again"
            )


def convert_here(
    ledger: Ledger,
    maker: EpisodeMaker,
    output: Path,
    cache: Path,
    downloads: int,
    legacy_int_camera: bool = False,
) -> None:
    """Convert in this process, one recording after the other; ``downloads`` of the next are fetched meanwhile."""

    def begin(converting: int) -> None:
        while len(ahead) < max(1, downloads):
            source = ledger.next(len(ahead) + converting)
            if source is None:
                return
            ahead.put(source)

    with Ahead[Source, tuple[Path, Path]](lambda source, stop: obtain(source, cache, stop)) as ahead:
        begin(0)
        while len(ahead):
            source, files = ahead.take()
            if downloads:
                begin(1)
            outcome = convert(source, files.result, maker, output, legacy_int_camera)
            ledger.note(outcome)
            if outcome.kind != AGAIN:
                discard(source, cache)
            begin(0)
