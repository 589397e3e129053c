"""An exponential moving average of the weights (``--ema``): trained beside the raw ones, judged and saved beside them.

One update's noise moves it little, so with little data it is often the better policy; it costs one copy of the
trained parameters. Frozen parameters are the raw ones'.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """The average of a module's trained parameters over the updates so far.

    After update n, ``average = d * average + (1 - d) * weights`` with ``d = min(decay, (1 + n) / (10 + n))``: the
    first updates count for more, so that what the run began with is forgotten as quickly as it is outgrown.

    Args:
        module: as Accelerate prepared it; sharded parameters are averaged by the process that holds them.
        decay: of an update, 0 to 1, both excluded.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self._weights = [p for p in module.parameters() if p.requires_grad]
        self._averages = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an update."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        average = get_ema_multi_avg_fn(decay)
        average(self._averages, [p.detach() for p in self._weights], torch.tensor(self.updates))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module has the average's weights; its own come back, to the last bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for weights, average in zip(self._weights, self._averages, strict=True):
            kept = weights.clone()
            weights.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict:
        """What going on exactly needs."""
        return {"updates": self.updates, "averages": self._averages}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.updates = state["updates"]
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)
