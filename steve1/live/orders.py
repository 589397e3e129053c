"""What a game is asked to do between two steps, in order; of what has a name only the newest counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Order:
    number: int
    do: Callable[[], object]
    overtaken: Callable[[], object] | None


class Orders:
    """A queue between the threads that ask and the one that does.

    Prompts that come faster than they can be embedded, or resets than a world can be made, would otherwise be done
    one after the other, for nobody. Those that are asked meanwhile wait for the step that is due after the others:
    see :meth:`waiting`.
    """

    def __init__(self) -> None:
        self._waiting: dict[object, _Order] = {}  # by name, in the order of their coming
        self._number = 0
        self._changed = threading.Condition()

    def put(
        self, do: Callable[[], object], name: str | None = None, overtaken: Callable[[], object] | None = None
    ) -> None:
        """Ask for ``do``; one of the same ``name`` that still waits is never done, and told by its ``overtaken``."""
        with self._changed:
            old = self._waiting.pop(name, None) if name is not None else None
            self._number += 1
            self._waiting[self._number if name is None else name] = _Order(self._number, do, overtaken)
            self._changed.notify()
        if old is not None and old.overtaken is not None:
            old.overtaken()

    def waiting(self, seconds: float | None) -> int:
        """Wait so long (None: for ever) for an order; the newest one's number, which :meth:`take` takes up to."""
        if seconds is not None:
            end = time.monotonic() + seconds
        with self._changed:
            while not self._waiting:
                left = None if seconds is None else end - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            return self._number

    def take(self, number: int) -> Callable[[], object] | None:
        """The oldest order that waits, if it came no later than the one of this number."""
        with self._changed:
            for name, order in self._waiting.items():
                if order.number > number:
                    break
                del self._waiting[name]
                return order.do
        return None
