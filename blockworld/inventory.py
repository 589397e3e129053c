"""What the player carries: slots of stacks, the stack on the cursor, and what clicks and keys do to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from blockworld import crafting

Stack = tuple[str, int]

STACK, HOTBAR, SLOTS = 64, 9, 36
OFFHAND = 36
SQUARES = (37, 38, 39, 40)  # of the crafting grid, left to right, upper row first
RESULT = 41  # where what they make is taken from; not a place for things
_BAR, _MAIN = range(HOTBAR), range(HOTBAR, SLOTS)


def stack_limit(item: str) -> int:
    """How many of an item a slot holds: 1 of a tool, else 64."""
    return 1 if item.endswith(("_axe", "_pickaxe", "_shovel", "_sword")) else STACK


class Inventory:
    """``slots``: for each slot ``(item, count)`` or None: 36, the first nine being the hot bar, then the other hand
    (OFFHAND) and the crafting grid (SQUARES); ``selected``: the hot bar's slot in hand, 0 to 8; ``held``: the stack
    that the cursor carries while the inventory screen is open; ``crafted``: items made so far."""

    def __init__(self) -> None:
        self.slots: list[Stack | None] = [None] * RESULT
        self.selected = 0
        self.held: Stack | None = None
        self.crafted: Counter[str] = Counter()

    @property
    def in_hand(self) -> str | None:
        """The item in the main hand, or None."""
        stack = self.slots[self.selected]
        return stack[0] if stack else None

    @property
    def in_other_hand(self) -> str | None:
        """The item in the other hand, or None."""
        stack = self.slots[OFFHAND]
        return stack[0] if stack else None

    @property
    def result(self) -> Stack | None:
        """What the crafting grid makes as it is, or None."""
        return crafting.result([self.slots[square] for square in SQUARES])

    def counts(self) -> Counter[str]:
        """How many of each item there are in all slots and on the cursor."""
        total: Counter[str] = Counter()
        for stack in (*self.slots, self.held):
            if stack:
                total[stack[0]] += stack[1]
        return total

    def add(self, item: str, count: int = 1) -> int:
        """Put items into the first stacks that take them; returns how many found no room."""
        return self._fill(item, count, range(SLOTS))

    def take(self, slot: int, count: int = 1) -> Stack | None:
        """Remove up to ``count`` items from a slot and return them, or None when the slot is empty.

        From RESULT comes all that the grid makes once, made by this.
        """
        if slot == RESULT:
            return self._craft()
        stack = self.slots[slot]
        if stack is None:
            return None
        taken = min(count, stack[1])
        self.slots[slot] = _stack(stack[0], stack[1] - taken)
        return stack[0], taken

    def click(self, slot: int, right: bool = False) -> None:
        """A mouse button on a slot. Left: take the stack, put it down, fill up, or exchange; right: take the greater
        half, or put one down."""
        if slot == RESULT:
            made = self.result
            carried = self.held[1] if self.held else 0
            if made and (self.held is None or self.held[0] == made[0]) and carried + made[1] <= STACK:
                self._craft()
                self.held = made[0], carried + made[1]
            return
        here, held = self.slots[slot], self.held
        if held is None:
            if here:
                taken = (here[1] + 1) // 2 if right else here[1]
                self.held = self.take(slot, taken)
        elif here is None or here[0] == held[0]:
            present = here[1] if here else 0
            moved = min(1 if right else held[1], stack_limit(held[0]) - present)
            self.slots[slot] = held[0], present + moved
            self.held = _stack(held[0], held[1] - moved)
        else:
            self.slots[slot], self.held = held, here

    def quick_move(self, slot: int) -> None:
        """Shift and a click: the stack goes from the hot bar to the other rows, or from elsewhere to the hot bar
        first or last, as in Minecraft; of the grid's result as many are made as find room."""
        if slot == RESULT:
            # Into the last slots first, the hot bar's before the others.
            order = [*reversed(_BAR), *reversed(_MAIN)]
            while (made := self.result) and self._room(made[0]) >= made[1]:
                self._craft()
                self._fill(*made, order)
            return
        stack = self.slots[slot]
        if stack is None:
            return
        if slot in _BAR:
            order = list(_MAIN)
        elif slot in _MAIN:
            order = list(_BAR)
        else:
            order = [*_MAIN, *_BAR]
        self.slots[slot] = _stack(stack[0], self._fill(*stack, order))

    def exchange(self, slot: int, other: int) -> None:
        """Exchange a slot's stack with that of another (a number key, or the key of the other hand, on a slot)."""
        if slot != RESULT:
            self.slots[slot], self.slots[other] = self.slots[other], self.slots[slot]
        elif self.slots[other] is None:
            self.slots[other] = self._craft()

    def pick(self, item: str) -> None:
        """Take an item in hand: choose the hot bar's slot that has it, or bring it there from the other slots."""
        found = [i for i in range(SLOTS) if (stack := self.slots[i]) and stack[0] == item]
        if not found:
            return
        if found[0] not in _BAR:
            around = [(self.selected + i) % HOTBAR for i in _BAR]
            to = next((slot for slot in around if self.slots[slot] is None), self.selected)
            self.exchange(found[0], to)
            found = [to]
        self.selected = found[0]

    def put_back(self) -> list[Stack]:
        """What the cursor and the crafting grid hold returns to the slots when the screen closes; returns the stacks
        that found no room."""
        stacks = [self.held, *(self.slots[square] for square in SQUARES)]
        self.held = None
        for square in SQUARES:
            self.slots[square] = None
        left = [_stack(stack[0], self.add(*stack)) for stack in stacks if stack]
        return [stack for stack in left if stack]

    def _craft(self) -> Stack | None:
        made = self.result
        if made:
            for square in SQUARES:
                self.take(square)
            self.crafted[made[0]] += made[1]
        return made

    def _fill(self, item: str, count: int, order: Iterable[int]) -> int:
        """Put items into stacks of their kind, then into empty slots, in this order; returns how many are left."""
        limit = stack_limit(item)
        for i in sorted(order, key=lambda i: self.slots[i] is None):
            stack = self.slots[i]
            if count and (stack is None or (stack[0] == item and stack[1] < limit)):
                here = stack[1] if stack else 0
                moved = min(count, limit - here)
                self.slots[i] = (item, here + moved)
                count -= moved
        return count

    def _room(self, item: str) -> int:
        """How many more of an item the 36 slots take."""
        limit = stack_limit(item)
        stacks = (self.slots[i] for i in range(SLOTS))
        return sum(
            limit - (stack[1] if stack else 0) for stack in stacks if stack is None or stack[0] == item
        )


def _stack(item: str, count: int) -> Stack | None:
    return (item, count) if count else None
