"""The land, its light and the fields that rays use, and how a body moves in it."""

import numpy as np
import pytest

from blockworld import blocks as b
from blockworld import light, physics
from blockworld.drawing.render import Renderer
from blockworld.env import BlockWorldEnv
from blockworld.physics import Player
from blockworld.world import BUILD_LIMIT, HEIGHT, SEA_LEVEL, SIZE, World


@pytest.fixture(scope="module")
def world():
    return World(4)


@pytest.fixture
def empty():
    """Blocks with a floor at y < 10 and nothing else."""
    blocks = np.zeros((SIZE, HEIGHT, SIZE), np.uint8)
    blocks[:, :10] = b.STONE
    return blocks


def standing(x=0.5, y=10.0, z=0.5, yaw=0.0):
    return Player(x=x, y=y, z=z, yaw=yaw, on_ground=True)


def go(player, blocks, ticks, **keys):
    pressed = {"forward": 0, "strafe": 0, "jump": False, "sneak": False, "sprint": False} | keys
    path = []
    for _ in range(ticks):
        physics.tick(player, blocks, **pressed)
        path.append((player.x, player.y, player.z))
    return np.array(path)


@pytest.mark.parametrize("seed", range(6))
def test_every_land_has_what_players_need(seed):
    world = World(seed)
    lake = (world.blocks[:, SEA_LEVEL] == b.WATER).mean()
    assert 0.15 < lake < 0.35
    assert (world.blocks[:, SEA_LEVEL - 3] == b.WATER).mean() > 0.02, "deep enough to swim"
    assert np.isin(world.blocks, b.LOGS).any(axis=1).sum() > 60
    assert (world.blocks == b.TALL_GRASS).sum() > 500
    assert {b.POPPY, b.DANDELION, b.SAND, b.STONE} <= set(np.unique(world.blocks))
    x, y, z = world.spawn()
    foot = int(np.floor(x)), int(y), int(np.floor(z))
    assert world.block_at(foot[0], foot[1] - 1, foot[2]) == b.GRASS_BLOCK
    assert not b.SOLID[world.block_at(*foot)]
    assert not b.SOLID[world.block_at(foot[0], foot[1] + 1, foot[2])]
    for kinds, far in ((b.LOGS, 12), ((b.WATER,), 24), ((b.TALL_GRASS,), 16)):
        assert world.nearest(kinds, (x, y, z), far) is not None


def test_the_same_seed_is_the_same_land(world):
    assert np.array_equal(world.blocks, World(4).blocks)
    assert not np.array_equal(world.blocks, World(5).blocks)


def test_nearest_looks_across_the_seam():
    world = World(4)
    world.blocks[:] = b.AIR
    world.blocks[127, 20, 64] = b.OAK_LOG
    assert world.nearest(b.LOGS, (1.0, 20.0, 64.0)) == (-1, 20, 64)
    assert world.nearest(b.LOGS, (-255.0, 20.0, 64.0)) == (-257, 20, 64)
    assert world.nearest(b.LOGS, (30.0, 20.0, 64.0), within=16) is None


def test_light_and_fields_follow_changes():
    world = World(4)
    rng = np.random.default_rng(0)
    for _ in range(12):
        x, z = rng.integers(-5, 6, 2)
        y = world.surface(x, z)
        world.set_block(
            int(x), y + int(rng.integers(0, 2)), int(z), int(rng.choice([b.AIR, b.STONE, b.WATER]))
        )
    assert np.array_equal(world.light, light.light_levels(world.blocks))
    picture = Renderer(80, 45)
    eye = (0.5, world.surface(0, 0) + 2.6, 0.5)
    changed = picture.draw(world, eye, 30.0, 25.0, 0).copy()
    world.field = light.empty_boxes(world.blocks, BUILD_LIMIT)
    assert np.array_equal(changed, picture.draw(world, eye, 30.0, 25.0, 0))


def test_boxes_of_the_field_are_empty(world):
    rng = np.random.default_rng(1)
    for _ in range(3000):
        octant, x, y, z = rng.integers(8), rng.integers(SIZE), rng.integers(15, 50), rng.integers(SIZE)
        value = int(world.field[octant, x, y, z])
        if value >= light.BLOCK and value < light.WATER:
            assert value - light.BLOCK == world.blocks[x, y, z]
            continue
        wet = value >= light.WATER
        side = value & 15
        tall = 1 if value & light.FLAT and not wet else side
        steps = [-1 if octant & bit else 1 for bit in (4, 2, 1)]
        box = world.blocks[
            np.ix_(
                (x + steps[0] * np.arange(side)) % SIZE,
                np.clip(y + steps[1] * np.arange(tall), 0, HEIGHT - 1),
                (z + steps[2] * np.arange(side)) % SIZE,
            )
        ]
        assert (box == (b.WATER if wet else b.AIR)).all()


@pytest.mark.parametrize(
    ("yaw", "pitch"), [(0, 0), (37, 12), (-120, 55), (90, 0), (171, -30), (0, 90), (45, -89)]
)
def test_the_picture_shows_what_the_cross_hair_hits(yaw, pitch):
    """A ray of the caster and one of the physics meet the same block: it is painted, the middle pixel changes."""
    env = BlockWorldEnv(seed=4, render_height=90)
    env.reset()
    env.set_view(yaw, pitch)
    renderer, player = Renderer(81, 45), env.player
    hit = physics.look(env.world.blocks, player.eye, yaw, pitch)
    clear = renderer.draw(env.world, player.eye, yaw, pitch, 0).copy()
    if hit is None or b.PLANT[hit.block]:
        return
    env.world.set_block(*hit.cell, b.SAND if hit.block != b.SAND else b.STONE)
    painted = renderer.draw(env.world, player.eye, yaw, pitch, 0)
    assert (painted[22, 40] != clear[22, 40]).any()


def test_walking_and_sprinting_speeds(empty):
    player = standing()
    path = go(player, empty, 40, forward=1)
    assert path[-1, 2] - path[-2, 2] == pytest.approx(4.317 / 20, rel=1e-3)
    assert abs(path[:, 0] - 0.5).max() < 1e-9, "yaw 0 is +z"
    player = standing(yaw=90.0)
    path = go(player, empty, 40, forward=1, sprint=True)
    assert path[-2, 0] - path[-1, 0] == pytest.approx(5.612 / 20, rel=1e-3)
    slow = go(standing(), empty, 40, forward=1, sneak=True)
    assert slow[-1, 2] - slow[-2, 2] == pytest.approx(0.3 * 4.317 / 20, rel=1e-2)


def test_left_is_left(empty):
    path = go(standing(), empty, 10, strafe=1)
    assert path[-1, 0] > 1.0, "facing +z, left is +x"


def test_a_jump_is_a_block_and_a_quarter_high(empty):
    path = go(standing(), empty, 1, jump=True)
    player = standing()
    path = np.concatenate([go(player, empty, 1, jump=True), go(player, empty, 15)])
    assert path[:, 1].max() - 10 == pytest.approx(1.2522, abs=1e-3)
    assert path[-1, 1] == 10.0
    assert player.on_ground


def test_falling_ends_on_the_ground(empty):
    player = Player(x=0.5, y=30.0, z=0.5)
    path = go(player, empty, 60)
    assert path[0, 1] == 30.0 or path[0, 1] < 30.0
    assert (np.diff(path[:, 1]) <= 0).all()
    assert path[-1, 1] == 10.0
    assert player.vy == pytest.approx(-0.0784)


def test_nobody_walks_through_blocks(empty):
    empty[:, 10:13, 3] = b.STONE
    player = standing()
    path = go(player, empty, 60, forward=1, sprint=True, jump=True)
    assert path[:, 2].max() <= 3 - physics.HALF_WIDTH + 1e-9
    assert player.blocked
    rng = np.random.default_rng(0)
    empty[:] = np.where(rng.uniform(size=empty.shape) < 0.2, b.STONE, b.AIR)
    empty[0:2, 20:23, 0:2] = b.AIR
    player = Player(x=1.0, y=20.5, z=1.0)
    for _ in range(400):
        player.yaw = float(rng.uniform(-180, 180))
        go(player, empty, 1, forward=1, jump=bool(rng.integers(2)), sprint=True)
        corner = np.array([player.x, player.y, player.z])
        for dx in (-0.2999, 0.2999):
            for dy in (0.0001, 0.9, 1.7999):
                for dz in (-0.2999, 0.2999):
                    x, y, z = np.floor(corner + np.array([dx, dy, dz])).astype(int)
                    assert y >= HEIGHT or y < 0 or not b.SOLID[empty[x % SIZE, y, z % SIZE]]
        if player.y < 2:
            break


def test_swimmers_float_and_others_sink(empty):
    empty[:, 10:18] = b.WATER
    player = Player(x=0.5, y=12.0, z=0.5)
    path = go(player, empty, 120, jump=True)
    assert player.in_water
    assert path[-40:, 1].min() > 17.0, "holding jump keeps the head above the water"
    assert path[-40:, 1].max() < 18.5
    assert not player.head_in_water
    go(player, empty, 200)
    assert player.y == 10.0
    assert player.head_in_water
    path = go(player, empty, 60, forward=1)
    assert 0.05 < path[-1, 2] - path[-2, 2] < 0.15, "swimming is slower than walking"


def test_air_runs_out_under_water_and_comes_back():
    env = BlockWorldEnv(seed=4, render_height=90)
    env.reset()
    x, y, z = env.nearest_water()
    while env.world.block_at(x, y - 1, z) == b.WATER:
        y -= 1
    for dy in range(4):
        env.world.set_block(x, y + dy, z, b.WATER)
    env.teleport(x + 0.5, y, z + 0.5)
    for _ in range(10):
        observation = env.step({})[0]
    assert observation["life_stats"]["air"] == 290
    under = observation["pov"].reshape(-1, 3).mean(axis=0)
    assert under[2] > 1.3 * under[0], "under water all is blue"
    env.teleport(x + 0.5, 60.0, z + 0.5)
    assert env.step({})[0]["life_stats"]["air"] > 290


def test_views_differ_as_they_should():
    env = BlockWorldEnv(seed=4)
    env.reset()
    env.set_view(env.player.yaw, -80)
    sky = env.observe()["pov"].reshape(-1, 3).mean(axis=0)
    env.set_view(env.player.yaw, 80)
    ground = env.observe()["pov"].reshape(-1, 3).mean(axis=0)
    assert sky[2] > ground[2] + 50
    assert ground[1] > ground[2]


def test_looking_stops_at_straight_up_and_goes_round():
    player = Player()
    physics.turn(player, 200.0, 190.0)
    assert (player.pitch, player.yaw) == (90.0, -170.0)


def test_angles_to_put_the_cross_hair_there():
    env = BlockWorldEnv(seed=4, render_height=90)
    env.reset()
    x, y, z = env.nearest_tree()
    env.teleport(x + 2.5, y, z + 0.5)
    env.set_view(*env.angles_to(x + 0.5, y + 1.5, z + 0.5))
    assert env.target.cell == (x, y + 1, z) or b.PLANT[env.target.block]


def test_a_ray_nearly_along_an_axis_reaches_its_end():
    """From here one ray used to stop a hair short of a border and stand still for ever."""
    env = BlockWorldEnv(seed=3)
    env.reset()
    env.teleport(50.2700950105357, 33.796759285461754 - 1.62, 59.13500022756693)
    env.set_view(120.97804631136813, 13.002772433964338)
    assert env.render_pov().shape == (360, 640, 3)
