"""When a video's pictures are shown, from its packets alone: nothing is decoded. Knows nothing of lines of actions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from data.video import opened, packets
from steve1.config import FPS

_ROUNDING = 0.0015  # seconds; containers round times to milliseconds
_LONG = 0.1  # seconds; a last picture that is shown for longer is one of a variable rate


@dataclass(frozen=True)
class Timeline:
    """``times``: seconds of each picture since the first one, float64 [n], in the order in which they are shown.

    ``step``: the usual time between two; ``last_seconds``: how long the last one is shown; ``announced``: seconds that
    the header gives the video, 0 where it says nothing; ``header_rate``: pictures a second by the header, which decides
    nothing but where the file has no times at all; ``moment``: which time of a decoded frame is its own, None where
    there are none. An AVI stores when pictures are decoded; a decoder hands each one out with the time (dts) of the
    packet that comes when it is due.
    """

    times: np.ndarray
    step: float
    last_seconds: float
    announced: float
    header_rate: float
    moment: str | None

    @property
    def seconds(self) -> float:
        """From the first picture to the end of the last one that is there."""
        return float(self.times[-1]) + self.last_seconds if len(self.times) else 0.0

    @property
    def ticks_exactly(self) -> bool:
        """Whether the k-th picture comes at k/20 s, for each of them."""
        return bool((np.abs(self.times - np.arange(len(self.times)) / FPS) < _ROUNDING).all())

    @property
    def rate(self) -> float:
        """Pictures a second, on average."""
        return len(self.times) / self.seconds if self.seconds > 0 else 0.0


def read_timeline(path: str | os.PathLike) -> Timeline:
    """Read a video's times. Raises UserError when the file is no video."""
    with opened(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        base = float(stream.time_base or Fraction(1, 1000))
        avi = container.format.name == "avi"
        shown: list[int | None] = []
        last = -1, 0
        for packet in packets(container, stream):
            first, second = (packet.dts, packet.pts) if avi else (packet.pts, packet.dts)
            shown.append(second if first is None else first)
            if shown[-1] is not None:
                last = max(last, (shown[-1], packet.duration or 0))
        announced = float(stream.duration * base) if stream.duration else 0.0
        if not announced and container.duration and len(container.streams) == 1:
            announced = container.duration / 1_000_000
        n = len(shown)
    moments = [time for time in shown if time is not None]
    if len(moments) < max(1, n / 2):
        step = 1 / rate if rate else 0.0
        return Timeline(np.arange(n) * step, step, step, 0.0, rate, None)
    times = np.sort(np.array(moments, dtype=np.float64)) * base
    step = float(np.median(np.diff(times))) if len(times) > 1 else (1 / rate if rate else 0.0)
    # A muxer that doesn't know how long the last picture is shown takes the header's rate.
    told = last[1] * base
    last_seconds = told if told > _LONG and told > 3 * step else step
    return Timeline(times - times[0], step, last_seconds, announced, rate, "dts" if avi else "pts")
