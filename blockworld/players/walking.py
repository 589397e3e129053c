"""Where a player can walk and swim: straight lines over the terrain, places to stand, things near by.

No path finding: scripted players go straight to what they see, and are placed where that works.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numba import njit

from blockworld import blocks as b
from blockworld.env import BlockWorldEnv
from blockworld.physics import HALF_WIDTH, block_in
from blockworld.world import SIZE

_BLOCKED, _WATER = -1, b.WATER
_DROP = 3  # blocks that one walks down without a thought
_STEP = 0.5  # blocks between two points of a line
_TRIES = 150


def walkable(env: BlockWorldEnv, yaw: float, limit: float, tall: int = 2) -> float:
    """How many blocks one can go straight ahead at a yaw, jumping up steps, staying out of water; at most ``limit``.

    ``tall``: blocks of free height that it takes, 2 for walking and 3 for jumping along.
    """
    player = env.player
    return _line(env.world.blocks, b.SOLID, player.x, player.y, player.z, math.radians(yaw), limit, tall)[0]


def shore(env: BlockWorldEnv, yaw: float, limit: float) -> float | None:
    """How many blocks straight ahead the water begins, or None where the way there is barred."""
    player = env.player
    distance, wet = _line(
        env.world.blocks, b.SOLID, player.x, player.y, player.z, math.radians(yaw), limit, 2
    )
    return distance if wet else None


def water_ahead(env: BlockWorldEnv, yaw: float, start: float, limit: float) -> float:
    """How many blocks of water, two deep, lie straight ahead from ``start`` blocks on; at most ``limit``."""
    player = env.player
    return _water_line(env.world.blocks, player.x, player.y, player.z, math.radians(yaw), start, limit)


def best_heading(
    score: Callable[[float], float], yaw: float, enough: float, offsets: Iterable[float]
) -> tuple[float, float]:
    """The yaw next to ``yaw`` whose score is ``enough``, else the one of the highest; and its score."""
    best, best_score = yaw, -1.0
    for offset in offsets:
        found = score(yaw + offset)
        if found >= enough:
            return yaw + offset, found
        if found > best_score:
            best, best_score = yaw + offset, found
    return best, best_score


def cells_of(env: BlockWorldEnv, kinds: Iterable[int]) -> np.ndarray:
    """All cells of the world that hold one of ``kinds``, int [n, 3]."""
    return np.argwhere(np.isin(env.world.blocks, list(kinds)))


def near(env: BlockWorldEnv, cells: np.ndarray, within: float) -> np.ndarray:
    """Those of ``cells`` [n, 3] within so many blocks across, nearest first; of each the copy next to the player."""
    if not len(cells):
        return cells
    place = np.array([env.player.x, 0.0, env.player.z])
    offset = cells + np.array([0.5, 0.0, 0.5]) - place
    shift = np.array([SIZE, 0, SIZE]) * np.round(offset / SIZE).astype(np.int64)
    distance = np.hypot(offset[:, 0] - shift[:, 0], offset[:, 2] - shift[:, 2])
    order = np.argsort(distance, kind="stable")
    order = order[: int(np.searchsorted(distance[order], within))]
    return (cells - shift)[order]


def place_near(
    env: BlockWorldEnv,
    rng: np.random.Generator,
    cells: np.ndarray,
    distances: tuple[float, float],
    suits: Callable[[], bool],
) -> bool:
    """Move the player, outside of any action, to a place some ``distances`` from one of ``cells`` that ``suits``.

    ``suits`` judges the place with the player standing there. False, and the player near one of ``cells`` or where
    it was, if none is found.
    """
    player = env.player
    for _ in range(_TRIES if len(cells) else 0):
        x, y, z = cells[rng.integers(len(cells))]
        angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(*distances)
        px, pz = x + 0.5 + distance * math.cos(angle), z + 0.5 + distance * math.sin(angle)
        feet = _feet(env.world.blocks, b.SOLID, math.floor(px), int(y), math.floor(pz))
        if feet == _BLOCKED:
            continue
        env.teleport(px, feet, pz)
        player.on_ground, player.in_water, player.head_in_water = True, False, False
        if _fits(env.world.blocks, b.SOLID, px, feet, pz) and suits():
            return True
    return False


def shove(env: BlockWorldEnv, aside: float, back: float) -> bool:
    """Move the player, outside of any action, so many blocks to its right and back.

    False, and nothing, where it doesn't stand or could not stand there.
    """
    player = env.player
    sin, cos = math.sin(math.radians(player.yaw)), math.cos(math.radians(player.yaw))
    x, z = player.x - cos * aside + sin * back, player.z - sin * aside - cos * back
    feet = math.floor(player.y + 0.01)
    stands = b.SOLID[env.world.block_at(math.floor(x), feet - 1, math.floor(z))]
    if not player.on_ground or not stands or not _fits(env.world.blocks, b.SOLID, x, feet, z):
        return False
    env.teleport(x, player.y, z)
    player.on_ground = True
    return True


@njit(cache=True)
def _stand(blocks, solid, x, y, z, tall):
    """Where the feet are after going from height y into column (x, z); and whether that is water."""
    up = 1 if solid[block_in(blocks, x, y, z)] else 0
    for height in range(1, tall + up):
        if solid[block_in(blocks, x, y + height, z)]:
            return _BLOCKED, False
    if up:
        return y + 1, False
    for down in range(_DROP + 1):
        if block_in(blocks, x, y - down, z) == _WATER:
            return y - down, True
        if solid[block_in(blocks, x, y - down - 1, z)]:
            return y - down, False
    return _BLOCKED, False


@njit(cache=True)
def _line(blocks, solid, x, y, z, yaw, limit, tall):
    """Length of the walkable part of a line, and whether water ended it."""
    dx, dz = -math.sin(yaw), math.cos(yaw)
    feet = math.floor(y + 0.01)
    gone = 0.0
    while gone < limit:
        gone += _STEP
        px, pz = x + dx * gone, z + dz * gone
        ahead, wet = _stand(blocks, solid, math.floor(px), feet, math.floor(pz), tall)
        if wet or ahead == _BLOCKED:
            return gone - _STEP, wet
        for side in (-HALF_WIDTH, HALF_WIDTH):
            cx, cz = math.floor(px + dz * side), math.floor(pz - dx * side)
            if _stand(blocks, solid, cx, feet, cz, tall)[0] == _BLOCKED:
                return gone - _STEP, False
        feet = ahead
    return limit, False


@njit(cache=True)
def _water_line(blocks, x, y, z, yaw, start, limit):
    dx, dz = -math.sin(yaw), math.cos(yaw)
    gone = start
    while gone < start + limit:
        cx, cz = math.floor(x + dx * gone), math.floor(z + dz * gone)
        # The surface lies at the level of the feet for a swimmer, up to three lower for one on the shore.
        level = math.floor(y + 0.4) + 1
        while level > math.floor(y) - _DROP - 1 and block_in(blocks, cx, level, cz) != _WATER:
            level -= 1
        if block_in(blocks, cx, level, cz) != _WATER or block_in(blocks, cx, level - 1, cz) != _WATER:
            return gone - start
        gone += _STEP
    return limit


@njit(cache=True)
def _feet(blocks, solid, x, y, z):
    """The height to stand at in a column, near y; _BLOCKED where there is none or it is under water."""
    for height in range(y + 4, y - 5, -1):
        if (
            solid[block_in(blocks, x, height - 1, z)]
            and not solid[block_in(blocks, x, height, z)]
            and not solid[block_in(blocks, x, height + 1, z)]
            and block_in(blocks, x, height, z) != _WATER
        ):
            return height
    return _BLOCKED


@njit(cache=True)
def _fits(blocks, solid, x, feet, z):
    """Whether a body fits at a place."""
    for cx in (math.floor(x - HALF_WIDTH), math.floor(x + HALF_WIDTH)):
        for cz in (math.floor(z - HALF_WIDTH), math.floor(z + HALF_WIDTH)):
            if solid[block_in(blocks, cx, feet, cz)] or solid[block_in(blocks, cx, feet + 1, cz)]:
                return False
    return True
