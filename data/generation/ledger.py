"""What became of each entry of a conversion, whoever did the work: one entry's outcome, and the list of all.

The processes that do the work (here, or on many machines) ask a :class:`Ledger` which entry is next and
tell it what became of each.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.generation.episodes import Summary
from data.generation.sources import Blocked, Entry, printable
from steve1.cli import UserError
from steve1.files import write_json

MADE, NOT_FOUND, TOO_SHORT, BROKEN = "made", "not found", "too short", "broken"
AGAIN = "not reachable now (run the same command again)"
BLOCKED = "something else has its place"


@dataclass
class Outcome:
    """What became of an entry: ``kind`` is MADE, AGAIN, or why it makes no episode, with the ``reason``.

    ``frames``: of one that is too short. ``outside``: what failed although nothing is wrong with the entry.
    ``said``: lines about what was made.
    """

    name: str
    kind: str
    reason: str = ""
    warnings: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    said: list[str] = field(default_factory=list)
    frames: int = 0
    labelled: bool = False
    outside: str = ""


class Report:
    """What was not made into whole episodes, and why: a JSON file that is rewritten whole at each change.

    ``passed_over``: entries that make no episode (kind, reason, and what that depends on: they are tried again when
    it has changed); ``try_again``: those that could not be had or written; ``shortened``: those of which a
    part could not be used; ``labelled``: those whose actions are the inverse dynamics model's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: dict[str, dict[str, Any]] = {}
        self.try_again: dict[str, str] = {}
        self.shortened: dict[str, list[str]] = {}
        self.labelled: set[str] = set()
        if path.exists():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                self.passed_over = {
                    name: {**entry, "kind": entry["kind"], "reason": entry["reason"]}
                    for name, entry in content["passed_over"].items()
                }
                self.try_again = dict(content.get("try_again", {}))
                self.shortened = dict(content.get("shortened", {}))
                self.labelled = set(content.get("labelled", []))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise UserError(
                    f"{path} is damaged; remove it (recordings in it are then tried again)"
                ) from None

    def __bool__(self) -> bool:
        return bool(self.passed_over or self.try_again or self.shortened or self.labelled)

    def add(self, outcome: Outcome, depends_on: Any = None) -> None:
        """Note what became of an entry, and what that depends on."""
        name, before = outcome.name, self._content()
        self._forget(name)
        if outcome.kind in (AGAIN, BLOCKED):
            self.try_again[name] = outcome.reason
        elif outcome.kind != MADE:
            self.passed_over[name] = {
                "kind": outcome.kind,
                "reason": outcome.reason,
                "depends_on": depends_on,
            }
            if outcome.kind == TOO_SHORT:
                self.passed_over[name]["frames"] = outcome.frames
        else:
            if outcome.warnings:
                self.shortened[name] = outcome.warnings
            if outcome.labelled:
                self.labelled.add(name)
        if self._content() != before:
            write_json(self.path, self._content())

    def _forget(self, name: str) -> None:
        self.passed_over.pop(name, None)
        self.try_again.pop(name, None)
        self.shortened.pop(name, None)
        self.labelled.discard(name)

    def still(self, name: str, depends_on: Any, min_timesteps: int) -> bool:
        """Whether an entry was passed over and would be again."""
        entry = self.passed_over.get(name)
        if entry is None or entry.get("depends_on") != depends_on:
            return False
        return entry["kind"] != TOO_SHORT or entry.get("frames", min_timesteps) < min_timesteps

    def _content(self) -> dict:
        # Sorted, so that the file does not tell in which order the entries were done.
        return {
            "counts": dict(sorted(Counter(entry["kind"] for entry in self.passed_over.values()).items())),
            "passed_over": dict(sorted(self.passed_over.items())),
            "try_again": dict(sorted(self.try_again.items())),
            "shortened": dict(sorted(self.shortened.items())),
            "labelled": sorted(self.labelled),
        }


class Ledger:
    """Says which entry is next and notes what became of it.

    The episodes made are those of one process that goes through the entries in order and stops at
    ``wanted`` of them (0: never), however many are under way at once and whenever each ends: none is begun
    that could turn out not to be needed.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        wanted: int,
        report: Report,
        exists: Callable[[Entry], bool],
        depends_on: Callable[[Entry], Any] | None = None,
        min_timesteps: int = 1,
        what: str = "recordings",
        check_room: Callable[[int], None] = lambda n: None,
        outside_failures: tuple[int, Callable[[int, str], str]] = (0, lambda n, last: last),
        discard: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        """Begin with nothing done.

        Args:
            exists: is all there that the entry makes; raises Blocked where something else is.
            depends_on: what a failure depends on; None where it is tried again in any case.
            check_room: called with ``n``, raises where ``n`` more entries would fill the disk.
            discard: called with each entry of which nothing is to be done; what a killed run fetched of it can go.
            outside_failures: how many in a row end the run (0: any number may occur), and the sentence then.
        """
        self.report, self.summary = report, Summary(what)
        self.there = 0  # entries that have episodes now
        self.mendable: list[str] = []  # what the user could mend: sentences
        self._entries: Iterator[Entry] = iter(entries)
        self._wanted, self._exists, self._check_room = wanted, exists, check_room
        self._depends_on, self._min_timesteps = depends_on, min_timesteps
        self._most_failures, self._gave_up = outside_failures
        self._failures, self._discard = 0, discard

    def next(self, under_way: int) -> Entry | None:
        """The next entry to begin while ``under_way`` others are; None when it must wait, or none is left."""
        while not self._wanted or self.there + under_way < self._wanted:
            entry = next(self._entries, None)
            if entry is None:
                return None
            try:
                exists = not entry.problem and self._exists(entry)
            except Blocked as blocked:
                self.note(entry, Outcome(entry.name, BLOCKED, str(blocked)))
                continue
            if entry.problem:
                self.note(entry, Outcome(entry.name, BROKEN, printable(entry.problem)))
            elif exists:
                self.summary.existing += 1
                self.there += 1
            elif self.known(entry):
                known = self.report.passed_over[entry.name]
                self.summary.passed_over[f"{known['kind']} (known from before)"] += 1
                self._remember(entry, known["kind"], known["reason"])
            else:
                self._check_room(under_way + 1)
                return entry
            self._discard(entry)
        return None

    def note(self, entry: Entry, outcome: Outcome) -> None:
        """Count and say what became of an entry. Raises UserError after too many failures outside in a row."""
        name, kind = entry.name, outcome.kind
        self.report.add(outcome, self._why(entry, kind))
        self.summary.merge(outcome.summary)
        self._remember(entry, kind, outcome.reason)
        if kind != NOT_FOUND:  # which says nothing about what is outside
            self._failures = self._failures + 1 if outcome.outside else 0
        for line in outcome.said:
            print(line)
        for warning in outcome.warnings:
            print(f"{name}: {warning}")
        if kind == MADE:
            self.there += 1
        else:
            self.summary.passed_over[kind] += 1
        if kind == AGAIN:
            print(f"{name}: {outcome.reason}", file=sys.stderr)
        elif kind != MADE:
            print(f"{name}: passed over, {kind}: {outcome.reason}")
        if self._most_failures and self._failures == self._most_failures:
            print(self.summary.text())
            raise UserError(self._gave_up(self._failures, outcome.outside))

    def known(self, entry: Entry) -> bool:
        """Whether an entry was passed over and would be again."""
        if self._depends_on is None:
            return False
        known = self.report.passed_over.get(entry.name)
        return known is not None and self.report.still(
            entry.name, self._why(entry, known["kind"]), self._min_timesteps
        )

    def _why(self, entry: Entry, kind: str) -> Any:
        """What an outcome depends on. That an address has nothing depends on no flag."""
        if kind in (MADE, AGAIN, BLOCKED) or self._depends_on is None:
            return None
        return entry.state() if kind == NOT_FOUND and entry.remote else self._depends_on(entry)

    def _remember(self, entry: Entry, kind: str, reason: str) -> None:
        if kind == BLOCKED or (kind in (BROKEN, NOT_FOUND) and not entry.remote):
            self.mendable.append(f"{entry.name}: {reason}")
