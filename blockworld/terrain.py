"""Land from a seed: hills, lakes with beaches, woods, meadows. The land is a torus, so it has no edge."""

from __future__ import annotations

import numpy as np

from blockworld import blocks as b

SIZE, HEIGHT = 128, 72  # blocks in x and z (a power of two), blocks in y
SEA_LEVEL = 28  # the highest layer of water
_LAKE_SHARE = 0.25
_SHAPES = ((4, 1.0), (8, 0.45), (16, 0.16), (32, 0.06))  # cells across, weight


def generate(seed: int) -> np.ndarray:
    """The blocks of the world, uint8 [x, y, z] = [SIZE, HEIGHT, SIZE]."""
    rng = np.random.default_rng([seed, 1])
    ground, beach = _ground(rng)
    blocks = np.zeros((SIZE, HEIGHT, SIZE), np.uint8)
    y = np.arange(HEIGHT)[None, :, None]
    top = ground[:, None, :]
    blocks[np.broadcast_to(y < top - 3, blocks.shape)] = b.STONE
    blocks[(y >= top - 3) & (y < top)] = b.DIRT
    blocks[(y == top) & ~beach[:, None, :]] = b.GRASS_BLOCK
    blocks[(y >= top - 1) & (y <= top) & beach[:, None, :]] = b.SAND
    blocks[(y > top) & (y <= SEA_LEVEL)] = b.WATER
    blocks[:, 0] = b.BEDROCK
    _plants(rng, blocks, ground, _trees(rng, blocks, ground))
    return blocks


def _lattice(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Value noise that repeats after SIZE: [SIZE, SIZE] in 0..1, smooth between cells x cells random values."""
    values = rng.uniform(size=(cells, cells))
    position = np.arange(SIZE) * cells / SIZE
    low = position.astype(int)
    part = position - low
    part = part * part * (3 - 2 * part)
    high = (low + 1) % cells
    rows = values[low] * (1 - part)[:, None] + values[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def _ground(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The height of the highest ground block, int [SIZE, SIZE], and where it is sand."""
    shape = np.sum([weight * _lattice(rng, cells) for cells, weight in _SHAPES], axis=0)
    shape = shape - np.quantile(shape, _LAKE_SHARE)
    # Lakes are deep enough to swim in; hills rise gently, so that a jump now and then climbs them.
    height = np.where(shape < 0, 26.0 * shape - 0.6, 15.0 * shape)
    ground = SEA_LEVEL + np.clip(np.floor(height), -9, 14).astype(int)
    low = (ground <= SEA_LEVEL) | (shape < 0.035)
    return ground, low


def _trees(rng: np.random.Generator, blocks: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Plants trees, denser in woods; returns where trunks stand, bool [SIZE, SIZE]."""
    woods = _lattice(rng, 8)
    trunks = np.zeros((SIZE, SIZE), bool)
    blocked = np.zeros((SIZE, SIZE), bool)
    for x, z in rng.permutation(SIZE * SIZE)[:, None] // np.array([SIZE, 1]) % SIZE:
        chance = 0.12 if woods[x, z] > 0.58 else 0.012
        y = ground[x, z]
        if rng.uniform() >= chance or blocked[x, z] or blocks[x, y, z] != b.GRASS_BLOCK:
            continue
        birch = rng.uniform() < 0.25
        tall = int(rng.integers(5, 8))
        _tree(rng, blocks, (x, y + 1, z), tall, b.BIRCH_LOG if birch else b.OAK_LOG)
        trunks[x, z] = True
        near = np.arange(-3, 4)
        blocked[np.ix_((x + near) % SIZE, (z + near) % SIZE)] = True
    return trunks


def _tree(
    rng: np.random.Generator, blocks: np.ndarray, foot: tuple[int, int, int], tall: int, log: int
) -> None:
    x, y, z = foot
    leaves = b.BIRCH_LEAVES if log == b.BIRCH_LOG else b.OAK_LEAVES
    for layer in range(tall - 3, tall + 1):
        radius = 2 if layer < tall - 1 else 1
        for dx in range(-radius, radius + 1):
            for dz in range(-radius, radius + 1):
                corner = abs(dx) == radius and abs(dz) == radius
                if corner and (layer == tall or rng.uniform() < 0.5):
                    continue
                cell = (x + dx) % SIZE, y + layer, (z + dz) % SIZE
                if blocks[cell] == b.AIR:
                    blocks[cell] = leaves
    blocks[x, y : y + tall, z] = log
    blocks[x, y - 1, z] = b.DIRT


def _plants(rng: np.random.Generator, blocks: np.ndarray, ground: np.ndarray, trunks: np.ndarray) -> None:
    meadow = _lattice(rng, 16)
    draw = rng.uniform(size=(SIZE, SIZE))
    grass = draw < np.where(meadow > 0.5, 0.30, 0.07)
    flowers = draw > np.where(meadow > 0.6, 0.97, 0.99)
    kind = np.where(
        flowers, np.where(rng.uniform(size=(SIZE, SIZE)) < 0.5, b.POPPY, b.DANDELION), b.TALL_GRASS
    )
    for x, z in zip(*np.nonzero((grass | flowers) & ~trunks), strict=True):
        y = ground[x, z]
        if blocks[x, y, z] == b.GRASS_BLOCK and blocks[x, y + 1, z] == b.AIR:
            blocks[x, y + 1, z] = kind[x, z]
