"""The one driver of all converters: what there is becomes episodes.

A source (data/generation/sources.py) lists entries and opens them; here is decided which exist already, which are too
short, which failed before and are tried again, whether the disk has room, and which process works on what. The report
(report.json in the output folder), the summary and the exit code are the same for every source:

- 0: there are episodes, and nothing that could be mended was left out;
- 1: something of the user's own can't be used (the others were converted all the same), or no episode was made at all.

The episodes and the report do not depend on the number of processes, nor on when they were killed: each works on one
thread, on one entry at a time, and an episode appears whole or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.generation.disk_space import FRAME_BYTES, RECORDING_BYTES, check_room
from data.generation.episodes import EpisodeMaker, Summary, TooShort, load_maker, stored
from data.generation.ledger import AGAIN, BROKEN, MADE, NOT_FOUND, TOO_SHORT, Ledger, Outcome, Report
from data.generation.prefetch import Ahead
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
from data.parallel import cores, processes
from steve1.cli import UserError
from steve1.config import version
from steve1.files import sweep

MEMORY_BYTES = (
    1_500_000_000  # of a process with the published MineCLIP (benchmarks/conversion_memory.py), and some
)
_SHOWN = 20  # of a long list of mistakes


def convert_all(source: Source, args: argparse.Namespace) -> None:
    """Make the episodes of all entries of ``source``, or of this process's slice of them.

    ``args``: the flags of :func:`~data.generation.flags.add_driver_flags`. Raises :class:`~steve1.cli.UserError`
    where the exit code is not to be 0.
    """
    output = Path(args.output_dir)
    n_slices, which = args.num_workers or 1, args.worker_id or 0
    entries = source.entries()
    if not entries:
        raise UserError(source.empty)
    entries = entries[which::n_slices]
    if not entries:
        raise UserError(f"there is nothing for --worker_id {which}; lower --num_workers")
    name = "report.json" if n_slices == 1 else f"report_{which}_of_{n_slices}.json"
    sweep(output, {name, *(entry.name for entry in entries)})
    report = Report(output / name)
    keep = int(args.keep_free_gb * 1e9)

    # ---- what is left to do, and is there room for it
    maker = load_maker(args)
    room = partial(_needs, args, output)
    ledger = Ledger(
        entries,
        source.wanted,
        report,
        lambda entry: _exists(source, maker.mineclip_hash, entry, output, report.labelled),
        (lambda entry: _depends_on(source, entry)) if source.repeats else None,
        maker.min_timesteps,
        source.what,
        lambda n: check_room(room(entries[:1] * n, n) if entries[0].remote else room([], 0), keep),
        (source.most_outside_failures, source.gave_up),
    )
    missing = _missing(ledger, entries, output, source.wanted)
    workers = min(args.workers or _all_cores(args.mineclip_weights), max(1, len(missing)))
    under_way = min(sum(entry.remote for entry in missing), source.downloads + workers)
    check_room(room(missing, under_way), keep)

    # ---- the work
    job = Job(source, args, maker.mineclip_hash)
    if args.ray_address is not None:
        from data.generation.many_machines import convert_there

        source.close()
        convert_there(ledger, job, convert_in_cluster)
    elif workers > 1:
        del maker.mineclip  # each process loads its own
        source.close()
        with _one_thread(), processes(workers) as submit:
            work = partial(convert_in_process, pickle.dumps(job))
            convert_here(source, ledger, workers, lambda entry: submit(work, entry))
    else:
        with _one_thread(), contextlib.closing(Worker(job, maker)) as worker:
            convert_here(source, ledger, 1, lambda entry: _done(worker.convert, entry))

    # ---- what came of it
    ledger.summary.passed_over.update(source.left_out())
    print(ledger.summary.text())
    _end(source, args, ledger, report)


def _end(source: Source, args: argparse.Namespace, ledger: Ledger, report: Report) -> None:
    if report:
        print(f"which {source.what} were passed over or shortened, and why: {report.path}")
    labelled = sorted(report.labelled)
    if labelled:
        print(f"labelled by the inverse dynamics model: {len(labelled):,}: {_some(labelled, ', ')}")
    if not source.repeats and any(ledger.summary.passed_over.values()):
        print("the same command tries those that were passed over again")
    if ledger.there < source.wanted:
        print(f"{ledger.there:,} of {source.wanted:,} episodes: the {source.what} are used up")
    mistakes = sorted(set(ledger.mendable))  # in whatever order they were met
    if mistakes and not (args.skip_broken and ledger.there):
        raise UserError(_some(mistakes, "\n       "))
    if ledger.there == 0 and (args.num_workers or 1) == 1:  # a slice may well have none
        raise UserError("no episode was made; the reasons are printed above")


def _some(texts: Sequence[str], between: str) -> str:
    more = [f"and {len(texts) - _SHOWN:,} more, in the report"] if len(texts) > _SHOWN else []
    return between.join([*texts[:_SHOWN], *more])


# ---- one entry ----


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


_workers: dict[bytes, Worker] = {}


def convert_in_process(job: bytes, entry: Entry) -> Outcome:
    """What a process of a pool or a cluster does: a :class:`Worker` is made for its first entry and kept."""
    if job not in _workers:
        for old in _workers.values():
            old.close()
        _workers.clear()
        its = pickle.loads(job)
        _single_thread()
        maker = load_maker(its.args)
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
    if _exists(source, its.mineclip_hash, entry, Path(its.args.output_dir)):
        outcome = Outcome(entry.name, MADE, summary=Summary(existing=1))
    else:
        fetched: Future[Entry] = Future()
        try:
            fetched.set_result(source.fetch(entry))
        except Exception as error:
            fetched.set_exception(error)
        outcome = _not_fetched(entry, fetched) or convert_in_process(job, fetched.result())
    if outcome.kind != AGAIN:
        source.discard(entry)
    return outcome


# ---- all entries, on this machine ----


def convert_here(
    source: Source, ledger: Ledger, workers: int, convert: Callable[[Entry], Future[Outcome]]
) -> None:
    """Have ``convert`` work on what the ledger asks for, ``workers`` at a time; others are fetched meanwhile."""
    fetching: list[tuple[Entry, Future[Entry]]] = []
    converting: dict[Future[Outcome], Entry] = {}

    def begin(under_way: int) -> None:
        while len(fetching) < max(source.downloads, workers - under_way):
            entry = ledger.next(len(fetching) + under_way)
            if entry is None:
                return
            fetching.append((entry, ahead.put(entry) if entry.remote else _done(lambda it: it, entry)))

    with Ahead(source.fetch) as ahead:
        while True:
            begin(len(converting))
            if not fetching and not converting:
                return
            if fetching and len(converting) < workers and fetching[0][1].done():
                entry, fetched = fetching.pop(0)
                begin(len(converting) + 1)  # before a conversion that may take this process's time
                failed = _not_fetched(entry, fetched)
                if failed is None:
                    converting[convert(fetched.result())] = entry
                else:
                    _note(source, ledger, entry, failed)
            else:
                waiting: list[Future[Any]] = [*converting]
                if fetching and len(converting) < workers:
                    waiting.append(fetching[0][1])
                wait(waiting, return_when=FIRST_COMPLETED)
            for future in [each for each in converting if each.done()]:
                _note(source, ledger, converting.pop(future), future.result())


def _note(source: Source, ledger: Ledger, entry: Entry, outcome: Outcome) -> None:
    ledger.note(entry, outcome)
    if outcome.kind != AGAIN:
        source.discard(entry)


def _not_fetched(entry: Entry, fetched: Future[Entry]) -> Outcome | None:
    """The outcome of an entry that could not be fetched. What is not its fault is raised."""
    error = fetched.exception()
    if isinstance(error, Missing):
        return Outcome(entry.name, NOT_FOUND, printable(str(error)))
    if isinstance(error, Unreachable):
        return Outcome(entry.name, AGAIN, printable(str(error)), outside=str(error))
    if error is not None:
        raise error
    return None


def _done(function: Callable[[Entry], Any], entry: Entry) -> Future[Any]:
    """``function(entry)`` worked out here and now; what it raises is raised."""
    future: Future[Any] = Future()
    future.set_result(function(entry))
    return future


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for this process, and for those that it starts: sums on several come out otherwise, bit by bit."""
    import cv2
    import torch

    threads, of_cv2, variable = (
        torch.get_num_threads(),
        cv2.getNumThreads(),
        os.environ.get("OMP_NUM_THREADS"),
    )
    os.environ["OMP_NUM_THREADS"] = "1"
    _single_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(of_cv2)
        os.environ.pop("OMP_NUM_THREADS")
        if variable is not None:
            os.environ["OMP_NUM_THREADS"] = variable


def _single_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _all_cores(mineclip_weights: str) -> int:
    """A process a core, but no more than there is memory for."""
    try:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return cores()
    each = MEMORY_BYTES + os.path.getsize(mineclip_weights)
    return max(1, min(cores(), free // each, *_on_gpu(each)))


def _on_gpu(each: int) -> list[int]:
    """How many processes the GPU has memory for, where there is one."""
    import torch

    return [torch.cuda.mem_get_info()[0] // each] if torch.cuda.is_available() else []


# ---- what is there ----


def _exists(
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


def _depends_on(source: Source, entry: Entry) -> dict[str, Any]:
    """What a failure depends on: the files, the flags, and what reads them."""
    from importlib import metadata

    reader = f"steve1 {version()}, av {metadata.version('av')}"
    return {"files": entry.state(), "settings": source.settings(), "reader": reader}


def _missing(ledger: Ledger, entries: Sequence[Entry], output: Path, wanted: int) -> list[Entry]:
    """The entries that are still to be converted, as far as their folders tell."""
    there = set(os.listdir(output)) if output.is_dir() else set()
    missing = [
        entry
        for entry in entries
        if not entry.problem and entry.name not in there and not ledger.known(entry)
    ]
    if wanted:
        n_existing = sum(entry.name in there for entry in entries)
        missing = missing[: max(0, wanted - n_existing)]
    return missing


def _needs(
    args: argparse.Namespace, output: Path, missing: Sequence[Entry], downloads: int
) -> list[tuple[str, Path, int]]:
    frames = sum(entry.most_frames() for entry in missing)
    needs = [("--output_dir", output, frames * FRAME_BYTES[args.frame_format])]
    if downloads:
        needs.append(("--cache_dir", Path(args.cache_dir), downloads * RECORDING_BYTES))
    return needs
