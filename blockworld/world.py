"""The world's state: blocks, what is derived from them, and questions about where things are."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from blockworld import blocks as b
from blockworld import light as lighting
from blockworld import terrain

SIZE, HEIGHT, SEA_LEVEL = terrain.SIZE, terrain.HEIGHT, terrain.SEA_LEVEL
BUILD_LIMIT = HEIGHT - 16  # blocks are placed below this height; rays that run up end there


class World:
    """Blocks in an array that repeats in x and z: block (x, z) is the same as (x + SIZE, z).

    ``blocks`` and ``light``: uint8 [SIZE, HEIGHT, SIZE], indexed [x % SIZE, y, z % SIZE]; read them, but change
    them through :meth:`set_block` only.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.blocks, self.field, self.light = (array.copy() for array in _untouched(seed))

    def block_at(self, x: int, y: int, z: int) -> int:
        """The number of the block at a cell (see ``blocks.BLOCKS``); air above the world, bedrock under it."""
        if y < 0:
            return b.BEDROCK
        if y >= HEIGHT:
            return b.AIR
        return int(self.blocks[x % SIZE, y, z % SIZE])

    def light_at(self, x: int, y: int, z: int) -> int:
        """Sky light at a cell, 0 to 15."""
        return int(self.light[x % SIZE, y, z % SIZE]) if 0 <= y < HEIGHT else lighting.FULL_LIGHT

    def set_block(self, x: int, y: int, z: int, block: int) -> None:
        """Put a block into a cell below BUILD_LIMIT; light and the ray caster's field follow."""
        if not 0 <= y < BUILD_LIMIT:
            raise ValueError(f"no block can be set at y {y}; the world is built from 0 to {BUILD_LIMIT - 1}")
        cell = x % SIZE, y, z % SIZE
        self.blocks[cell] = block
        lighting.update_boxes(self.field, (x, y, z), block)
        lighting.light_levels(self.blocks, self.light, (x, z))

    def surface(self, x: int, z: int) -> int:
        """The y of the highest block of a column that one can stand on or swim in."""
        column = self.blocks[x % SIZE, :, z % SIZE]
        return int(np.nonzero(b.SOLID[column] | (column == b.WATER))[0].max())

    def nearest(
        self, kinds: Iterable[int], near: tuple[float, float, float], within: float = 64.0
    ) -> tuple[int, int, int] | None:
        """The cell (x, y, z) of the nearest block of ``kinds`` by distance from ``near``, or None.

        x and z are those of the copy next to ``near``, not taken modulo SIZE.
        """
        wanted = np.zeros(b.COUNT, bool)
        wanted[list(kinds)] = True
        middle = np.floor(near).astype(int)
        for reach in (8, 16, 32, SIZE // 2):
            xs, zs = (middle[axis] + np.arange(-reach, reach + 1) for axis in (0, 2))
            y0, y1 = np.clip((middle[1] - reach, middle[1] + reach + 1), 0, HEIGHT)
            found = np.argwhere(wanted[self.blocks[xs % SIZE, y0:y1][:, :, zs % SIZE]])
            cells = found + np.array([xs[0], y0, zs[0]])
            distance = ((cells + 0.5 - near) ** 2).sum(axis=1)
            # What lies farther than the box reaches might have a nearer rival outside of it.
            if len(found) and (distance.min() <= reach**2 or reach == SIZE // 2):
                best = int(distance.argmin())
                x, y, z = cells[best].tolist()
                return (x, y, z) if distance[best] <= within**2 else None
            if reach >= within:
                break
        return None

    def spawn(self) -> tuple[float, float, float]:
        """The place to start, (x, y, z) of the feet: on open grass, near a tree and a lake; from the seed."""
        return _spawn(self.seed)


@functools.lru_cache(maxsize=2)
def _untouched(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks, field and light of a world that nobody has changed; kept, as episodes often start in the same."""
    blocks = terrain.generate(seed)
    return blocks, lighting.empty_boxes(blocks, BUILD_LIMIT), lighting.light_levels(blocks)


@functools.lru_cache(maxsize=2)
def _spawn(seed: int) -> tuple[float, float, float]:
    blocks, _, light = _untouched(seed)
    rng = np.random.default_rng([seed, 2])
    heads = np.argwhere(blocks == b.GRASS_BLOCK)
    above = blocks[heads[:, 0], heads[:, 1] + 1, heads[:, 2]]
    open_sky = light[heads[:, 0], heads[:, 1] + 2, heads[:, 2]] == lighting.FULL_LIGHT
    heads = rng.permutation(heads[~b.SOLID[above] & open_sky])[:400]
    trees = _far(heads, np.argwhere(np.isin(blocks, b.LOGS).any(axis=1)))
    water = _far(heads, np.argwhere(blocks[:, SEA_LEVEL] == b.WATER))
    # Four to eight blocks from a tree and six to fourteen from water, or as near to that as there is.
    miss = np.maximum(4 - trees, 0) * 2 + np.maximum(trees - 8, 0)
    miss += np.maximum(6 - water, 0) + np.maximum(water - 14, 0)
    x, y, z = heads[int(miss.argmin())]
    return float(x) + 0.5, float(y) + 1.0, float(z) + 0.5


def _far(cells: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Horizontal distance from each cell [n, 3] to the nearest of ``columns`` [m, 2], around the torus."""
    if not len(columns):
        return np.full(len(cells), float(SIZE))
    offset = abs(cells[:, None, [0, 2]] - columns[None])
    offset = np.minimum(offset, SIZE - offset)
    return np.sqrt((offset**2).sum(axis=2).min(axis=1))
