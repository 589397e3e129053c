"""Doing one thing to many items in several processes, with results in the items' order and a clean way out."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
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

    When the block is left early (by Ctrl-C, an error, or closing an iterator in it), and when the main process has
    ended, however it was killed, what is under way is interrupted by a KeyboardInterrupt in the worker, so that it
    tidies up; a worker that does not get round to it within seconds ends as it is. Raises UserError when a worker
    is killed, and names the ``flag`` that sets how many there are.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Not fork: the libraries that decode have threads.
    context = multiprocessing.get_context("spawn")
    _start_tracker()
    stop = context.RawValue("b", 0)  # without a lock: signal handlers look at it
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
            stop.value = 1
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(cancel_futures=True)


def _start_tracker() -> None:
    """Start multiprocessing's own helper deaf to a terminal's hang-up, or it dies of it and says so by tracebacks."""
    from multiprocessing import resource_tracker

    if not hasattr(signal, "SIGHUP"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()  # it takes over what is blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_stop: Any = None
_busy = False
_ending = False  # this process was told to end: after what is under way is tidied up
_TIDYING_S = 10.0


def _start(stop: Any) -> None:
    """Prepare a worker."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # so is a hang-up, which comes to all of a terminal's
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupt(*_: Any) -> None:
    global _ending
    if _ending:
        return  # a second interruption would stop the tidying up
    _ending = True
    if _busy:
        _end_in_time()
        raise KeyboardInterrupt
    if not _stop.value:
        # Not by us: the main process sees that a worker is gone.
        os._exit(128 + signal.SIGTERM)


def _end_in_time() -> None:
    late = threading.Timer(_TIDYING_S, os._exit, (128 + signal.SIGTERM,))
    late.daemon = True
    late.start()


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    if _busy:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_TIDYING_S)
    os._exit(1)


def _run(function: Callable[[Any], Any], item: Any) -> Any:
    global _busy
    if _ending or _stop.value:
        return None
    _busy = True
    try:
        with contextlib.suppress(KeyboardInterrupt):
            return function(item)
        return None
    finally:
        _busy = False
        if _ending and not _stop.value:
            os._exit(128 + signal.SIGTERM)  # nobody is there to take the result, or it is not whole
