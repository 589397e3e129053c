"""BlockWorld as MineRL's interface shows it: spaces, actions, determinism, the screen, the pace of digging."""

import json

import gym
import numpy as np
import pytest
from conftest import VECTORS

from blockworld import blocks as b
from blockworld.env import BlockWorldEnv
from blockworld.hands import BREAK_PAUSE
from blockworld.spaces import Enum, noop_action
from blockworld.window import MOUSE_PER_DEGREE

MINERL = json.loads((VECTORS / "minerl_spaces.json").read_text())


@pytest.fixture(scope="module")
def shared_env():
    return BlockWorldEnv(seed=5, render_height=90)


@pytest.fixture
def env(shared_env):
    shared_env.reset()
    return shared_env


def flat_place(env, block=b.DIRT):
    """A floor of one kind of block, high above the land and all alone, the player on it looking straight down."""
    for x in range(-1, 2):
        for z in range(-1, 2):
            env.world.set_block(x, 54, z, block)
            env.world.set_block(x, 53, z, block)
    env.teleport(0.5, 55.0, 0.5)
    env.set_view(0.0, 90.0)
    env.step({})


def ticks_to_break(env, limit=250):
    """How many ticks attack must be held until the next block is gone."""
    before = sum(env.broken.values())
    for tick in range(1, limit + 1):
        env.step({"attack": 1})
        if sum(env.broken.values()) > before:
            return tick
    return None


def same_as_minerl(space, recorded, path=""):
    """Keys, shapes, types and bounds of ``space`` against MineRL's, for all that it offers."""
    if isinstance(space, gym.spaces.Dict):
        known = recorded.get("keys")
        assert recorded["type"] == "Dict", path
        if known is None:
            assert len(space.spaces) <= recorded["n_keys"], path
            for key, child in space.spaces.items():
                same_as_minerl(child, recorded["each"], f"{path}.{key}")
        else:
            assert set(space.spaces) <= set(known), path
            for key, child in space.spaces.items():
                same_as_minerl(child, known[key], f"{path}.{key}")
        return
    if isinstance(space, Enum):
        assert recorded["type"] == "Enum", path
    elif isinstance(space, gym.spaces.Discrete):
        assert (recorded["type"], recorded["n"]) == ("Discrete", space.n), path
    else:
        assert recorded["type"] == "Box", path
        assert str(space.dtype) == recorded["dtype"], path
        assert float(space.low.min()) == recorded["low"], path
        assert float(space.high.max()) == recorded["high"], path
    assert list(space.shape) == recorded["shape"], path


def test_spaces_are_minerls(env):
    same_as_minerl(env.action_space, MINERL["action_space"])
    same_as_minerl(env.observation_space, MINERL["observation_space"])
    assert list(env.action_space.spaces) == sorted(MINERL["action_space"]["keys"])
    assert {"pov", "inventory", "location_stats", "life_stats"} <= set(env.observation_space.spaces)
    # Inside of these MineRL's keys are all there.
    for name in ("location_stats", "life_stats", "equipped_items", "damage_dealt"):
        assert set(env.observation_space[name].spaces) == set(
            MINERL["observation_space"]["keys"][name]["keys"]
        )


def test_the_noop_is_minerls():
    ours = noop_action()
    assert {k: np.asarray(v).tolist() for k, v in ours.items()} == MINERL["noop"]


def test_same_seed_and_actions_give_the_same_pixels():
    first, second, other = BlockWorldEnv(seed=9), BlockWorldEnv(seed=9), BlockWorldEnv(seed=10)
    a, c, d = first.reset(), second.reset(), other.reset()
    assert np.array_equal(a["pov"], c["pov"])
    assert not np.array_equal(a["pov"], d["pov"])
    first.action_space.seed(1)
    for _ in range(40):
        action = first.action_space.sample()
        a, c = first.step(action)[0], second.step(action)[0]
        assert np.array_equal(a["pov"], c["pov"])
    assert a["inventory"] == c["inventory"]
    assert first.player == second.player
    again = first.reset()
    assert np.array_equal(again["pov"], second.reset()["pov"])
    first.seed(10)
    assert np.array_equal(first.reset()["pov"], d["pov"])


def test_an_observation_is_not_changed_by_later_steps(env):
    observation = env.step({})[0]
    kept = observation["pov"].copy()
    for _ in range(3):
        env.step({"camera": [5, 20]})
    assert np.array_equal(observation["pov"], kept)


@pytest.mark.parametrize(
    ("block", "ticks"), [(b.DIRT, 15), (b.GRASS_BLOCK, 15), (b.SAND, 15), (b.OAK_LOG, 60)]
)
def test_digging_takes_as_long_as_by_hand(env, block, ticks):
    flat_place(env, block)
    assert ticks_to_break(env) == ticks
    drop = b.BLOCKS[block].drops
    observation = env.step({})[0]
    assert observation["inventory"][drop] == 1
    assert observation["mine_block"][b.BLOCKS[block].name] == 1
    assert observation["pickup"][drop] == 1


def test_a_pause_follows_each_block(env):
    flat_place(env)
    ticks_to_break(env)
    assert ticks_to_break(env) == 15 + BREAK_PAUSE


def test_stone_drops_nothing_and_bedrock_holds(env):
    flat_place(env, b.STONE)
    assert ticks_to_break(env) == 150
    assert not env.inventory.counts()
    env.world.set_block(0, 53, 0, b.BEDROCK)
    assert ticks_to_break(env) is None


def test_letting_go_starts_again(env):
    flat_place(env)
    for _ in range(14):
        env.step({"attack": 1})
    assert env.break_progress == pytest.approx(14 / 15)
    env.step({})
    assert env.break_progress == 0
    assert ticks_to_break(env) == 15


def test_tall_grass_breaks_at_once_with_seeds_one_time_in_eight(env):
    flat_place(env, b.GRASS_BLOCK)
    tries = 400
    for _ in range(tries):
        env.world.blocks[0, 55, 0] = b.TALL_GRASS
        env.hands.attack(True)
        assert env.world.block_at(0, 55, 0) == b.AIR
    seeds = env.inventory.counts()["wheat_seeds"]
    # Four standard deviations about 50.
    assert 24 <= seeds <= 76
    assert env.broken["grass"] == tries


def test_cracks_are_seen(env):
    flat_place(env)
    env.step({})
    before = env.render_pov()
    for _ in range(12):
        env.hands.attack(True)
    env.hands.stroke, env._frame = 0, None
    assert (env.render_pov()[100:260, 200:440] < before[100:260, 200:440]).any(axis=2).mean() > 0.02


def test_placing_puts_down_what_is_in_hand():
    env = BlockWorldEnv(seed=5, render_height=90, items={"dirt": 3})
    env.reset()
    flat_place(env, b.STONE)
    env.set_view(0.0, 60.0)
    cell = env.target.before
    observation = env.step({"use": 1})[0]
    assert env.world.block_at(*cell) == b.DIRT
    assert observation["inventory"]["dirt"] == 2
    assert observation["use_item"]["dirt"] == 1
    env.set_view(0.0, 90.0)
    for _ in range(10):
        env.step({"use": 1})
    assert env.inventory.counts()["dirt"] == 2, "a block can't be put where the player stands"


def test_hotbar_keys_choose_what_is_in_hand():
    env = BlockWorldEnv(seed=5, render_height=90, items={"dirt": 1, "oak_log": 1})
    assert env.reset()["equipped_items"]["mainhand"]["type"] == "dirt"
    assert env.step({"hotbar.2": 1})[0]["equipped_items"]["mainhand"]["type"] == "oak_log"
    assert env.step({"hotbar.9": 1})[0]["equipped_items"]["mainhand"]["type"] == "air"


def test_the_inventory_screen(env):
    outside = env.step({})[0]["pov"].mean()
    position, view = (env.player.x, env.player.z), (env.player.yaw, env.player.pitch)
    observation, _, _, info = env.step({"inventory": 1})
    assert info["isGuiOpen"]
    assert info["isGuiInventory"]
    assert env.mouse == (640, 360)
    assert observation["pov"].mean() < 0.7 * outside
    assert env.step({"inventory": 1})[3]["isGuiOpen"], "a key that is held down is one press"
    env.step({"camera": [6.0, -12.0], "forward": 1})
    assert env.mouse == pytest.approx((640 - 12 * MOUSE_PER_DEGREE, 360 + 6 * MOUSE_PER_DEGREE))
    assert (env.player.yaw, env.player.pitch) == view
    assert (env.player.x, env.player.z) == position
    with_cursor, without = env.render_pov(), env.render_pov(cursor=False)
    rows, columns = np.nonzero((with_cursor != without).any(axis=2))
    x, y = int(env.mouse[0] * 360 / 720), int(env.mouse[1] * 360 / 720)
    assert (columns.min(), rows.min()) == (x, y)
    assert columns.max() < x + 16
    for _ in range(30):
        env.step({"camera": [180.0, 180.0]})
    assert env.mouse == (1279, 719), "the cursor stays in the window"
    assert not env.step({"ESC": 1})[3]["isGuiOpen"]
    assert not env.step({"ESC": 1})[3]["isGuiOpen"], "ESC opens nothing"
    env.step({"inventory": 1})
    env.step({})
    assert not env.step({"inventory": 1})[3]["isGuiOpen"]


def test_a_click_moves_a_stack():
    env = BlockWorldEnv(seed=5, render_height=90, items={"dirt": 5})
    env.reset()
    env.step({"inventory": 1})
    # From the middle of the window to the first slot of the hot bar, and from there one slot up.
    env.mouse = (2 * (232 + 16), 2 * (97 + 150))
    env.step({"attack": 1})
    assert env.inventory.held == ("dirt", 5)
    assert env.step({})[0]["inventory"]["dirt"] == 5
    env.mouse = (env.mouse[0], 2 * (97 + 84 + 36 + 8))
    env.step({"attack": 1})
    assert env.inventory.slots[0] is None
    assert env.inventory.slots[27] == ("dirt", 5)


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ({"fly": 1}, "fly"),
        ({"attack": 2}, "attack"),
        ({"attack": "yes"}, "attack"),
        ({"camera": [1.0]}, "camera"),
        ({"camera": [0.0, 181.0]}, "camera"),
        ({"camera": [0.0, float("nan")]}, "camera"),
        ({"camera": "left"}, "camera"),
        ([0, 1], "list"),
    ],
)
def test_wrong_actions_are_refused_by_name(env, action, named):
    before = env.ticks
    with pytest.raises(ValueError, match=named):
        env.step(action)
    assert env.ticks == before


def test_numpy_values_are_actions(env):
    pitch = env.player.pitch
    env.step(
        {"forward": np.int64(1), "jump": np.array(0), "attack": np.array([0]), "camera": np.float32([3, 0])}
    )
    assert env.player.pitch == pitch + 3


def test_info_names_the_block_that_is_being_broken_and_says_when_in_water(env):
    env.set_view(0.0, 90.0)  # straight down
    _, _, _, info = env.step({"attack": 1})
    assert info["hitBlock"] == env.target.name
    assert info["inWater"] is False
    _, _, _, info = env.step({})
    assert info["hitBlock"] is None
    x, y, z = env.nearest_water()
    env.teleport(x + 0.5, y, z + 0.5)
    assert env.step({})[3]["inWater"] is True


@pytest.mark.parametrize(("height", "wide", "tall"), [(180, 2, 2), (120, 2, 3), (90, 4, 4)])
def test_the_picture_is_enlarged_by_whole_pixels(height, wide, tall):
    env = BlockWorldEnv(seed=5, render_height=height)
    sky = env.reset()["pov"][:120]  # above the cross-hair and the hand
    whole = np.repeat(np.repeat(sky[::tall, ::wide], tall, axis=0), wide, axis=1)
    np.testing.assert_array_equal(sky, whole)
    assert len(np.unique(sky.reshape(-1, 3), axis=0)) > 10


def test_rows_that_do_not_divide_the_picture_are_refused():
    with pytest.raises(ValueError, match="take 180, 120 or 90"):
        BlockWorldEnv(seed=5, render_height=100)
