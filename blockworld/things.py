"""Items that lie in the world: they fly, fall, float, come together in stacks, and are picked up by who comes near.

Speeds, sizes and waiting times are Minecraft's (https://minecraft.wiki/w/Item_(entity)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from blockworld import blocks as b
from blockworld.inventory import Inventory, stack_limit
from blockworld.physics import HALF_WIDTH, Player, block_in, limit
from blockworld.world import SIZE, World

WAIT_THROWN, WAIT_SPILT = 40, 10  # ticks until a thing can be picked up
LIFETIME = 6000  # ticks; then it is gone
HALF, TALL = 0.125, 0.25
_THROW = 0.3  # blocks a tick
_NEAR, _NEAR_UP = 1.0, 0.5  # blocks beside and above the body from where things are picked up
_TOGETHER = 0.5  # blocks across between things that become one stack
_WATER = b.WATER


@dataclass
class Thing:
    """A stack that lies in the world, the middle of its underside at (x, y, z); speeds in blocks a tick.

    ``age``: ticks; ``wait``: ticks until it can be picked up.
    """

    item: str
    count: int
    x: float
    y: float
    z: float
    vx: float = 0.0
    vy: float = 0.0
    vz: float = 0.0
    age: int = 0
    wait: int = WAIT_SPILT
    on_ground: bool = False


class Things:
    """All things of a world, in the order in which they came."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._list: list[Thing] = []

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._list)

    def throw(self, item: str, count: int, player: Player) -> None:
        """The player throws a stack where the view goes."""
        yaw, pitch = math.radians(player.yaw), math.radians(player.pitch)
        x, y, z = player.eye
        across = _THROW * math.cos(pitch)
        speed = -math.sin(yaw) * across, 0.1 - _THROW * math.sin(pitch), math.cos(yaw) * across
        self._list.append(Thing(item, count, x, y - 0.3, z, *speed, wait=WAIT_THROWN))

    def spill(self, item: str, count: int, cell: tuple[int, int, int]) -> None:
        """A stack comes out of a cell."""
        self._list.append(Thing(item, count, cell[0] + 0.5, cell[1] + 0.25, cell[2] + 0.5, vy=0.2))

    def tick(self, player: Player, inventory: Inventory) -> dict[str, int]:
        """Move all by one tick; what the player is near goes into the inventory as far as it has room.

        Returns what was picked up, items to counts.
        """
        if not self._list:
            return {}
        for thing in self._list:
            self._move(thing)
        self._unite()
        picked: dict[str, int] = {}
        for thing in self._list:
            if thing.wait == 0 and _within_reach(thing, player):
                left = inventory.add(thing.item, thing.count)
                if left < thing.count:
                    picked[thing.item] = picked.get(thing.item, 0) + thing.count - left
                thing.count = left
        self._list = [thing for thing in self._list if thing.count and thing.age < LIFETIME]
        return picked

    def _move(self, thing: Thing) -> None:
        thing.age += 1
        thing.wait = max(thing.wait - 1, 0)
        while b.SOLID[
            self._world.block_at(math.floor(thing.x), math.floor(thing.y + HALF), math.floor(thing.z))
        ]:
            thing.y = math.floor(thing.y + HALF) + 1.0  # a block was placed on it
        state = np.array([thing.x, thing.y, thing.z, thing.vx, thing.vy, thing.vz])
        thing.on_ground = _drift(state, self._world.blocks, b.SOLID, thing.on_ground)
        thing.x, thing.y, thing.z, thing.vx, thing.vy, thing.vz = state.tolist()

    def _unite(self) -> None:
        for i, thing in enumerate(self._list):
            for other in self._list[i + 1 :]:
                if (
                    other.item == thing.item
                    and thing.count
                    and thing.count + other.count <= stack_limit(thing.item)
                    and abs(_offset(other.x - thing.x)) < _TOGETHER + TALL
                    and abs(_offset(other.z - thing.z)) < _TOGETHER + TALL
                    and abs(other.y - thing.y) < TALL
                ):
                    # The younger keeps its place and its wait, so that a stack thrown on another stays away.
                    other.count, thing.count = other.count + thing.count, 0
                    other.wait, other.age = max(other.wait, thing.wait), min(other.age, thing.age)
        self._list = [thing for thing in self._list if thing.count]


def _offset(distance: float) -> float:
    """A distance along x or z between the copies next to each other; the land repeats."""
    return distance - SIZE * round(distance / SIZE)


def _within_reach(thing: Thing, player: Player) -> bool:
    across = HALF_WIDTH + _NEAR + HALF
    return (
        abs(_offset(thing.x - player.x)) < across
        and abs(_offset(thing.z - player.z)) < across
        and player.y - _NEAR_UP - TALL < thing.y < player.y + player.tall + _NEAR_UP
    )


@njit(cache=True)
def _drift(state, blocks, solid, on_ground):
    """A tick of a thing's flight; whether it lies on the ground then."""
    position, speed = state[:3], state[3:]
    cell = math.floor(position[0]), math.floor(position[1] + 0.11), math.floor(position[2])
    if block_in(blocks, cell[0], cell[1], cell[2]) == _WATER:
        speed[0] *= 0.99
        speed[2] *= 0.99
        if speed[1] < 0.06:
            speed[1] += 0.0005
    else:
        speed[1] -= 0.04
    landed = False
    for axis in (1, 0, 2):
        wish = speed[axis]
        move = limit(blocks, solid, position, axis, wish, HALF, TALL)
        position[axis] += move
        if move != wish:
            landed = landed or (axis == 1 and wish < 0.0)
            speed[axis] = 0.0
    drag = 0.98 * 0.6 if landed else 0.98
    speed[0] *= drag
    speed[1] *= 0.98
    speed[2] *= drag
    return landed
