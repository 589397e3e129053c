"""What is said where processes that load data are lost, or the shared memory for their batches is full.

A torch DataLoader notices a lost worker at any moment, in the middle of a step too, and says so in its own words.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator

from steve1.cli import UserError

SHARED_MEMORY = "/dev/shm"
PREFETCHED = 2  # batches that a worker has ready or under way: torch's default, prefetch_factor
_LOST = re.compile(r"DataLoader worker \(pid.*?\) (is killed by signal: [\w ]+|exited unexpectedly)")
_FULL = re.compile(
    r"out of shared memory|unable to (allocate shared memory|(write to|resize|open) .*</torch_|mmap \d+ bytes)"
)
_MORE = (
    "give the machine or container more (docker run --shm-size=16g, or --ipc=host), or run the same command again with "
    "fewer --num_workers (0 needs none)"
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn a lost worker, and full shared memory, into a :class:`~steve1.cli.UserError` that says what to do."""
    sentence = None
    try:
        yield
    except RuntimeError as error:
        sentence = explanation("\n".join(_chain(error)))
        if sentence is None:
            raise
    if sentence is not None:
        raise UserError(sentence)


def _chain(error: BaseException | None) -> Iterator[str]:
    """What an error says, and those that it was raised from: torch names the signal in the innermost, if at all."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def explanation(said: str) -> str | None:
    """A sentence for torch's ``said``, where that is about a lost worker or shared memory; else None."""
    if "Too many open files" in said or "ancdata" in said:
        return (
            "the processes that load data have too many files open; allow more (ulimit -n 65536 in the same shell), or "
            "run the same command again with fewer --num_workers"
        )
    lost = max(_LOST.finditer(said), key=lambda found: "signal" in found[1], default=None)
    if _FULL.search(said) or (lost and "Bus error" in lost[1]):
        return f"the shared memory {SHARED_MEMORY}{_total()} is full of batches that were loaded; {_MORE}"
    if lost:
        return (
            f"a process that loads data {lost[1].strip()}, most likely for want of memory; run the same command again "
            "with fewer --num_workers (0: the main process loads), or a smaller --batch_size"
        )
    return None


def shared_memory_note(batch_bytes: int, workers: int, loaders: int = 1, processes: int = 1) -> str | None:
    """A sentence where the shared memory that is free will not hold the batches that are loaded ahead; else None.

    Args:
        batch_bytes: of one batch. workers: of each loader. loaders: that are open at once.
        processes: that load so on this machine.
    """
    free = _free()
    needed = processes * batch_bytes * (PREFETCHED * workers * loaders + 1)
    if not workers or free is None or free >= needed:
        return None
    return (
        f"warning: {SHARED_MEMORY} has {_size(free)} free, and batches of {_size(batch_bytes)} that {workers} "
        f"--num_workers load ahead take up to {_size(needed)}; if it runs full, {_MORE}"
    )


def _free() -> int | None:
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:  # not every system has it
        return None


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _total() -> str:
    with contextlib.suppress(OSError):
        return f" ({_size(shutil.disk_usage(SHARED_MEMORY).total)})"
    return ""


def machine_processes() -> int:
    """How many processes of this run are on this machine, as a launcher says; 1 without one."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return int(said) if said.isdigit() else 1
