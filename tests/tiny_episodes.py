"""Small real episodes for the tests of what reads them."""

from pathlib import Path

import numpy as np

from data.EpisodeStorage import EpisodeStorage
from steve1.vpt.actions import BUTTONS

WIDTH = 8


def make_episode(path, length=60, seed=0, **metadata) -> Path:
    """Write an episode whose frame t is filled with t % 256 and whose embedding row t is t everywhere."""
    rng = np.random.default_rng(seed)
    actions = {name: (rng.random(length) < 0.1).astype(np.int64) for name in BUTTONS}
    actions["camera"] = rng.normal(0, 3, size=(length, 2))
    frames = (np.full((128, 128, 3), t % 256, dtype=np.uint8) for t in range(length))
    embeds = np.repeat(np.arange(length, dtype=np.float32)[:, None], WIDTH, axis=1)
    EpisodeStorage.write(path, frames, actions, embeds, metadata)
    return Path(path)
