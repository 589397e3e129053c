"""Work that is done ahead, in threads.

For work that waits (downloads), not for work that computes. Knows nothing of recordings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_EXIT_SECONDS = 2.0  # how long leaving waits for work that was told to stop


class Ahead(Generic[Item, Result]):
    """Items that are worked on from the moment they are put in, each in a thread of its own.

    ``work(item, stop)`` is called; ``stop`` is set when the block is left, and the work should then end.

        with Ahead(download) as ahead:
            first = ahead.put(item)
            first.result()
    """

    def __init__(self, work: Callable[[Item, threading.Event], Result]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Ahead[Item, Result]:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        # The threads are daemons and not waited for any longer: a connection that stalls must not hold up
        # the end of the program.
        for thread in self._threads:
            thread.join(_EXIT_SECONDS)

    def put(self, item: Item) -> Future[Result]:
        """Begin to work on ``item``."""
        future: Future[Result] = Future()
        thread = threading.Thread(target=self._run, args=(item, future), daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()
        return future

    def _run(self, item: Item, future: Future[Result]) -> None:
        try:
            future.set_result(self._work(item, self._stop))
        except BaseException as error:  # whatever it is, it belongs to whoever asks for the result
            future.set_exception(error)
