"""One entry of a conversion: what a process does with it, alone, of a pool or of a cluster; convert.py says which."""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from data.generation.episodes import EpisodeMaker, Summary, TooShort, load_maker, stored
from data.generation.ledger import AGAIN, BROKEN, MADE, NOT_FOUND, TOO_SHORT, Outcome
from data.generation.sources import (
    LABELLED,
    Blocked,
    Broken,
    Entry,
    Missing,
    Source,
    Told,
    Unreachable,
    printable,
)
from steve1.cli import UserError


@dataclass
class Job:
    """What a process needs to know to work; pickled into each."""

    source: Source
    args: argparse.Namespace
    mineclip_hash: str


class Worker:
    """Opens entries and makes their episodes, with one MineCLIP and what the source loads."""

    def __init__(self, job: Job, maker: EpisodeMaker, progress: bool = True) -> None:
        self._job, self.maker, self._progress = job, maker, progress
        self._output = Path(job.args.output_dir)
        maker.to_device()
        job.source.prepare()

    def convert(self, entry: Entry) -> Outcome:
        """Make the episodes of an entry that lies here, or say why there is none.

        Raises UserError for what is not the entry's fault.
        """
        outcome = Outcome(entry.name, TOO_SHORT)
        try:
            with _machines_trouble(entry):
                self._convert(entry, outcome)
        except Missing as error:
            outcome.kind, outcome.reason = NOT_FOUND, str(error)
        except Unreachable as error:
            outcome.kind, outcome.reason = AGAIN, str(error)
        except Broken as error:
            if outcome.kind == MADE:
                outcome.warnings.append(str(error))
            else:
                outcome.kind, outcome.reason = BROKEN, str(error)
        outcome.reason = printable(outcome.reason)
        outcome.warnings = [printable(warning) for warning in outcome.warnings]
        return outcome

    def close(self) -> None:
        """Let go of what the source loaded."""
        self._job.source.close()

    def _convert(self, entry: Entry, outcome: Outcome) -> None:
        summary = outcome.summary

        def there(name: str) -> dict | None:
            metadata = stored(self._output / name, self._job.mineclip_hash)
            if metadata is not None:
                outcome.kind = MADE
                summary.existing += 1
            return metadata

        shorts: list[tuple[str, TooShort]] = []
        for piece in self._job.source.pieces(entry, there):
            if isinstance(piece, Told):
                outcome.warnings += piece.warnings
                continue
            actions, short = None, None
            try:
                actions = self.maker.make(self._output / piece.name, piece, self._progress)
            except TooShort as error:
                short = error
            told = piece.told(None if actions is None else len(actions["camera"]))
            outcome.warnings += told.warnings
            outcome.labelled |= told.labelled
            outcome.outside = told.outside
            dropped = {reason: n for reason, n in told.dropped if n}
            summary.dropped.update(dropped)
            if actions is not None:
                summary.add_cuts(told.cuts)
            said = f"; {told.said}" if told.said else ""
            if actions is not None:
                outcome.kind = MADE
                summary.add_actions(actions)
                lost = ", ".join(f"{n:,} {reason}" for reason, n in dropped.items())
                left_out = f" (left out: {lost})" if lost else ""
                outcome.said.append(f"{piece.name}: {len(actions['camera']):,} frames{left_out}{said}")
            elif short is not None:
                if short.frames > outcome.frames or not outcome.reason:
                    outcome.frames, outcome.reason = short.frames, f"{short}{said}"
                shorts.append((piece.name, short))
        if outcome.kind == MADE:  # of other stretches of the entry
            for name, short in shorts:
                outcome.warnings.append(f"no episode {name}, for {short}")
                summary.dropped["in stretches under --min_timesteps"] += short.frames


@contextlib.contextmanager
def _machines_trouble(entry: Entry) -> Iterator[None]:
    """Errors that are not the entry's, as ones that go through to the other process and say what to do."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error)) from None  # the class itself may not be pickled
    except Exception as error:
        full = isinstance(error, (RuntimeError, MemoryError)) or type(error).__module__.startswith("cv2")
        if full and (isinstance(error, MemoryError) or "memory" in str(error).lower()):
            raise UserError(
                f"there was not memory enough to convert {entry.name}; run the same command again with fewer --workers "
                "or a smaller --batch_size (what was finished is kept)"
            ) from None
        raise


_loaded: list[EpisodeMaker] = []  # by hash_of_mineclip, for this process's first entry


def hash_of_mineclip(args: argparse.Namespace) -> str:
    """Load MineCLIP in a process of a pool, and say which it is."""
    single_thread()
    if not _loaded:
        _loaded.append(load_maker(args))
    return _loaded[0].mineclip_hash


_workers: dict[bytes, Worker] = {}


def convert_in_process(job: bytes, entry: Entry) -> Outcome:
    """What a process of a pool or a cluster does: a :class:`Worker` is made for its first entry and kept."""
    if job not in _workers:
        for old in _workers.values():
            old.close()
        _workers.clear()
        its = pickle.loads(job)
        single_thread()
        maker = _loaded.pop() if _loaded else load_maker(its.args)
        if maker.mineclip_hash != its.mineclip_hash:
            raise UserError(
                f"--mineclip_weights {its.args.mineclip_weights} is not the same file in all processes; copy it to all "
                "machines, and leave it alone while they work"
            )
        _workers[job] = Worker(its, maker, progress=False)
    return _workers[job].convert(entry)


def convert_in_cluster(job: bytes, entry: Entry) -> Outcome:
    """As :func:`convert_in_process`, on a machine that fetches by itself and may finish what another one began."""
    its = pickle.loads(job)
    source = its.source
    if exists(source, its.mineclip_hash, entry, Path(its.args.output_dir)):
        outcome = Outcome(entry.name, MADE, summary=Summary(existing=1))
    else:
        fetched: Future[Entry] = Future()
        try:
            fetched.set_result(source.fetch(entry))
        except Exception as error:
            fetched.set_exception(error)
        outcome = not_fetched(entry, fetched) or convert_in_process(job, fetched.result())
    if outcome.kind != AGAIN:
        source.discard(entry)
    return outcome


def not_fetched(entry: Entry, fetched: Future[Entry]) -> Outcome | None:
    """The outcome of an entry that could not be fetched. What is not its fault is raised."""
    error = fetched.exception()
    if isinstance(error, Missing):
        return Outcome(entry.name, NOT_FOUND, printable(str(error)))
    if isinstance(error, Unreachable):
        return Outcome(entry.name, AGAIN, printable(str(error)), outside=str(error))
    if error is not None:
        raise error
    return None


def exists(
    source: Source, mineclip_hash: str, entry: Entry, output: Path, labelled: set[str] | None = None
) -> bool:
    """Whether all is there that the entry makes; notes in ``labelled`` whose actions are a model's.

    Raises Blocked, or UserError where other settings made it.
    """
    from data.EpisodeStorage import is_ours

    path = output / entry.name
    metadata = stored(path, mineclip_hash)
    if metadata is None:
        if os.path.lexists(path) and not is_ours(path):
            raise Blocked(
                f"{path} exists and is no episode of ours; remove it, or choose another --output_dir"
            )
        return False
    source.check(entry, metadata, path)
    if labelled is not None and metadata.get("actions") == LABELLED:
        labelled.add(entry.name)
    return source.whole(entry, metadata)


def single_thread() -> None:
    """Let this process use one thread: sums on several come out otherwise, bit by bit."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
