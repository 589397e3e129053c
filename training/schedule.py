"""The arithmetic of a run: frames, steps, learning rate, and when to validate, save and snapshot.

One step is one piece of ``trunc_t`` frames of each item in the batch, on every process. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def frames_per_step(trunc_t: int, batch_size: int, n_processes: int) -> int:
    """Frames that one step processes, over all processes."""
    return trunc_t * batch_size * n_processes


def total_steps(n_frames: int, per_step: int, accumulation: int) -> int:
    """Steps of a run: enough for ``n_frames``, rounded up to whole updates."""
    updates = math.ceil(n_frames / (per_step * accumulation))
    return updates * accumulation


SCHEDULES = ("cosine", "constant", "wsd")


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of frames: a linear warm-up to ``peak``, then one of three shapes.

    With n frames, w = ``warmup_frames`` and N = ``n_frames``:

    - ``cosine``: ``peak * (1 + cos(pi * (n - w) / (1.1 * N - w))) / 2``, as STEVE-1 was trained: the cosine would
      reach 0 at 1.1 times N, so the last update still learns.
    - ``constant``: ``peak``. A run of it can be gone on with for as long as one likes.
    - ``wsd``, warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395): ``peak`` up to ``tail_from``, then
      ``peak * tail_share * (1 - (n - tail_from) / (1.1 * (N - tail_from)))``; a straight line, which likewise would
      reach 0 a tenth beyond its end. ``tail_share`` is 1, but where a tail is lengthened: there it begins anew, at the
      share of the peak that it had come down to.
    """

    kind: str
    peak: float
    warmup_frames: int
    n_frames: int
    tail_from: int = 0
    tail_share: float = 1.0

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> Schedule:
        """The schedule of a run that begins with these flags; a ``decay_frames`` of 0 is a tenth of ``n_frames``."""
        tail = flags["decay_frames"] or max(flags["n_frames"] // 10, 1)
        return cls(
            flags["schedule"],
            flags["learning_rate"],
            flags["warmup_frames"],
            flags["n_frames"],
            flags["n_frames"] - tail,
        )

    def share(self, frames: int) -> float:
        """The share of the peak that the rate is, after ``frames`` frames."""
        if frames < self.warmup_frames:
            return frames / self.warmup_frames
        if self.kind == "cosine":
            fraction = (frames - self.warmup_frames) / (1.1 * self.n_frames - self.warmup_frames)
            return (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
        if self.kind == "constant" or frames < self.tail_from:
            return 1.0
        return self.tail_share * max(
            1 - (frames - self.tail_from) / (1.1 * (self.n_frames - self.tail_from)), 0.0
        )

    def rate(self, frames: int) -> float:
        """The learning rate after ``frames`` frames."""
        if frames < self.warmup_frames:
            return self.peak * frames / self.warmup_frames
        return self.peak * self.share(frames)


def validation_due(step: int, val_freq: int, val_freq_begin: int, val_freq_switch_steps: int) -> bool:
    """Whether to validate after ``step``: every ``val_freq_begin`` steps at first, then every ``val_freq``.

    A frequency of 0 means never.
    """
    freq = val_freq_begin if step <= val_freq_switch_steps else val_freq
    return freq > 0 and step % freq == 0


def n_validations(total: int, val_freq: int, val_freq_begin: int, val_freq_switch_steps: int) -> int:
    """Validations of a run of ``total`` steps, those of its start and its end included; one more at most."""
    first = min(val_freq_switch_steps, total)
    begin = first // val_freq_begin if val_freq_begin > 0 else 0
    rest = total // val_freq - first // val_freq if val_freq > 0 else 0
    return begin + rest + 2


# Time of a frame of validation over a frame of training, at most: a forward pass and two more runs of what follows
# the image path, against a forward and a backward pass. benchmarks/validation_cost.py measured 0.34 at the published
# size, 0.55 with the quickstart's small policy.
VALIDATION_COST = 0.5
MIN_VAL_ITEMS = 64  # on fewer items a loss is too noisy to choose weights by


def affordable_items(share: float, n_frames: int, T: int, validations: int) -> int:
    """Items that each of a run's validations may hold, to take ``share`` of its time; never below MIN_VAL_ITEMS."""
    frames = share / (1 - share) * n_frames / VALIDATION_COST / validations
    return max(int(frames / T), MIN_VAL_ITEMS)


def snapshots_passed(frames_before: int, frames_now: int, every: int) -> list[int]:
    """The multiples of ``every`` in (frames_before, frames_now]; none when ``every`` is 0."""
    if every <= 0:
        return []
    return [n * every for n in range(frames_before // every + 1, frames_now // every + 1)]


def short_count(n: int) -> str:
    """A count as users write it: 5_000_000 -> "5M", 1_500_000 -> "1.5M", 30_000 -> "30k", 512 -> "512"."""
    for size, suffix in ((1_000_000, "M"), (1_000, "k")):
        if n >= size and n * 1000 % size == 0:
            return f"{n / size:.3f}".rstrip("0").rstrip(".") + suffix
    return str(n)
