"""What hands and feet do in BlockWorld: placing, throwing, picking up, choosing, sneaking."""

import functools

import numpy as np
import pytest

from blockworld import blocks as b
from blockworld import physics
from blockworld.env import BlockWorldEnv
from blockworld.hands import USE_PAUSE
from blockworld.inventory import OFFHAND, SLOTS
from blockworld.light import empty_boxes
from blockworld.things import LIFETIME, WAIT_SPILT, WAIT_THROWN
from blockworld.world import BUILD_LIMIT, HEIGHT, SIZE

FLOOR = 49


@functools.cache
def field_of(blocks):
    return empty_boxes(np.frombuffer(blocks, np.uint8).reshape(SIZE, HEIGHT, SIZE), BUILD_LIMIT)


def on_a_floor(items=None, block=b.STONE, half=5):
    """A player in the middle of a floor high above the land, looking level to +z."""
    env = BlockWorldEnv(seed=5, render_height=90, items=items)
    env.reset()
    env.world.blocks[:, FLOOR - 9 : FLOOR + 7] = b.AIR
    for x in range(-half, half + 1):
        for z in range(-half, half + 1):
            env.world.blocks[x % SIZE, FLOOR, z % SIZE] = block
    env.world.field = field_of(env.world.blocks.tobytes()).copy()
    env.teleport(0.5, FLOOR + 1, 0.5)
    env.set_view(0.0, 0.0)
    wait(env, 2)
    assert env.player.on_ground
    return env


def look_at(env, x, y, z):
    env.set_view(*env.angles_to(x, y, z))


def wait(env, ticks, **keys):
    for _ in range(ticks):
        env.step(keys)


def press(env, *keys):
    """A key goes down and up again; the observation after it."""
    observation = env.step(dict.fromkeys(keys, 1))[0]
    env.step({})
    return observation


def all_items(env):
    total = env.inventory.counts()
    for thing in env.things:
        total[thing.item] += thing.count
    return {item: count for item, count in total.items() if count}


def test_a_block_goes_against_the_face_that_is_looked_at():
    env = on_a_floor({"dirt": 5})
    look_at(env, 0.5, FLOOR + 1, 2.5)
    press(env, "use")
    assert env.world.block_at(0, FLOOR + 1, 2) == b.DIRT
    look_at(env, 0.5, FLOOR + 1.5, 2.0)  # its side
    press(env, "use")
    assert env.world.block_at(0, FLOOR + 1, 1) == b.DIRT
    look_at(env, 0.5, FLOOR + 2, 1.5)  # its top
    observation = press(env, "use")
    assert env.world.block_at(0, FLOOR + 2, 1) == b.DIRT
    assert observation["inventory"]["dirt"] == 2
    assert observation["use_item"]["dirt"] == 3


def test_placing_needs_reach_room_and_a_stack():
    env = on_a_floor({"dirt": 1})
    look_at(env, 0.5, FLOOR + 1, 4.9)
    assert env.target is None
    press(env, "use")
    assert all_items(env) == {"dirt": 1}, "too far"
    env.set_view(0.0, 90.0)
    press(env, "use")
    assert all_items(env) == {"dirt": 1}, "the player stands there"
    look_at(env, 0.5, FLOOR + 1, 2.5)
    wait(env, 20, use=1)
    assert not all_items(env)
    assert env.observe()["use_item"]["dirt"] == 1
    assert env.inventory.in_hand is None


def test_a_button_that_is_held_places_every_fourth_tick():
    env = on_a_floor({"dirt": 9})
    look_at(env, 0.5, FLOOR + 1, 3.5)
    placed = []
    for tick in range(2 * USE_PAUSE + 1):
        env.step({"use": 1})
        if env.hands.used["dirt"] > len(placed):
            placed.append(tick)
    assert placed == [0, USE_PAUSE, 2 * USE_PAUSE]


def test_tall_grass_gives_way_and_flowers_do_not():
    env = on_a_floor({"dirt": 5, "poppy": 1}, block=b.GRASS_BLOCK)
    env.world.set_block(0, FLOOR + 1, 2, b.TALL_GRASS)
    env.world.set_block(2, FLOOR + 1, 0, b.DANDELION)
    look_at(env, 0.5, FLOOR + 1.5, 2.5)
    press(env, "use")
    assert env.world.block_at(0, FLOOR + 1, 2) == b.DIRT
    look_at(env, 2.5, FLOOR + 1.5, 0.5)
    before = env.target.before
    press(env, "use")
    assert env.world.block_at(2, FLOOR + 1, 0) == b.DANDELION
    assert env.world.block_at(*before) == b.DIRT


def test_flowers_grow_on_earth_only():
    env = on_a_floor({"poppy": 2})
    look_at(env, 0.5, FLOOR + 1, 2.5)
    press(env, "use")
    assert all_items(env) == {"poppy": 2}
    env.world.set_block(0, FLOOR, 2, b.GRASS_BLOCK)
    press(env, "use")
    assert env.world.block_at(0, FLOOR + 1, 2) == b.POPPY
    env.world.set_block(0, FLOOR + 1, 2, b.AIR)
    env.world.set_block(0, FLOOR, 2, b.STONE)
    env.world.set_block(0, FLOOR + 1, 2, b.WATER)
    press(env, "use")
    assert all_items(env) == {"poppy": 1}


def test_the_other_hand_holds_and_places():
    env = on_a_floor({"dirt": 4, "stick": 2})
    observation = press(env, "swapHands")
    equipped = {
        place: item["type"] for place, item in observation["equipped_items"].items() if "hand" in place
    }
    assert equipped == {"mainhand": "air", "offhand": "dirt"}
    assert observation["inventory"]["dirt"] == 4
    look_at(env, 0.5, FLOOR + 1, 2.5)
    press(env, "hotbar.2")
    observation = press(env, "use")
    assert env.world.block_at(0, FLOOR + 1, 2) == b.DIRT, "the main hand's stick does nothing"
    assert env.inventory.slots[OFFHAND] == ("dirt", 3)
    assert observation["use_item"]["dirt"] == 1
    assert press(env, "swapHands")["equipped_items"]["offhand"]["type"] == "stick"


def test_the_other_hand_is_seen_only_when_it_holds_something():
    env = on_a_floor({"dirt": 4})
    plain = env.render_pov()
    press(env, "swapHands")
    assert (env.render_pov()[250:, 60:200] != plain[250:, 60:200]).any(), "the block at the left"
    assert (env.render_pov()[338:, 200:222] != plain[338:, 200:222]).any(), "its slot beside the hot bar"
    press(env, "swapHands")
    assert np.array_equal(env.render_pov()[250:, :220], plain[250:, :220])


def test_the_middle_button_takes_the_block_looked_at():
    env = on_a_floor({"sand": 1, "dirt": 1, "stone": 1})
    env.inventory.slots[2], env.inventory.slots[20] = None, ("stone", 1)
    env.set_view(0.0, 80.0)
    assert press(env, "pickItem")["equipped_items"]["mainhand"]["type"] == "stone"
    assert env.inventory.selected == 2
    env.set_view(0.0, -80.0)
    press(env, "pickItem")
    assert env.inventory.selected == 2, "the sky is no block"


def test_throwing_one_or_the_stack():
    env = on_a_floor({"dirt": 5})
    observation = press(env, "drop")
    assert observation["inventory"]["dirt"] == 4
    assert observation["drop"]["dirt"] == 1
    wait(env, 3, drop=1)
    assert env.inventory.counts()["dirt"] == 3, "a key that is held down is one press"
    env.step({})
    assert press(env, "sprint", "drop")["inventory"]["dirt"] == 0
    assert all_items(env) == {"dirt": 5}
    assert env.observe()["drop"]["dirt"] == 5
    press(env, "drop")
    assert env.observe()["drop"]["dirt"] == 5, "an empty hand"


def test_what_is_thrown_flies_falls_and_is_picked_up_by_who_comes_near():
    env = on_a_floor({"dirt": 1})
    press(env, "drop")
    wait(env, 30)
    (thing,) = env.things
    assert thing.on_ground
    assert thing.y == FLOOR + 1
    assert abs(thing.x - 0.5) < 1e-6
    assert 2.0 < thing.z < 4.0
    wait(env, WAIT_THROWN)
    assert len(env.things) == 1, "too far to be picked up"
    while env.player.z < 1.0:
        env.step({"forward": 1})
    for _ in range(40):
        observation = env.step({"forward": 1})[0]
        if observation["inventory"]["dirt"]:
            break
    assert env.player.z > thing.z - (0.3 + 1 + 0.125) - 0.3
    assert observation["pickup"]["dirt"] == 1
    assert not len(env.things)


def test_a_thing_waits_before_it_comes_back():
    env = on_a_floor({"dirt": 1})
    env.set_view(0.0, 90.0)
    env.step({"drop": 1})
    ticks = 1
    while env.inventory.counts()["dirt"] == 0:
        env.step({})
        ticks += 1
    assert ticks == WAIT_THROWN


def test_things_come_together_and_at_last_go():
    env = on_a_floor({"dirt": 3, "sand": 1})
    for _ in range(3):
        press(env, "drop")
    press(env, "hotbar.2")
    press(env, "drop")
    wait(env, 40)
    assert sorted((thing.item, thing.count) for thing in env.things) == [("dirt", 3), ("sand", 1)]
    for thing in env.things:
        thing.age = LIFETIME - 2
    env.step({})
    assert len(env.things) == 2
    env.step({})
    assert not len(env.things)


def test_things_float_and_rise_out_of_blocks_placed_on_them():
    env = on_a_floor({"dirt": 1})
    env.world.blocks[:, FLOOR + 1 : FLOOR + 3, 1:20] = b.WATER
    env.set_view(0.0, 40.0)
    env.step({"drop": 1})
    wait(env, 400)
    (thing,) = env.things
    assert FLOOR + 2.5 < thing.y < FLOOR + 3.2
    env = on_a_floor({"dirt": 1})
    env.step({"drop": 1})
    wait(env, 40)
    (thing,) = env.things
    env.world.set_block(0, FLOOR + 1, int(thing.z), b.STONE)
    wait(env, 10)
    assert thing.y == FLOOR + 2


def test_what_finds_no_room_lies_where_the_block_was():
    env = on_a_floor({"sand": 64 * SLOTS}, block=b.DIRT)
    env.set_view(0.0, 60.0)
    cell = env.target.cell
    env.world.set_block(cell[0], FLOOR - 1, cell[2], b.STONE)
    while env.world.block_at(*cell) == b.DIRT:
        env.step({"attack": 1})
    assert env.observe()["pickup"]["dirt"] == 0
    assert [(thing.item, thing.wait) for thing in env.things] == [("dirt", WAIT_SPILT - 1)]
    press(env, "sprint", "drop")
    env.teleport(cell[0] + 0.5, FLOOR, cell[2] + 0.5)
    for _ in range(20):
        observation = env.step({})[0]
    assert observation["inventory"]["dirt"] == 1
    assert observation["pickup"]["dirt"] == 1


def test_things_are_seen_where_nothing_hides_them():
    env = on_a_floor({"dirt": 1})
    look_at(env, 0.5, FLOOR + 1, 3.0)
    env.step({"drop": 1})
    wait(env, 30)
    (thing,) = env.things
    shown = env.render_pov()
    kept, env.things._list, env._frame = env.things._list, [], None
    without = env.render_pov()
    rows, columns = np.nonzero((shown != without).any(axis=2))
    assert abs(columns.mean() - 320) < 12
    assert 15 < np.ptp(columns) < 120
    # Its middle, where the eye sees it.
    pitch = env.angles_to(thing.x, thing.y + 0.33, thing.z)[1] - env.player.pitch
    assert abs(rows.mean() - (180 + 180 * np.tan(np.radians(pitch)) / np.tan(np.radians(35)))) < 14
    env.things._list, env._frame = kept, None
    assert np.array_equal(env.render_pov(), shown)
    for y in (FLOOR + 1, FLOOR + 2):
        env.world.set_block(0, y, 2, b.STONE)
    env._frame = None
    behind = env.render_pov()
    env.things._list, env._frame = [], None
    assert np.array_equal(env.render_pov(), behind), "a wall stands before it"


def test_things_are_found_across_the_seam():
    env = on_a_floor({"dirt": 1})
    env.step({"drop": 1})
    wait(env, WAIT_THROWN)
    (thing,) = env.things
    env.teleport(thing.x + 2 * SIZE, FLOOR + 1, thing.z - SIZE)
    assert env.step({})[0]["inventory"]["dirt"] == 1


@pytest.mark.parametrize("keys", [("forward",), ("forward", "left"), ("back", "right"), ("right",)])
def test_a_sneaker_does_not_walk_over_an_edge(keys):
    env = on_a_floor(half=1)
    env.set_view(33.0, 30.0)
    wait(env, 120, sneak=1, **dict.fromkeys(keys, 1))
    player = env.player
    assert player.on_ground
    assert player.y == FLOOR + 1
    assert -1 - 0.3 < player.x < 2.3
    assert -1 - 0.3 < player.z < 2.3
    assert max(abs(player.x - 0.5), abs(player.z - 0.5)) > 1.7, "as far as to the edge"
    wait(env, 20, **dict.fromkeys(keys, 1))
    assert env.player.y < FLOOR + 1, "who walks on falls"


def test_a_sneaker_is_lower_slower_and_may_jump_off():
    env = on_a_floor(half=3)
    assert env.player.eye[1] == FLOOR + 1 + 1.62
    env.step({"sneak": 1})
    assert env.player.eye[1] == FLOOR + 1 + 1.27
    env.step({})
    assert env.player.eye[1] == FLOOR + 1 + 1.62
    wait(env, 80, sneak=1, forward=1)
    edge = env.player.z
    wait(env, 20, sneak=1, forward=1, jump=1)
    assert env.player.z > edge + 0.1
    assert env.player.y < FLOOR + 1


def test_who_has_no_room_to_stand_up_stays_down():
    env = on_a_floor()
    wait(env, 3, sneak=1)
    env.world.set_block(0, FLOOR + 3, 0, b.STONE)
    for _ in range(4):
        env.step({"sneak": 1, "jump": 1})
        top = env.player.y
        if top > FLOOR + 1.3:
            break
    assert top + physics.TALL > FLOOR + 3
    env.step({})
    assert env.player.sneaking
    wait(env, 12)
    assert not env.player.sneaking
    assert env.player.y == FLOOR + 1


def test_a_sneaker_places_under_the_edge():
    """What sneaking is for: a bridge is built backwards, block by block."""
    env = on_a_floor({"dirt": 8}, half=1)
    env.set_view(180.0, 75.0)
    wait(env, 100, sneak=1, back=1)
    for _ in range(3):
        wait(env, 30, sneak=1, back=1)
        for pitch in range(80, 60, -2):
            env.set_view(180.0, float(pitch))
            env.step({"sneak": 1, "use": 1})
            env.step({"sneak": 1})
    assert env.player.y == FLOOR + 1
    assert [env.world.block_at(0, FLOOR, z) for z in (2, 3, 4)] == [b.DIRT] * 3


def test_what_a_player_starts_with_must_exist():
    with pytest.raises(ValueError, match="mithril"):
        BlockWorldEnv(items={"dirt": 1, "mithril": 2})
    with pytest.raises(ValueError, match="air"):
        BlockWorldEnv(items={"air": 2})


def test_tools_tell_how_much_they_could_do():
    env = BlockWorldEnv(seed=5, render_height=90, items={"stone_axe": 1, "wooden_shovel": 1, "dirt": 1})
    found = [env.reset()["equipped_items"]["mainhand"]["maxDamage"]]
    found += [press(env, f"hotbar.{n}")["equipped_items"]["mainhand"]["maxDamage"] for n in (2, 3)]
    assert found == [131, 59, 0]


def test_keys_are_the_screens_while_it_is_open():
    env = on_a_floor({"dirt": 5, "sand": 1})
    press(env, "inventory")
    view = env.player.yaw, env.player.pitch
    env.mouse = 2.0 * (232 + 8 + 18 + 8), 2.0 * (97 + 142 + 8)  # the hot bar's second slot
    press(env, "hotbar.4")
    assert env.inventory.slots[3] == ("sand", 1)
    assert env.inventory.selected == 0
    press(env, "hotbar.1")
    press(env, "use")
    assert env.inventory.slots[1] == ("dirt", 2)
    assert env.inventory.held == ("dirt", 3)
    env.mouse = 100.0, 100.0
    observation = press(env, "attack")
    assert observation["drop"]["dirt"] == 3
    assert all_items(env) == {"dirt": 5, "sand": 1}
    assert not env.hands.stroke
    assert not env.broken
    press(env, "pickItem", "ESC")
    assert not env.gui_open
    assert (env.player.yaw, env.player.pitch) == view


def test_planks_are_made_in_the_screen():
    env = on_a_floor({"oak_log": 2})
    press(env, "inventory")
    for slot_place in ((8, 142), (98, 18), (154, 28)):
        env.mouse = tuple(
            2.0 * (corner + place + 8) for corner, place in zip((232, 97), slot_place, strict=True)
        )
        observation = press(env, "attack")
    assert observation["craft_item"]["oak_planks"] == 4
    assert observation["inventory"]["oak_planks"] == 4
    assert observation["inventory"]["oak_log"] == 1
    observation = press(env, "inventory")
    assert env.inventory.counts() == {"oak_planks": 4, "oak_log": 1}
    assert env.inventory.held is None
