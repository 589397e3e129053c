"""Doing one thing to many items in several processes, with results in the items' order and a clean way out."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from steve1.cli import UserError

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, flag: str = "--workers"
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` of each item, in their order, worked out by up to ``workers`` processes.

    ``function`` is of a module's top level, or a ``functools.partial`` of one; whatever it raises comes out here.
    1 worker, or a single item, stays in this process. Stopping early, and a worker that is killed: as in
    :func:`processes`.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    with processes(workers, flag) as submit:
        futures = [submit(function, item) for item in items]
        for place, future in enumerate(futures):
            yield future.result()
            futures[place] = None  # type: ignore[call-overload]  # a long list of results is not kept


@contextlib.contextmanager
def processes(
    workers: int, flag: str = "--workers"
) -> Generator[Callable[[Callable[[Item], Result], Item], Future[Result]], None, None]:
    """Yield ``submit(function, item)``, which has one of ``workers`` processes work out ``function(item)``.

    When the block is left early (by Ctrl-C, an error, or closing an iterator in it) what is under way is
    interrupted by a KeyboardInterrupt in the worker, so that it tidies up, and workers whose parent was killed
    end at once. Raises UserError when a worker is killed, and names the ``flag`` that sets how many there are.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Not fork: the libraries that decode have threads.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(stop,))
    whole = False
    try:
        yield lambda function, item: pool.submit(_run, function, item)
        whole = True
    except BrokenProcessPool:
        raise UserError(
            "a process was killed, most likely for want of memory; run the same command again with fewer "
            f"{flag} (what was finished is kept)"
        ) from None
    finally:
        if not whole:
            stop.set()
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(cancel_futures=True)


_stop: Any = None
_busy = False


def _start(stop: Any) -> None:
    """Prepare a worker."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupt(*_: Any) -> None:
    if not _stop.is_set():
        os._exit(128 + signal.SIGTERM)  # not by us: the main process sees that a worker is gone
    if _busy:
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(function: Callable[[Any], Any], item: Any) -> Any:
    global _busy
    if _stop.is_set():
        return None
    _busy = True
    try:
        with contextlib.suppress(KeyboardInterrupt):
            return function(item)
        return None
    finally:
        _busy = False
