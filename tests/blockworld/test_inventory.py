"""The inventory: clicks and keys do with stacks what Minecraft's do, and nothing is made or lost by moving it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockworld import window
from blockworld.drawing import screens
from blockworld.inventory import HOTBAR, OFFHAND, RESULT, SLOTS, SQUARES, Inventory

ITEMS = ["dirt", "poppy", "stone_axe", "oak_log", "birch_log", "oak_planks", "birch_planks", "stick"]
WORTH = {"oak_log": 8, "birch_log": 8, "oak_planks": 2, "birch_planks": 2, "stick": 1}  # in sticks


def having(stacks, held=None):
    inventory = Inventory()
    for slot, stack in stacks.items():
        inventory.slots[slot] = stack
    inventory.held = held
    return inventory


def holdings(inventory):
    return {slot: stack for slot, stack in enumerate(inventory.slots) if stack}


@pytest.mark.parametrize(
    ("stacks", "held", "right", "left_there", "carried"),
    [
        ({9: ("dirt", 5)}, None, False, {}, ("dirt", 5)),
        ({9: ("dirt", 5)}, None, True, {9: ("dirt", 2)}, ("dirt", 3)),
        ({9: ("dirt", 1)}, None, True, {}, ("dirt", 1)),
        ({}, ("dirt", 5), False, {9: ("dirt", 5)}, None),
        ({}, ("dirt", 5), True, {9: ("dirt", 1)}, ("dirt", 4)),
        ({}, ("dirt", 1), True, {9: ("dirt", 1)}, None),
        ({9: ("dirt", 60)}, ("dirt", 5), False, {9: ("dirt", 64)}, ("dirt", 1)),
        ({9: ("dirt", 60)}, ("dirt", 5), True, {9: ("dirt", 61)}, ("dirt", 4)),
        ({9: ("dirt", 64)}, ("dirt", 5), True, {9: ("dirt", 64)}, ("dirt", 5)),
        ({9: ("dirt", 6)}, ("sand", 5), False, {9: ("sand", 5)}, ("dirt", 6)),
        ({9: ("dirt", 6)}, ("sand", 5), True, {9: ("sand", 5)}, ("dirt", 6)),
        ({9: ("stone_axe", 1)}, ("stone_axe", 1), False, {9: ("stone_axe", 1)}, ("stone_axe", 1)),
    ],
)
def test_a_click_takes_puts_down_fills_up_or_exchanges(stacks, held, right, left_there, carried):
    inventory = having(stacks, held)
    inventory.click(9, right)
    assert holdings(inventory) == left_there
    assert inventory.held == carried


def test_shift_sends_stacks_between_hot_bar_and_rows():
    inventory = having({2: ("dirt", 10), 30: ("dirt", 60), 9: ("sand", 1)})
    inventory.quick_move(2)
    assert holdings(inventory) == {9: ("sand", 1), 10: ("dirt", 6), 30: ("dirt", 64)}
    inventory.quick_move(30)
    assert holdings(inventory) == {0: ("dirt", 64), 9: ("sand", 1), 10: ("dirt", 6)}
    inventory = having({slot: ("sand", 64) for slot in range(HOTBAR)} | {20: ("dirt", 3)})
    inventory.quick_move(20)
    assert inventory.slots[20] == ("dirt", 3), "no room, so it stays"
    inventory = having({OFFHAND: ("dirt", 3), SQUARES[0]: ("dirt", 2)})
    inventory.quick_move(OFFHAND)
    inventory.quick_move(SQUARES[0])
    assert holdings(inventory) == {9: ("dirt", 5)}


def test_logs_make_planks_and_planks_make_sticks():
    a, b, c, d = SQUARES
    for log, planks in (("oak_log", "oak_planks"), ("birch_log", "birch_planks")):
        for square in SQUARES:
            assert having({square: (log, 9)}).result == (planks, 4)
    assert having({a: ("oak_planks", 1), c: ("birch_planks", 3)}).result == ("stick", 4)
    assert having({b: ("oak_planks", 1), d: ("oak_planks", 1)}).result == ("stick", 4)
    for none in (
        {},
        {a: ("oak_planks", 2)},
        {a: ("oak_planks", 1), b: ("oak_planks", 1)},
        {a: ("oak_planks", 1), d: ("oak_planks", 1)},
        {a: ("oak_planks", 1), c: ("dirt", 1)},
        {a: ("oak_log", 1), c: ("oak_log", 1)},
        {a: ("oak_planks", 1), b: ("dirt", 1), c: ("oak_planks", 1)},
    ):
        assert having(none).result is None


def test_what_is_made_is_taken_from_its_slot():
    inventory = having({SQUARES[0]: ("oak_log", 3)})
    inventory.click(RESULT)
    inventory.click(RESULT, right=True)
    assert inventory.held == ("oak_planks", 8)
    assert inventory.slots[SQUARES[0]] == ("oak_log", 1)
    inventory.click(20)
    inventory.held = ("dirt", 1)
    inventory.click(RESULT)
    assert inventory.held == ("dirt", 1), "the cursor carries something else"
    inventory.held = ("oak_planks", 61)
    inventory.click(RESULT)
    assert inventory.held == ("oak_planks", 61), "four more are too many for one stack"
    assert inventory.slots[SQUARES[0]] == ("oak_log", 1)
    inventory.held = None
    inventory.quick_move(RESULT)
    assert inventory.slots[20] == ("oak_planks", 12)
    assert inventory.crafted == {"oak_planks": 12}
    assert inventory.result is None


def test_shift_makes_as_many_as_find_room():
    inventory = having({slot: ("dirt", 64) for slot in range(SLOTS)} | {SQUARES[3]: ("oak_log", 9)})
    inventory.slots[4], inventory.slots[8] = ("oak_planks", 62), ("oak_planks", 57)
    inventory.quick_move(RESULT)
    assert inventory.slots[8] == ("oak_planks", 64), "the last slot is filled first"
    assert inventory.slots[4] == ("oak_planks", 63)
    assert inventory.slots[SQUARES[3]] == ("oak_log", 7)


def test_picking_brings_a_block_to_hand():
    inventory = having({0: ("dirt", 1), 3: ("sand", 2), 20: ("poppy", 1)})
    inventory.pick("sand")
    assert inventory.selected == 3
    inventory.pick("poppy")
    assert (inventory.selected, inventory.in_hand) == (4, "poppy"), "into the next empty slot"
    inventory.pick("stone")
    assert inventory.selected == 4, "there is none"
    full = having({slot: ("dirt", 1) for slot in range(HOTBAR)} | {30: ("poppy", 1)})
    full.selected = 6
    full.pick("poppy")
    assert full.slots[6] == ("poppy", 1)
    assert full.slots[30] == ("dirt", 1)


def test_closing_returns_what_cursor_and_grid_hold():
    inventory = having({SQUARES[1]: ("oak_log", 2)}, held=("dirt", 3))
    assert inventory.put_back() == []
    assert holdings(inventory) == {0: ("dirt", 3), 1: ("oak_log", 2)}
    full = having({slot: ("sand", 64) for slot in range(SLOTS)}, held=("dirt", 3))
    full.slots[5] = ("dirt", 62)
    assert full.put_back() == [("dirt", 1)], "what finds no room is told"
    assert full.held is None


SLOT = st.integers(0, RESULT)
STACKS = st.tuples(st.sampled_from(ITEMS), st.integers(1, 64)).map(
    lambda stack: (stack[0], 1) if stack[0] == "stone_axe" else stack
)
MOVES = st.one_of(
    st.tuples(st.just("click"), SLOT, st.booleans()),
    st.tuples(st.just("quick_move"), SLOT),
    st.tuples(st.just("exchange"), SLOT, st.integers(0, HOTBAR - 1) | st.just(OFFHAND)),
    st.tuples(st.just("pick"), st.sampled_from(ITEMS)),
    st.tuples(st.just("put_back")),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.integers(0, RESULT - 1), STACKS, max_size=RESULT),
    st.none() | STACKS,
    st.lists(MOVES, max_size=40),
)
def test_moving_makes_and_loses_nothing(stacks, held, moves):
    inventory = having(stacks, held)

    def worth(counts):
        others = {item: n for item, n in counts.items() if item not in WORTH and n}
        return sum(counts[item] * worth for item, worth in WORTH.items()), others

    before = worth(inventory.counts())
    gone = type(inventory.counts())()
    for name, *rest in moves:
        for item, count in getattr(inventory, name)(*rest) or ():
            gone[item] += count
        for stack in (*inventory.slots, inventory.held):
            assert stack is None or 1 <= stack[1] <= (1 if stack[0] == "stone_axe" else 64)
    assert worth(inventory.counts() + gone) == before


@pytest.fixture
def thrown():
    return []


def press(inventory, thrown, place, *fresh, shift=False, control=False):
    x, y = screens.slot_place(place) if isinstance(place, int) else place
    mouse = 2.0 * (x + 8), 2.0 * (y + 8)
    window.press(inventory, mouse, fresh, shift, control, lambda item, count: thrown.append((item, count)))


def test_every_slot_is_where_it_is_drawn():
    places = [screens.slot_place(slot) for slot in range(RESULT + 1)]
    assert len(set(places)) == RESULT + 1
    for slot, (x, y) in enumerate(places):
        assert screens.slot_at(x, y) == screens.slot_at(x + 15.9, y + 15.9) == slot
        assert screens.in_panel(x, y)


def test_buttons_and_keys_on_a_slot(thrown):
    inventory = having({0: ("dirt", 8), 10: ("sand", 3)})
    press(inventory, thrown, 0, "use")
    assert (inventory.slots[0], inventory.held) == (("dirt", 4), ("dirt", 4))
    press(inventory, thrown, 0, "hotbar.3", "drop", "swapHands")
    assert inventory.slots[0] == ("dirt", 4), "keys wait until the cursor is free"
    press(inventory, thrown, 0, "attack")
    press(inventory, thrown, 0, "attack", shift=True)
    assert holdings(inventory) == {9: ("dirt", 8), 10: ("sand", 3)}
    press(inventory, thrown, 10, "hotbar.3")
    assert inventory.slots[2] == ("sand", 3)
    press(inventory, thrown, 2, "swapHands")
    assert inventory.in_other_hand == "sand"
    press(inventory, thrown, OFFHAND, "drop")
    assert thrown == [("sand", 1)]
    press(inventory, thrown, OFFHAND, "drop", control=True)
    assert thrown == [("sand", 1), ("sand", 2)]
    assert holdings(inventory) == {9: ("dirt", 8)}


def test_clicks_beside_the_panel_throw_away(thrown):
    inventory = having({}, held=("dirt", 5))
    press(inventory, thrown, (228, 92), "attack")
    assert not thrown, "between the slots nothing happens"
    press(inventory, thrown, (10, 10), "use")
    press(inventory, thrown, (10, 10), "attack")
    assert thrown == [("dirt", 1), ("dirt", 4)]
    assert inventory.held is None


def test_the_result_can_be_thrown_or_sent_by_key(thrown):
    inventory = having({SQUARES[2]: ("birch_log", 2)})
    press(inventory, thrown, RESULT, "drop")
    assert thrown == [("birch_planks", 4)]
    press(inventory, thrown, RESULT, "hotbar.9")
    assert holdings(inventory) == {8: ("birch_planks", 4)}
