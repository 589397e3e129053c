"""What a run writes, so that its loop hardly waits for it: copies are taken at once, the slow rest is done beside it.

In the loop: tensors are copied (weights to the computer's memory, a checkpoint's to files, which the system keeps in
memory too). In a thread: hashes, waiting for the disk, renames, removing what is old; in the order in which they were
asked for, so that what is on the disk at any moment is what it would be without the thread, a little later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.checkpoints import Snapshot, save_weights
from training.checkpointing import save_checkpoint
from training.opening import metadata
from training.reporting import duration
from training.schedule import short_count, snapshots_passed

if TYPE_CHECKING:
    from training.run import Run


class InOrder:
    """Does what it is given in one thread, in that order; after an error nothing more of it.

    The error is raised where the next :meth:`done` or :meth:`wait` is, as the thread met it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saves")
        self._jobs: deque[Future[str | None]] = deque()
        self._failed = False

    def give(self, job: Callable[[], str | None]) -> None:
        """Let ``job`` be done after all that was given before; it may return a sentence to be said."""
        self._jobs.append(self._thread.submit(self._do, job))

    def _do(self, job: Callable[[], str | None]) -> str | None:
        if self._failed:
            return None
        try:
            return job()
        except BaseException:
            self._failed = True
            raise

    def done(self) -> list[str]:
        """The sentences of the jobs that are done since the last call."""
        said = []
        while self._jobs and self._jobs[0].done():
            said.append(self._jobs.popleft().result())
        return [sentence for sentence in said if sentence]

    def wait(self) -> list[str]:
        """As :meth:`done`, when all jobs are."""
        said = []
        while self._jobs:
            said.append(self._jobs.popleft().result())
        return [sentence for sentence in said if sentence]


class Saves:
    """The files of a run: ``OUT*.weights`` and checkpoints.

    All methods but :meth:`path` are called by all processes together; the main one alone writes weights, and has the
    thread. The copies of one moment (of the weights, and of their average) serve all files that are due then; the
    next moment's are taken when those are written, so there are never more. Entered, it is left when all is written,
    whatever else went wrong.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._behind = InOrder()
        self._in_moment = False
        self._copies: dict[bool, Snapshot | None] = {}  # of the average?

    def path(self, kind: str) -> Path:
        """``OUTkind.weights``."""
        out = self._run.out
        return out.with_name(f"{out.stem}{kind}.weights")

    def weights(self, kind: str) -> None:
        """Save ``OUTkind.weights`` and its JSON, and those of the average."""
        self._save(kind, False, {})
        if kind != "_best":  # the best average is of another step
            self.average(kind)

    def average(self, kind: str) -> None:
        """Save ``OUT_emakind.weights``, where there is an average."""
        ema = self._run.ema
        if ema is not None:
            self._save(f"_ema{kind}", True, {"average": {"decay": ema.decay, "updates": ema.updates}})

    def snapshots(self) -> None:
        """Keep the weights where the last update passed a multiple of ``--snapshot_every_n_frames``."""
        run = self._run
        before = run.frames - run.frames_per_step * run.args.gradient_accumulation_steps
        for frames in snapshots_passed(before, run.frames, run.args.snapshot_every_n_frames):
            self.weights(f"_snapshot_{short_count(frames)}")

    def checkpoint(self) -> None:
        """Save all that going on needs, and ``_latest``."""
        run, began = self._run, time.perf_counter()
        with run.meter.pausing():
            self._begin_moment()
            memories = [run.memory, *([run.start.memory] if run.start is not None else [])]
            rest = save_checkpoint(run.accelerator, run.checkpoint_dir, run.progress, memories, run.ema)
            self._give(rest)
            self.weights("_latest")
        held_up, step = duration(time.perf_counter() - began), run.progress.step
        self._give(
            lambda: (
                f"Saved the checkpoint of step {step} in {duration(time.perf_counter() - began)}; "
                f"training waited {held_up} for it"
            )
        )

    def moved_on(self) -> None:
        """The weights change from here on. Raises what went wrong in the thread so far."""
        self._end_moment()
        self._say(self._behind.done())

    def wait(self) -> None:
        """Return when all is on the disk. Raises what went wrong on the way."""
        self._end_moment()
        self._say(self._behind.wait())

    def finish(self) -> None:
        """As :meth:`wait`, of all processes: a launcher may kill the main one when another has left."""
        self.wait()
        self._run.accelerator.wait_for_everyone()

    def __enter__(self) -> Saves:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.wait()
        except Exception as error:
            if kind is None:
                raise
            self._say([f"warning: besides, a save failed: {error}"])

    def _begin_moment(self) -> None:
        if not self._in_moment:
            self.wait()
            self._in_moment = True

    def _end_moment(self) -> None:
        self._in_moment = False
        self._copies.clear()

    def _save(self, kind: str, average: bool, more: dict[str, Any]) -> None:
        copy = self._copy(average)
        if copy is not None:
            self._give(partial(save_weights, copy, self.path(kind), {**metadata(self._run), **more}))

    def _copy(self, average: bool) -> Snapshot | None:
        """The weights of this moment, or their average; None in all processes but the main one."""
        self._begin_moment()
        if average not in self._copies:
            if average:
                assert self._run.ema is not None
                with self._run.ema.in_place():
                    self._copies[True] = self._copied()
            else:
                self._copies[False] = self._copied()
        return self._copies[average]

    def _copied(self) -> Snapshot | None:
        state = self._run.accelerator.get_state_dict(self._run.policy)
        return Snapshot(state) if self._run.is_main else None

    def _give(self, job: Callable[[], str | None]) -> None:
        if self._run.is_main:
            self._behind.give(job)

    def _say(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self._run.reporter.say(sentence)
