"""The scripted players show what they are named for, in actions that the policy can take."""

import itertools
import math

import numpy as np
import pytest

from blockworld import blocks as b
from blockworld.env import BlockWorldEnv
from blockworld.players import walking
from blockworld.players.behaviour import action, towards, turn_between
from blockworld.players.behaviours import PLAYERS
from blockworld.players.director import DECK, play
from blockworld.players.wordings import HELD_OUT_WORDINGS, USUAL, WORDINGS
from steve1.vpt.actions import BIN_ANGLES, agent_to_env, env_to_agent

WORLDS, FRAMES = 2, 420


@pytest.fixture(scope="module")
def blind():
    """A BlockWorld that draws nothing, for speed."""
    env = BlockWorldEnv(seed=0)
    env.observe = dict
    return env


def watch(env, world, behaviours, frames=FRAMES):
    """Play, and note for each tick what was done and what came of it."""
    env.seed(world)
    env.reset()
    ticks = []
    for move in itertools.islice(play(env, np.random.default_rng([9, world]), behaviours), frames):
        player, hit = env.player, env.target
        before, broken, was = (
            (player.x, player.z),
            env.broken.copy(),
            (player.pitch, env.gui_open, player.in_water),
        )
        env.step(move.action)
        ticks.append(
            {
                "move": move,
                "behaviour": move.behaviour,
                "pitch": was[0],
                "screen": was[1],
                "water": was[2],
                "on_log": bool(move.action["attack"] and hit and hit.block in b.LOGS),
                "broken": env.broken - broken,
                "gone": math.dist(before, (player.x, player.z)),
            }
        )
    return ticks


@pytest.fixture(scope="module")
def shown(blind):
    """The ticks at which each behaviour is shown, over a few worlds."""
    ticks = {name: [t for w in range(WORLDS) for t in watch(blind, w, [name])] for name in PLAYERS}
    return {name: [t for t in found if t["behaviour"] == name] for name, found in ticks.items()}


def share(ticks, condition):
    return np.mean([bool(condition(t)) for t in ticks])


def broken(ticks, *names):
    return sum(t["broken"][name] for t in ticks for name in names)


def test_most_of_the_time_something_is_shown(shown):
    for name, ticks in shown.items():
        assert len(ticks) > 0.4 * WORLDS * FRAMES, name


def test_sky_is_looked_at(shown):
    assert share(shown["sky"], lambda t: t["pitch"] < -30) > 0.7


def test_diggers_look_down_and_dig(shown):
    assert share(shown["dig"], lambda t: t["pitch"] > 60) > 0.6
    assert broken(shown["dig"], "grass_block", "dirt") > 16


def test_choppers_hit_logs(shown):
    assert share(shown["tree"], lambda t: t["on_log"]) > 0.5
    assert broken(shown["tree"], "oak_log", "birch_log") >= 2


def test_seed_collectors_break_grass_and_hardly_anything_else(shown):
    grass = broken(shown["seeds"], "grass")
    assert grass > 40
    assert sum(t["broken"].total() for t in shown["seeds"]) - grass < 0.35 * grass


def test_explorers_go_far(shown):
    assert sum(t["gone"] for t in shown["explore"]) / len(shown["explore"]) > 0.18


def test_swimmers_are_in_the_water(shown):
    assert share(shown["swim"], lambda t: t["water"]) > 0.55


def test_the_inventory_is_opened_and_closed(shown):
    ticks = shown["inventory"]
    assert 0.6 < share(ticks, lambda t: t["screen"]) < 0.95
    assert share(ticks, lambda t: t["move"].action["inventory"]) > 0.06


def test_leaf_breakers_break_leaves_and_are_seen_only_where_they_are_asked_for(shown, blind):
    ticks = shown["leaves"]
    leaves = broken(ticks, "oak_leaves", "birch_leaves")
    assert leaves >= 20
    assert leaves > 4 * (sum(t["broken"].total() for t in ticks) - leaves)
    usual = {m.behaviour for m in itertools.islice(play(blind, np.random.default_rng(0)), 1500)}
    assert usual <= {None, *USUAL}


def test_every_action_is_one_that_the_policy_can_take_and_few_are_null(blind):
    moves = [t["move"] for t in watch(blind, 5, list(PLAYERS), 1500)]
    assert {m.behaviour for m in moves} == {None, *PLAYERS}
    keys = [key for key in moves[0].action if key != "camera"]
    played = {key: np.array([m.action[key] for m in moves]) for key in moves[0].action}
    assert set(played["camera"].ravel()) <= set(BIN_ANGLES)
    back = agent_to_env(**env_to_agent(played))
    for key, values in back.items():
        np.testing.assert_array_equal(values, played[key], err_msg=key)
    null = ~(np.stack([played[key] for key in keys]).any(0) | played["camera"].any(1))
    assert null.mean() < 0.02


def test_screens_that_open_by_themselves_are_closed_again(blind):
    ticks = watch(blind, 6, ["explore"], 900)
    opened = [t for t in ticks if t["screen"]]
    assert opened
    assert all(t["behaviour"] is None for t in opened)
    assert len(opened) < 0.1 * len(ticks)


def test_the_same_seed_plays_the_same(blind):
    once, again = (watch(blind, 7, list(PLAYERS), 200) for _ in range(2))
    for a, c in zip(once, again, strict=True):
        assert a["behaviour"] == c["behaviour"]
        assert all((a["move"].action[key] == c["move"].action[key]).all() for key in ("camera",))
        assert (a["pitch"], a["gone"]) == (c["pitch"], c["gone"])


def test_unknown_players_are_refused(blind):
    with pytest.raises(ValueError, match="fly"):
        next(play(blind, np.random.default_rng(0), ["fly"]))


def test_wordings_are_apart(vectors):
    import json

    assert set(WORDINGS) == set(HELD_OUT_WORDINGS) == set(PLAYERS) == {*USUAL, "leaves"}
    assert set(DECK) == set(USUAL)
    used = [text for texts in WORDINGS.values() for text in texts]
    held = [text for texts in HELD_OUT_WORDINGS.values() for text in texts]
    assert len(used + held) == len(set(used + held))
    assert all(len(texts) >= 6 for texts in WORDINGS.values())
    published = {entry["text"] for entry in json.loads((vectors / "clip_tokens.json").read_text())[:11]}
    assert all(texts[0] in published for texts in WORDINGS.values())


def test_small_arithmetic():
    assert towards(0.3, 5.9) == 0.0
    assert towards(-40.0, 5.9) == BIN_ANGLES[1]
    assert towards(40.0, 3.3) == BIN_ANGLES[8]
    assert turn_between(170.0, -170.0) == 20.0
    assert action("jump")["jump"] == 1
    with pytest.raises(KeyError):
        action("jump")["fly"]


def test_lines_over_the_land(blind):
    """Walking stops at a wall of two blocks, goes over one, and stops at water; jumping along needs more room."""
    blind.seed(0)
    blind.reset()
    world = blind.world
    for x in range(30, 50):
        for y in range(30, 40):
            for z in (39, 40, 41):
                world.blocks[x, y, z] = b.STONE if y < 35 else b.AIR
    blind.teleport(32.5, 35, 40.5)
    east = -90.0
    assert walking.walkable(blind, east, 10.0) == 10.0
    world.blocks[36, 37, 40] = b.OAK_LEAVES
    assert walking.walkable(blind, east, 10.0) == 10.0
    assert walking.walkable(blind, east, 10.0, tall=3) == 3.0
    world.blocks[38, 35, 40] = b.STONE
    assert walking.walkable(blind, east, 10.0) == 10.0
    world.blocks[38, 36, 40] = b.STONE
    assert walking.walkable(blind, east, 10.0) == 5.0
    assert walking.shore(blind, east, 10.0) is None
    world.blocks[34:38, 33:35, 40] = b.WATER
    assert walking.walkable(blind, east, 10.0) == 1.0
    assert walking.shore(blind, east, 10.0) == 1.0
    assert walking.water_ahead(blind, east, 1.5, 6.0) == 4.0
