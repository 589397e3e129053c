"""Losses and gradients that are no numbers: found before an update makes use of them, at one wait for the device."""

from __future__ import annotations

import torch
from torch.distributed.tensor import DTensor

from steve1.cli import UserError


class NonFinite(UserError):
    """A loss or the gradient is not a number; the update was not made."""


class Noted:
    """What the steps since the last update came to, left on the device until :meth:`check` looks at all of it."""

    def __init__(self) -> None:
        self._values: list[tuple[str, int, torch.Tensor]] = []

    def add(self, what: str, step: int, value: torch.Tensor) -> None:
        """Note a scalar of ``step`` under the name ``what``."""
        self._values.append((what, step, value))

    def check(self, step: int, grad_norm: torch.Tensor, skips: bool, remedy: str) -> float:
        """The norm of the gradient that the update after ``step`` is to be made of, and what was noted is forgotten.

        Args:
            skips: the update passes over a gradient that is no number by itself, as fp16's scaler does.
            remedy: how the sentence ends.

        Raises :class:`NonFinite`, which names the first step where a value is no number.
        """
        noted, self._values = self._values, []
        if isinstance(grad_norm, DTensor):  # FSDP's
            grad_norm = grad_norm.full_tensor()
        *values, norm = torch.stack([*(value for *_, value in noted), grad_norm]).tolist()
        for (what, when, _), value in zip(noted, values, strict=True):
            _refuse(what, when, value, remedy)
        if not skips:
            _refuse("gradient", step, norm, remedy)
        return norm


def _refuse(what: str, step: int, value: float, remedy: str) -> None:
    if not abs(value) < float("inf"):
        raise NonFinite(f"the {what} became {value} at step {step}, so this step was not taken; {remedy}")
