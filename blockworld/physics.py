"""The player's body: walking, sprinting, sneaking, jumping, swimming, falling, and what the cross-hair points at.

Speeds and accelerations are Minecraft's, in blocks a tick (see https://minecraft.wiki/w/Player, "Mechanics"):
4.3 blocks a second walking, 5.6 sprinting, jumps 1.25 blocks high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from blockworld import blocks as b

HALF_WIDTH = 0.3
TALL, TALL_SNEAKING = 1.8, 1.5
EYE, EYE_SNEAKING = 1.62, 1.27
REACH = 4.5
_WATER = b.WATER
_EDGE = 1e-7
_STEP_DOWN, _STEP_BACK = 0.6, 0.05  # a sneaker stays above ground less deep; steps of holding back


@dataclass
class Player:
    """Where the player is: feet at (x, y, z), speeds in blocks a tick, yaw and pitch in degrees."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    vz: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    on_ground: bool = False
    in_water: bool = False
    head_in_water: bool = False
    blocked: bool = False  # walked against a wall in the last tick
    sprinting: bool = False
    sneaking: bool = False

    @property
    def eye(self) -> tuple[float, float, float]:
        """Where the eye is."""
        return self.x, self.y + (EYE_SNEAKING if self.sneaking else EYE), self.z

    @property
    def tall(self) -> float:
        """How tall the body is."""
        return TALL_SNEAKING if self.sneaking else TALL


@dataclass(frozen=True)
class Hit:
    """What the cross-hair points at: the cell, its block's number and name, the cell before it, the distance."""

    cell: tuple[int, int, int]
    block: int
    name: str
    before: tuple[int, int, int]
    distance: float


def turn(player: Player, pitch: float, yaw: float) -> None:
    """Turn by degrees; pitch stops at straight up and down, yaw goes round in -180..180."""
    player.pitch = min(max(player.pitch + pitch, -90.0), 90.0)
    player.yaw = (player.yaw + yaw + 180.0) % 360.0 - 180.0


def tick(
    player: Player, blocks: np.ndarray, forward: int, strafe: int, jump: bool, sneak: bool, sprint: bool
) -> None:
    """Move the player by one tick. ``forward`` and ``strafe`` (left is +1) are -1, 0 or 1.

    Who sneaks is slower and less tall, stays so where there is no room to stand up, and does not walk over an edge.
    """
    position = np.array([player.x, player.y, player.z])
    player.sneaking = sneak or (
        player.sneaking and not _clear(blocks, b.SOLID, position, 0.0, 0.0, TALL_SNEAKING, TALL)
    )
    if forward <= 0 or player.sneaking or player.blocked:
        player.sprinting = False
    elif sprint:
        player.sprinting = True
    state = np.array([player.x, player.y, player.z, player.vx, player.vy, player.vz])
    on_ground, in_water, head, blocked = _tick(
        state,
        blocks,
        b.SOLID,
        math.radians(player.yaw),
        float(forward),
        float(strafe),
        jump,
        player.sneaking,
        player.sprinting,
        player.on_ground,
        player.blocked,
        player.tall,
        EYE_SNEAKING if player.sneaking else EYE,
    )
    player.x, player.y, player.z, player.vx, player.vy, player.vz = state.tolist()
    player.on_ground, player.in_water, player.head_in_water, player.blocked = (
        on_ground,
        in_water,
        head,
        blocked,
    )


@njit(cache=True)
def block_in(blocks, x, y, z):
    """The block of a cell; the land repeats in x and z, with bedrock below and air above."""
    if y < 0:
        return b.BEDROCK
    if y >= blocks.shape[1]:
        return b.AIR
    wrap = blocks.shape[0] - 1
    return blocks[x & wrap, y, z & wrap]


@njit(cache=True)
def limit(blocks, solid, position, axis, move, half, height):
    """How far a body ``2 * half`` wide can move along an axis before it touches a solid block.

    ``position``: the middle of its underside.
    """
    low = np.empty(3)
    high = np.empty(3)
    for i in range(3):
        low[i] = position[i] - (0.0 if i == 1 else half)
        high[i] = position[i] + (height if i == 1 else half)
    start = np.empty(3, np.int64)
    stop = np.empty(3, np.int64)
    for i in range(3):
        first, last = low[i], high[i]
        if i == axis:
            first, last = first + min(move, 0.0), last + max(move, 0.0)
        start[i] = math.floor(first + _EDGE)
        stop[i] = math.floor(last - _EDGE)
    for x in range(start[0], stop[0] + 1):
        for y in range(start[1], stop[1] + 1):
            for z in range(start[2], stop[2] + 1):
                if solid[block_in(blocks, x, y, z)]:
                    cell = x if axis == 0 else (y if axis == 1 else z)
                    if move > 0.0 and cell >= high[axis] - _EDGE:
                        move = min(move, cell - high[axis])
                    elif move < 0.0 and cell + 1.0 <= low[axis] + _EDGE:
                        move = max(move, cell + 1.0 - low[axis])
    return move


@njit(cache=True)
def _clear(blocks, solid, position, dx, dz, low, high):
    """Whether no solid block is where the body would be, moved by (dx, dz), from ``low`` to ``high`` above its feet."""
    x0 = math.floor(position[0] + dx - HALF_WIDTH + _EDGE)
    x1 = math.floor(position[0] + dx + HALF_WIDTH - _EDGE)
    y0, y1 = math.floor(position[1] + low + _EDGE), math.floor(position[1] + high - _EDGE)
    z0 = math.floor(position[2] + dz - HALF_WIDTH + _EDGE)
    z1 = math.floor(position[2] + dz + HALF_WIDTH - _EDGE)
    for x in range(x0, x1 + 1):
        for y in range(y0, y1 + 1):
            for z in range(z0, z1 + 1):
                if solid[block_in(blocks, x, y, z)]:
                    return False
    return True


@njit(cache=True)
def _less(move):
    """A move shortened by a step of holding back."""
    if abs(move) < _STEP_BACK:
        return 0.0
    return move - math.copysign(_STEP_BACK, move)


@njit(cache=True)
def _hold_back(blocks, solid, position, dx, dz, tall):
    """The part of a sneaker's move (dx, dz) that leaves ground under the feet, as Minecraft finds it."""
    low, high = -_STEP_DOWN, tall - _STEP_DOWN
    while dx != 0.0 and _clear(blocks, solid, position, dx, 0.0, low, high):
        dx = _less(dx)
    while dz != 0.0 and _clear(blocks, solid, position, 0.0, dz, low, high):
        dz = _less(dz)
    while dx != 0.0 and dz != 0.0 and _clear(blocks, solid, position, dx, dz, low, high):
        dx, dz = _less(dx), _less(dz)
    return dx, dz


@njit(cache=True)
def _tick(state, blocks, solid, yaw, forward, strafe, jump, sneak, sprint, on_ground, blocked, tall, eye):
    position, speed = state[:3], state[3:]
    fx, fz = math.floor(position[0]), math.floor(position[2])
    in_water = block_in(blocks, fx, math.floor(position[1] + 0.4), fz) == _WATER
    if abs(speed[0]) < 0.003:
        speed[0] = 0.0
    if abs(speed[2]) < 0.003:
        speed[2] = 0.0
    if jump and in_water:
        speed[1] += 0.04
    elif jump and on_ground:
        speed[1] = 0.42
        if sprint:
            speed[0] -= 0.2 * math.sin(yaw)
            speed[2] += 0.2 * math.cos(yaw)
    elif sneak and in_water:
        speed[1] -= 0.04

    # Input to acceleration: length at most 1, turned by yaw.
    if in_water:
        power = 0.02
    elif on_ground:
        power = 0.13 if sprint else 0.1
    else:
        power = 0.026 if sprint else 0.02
    forward, strafe = forward * 0.98, strafe * 0.98
    if sneak:
        forward, strafe = forward * 0.3, strafe * 0.3
    length = math.sqrt(forward * forward + strafe * strafe)
    if length > 1.0:
        forward, strafe = forward / length, strafe / length
    speed[0] += power * (strafe * math.cos(yaw) - forward * math.sin(yaw))
    speed[2] += power * (forward * math.cos(yaw) + strafe * math.sin(yaw))

    # Up and down first, then sideways, each until something is in the way.
    fall = speed[1]
    wishes = speed[0], 0.0, speed[2]
    if sneak and on_ground and fall <= 0.0:
        across = _hold_back(blocks, solid, position, speed[0], speed[2], tall)
        wishes = across[0], 0.0, across[1]
    move = limit(blocks, solid, position, 1, fall, HALF_WIDTH, tall)
    position[1] += move
    landed = fall < 0.0 and move != fall
    if move != fall:
        speed[1] = 0.0
    bumped = False
    for axis in (0, 2):
        wish = wishes[axis]
        move = limit(blocks, solid, position, axis, wish, HALF_WIDTH, tall)
        position[axis] += move
        if move != wish:
            bumped = True
            speed[axis] = 0.0

    if in_water:
        speed[0] *= 0.8
        speed[1] = speed[1] * 0.8 - 0.02
        speed[2] *= 0.8
        if bumped:
            # At the shore a swimmer is lifted out, as in Minecraft.
            speed[1] = max(speed[1], 0.3)
    else:
        # The friction is that of the ground where the tick began.
        drag = 0.546 if on_ground else 0.91
        speed[0] *= drag
        speed[1] = (speed[1] - 0.08) * 0.98
        speed[2] *= drag
    fx, fz = math.floor(position[0]), math.floor(position[2])
    wet = block_in(blocks, fx, math.floor(position[1] + 0.4), fz) == _WATER
    head = block_in(blocks, fx, math.floor(position[1] + eye), fz) == _WATER
    return landed, wet, head, bumped


@njit(cache=True)
def _walk_ray(blocks, ox, oy, oz, dx, dy, dz, reach, found):
    """Step from cell to cell along a ray; the first block that can be hit goes into ``found`` [6]; its distance."""
    x, y, z = math.floor(ox), math.floor(oy), math.floor(oz)
    t = 0.0
    px, py, pz = x, y, z
    while t <= reach:
        block = block_in(blocks, x, y, z)
        if block != b.AIR and block != _WATER and t > 0.0:
            found[0], found[1], found[2] = x, y, z
            found[3], found[4], found[5] = px, py, pz
            return t
        px, py, pz = x, y, z
        tx = ((x + 1 if dx > 0 else x) - ox) / dx if abs(dx) > 1e-9 else 1e9
        ty = ((y + 1 if dy > 0 else y) - oy) / dy if abs(dy) > 1e-9 else 1e9
        tz = ((z + 1 if dz > 0 else z) - oz) / dz if abs(dz) > 1e-9 else 1e9
        if tx < ty and tx < tz:
            t, x = tx, x + (1 if dx > 0 else -1)
        elif ty < tz:
            t, y = ty, y + (1 if dy > 0 else -1)
        else:
            t, z = tz, z + (1 if dz > 0 else -1)
    return -1.0


def look(blocks: np.ndarray, eye: tuple[float, float, float], yaw: float, pitch: float) -> Hit | None:
    """The block within REACH under the cross-hair, or None. Plants fill their whole cell; water is looked through."""
    yaw, pitch = math.radians(yaw), math.radians(pitch)
    found = np.zeros(6, np.int64)
    direction = -math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)
    distance = _walk_ray(blocks, *eye, *direction, REACH, found)
    if distance < 0:
        return None
    x, y, z, px, py, pz = (int(value) for value in found)
    block = int(blocks[x % blocks.shape[0], y, z % blocks.shape[2]]) if y >= 0 else b.BEDROCK
    return Hit((x, y, z), block, b.BLOCKS[block].name, (px, py, pz), distance)
