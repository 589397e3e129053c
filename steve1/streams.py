"""The only maker of random streams: a position makes a stream, the same on every machine and in every process.

A position is a seed and where it is used: numbers (an epoch, an item, a step), or a word for the purpose and
numbers. Nothing else is random, so no result depends on the number of workers, and what is resumed goes on as if
it had never stopped. The initial weights of networks come from torch's own global stream.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

MAX_SEED = 2**32 - 1  # of what begins with torch's or numpy's global stream


def numpy_stream(*position: int | str, padded: bool = False) -> np.random.Generator:
    """Return numpy's stream at a position, ``seed, number, ...`` or ``purpose, seed, ...``.

    Args:
        position: non-negative numbers alone, the seed first; with a word in it, it is hashed.
        padded: numbers alone in numpy's own reading of a list, for the makers of recordings, which began with it
            and keep their bits: it fills up with zeros, so that (1, 2) and (1, 2, 0) are one stream.
    """
    import numpy as np

    if padded:
        return np.random.default_rng([int(number) for number in position])
    if any(isinstance(part, str) for part in position):
        return np.random.default_rng(_hashed(position))
    seed, *key = (int(number) for number in position)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def torch_stream(*position: int | str) -> torch.Generator:
    """Return torch's stream, on the CPU, at a position: ``purpose, seed, ...``."""
    import torch

    return torch.Generator().manual_seed(_hashed(position) >> 1)  # torch takes 63 bits


def _hashed(position: tuple[int | str, ...]) -> int:
    """64 bits of a position's words and numbers."""
    digest = hashlib.sha256(" ".join(map(str, position)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
