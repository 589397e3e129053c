"""The world's pictures, 16x16 texels each, drawn by arithmetic from a fixed seed. None comes from Mojang."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from blockworld import blocks

SIZE = 16
MIPS = 4  # full size, 8x8, 4x4, 2x2: farther blocks take coarser pictures, so that distance does not flicker
CRACK_STAGES = 10
_SEED = 20_220_601

Rng = np.random.Generator


def _noise(rng: Rng, colour: tuple[int, int, int], spread: float, scale: int = 1) -> np.ndarray:
    """A picture of one colour with brightness noise in patches of ``scale`` texels."""
    n = SIZE // scale
    grain = rng.uniform(-spread, spread, (n, n)).repeat(scale, 0).repeat(scale, 1)
    image = np.empty((SIZE, SIZE, 4))
    image[..., :3] = np.array(colour) * (1 + grain[..., None])
    image[..., 3] = 255
    return image


def _mix(rng: Rng, colour: tuple[int, int, int], fine: float, coarse: float) -> np.ndarray:
    image = _noise(rng, colour, fine)
    image[..., :3] *= _noise(rng, (1, 1, 1), coarse, 2)[..., :3]
    return image


def _grass_top(rng: Rng) -> np.ndarray:
    return _mix(rng, (104, 168, 62), 0.13, 0.08)


def _dirt(rng: Rng) -> np.ndarray:
    image = _mix(rng, (134, 96, 67), 0.12, 0.10)
    for y, x in rng.integers(0, SIZE, (7, 2)):
        image[y, x, :3] = (168, 130, 98)
    return image


def _grass_side(rng: Rng) -> np.ndarray:
    image, top = _dirt(rng), _grass_top(rng)
    for x in range(SIZE):
        depth = 3 + int(rng.integers(0, 3))
        image[:depth, x] = top[:depth, x]
    return image


def _stone(rng: Rng) -> np.ndarray:
    image = _mix(rng, (128, 128, 128), 0.05, 0.07)
    for y in rng.integers(0, SIZE, 5):
        x, n = int(rng.integers(0, SIZE)), int(rng.integers(3, 7))
        image[y, np.arange(x, x + n) % SIZE, :3] *= 0.82
    return image


def _sand(rng: Rng) -> np.ndarray:
    return _mix(rng, (219, 207, 160), 0.05, 0.03)


def _water(rng: Rng) -> np.ndarray:
    image = _mix(rng, (44, 92, 200), 0.04, 0.05)
    for y in range(1, SIZE, 5):
        x, n = int(rng.integers(0, SIZE)), int(rng.integers(4, 9))
        image[y, np.arange(x, x + n) % SIZE, :3] *= 1.3
    return image


def _bark(rng: Rng) -> np.ndarray:
    image = _noise(rng, (104, 82, 50), 0.06)
    columns = rng.uniform(0.72, 1.15, SIZE)
    columns[::4] = 0.6
    image[..., :3] *= columns[None, :, None]
    return image


def _birch_bark(rng: Rng) -> np.ndarray:
    image = _noise(rng, (216, 215, 208), 0.04)
    for y in rng.integers(0, SIZE, 8):
        x, n = int(rng.integers(0, SIZE)), int(rng.integers(2, 6))
        image[y, np.arange(x, x + n) % SIZE, :3] = (52, 50, 46)
    return image


def _rings(wood: tuple[int, int, int]) -> Callable[[Rng], np.ndarray]:
    def draw(rng: Rng) -> np.ndarray:
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        ring = np.maximum(abs(x - 7.5), abs(y - 7.5)).astype(int)
        image = _noise(rng, wood, 0.05)
        image[..., :3] *= np.where(ring % 2 == 0, 0.82, 1.0)[..., None]
        image[ring == 7, :3] *= 0.55
        return image

    return draw


def _leaves(colour: tuple[int, int, int]) -> Callable[[Rng], np.ndarray]:
    def draw(rng: Rng) -> np.ndarray:
        image = _mix(rng, colour, 0.25, 0.12)
        holes = rng.uniform(size=(SIZE, SIZE)) < 0.22
        image[holes, :3] *= 0.45
        return image

    return draw


def _planks(wood: tuple[int, int, int]) -> Callable[[Rng], np.ndarray]:
    def draw(rng: Rng) -> np.ndarray:
        image = _noise(rng, wood, 0.06)
        image[3::4, :, :3] *= 0.7
        return image

    return draw


def _cobblestone(rng: Rng) -> np.ndarray:
    image = _noise(rng, (130, 130, 130), 0.2, 4)
    image[..., :3] *= _noise(rng, (1, 1, 1), 0.08)[..., :3]
    image[3::4, :, :3] *= 0.7
    image[:, 1::5, :3] *= 0.8
    return image


def _bedrock(rng: Rng) -> np.ndarray:
    return _noise(rng, (84, 84, 84), 0.5, 2)


def _tall_grass(rng: Rng) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 4))
    for start in range(0, SIZE, 2):
        height, lean = int(rng.integers(8, 15)), float(rng.uniform(-0.25, 0.25))
        shade = rng.uniform(0.75, 1.15)
        for step in range(height):
            x = int(start + rng.integers(0, 2) + lean * step) % SIZE
            image[SIZE - 1 - step, x] = (86 * shade, 150 * shade, 50 * shade, 255)
            if step < height // 2:
                image[SIZE - 1 - step, (x + 1) % SIZE] = (70 * shade, 126 * shade, 42 * shade, 255)
    return image


def _flower(petals: tuple[int, int, int], centre: tuple[int, int, int]) -> Callable[[Rng], np.ndarray]:
    def draw(rng: Rng) -> np.ndarray:
        image = np.zeros((SIZE, SIZE, 4))
        image[8:, 7:9] = (60, 128, 40, 255)
        image[11:13, 5:7] = image[12:14, 9:11] = (76, 148, 52, 255)
        image[4:9, 5:11] = (*petals, 255)
        image[3, 6:10] = image[9, 6:10] = (*petals, 255)
        image[5:8, 7:9] = (*centre, 255)
        return image

    return draw


def _sapling(rng: Rng) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 4))
    image[9:, 7:9] = (96, 72, 40, 255)
    for y, x in rng.integers(0, 9, (46, 2)):
        image[y + 2, x + 3] = (60 + 6 * (x % 3), 130 + 8 * (y % 4), 40, 255)
    return image


def _seeds(rng: Rng) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 4))
    for y, x in ((3, 5), (4, 10), (7, 7), (9, 3), (9, 11), (12, 7)):
        image[y : y + 2, x : x + 2] = (92, 158, 44, 255)
        image[y, x] = (150, 205, 90, 255)
    return image


def _stick(rng: Rng) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 4))
    for step in range(11):
        shade = rng.uniform(0.85, 1.1)
        image[13 - step, 2 + step] = (116 * shade, 84 * shade, 46 * shade, 255)
        image[12 - step, 2 + step] = (142 * shade, 106 * shade, 60 * shade, 255)
        image[13 - step, 3 + step] = (78 * shade, 56 * shade, 30 * shade, 255)
    return image


_DRAWERS: dict[str, Callable[[Rng], np.ndarray]] = {
    "stone": _stone,
    "dirt": _dirt,
    "grass_top": _grass_top,
    "grass_side": _grass_side,
    "sand": _sand,
    "water": _water,
    "oak_side": _bark,
    "oak_top": _rings((176, 142, 88)),
    "oak_leaves": _leaves((58, 118, 36)),
    "birch_side": _birch_bark,
    "birch_top": _rings((204, 182, 134)),
    "birch_leaves": _leaves((98, 136, 66)),
    "tall_grass": _tall_grass,
    "poppy": _flower((206, 32, 30), (60, 20, 20)),
    "dandelion": _flower((246, 222, 40), (230, 160, 30)),
    "bedrock": _bedrock,
    "cobblestone": _cobblestone,
    "planks": _planks((172, 140, 86)),
    "sapling": _sapling,
    "wheat_seeds": _seeds,
    "birch_planks": _planks((208, 190, 142)),
    "stick": _stick,
}
_INDEX = {name: index for index, name in enumerate(_DRAWERS)}


@functools.lru_cache(maxsize=1)
def pictures() -> np.ndarray:
    """All pictures, uint8 [MIPS, n, 16, 16, 4] RGBA; coarser levels keep the size and repeat texels."""
    base = np.stack([draw(np.random.default_rng([_SEED, i])) for i, draw in enumerate(_DRAWERS.values())])
    levels = [base]
    for level in range(1, MIPS):
        step = 2**level
        n = SIZE // step
        means = base.reshape(len(base), n, step, n, step, 4).mean(axis=(2, 4))
        levels.append(means.repeat(step, 1).repeat(step, 2))
    return np.clip(np.round(np.stack(levels)), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def faces() -> np.ndarray:
    """For each block the numbers of its pictures, int64 [blocks, 3]: sides, top, bottom."""
    return np.array(
        [[_INDEX[name] for name in blocks.BLOCKS[b].faces] for b in range(blocks.COUNT)], dtype=np.int64
    )


@functools.lru_cache(maxsize=1)
def cracks() -> np.ndarray:
    """Brightness factors of the cracks, float64 [CRACK_STAGES, 16, 16]: they grow from the middle."""
    rng = np.random.default_rng([_SEED, 1000])
    order: list[tuple[int, int]] = []
    for branch in range(9):
        angle = branch * 2 * np.pi / 9 + rng.uniform(-0.3, 0.3)
        y = x = 7.5
        for step in range(11):
            angle += rng.uniform(-0.5, 0.5)
            y, x = y + np.sin(angle) * 0.9, x + np.cos(angle) * 0.9
            if 0 <= y < SIZE and 0 <= x < SIZE:
                order.append((step * 10 + branch, int(y) * SIZE + int(x)))
    order.sort()
    stages = np.ones((CRACK_STAGES, SIZE * SIZE))
    for stage in range(CRACK_STAGES):
        shown = order[: int(len(order) * (stage + 1) / CRACK_STAGES)]
        stages[stage, [texel for _, texel in shown]] = 0.35
    return stages.reshape(CRACK_STAGES, SIZE, SIZE)


@functools.lru_cache(maxsize=1)
def clouds() -> np.ndarray:
    """Where the clouds are, uint8 [32, 32] of 0/1; the pattern repeats."""
    rng = np.random.default_rng([_SEED, 2000])
    field = rng.uniform(size=(32, 32))
    for _ in range(2):
        field = (field + np.roll(field, 1, 0) + np.roll(field, 1, 1) + np.roll(field, (1, 1), (0, 1))) / 4
    return (field > np.quantile(field, 0.66)).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def icon(item: str) -> np.ndarray:
    """The item's picture for slots, uint8 [16, 16, 4]: a small cube for blocks, the flat picture for the rest."""
    full = pictures()[0]
    block = blocks.BY_NAME.get(item)
    if block is None or blocks.BLOCKS[block].plant:
        return full[_INDEX.get(item, _INDEX["sapling" if item == "oak_sapling" else "stone"])]
    side, top, _ = faces()[block]
    image = np.zeros((SIZE, SIZE, 4), np.uint8)
    for y in range(SIZE):
        for x in range(SIZE):
            # Isometric cube: a rhombus for the top, two parallelograms for the sides.
            across, slope = x - 7.5, abs(x - 7.5) / 2
            upper, edge = 0.0 + slope, 8.0 - slope
            if upper <= y < edge:
                u, v = (y - upper) / 8 * SIZE, (across + 8) / SIZE * SIZE
                texel, shade = full[top, int(u) % SIZE, int(v) % SIZE], 1.0
            elif edge <= y < 15.5 - slope:
                u = (x % 8) * 2
                v = (y - edge) / 8 * SIZE
                texel, shade = full[side, int(v) % SIZE, int(u)], 0.8 if x < 8 else 0.6
            else:
                continue
            image[y, x, :3] = texel[:3] * shade
            image[y, x, 3] = 255
    return image
