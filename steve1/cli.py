"""What every entry point shares: reading numbers as users write them, and ending with one clear sentence.

Nothing here imports torch: an entry point parses its flags before it loads anything heavy.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from steve1.programs import end_with_starter


class UserError(ValueError):
    """Something that the user can mend; the message names the file or flag and the remedy."""


class UsageError(UserError):
    """A mistake in the flags: as :class:`UserError`, but the exit code is 2."""


_SUFFIXES = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def count(text: str) -> int:
    """Read a whole number written as ``10000000``, ``10_000_000``, ``10M`` or ``30k`` (``1.5M`` too)."""
    cleaned = text.strip().replace("_", "").replace(",", "").lower()
    factor = _SUFFIXES.get(cleaned[-1:], 1)
    digits = cleaned[:-1] if factor > 1 else cleaned
    try:
        value = float(digits) * factor if "." in digits or "e" in digits else int(digits) * factor
        whole = int(value)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number; write 10000000, 10_000_000 or 10M"
        ) from None
    if whole != value:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return whole


def number(text: str) -> float:
    """Read a number that may be a fraction, with the same suffixes and underscores as :func:`count`."""
    cleaned = text.strip().replace("_", "").lower()
    factor = _SUFFIXES.get(cleaned[-1:], 1)
    try:
        return float(cleaned[:-1] if factor > 1 else cleaned) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def boolean(text: str) -> bool:
    """Read ``True``/``False`` (also yes/no, 1/0, on/off); use with ``nargs='?', const=True``."""
    lowered = text.strip().lower()
    if lowered in {"true", "yes", "on", "1"}:
        return True
    if lowered in {"false", "no", "off", "0"}:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")


def comma_list(text: str) -> list[str]:
    """Read ``a,b,c`` as a list of non-empty strings."""
    return [part.strip() for part in text.split(",") if part.strip()]


def out_of_range(
    args: argparse.Namespace,
    *names: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    note: str = "",
) -> list[str]:
    """A sentence for each of the flags ``names`` whose number is out of range; None, not given, is in range.

    Of a list each number is looked at, and an empty one is out of range, as are NaN and infinity.

    Args:
        least, most: limits that belong to the range. above, below: limits that don't.
        note: what a special value does, such as "0: none".
    """
    limits = [
        *([f"at least {least:,g}"] if least is not None else []),
        *([f"above {above:,g}"] if above is not None else []),
        *([f"at most {most:,.12g}"] if most is not None else []),
        *([f"below {below:,g}"] if below is not None else []),
    ]
    remedy = f"give {' and '.join(limits) or 'a finite number'}{f' ({note})' if note else ''}"

    def wrong(value: float) -> str | None:
        if isinstance(value, float) and not math.isfinite(value):
            return "is no finite number"
        if least is not None and value < least:
            return f"is below {least:,g}"
        if above is not None and value <= above:
            return f"is not above {above:,g}"
        if most is not None and value > most:
            return f"is above {most:,.12g}"
        if below is not None and value >= below:
            return f"is not below {below:,g}"
        return None

    problems = []
    for name in names:
        given = getattr(args, name)
        if isinstance(given, list) and not given:
            problems.append(f"--{name} is empty; {remedy}")
        for value in given if isinstance(given, list) else [given]:
            fault = None if value is None else wrong(value)
            if fault is not None:
                problems.append(f"--{name} {value} {fault}; {remedy}")
    return problems


def not_there(args: argparse.Namespace, *names: str, folder: bool = False) -> list[str]:
    """A sentence for each path of the flags ``names`` that does not exist, or, with ``folder``, is no folder.

    None, not given, is no problem; of a list each path is looked at.
    """
    problems = []
    for name in names:
        given = getattr(args, name)
        for path in given if isinstance(given, list) else [given]:
            if path is not None and not (os.path.isdir(path) if folder else os.path.exists(path)):
                fault = "is no folder" if os.path.exists(path) else "does not exist"
                problems.append(f"--{name} {path} {fault}; check the path")
    return problems


def report_all(problems: Sequence[str]) -> None:
    """Raise one :class:`UsageError` that lists every problem, or return when there is none."""
    if problems:
        raise UsageError("\n       ".join(problems))


def entry_point(main: Callable[..., None]) -> Callable[..., None]:
    """Make ``main(argv=None)`` end well: users' mistakes become one sentence on stderr and an exit code.

    Exit codes: 2 for a usage error, 1 for any other :class:`UserError` or operating-system error, 130 for
    Ctrl-C, 143 for SIGTERM and 129 for a hang-up, which are answered as Ctrl-C is: what is half-written goes and
    no process is left. Anything else is a fault of ours and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> None:
        try:
            with _signals_interrupt():
                end_with_starter()
                main(argv)
        except UsageError as error:
            _leave(error, 2)
        except UserError as error:
            _leave(error, 1)
        except BrokenPipeError:
            # The reader of our output (head, less) has gone; that is no error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            _leave(_explain(error), 1)
        except KeyboardInterrupt as asked:
            number = asked.number if isinstance(asked, Asked) else signal.SIGINT
            name = "Ctrl-C" if number == signal.SIGINT else number.name
            _leave(
                f"stopped by {name}; what was finished is kept, run the same command to go on", 128 + number
            )

    return run


class Asked(KeyboardInterrupt):
    """A signal other than Ctrl-C's asked an entry point to end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise :class:`Asked` in the block, unless they are ignored (nohup) or handled.

    One that comes while an interruption is tidied up after is passed over: job schedulers, `timeout` and programs
    that end those that they started ask twice.
    """

    installed_in = os.getpid()

    def answer(number: int, _frame: Any) -> None:
        if os.getpid() != installed_in:  # a fork (a data loader's worker) ends as it always did
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        handled = sys.exc_info()[1]
        while handled is not None:
            if isinstance(handled, KeyboardInterrupt):
                return
            handled = handled.__context__
        raise Asked(signal.Signals(number))

    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no hang-up
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, answer)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _leave(message: object, code: int) -> None:
    with contextlib.suppress(OSError):  # a terminal that hung up
        print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code) from None


def _explain(error: OSError) -> str:
    name = error.filename if error.filename is not None else "a file"
    if error.errno == errno.ENOSPC:
        return f"the disk is full (writing {name}); free some space and run the same command again"
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist; check the path"
    if isinstance(error, PermissionError):
        return f"{name} may not be read or written; check its permissions"
    return str(error)
