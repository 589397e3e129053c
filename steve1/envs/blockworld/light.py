"""What rays and eyes need beside the blocks: how far around a cell is empty, and how light it is."""

from __future__ import annotations

import numpy as np
from numba import njit

from steve1.envs.blockworld import blocks as b

EMPTY = 100  # a cell of the ray caster's field: a block's number, or EMPTY + distance to the nearest block
REACH = 15  # greatest distance kept
FULL_LIGHT = 15


def empty_distances(blocks: np.ndarray) -> np.ndarray:
    """The ray caster's field, uint8 [x, y, z]: blocks' numbers, and in air EMPTY + Chebyshev distance (<= REACH).

    A ray in a cell of distance d may go on to the border of the cube of 2d-1 cells around it unseen.
    """
    field = blocks.copy()
    near = blocks != b.AIR
    field[~near] = EMPTY + REACH
    for distance in range(1, REACH):
        wider = near | np.roll(near, 1, 0) | np.roll(near, -1, 0)
        wider |= np.roll(wider, 1, 2) | np.roll(wider, -1, 2)
        grown = wider.copy()
        grown[:, 1:] |= wider[:, :-1]
        grown[:, :-1] |= wider[:, 1:]
        field[grown & ~near] = EMPTY + distance
        near = grown
    return field


@njit(cache=True)
def _spread(light, blocks, opacity, x0, x1, z0, z1):
    """Let light flow from cell to cell in the columns x0..x1, z0..z1 (may wrap) until nothing changes."""
    size, height = light.shape[0], light.shape[1]
    wrap = size - 1
    changed = True
    forward = True
    while changed:
        changed = False
        for i in range(x1 - x0):
            x = (x0 + i if forward else x1 - 1 - i) & wrap
            for k in range(z1 - z0):
                z = (z0 + k if forward else z1 - 1 - k) & wrap
                for j in range(height):
                    y = j if forward else height - 1 - j
                    loss = opacity[blocks[x, y, z]]
                    if loss >= 15 or light[x, y, z] == 15:
                        continue
                    best = max(
                        max(light[(x + 1) & wrap, y, z], light[(x - 1) & wrap, y, z]),
                        max(light[x, y, (z + 1) & wrap], light[x, y, (z - 1) & wrap]),
                    )
                    if y > 0:
                        best = max(best, light[x, y - 1, z])
                    if y < height - 1:
                        best = max(best, light[x, y + 1, z])
                    if best > loss and best - loss > light[x, y, z]:
                        light[x, y, z] = best - loss
                        changed = True
        forward = not forward


_OPACITY = np.full(b.COUNT, 15, np.uint8)
_OPACITY[[b.AIR, b.TALL_GRASS, b.POPPY, b.DANDELION, b.OAK_SAPLING]] = 1
_OPACITY[b.WATER] = 2
_OPACITY[list(b.LEAVES)] = 2


def light_levels(
    blocks: np.ndarray, light: np.ndarray | None = None, around: tuple[int, int] | None = None
) -> np.ndarray:
    """Sky light, uint8 [x, y, z] in 0..15: full under the open sky, falling by one a block, more in water.

    ``light`` and ``around`` (x, z): only the columns within REACH of a change are worked out again, in place.
    """
    size = blocks.shape[0]
    if light is None or around is None:
        light = np.zeros(blocks.shape, np.uint8)
        xs = zs = np.arange(size)
    else:
        reach = np.arange(-FULL_LIGHT, FULL_LIGHT + 1)
        xs, zs = (around[0] + reach) % size, (around[1] + reach) % size
    columns = np.ix_(xs, np.arange(blocks.shape[1]), zs)
    part = _OPACITY[blocks[columns]].astype(np.int64)
    # Straight down from the sky: no loss in air, the block's own loss in water and leaves.
    loss = np.where(part == 1, 0, part)[:, ::-1]
    falling = FULL_LIGHT - np.cumsum(loss, axis=1)[:, ::-1]
    light[columns] = np.maximum(falling, 0).astype(np.uint8)
    _spread(light, blocks, _OPACITY, int(xs[0]), int(xs[0]) + len(xs), int(zs[0]), int(zs[0]) + len(zs))
    return light
