"""What rays and eyes need beside the blocks: how far around a cell is empty, and how light it is."""

from __future__ import annotations

import numpy as np
from numba import njit

from blockworld import blocks as b

# The ray caster's field holds one byte a cell. Below BLOCK: an empty box, its side in the lower four bits, FLAT set
# where the box is one block high. Then BLOCK + a block's number; WATER + the side of a cube of water; SKY.
FLAT, BLOCK, WATER, SKY = 16, 32, 64, 255
REACH = 15  # longest side of a box
FULL_LIGHT = 15


def empty_boxes(blocks: np.ndarray, top: int) -> np.ndarray:
    """The ray caster's field, uint8 [8, x, y, z], one array for each octant of directions.

    Octant 4a + 2b + c is of rays that run down in x if a, down in y if b, down in z if c. In air there stands the
    side (1 to REACH) of the largest empty cube with this cell at its near corner, which a ray may cross unseen; where
    that is a single block, that of the largest flat box. Rays that run up end
    at ``top`` (SKY); REACH cells above it are needed, as boxes may reach into them.
    """
    field = np.empty((8, *blocks.shape), np.uint8)
    field[:] = _fresh(blocks)
    for octant in range(8):
        if not octant & 2:
            field[octant, :, top:] = SKY
    size, tall = blocks.shape[:2]
    for _ in range(2):  # the second time round the torus, what lies beyond the seam is known
        for octant in range(8):
            _grow(field, octant, 0, size, 0, tall, 0, size)
    return field


def _fresh(blocks: np.ndarray) -> np.ndarray:
    return np.where(blocks == b.AIR, 1, np.where(blocks == b.WATER, WATER + 1, BLOCK + blocks))


@njit(cache=True)
def _grow(field, octant, x0, x1, y0, y1, z0, z1):
    """Work out an octant's boxes of the cells x0..x1, y0..y1, z0..z1 (x and z may wrap) from those beyond them."""
    wrap, tall = field.shape[1] - 1, field.shape[2]
    sx = -1 if octant & 4 else 1
    sy = -1 if octant & 2 else 1
    sz = -1 if octant & 1 else 1
    boxes = field[octant]
    for i in range(x1 - x0):
        x = (x1 - 1 - i if sx > 0 else x0 + i) & wrap
        xn = (x + sx) & wrap
        for j in range(y1 - y0):
            y = y1 - 1 - j if sy > 0 else y0 + j
            yn = y + sy
            for k in range(z1 - z0):
                z = (z1 - 1 - k if sz > 0 else z0 + k) & wrap
                here = boxes[x, y, z]
                wet = WATER <= here < SKY
                if here >= BLOCK and not wet:
                    continue
                zn = (z + sz) & wrap
                p, q, r = boxes[xn, y, z], boxes[x, y, zn], boxes[xn, y, zn]
                cube = min(min(_side(p, wet), _side(q, wet)), _side(r, wet))
                if 0 <= yn < tall:
                    cube = min(cube, min(_side(boxes[x, yn, z], wet), _side(boxes[xn, yn, z], wet)))
                    cube = min(cube, min(_side(boxes[x, yn, zn], wet), _side(boxes[xn, yn, zn], wet)))
                cube = min(cube + 1, REACH)
                if wet:
                    boxes[x, y, z] = WATER + cube
                elif cube > 1:
                    boxes[x, y, z] = cube
                else:
                    flat = min(min(_length(p), _length(q)), _length(r)) + 1
                    boxes[x, y, z] = FLAT + min(flat, REACH) if flat > 1 else 1


@njit(cache=True)
def _side(value, wet):
    """The side of the cube of a cell that is to be part of a larger one, 0 where it can't be."""
    if wet:
        return value - WATER if WATER <= value < SKY else 0
    # What lies above the world is as good as empty: rays end there.
    return REACH if value == SKY else (0 if value >= BLOCK else (1 if value >= FLAT else value))


@njit(cache=True)
def _length(value):
    """At least so long is the flat box of a cell."""
    return 0 if value >= BLOCK else value & 15


def update_boxes(field: np.ndarray, cell: tuple[int, int, int], block: int) -> None:
    """Let ``field`` follow a change of one block."""
    x, y, z = cell
    size, tall = field.shape[1:3]
    field[:, x % size, y, z % size] = _fresh(np.array(block))
    for octant in range(8):
        # Only boxes that lie towards the cell can hold it.
        x0, y0, z0 = (place - (0 if octant & bit else REACH) for place, bit in ((x, 4), (y, 2), (z, 1)))
        _grow(field, octant, x0, x0 + REACH + 1, max(y0, 0), min(y0 + REACH + 1, tall), z0, z0 + REACH + 1)


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
