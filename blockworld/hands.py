"""What the player's hands do in the world: break blocks, place them, take in hand what is looked at, throw away."""

from __future__ import annotations

from collections import Counter

import numpy as np

from blockworld import blocks as b
from blockworld import physics
from blockworld.inventory import OFFHAND, STACK, Inventory
from blockworld.physics import Hit, Player
from blockworld.things import Things
from blockworld.world import BUILD_LIMIT, World

BREAK_PAUSE = 5  # ticks between a broken block and the next, as in Minecraft
USE_PAUSE = 4  # ticks between two blocks placed while use is held
SWING = 6  # ticks of a stroke of the arm


class Hands:
    """The two hands of a player in a world.

    Counts so far: ``broken`` (blocks by name), ``picked``, ``used`` and ``dropped`` (items). ``stroke``: the tick of
    the arm's stroke, 0 at rest. ``dug``: the cell that is being broken and the ticks spent on it, or None.
    """

    def __init__(
        self, world: World, player: Player, inventory: Inventory, things: Things, drops: np.random.Generator
    ) -> None:
        self._world, self._player, self._inventory, self._things = world, player, inventory, things
        self._drops = drops
        self.broken: Counter[str] = Counter()
        self.picked: Counter[str] = Counter()
        self.used: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.dug: tuple[tuple[int, int, int], int] | None = None
        self.stroke = 0
        self._break_pause = self._use_pause = 0

    @property
    def target(self) -> Hit | None:
        """The block under the cross-hair within reach, or None."""
        return physics.look(self._world.blocks, self._player.eye, self._player.yaw, self._player.pitch)

    def attack(self, held: bool) -> None:
        """A tick of attack, ``held`` or not."""
        self.stroke = (self.stroke + 1) % SWING if held or self.stroke else 0
        self._break_pause = max(self._break_pause - 1, 0)
        hit = self.target if held else None
        if hit is None or b.BLOCKS[hit.block].ticks == b.UNBREAKABLE:
            self.dug = None
            return
        needed = b.BLOCKS[hit.block].ticks
        if needed and self._break_pause:
            return
        ticks = 1 + (self.dug[1] if self.dug is not None and self.dug[0] == hit.cell else 0)
        self.dug = (hit.cell, ticks)
        if ticks >= needed:
            self._break(hit.cell)
            self.dug = None
            # One more than the pause, because this tick's end counts the first off.
            self._break_pause = BREAK_PAUSE + 1 if needed else 0

    def use(self, held: bool, fresh: bool) -> None:
        """A tick of use: the main hand's block is placed, or where it can't be, the other hand's."""
        self._use_pause = max(self._use_pause - 1, 0)
        if not held or (self._use_pause and not fresh):
            return
        for slot in (self._inventory.selected, OFFHAND):
            stack = self._inventory.slots[slot]
            if stack and self._place(stack[0]):
                self._inventory.take(slot)
                self.used[stack[0]] += 1
                self._use_pause = USE_PAUSE
                return

    def pick(self) -> None:
        """Take the block under the cross-hair in hand, where the inventory has one."""
        hit = self.target
        if hit is not None:
            self._inventory.pick(hit.name)

    def swap(self) -> None:
        """Exchange what the two hands hold."""
        self._inventory.exchange(self._inventory.selected, OFFHAND)

    def drop(self, whole: bool) -> None:
        """Throw away one of what is in the main hand, or the ``whole`` stack."""
        stack = self._inventory.take(self._inventory.selected, STACK if whole else 1)
        if stack:
            self.throw(*stack)

    def throw(self, item: str, count: int) -> None:
        """Throw away items that are not in the inventory any more."""
        self._things.throw(item, count, self._player)
        self.dropped[item] += count

    def _break(self, cell: tuple[int, int, int]) -> None:
        x, y, z = cell
        kind = b.BLOCKS[self._world.block_at(x, y, z)]
        self.broken[kind.name] += 1
        # A cell that lies in water fills with it, so that no walls of water stand.
        beside = ((x + 1, y, z), (x - 1, y, z), (x, y, z + 1), (x, y, z - 1), (x, y + 1, z))
        wet = any(self._world.block_at(*other) == b.WATER for other in beside)
        self._world.set_block(x, y, z, b.WATER if wet else b.AIR)
        if kind.drops and (kind.drop_one_in == 1 or self._drops.integers(kind.drop_one_in) == 0):
            if self._inventory.add(kind.drops):
                self._things.spill(kind.drops, 1, cell)
            else:
                self.picked[kind.drops] += 1
        if b.PLANT[self._world.block_at(x, y + 1, z)]:
            self._break((x, y + 1, z))

    def _place(self, item: str) -> bool:
        """Place an item's block against the face that is looked at, or into the tall grass; whether that went."""
        hit = self.target
        if hit is None or item not in b.PLACEABLE:
            return False
        cell, block = hit.cell if hit.block == b.TALL_GRASS else hit.before, b.PLACEABLE[item]
        if not 0 < cell[1] < BUILD_LIMIT or not self._can_hold(cell, block):
            return False
        self._world.set_block(*cell, block)
        return True

    def _can_hold(self, cell: tuple[int, int, int], block: int) -> bool:
        x, y, z = cell
        there = self._world.block_at(x, y, z)
        if b.PLANT[block]:
            ground = self._world.block_at(x, y - 1, z)
            return there in (b.AIR, b.TALL_GRASS) and ground in (b.GRASS_BLOCK, b.DIRT)
        if there not in (b.AIR, b.WATER, b.TALL_GRASS):
            return False
        player = self._player
        return (
            abs(x + 0.5 - player.x) >= 0.5 + physics.HALF_WIDTH
            or abs(z + 0.5 - player.z) >= 0.5 + physics.HALF_WIDTH
            or y >= player.y + player.tall
            or y + 1 <= player.y
        )
