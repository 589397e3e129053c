"""What the player carries: 36 slots of stacks, the first nine being the hot bar, and the stack on the cursor."""

from __future__ import annotations

from collections import Counter

STACK, HOTBAR, SLOTS = 64, 9, 36


class Inventory:
    """``slots``: for each slot ``(item, count)`` or None; ``selected``: the hot bar's slot in hand, 0 to 8;
    ``held``: the stack that the cursor carries while the inventory screen is open."""

    def __init__(self) -> None:
        self.slots: list[tuple[str, int] | None] = [None] * SLOTS
        self.selected = 0
        self.held: tuple[str, int] | None = None

    @property
    def in_hand(self) -> str | None:
        """The item in the main hand, or None."""
        stack = self.slots[self.selected]
        return stack[0] if stack else None

    def counts(self) -> Counter[str]:
        """How many of each item there are in all slots and on the cursor."""
        total: Counter[str] = Counter()
        for stack in (*self.slots, self.held):
            if stack:
                total[stack[0]] += stack[1]
        return total

    def add(self, item: str, count: int = 1) -> int:
        """Put items into the first stacks that take them; returns how many found no room."""
        order = sorted(range(SLOTS), key=lambda i: (self.slots[i] is None, i))
        for i in order:
            stack = self.slots[i]
            if count and (stack is None or (stack[0] == item and stack[1] < STACK)):
                here = stack[1] if stack else 0
                moved = min(count, STACK - here)
                self.slots[i] = (item, here + moved)
                count -= moved
        return count

    def take_one(self, slot: int) -> str | None:
        """Remove one item from a slot and return it, or None when the slot is empty."""
        stack = self.slots[slot]
        if stack is None:
            return None
        self.slots[slot] = (stack[0], stack[1] - 1) if stack[1] > 1 else None
        return stack[0]

    def click(self, slot: int) -> None:
        """The left mouse button on a slot: take the stack, put it down, fill up, or exchange."""
        stack = self.slots[slot]
        if stack and self.held and stack[0] == self.held[0]:
            moved = min(self.held[1], STACK - stack[1])
            self.slots[slot] = (stack[0], stack[1] + moved)
            self.held = (stack[0], self.held[1] - moved) if self.held[1] > moved else None
        else:
            self.slots[slot], self.held = self.held, stack

    def put_back(self) -> None:
        """What the cursor carries returns to the slots when the screen closes."""
        if self.held:
            item, count = self.held
            self.held = None
            self.add(item, count)
