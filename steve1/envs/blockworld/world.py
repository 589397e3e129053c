"""The world's state: blocks, what is derived from them, and questions about where things are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from steve1.envs.blockworld import blocks as b
from steve1.envs.blockworld import light as lighting
from steve1.envs.blockworld import terrain

SIZE, HEIGHT, SEA_LEVEL = terrain.SIZE, terrain.HEIGHT, terrain.SEA_LEVEL


class World:
    """Blocks in an array that repeats in x and z: block (x, z) is the same as (x + SIZE, z).

    ``blocks``, ``field``, ``light``: uint8 [SIZE, HEIGHT, SIZE], indexed [x % SIZE, y, z % SIZE]; read them,
    but change them through :meth:`set_block` only.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.blocks = terrain.generate(seed)
        self.field = lighting.empty_distances(self.blocks)
        self.light = lighting.light_levels(self.blocks)
        self.top = int(np.nonzero((self.blocks != b.AIR).any(axis=(0, 2)))[0].max()) + 1

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
        """Put a block into a cell; light and the ray caster's field follow."""
        cell = x % SIZE, y, z % SIZE
        self.blocks[cell] = block
        reach = np.arange(-lighting.REACH + 1, lighting.REACH)
        if block == b.AIR:
            beside = self.field[
                np.ix_((x + reach[13:16]) % SIZE, np.arange(max(y - 1, 0), y + 2), (z + reach[13:16]) % SIZE)
            ]
            # Where cells around have something at distance d, this one has it at d + 1 at most; near is safe.
            distances = np.where(beside >= lighting.EMPTY, beside.astype(int) - lighting.EMPTY, 0)
            distances[1, 1 if y else 0, 1] = lighting.REACH
            self.field[cell] = lighting.EMPTY + min(int(distances.min()) + 1, lighting.REACH)
        else:
            self.field[cell] = block
            ys = np.arange(max(y + reach[0], 0), min(y + reach[-1], HEIGHT - 1) + 1)
            columns = np.ix_((x + reach) % SIZE, ys, (z + reach) % SIZE)
            part = self.field[columns]
            far = np.maximum(np.maximum(abs(reach)[:, None, None], abs(ys - y)[None, :, None]), abs(reach))
            air = part >= lighting.EMPTY
            part[air] = np.minimum(part[air], (lighting.EMPTY + far)[air])
            self.field[columns] = part
            self.top = max(self.top, y + 1)
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
        cells = np.argwhere(np.isin(self.blocks, list(kinds)))
        if not len(cells):
            return None
        offset = cells + 0.5 - np.array(near)
        shift = np.array([SIZE, 0, SIZE]) * np.round(offset / SIZE)
        offset = offset - shift
        distance = (offset**2).sum(axis=1)
        best = int(distance.argmin())
        if distance[best] > within**2:
            return None
        x, y, z = (cells[best] - shift[best]).astype(int)
        return int(x), int(y), int(z)

    def spawn(self) -> tuple[float, float, float]:
        """A place to start, (x, y, z) of the feet: on open grass, near a tree and a lake; from the seed."""
        rng = np.random.default_rng([self.seed, 2])
        heads = np.argwhere(self.blocks == b.GRASS_BLOCK)
        above = self.blocks[heads[:, 0], heads[:, 1] + 1, heads[:, 2]]
        open_sky = self.light[heads[:, 0], heads[:, 1] + 2, heads[:, 2]] == lighting.FULL_LIGHT
        heads = rng.permutation(heads[~b.SOLID[above] & open_sky])[:400]
        trees = _far(heads, np.argwhere(np.isin(self.blocks, b.LOGS).any(axis=1)))
        water = _far(heads, np.argwhere(self.blocks[:, SEA_LEVEL] == b.WATER))
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
