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
from functools import partial
from pathlib import Path
from typing import Any

from data.generation.disk_space import FRAME_BYTES, RECORDING_BYTES, check_room
from data.generation.episodes import load_maker
from data.generation.ledger import AGAIN, Ledger, Outcome, Report
from data.generation.prefetch import Ahead
from data.generation.sources import (
    Entry,
    Source,
)
from data.generation.worker import (
    Job,
    Worker,
    convert_in_cluster,
    convert_in_process,
    exists,
    hash_of_mineclip,
    not_fetched,
    single_thread,
)
from data.parallel import cores, processes
from steve1 import hub
from steve1.cli import UserError
from steve1.config import version
from steve1.files import sweep

MEMORY_BYTES = (
    1_500_000_000  # of a process with the published MineCLIP (benchmarks/conversion_memory.py), and some
)
_SHOWN = 20  # of a long list of mistakes


def convert_all(source: Source, args: argparse.Namespace) -> None:
    """Make the episodes of all entries of ``source``, or of this process's slice of them.

    ``args``: the flags of :func:`~data.generation.conversion_flags.add_driver_flags`. Raises
    :class:`~steve1.cli.UserError` where the exit code is not to be 0.
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
    mineclip_hash = ""  # known once a process has loaded MineCLIP
    room = partial(_needs, args, output)
    ledger = Ledger(
        entries,
        source.wanted,
        report,
        lambda entry: exists(source, mineclip_hash, entry, output, report.labelled),
        (lambda entry: _depends_on(source, entry)) if source.repeats else None,
        max(1, args.min_timesteps),
        source.what,
        lambda n: check_room(room(entries[:1] * n, n) if entries[0].remote else room([], 0), keep),
        (source.most_outside_failures, source.gave_up),
        source.discard,
    )
    missing = _missing(ledger, entries, output, source.wanted)
    workers = min(args.workers or _all_cores(args.mineclip_weights), max(1, len(missing)))
    under_way = min(sum(entry.remote for entry in missing), source.downloads + workers)
    check_room(room(missing, under_way), keep)

    # ---- the work
    if args.ray_address is None and workers > 1:
        source.close()
        with _one_thread_each(), processes(workers) as submit:
            # All begin to load at once, and this process, which has none of it to do, loads nothing.
            loading = [submit(hash_of_mineclip, args) for _ in range(workers)]
            mineclip_hash = loading[0].result()
            work = partial(convert_in_process, pickle.dumps(Job(source, args, mineclip_hash)))
            convert_here(source, ledger, workers, lambda entry: submit(work, entry))
    else:
        maker = load_maker(args)
        mineclip_hash = maker.mineclip_hash
        job = Job(source, args, mineclip_hash)
        if args.ray_address is not None:
            from data.generation.many_machines import convert_there

            source.close()
            convert_there(ledger, job, convert_in_cluster)
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
                failed = not_fetched(entry, fetched)
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


def _done(function: Callable[[Entry], Any], entry: Entry) -> Future[Any]:
    """``function(entry)`` worked out here and now; what it raises is raised."""
    future: Future[Any] = Future()
    future.set_result(function(entry))
    return future


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for this process."""
    import cv2
    import torch

    threads, of_cv2 = torch.get_num_threads(), cv2.getNumThreads()
    single_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(of_cv2)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """One thread for each process that is started."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _all_cores(mineclip_weights: str) -> int:
    """A process a core, but no more than there is memory for."""
    try:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return cores()
    each = MEMORY_BYTES + os.path.getsize(hub.file_of(mineclip_weights))
    return max(1, min(cores(), free // each, *_on_gpu(each)))


def _on_gpu(each: int) -> list[int]:
    """How many processes the GPU has memory for, where there is one."""
    import torch

    return [torch.cuda.mem_get_info()[0] // each] if torch.cuda.is_available() else []


# ---- what is there ----


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
