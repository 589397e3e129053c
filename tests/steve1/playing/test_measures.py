"""Measures of synthetic episodes, whose figures are known."""

import numpy as np

from steve1.envs.spaces import noop_action
from steve1.playing.measures import MEASURES, OWN_MEASURES, EpisodeMeasures, own_measure
from steve1.playing.prompts import BEHAVIOURS, PUBLISHED_PROMPTS


def obs(x=0.0, y=64.0, z=0.0, pitch=0.0, held=None, mined=None, air=300):
    return {
        "location_stats": {"xpos": np.array(x), "ypos": np.array(y), "zpos": np.array(z), "pitch": pitch},
        "inventory": {
            "oak_log": 0,
            "birch_log": 0,
            "dirt": 0,
            "wheat_seeds": 0,
            "oak_planks": 9,
            **(held or {}),
        },
        "mine_block": {"oak_log": 5, "dirt": 0, "stone": 0, "grass": 0, "oak_leaves": 0, **(mined or {})},
        "life_stats": {"air": np.array(air)},
    }


def measured(*steps, first=None):
    """Figures of an episode; a step is an observation, or (observation, info), or (observation, info, action)."""
    episode = EpisodeMeasures(first or obs())
    for step in steps:
        seen, info, pressed = (*step, {}, {})[:3] if isinstance(step, tuple) else (step, {}, {})
        episode.add({**noop_action(), **pressed}, seen, info)
    return episode.result()


def test_the_most_ever_held_not_the_last():
    figures = measured(
        obs(held={"oak_log": 2, "birch_log": 1}), obs(held={"dirt": 4}), obs(held={"wheat_seeds": 2})
    )
    assert (figures["logs_held"], figures["dirt_held"], figures["seeds_held"]) == (3, 4, 2)


def test_the_published_counts_go_by_parts_of_names_and_sum_what_is_held_at_one_time():
    inventory = {
        "oak_log": 1,
        "oak_wood": 6,
        "dirt": 5,
        "coarse_dirt": 3,
        "wheat_seeds": 1,
        "beetroot_seeds": 3,
    }
    figures = measured(obs(held=inventory), obs(held={"dirt": 7}), obs(held={"coarse_dirt": 6}))
    assert (figures["logs_held"], figures["dirt_held"], figures["seeds_held"]) == (1, 8, 4)


def test_the_farthest_horizontal_distance_not_the_last():
    figures = measured(obs(3, 90, 4), obs(1, 10, 1), first=obs(0, 64, 0))
    assert figures["travel_distance"] == 5.0


def test_looking():
    figures = measured(obs(pitch=-31), obs(pitch=-30), obs(pitch=46), obs(pitch=90))
    assert figures["looking_up"] == 0.25
    assert figures["looking_down"] == 0.5
    assert figures["mean_pitch"] == (-31 - 30 + 46 + 90) / 4


def test_walking_downhill_is_not_digging():
    down = [obs(x=t, y=64 - t) for t in range(1, 5)]
    figures = measured(*down)
    assert (figures["depth_dug"], figures["descent"]) == (0.0, 4.0)


def test_digging_counts_what_the_feet_fell_by():
    figures = measured(
        obs(mined={"dirt": 1}),
        obs(y=63, mined={"dirt": 1}),
        obs(y=64, mined={"dirt": 1}),
        obs(y=63, mined={"dirt": 1}),
        obs(y=63, mined={"dirt": 1, "stone": 1}),
        obs(y=62, mined={"dirt": 1, "stone": 1}),
    )
    assert figures["depth_dug"] == 2.0  # jumping in the hole adds nothing
    assert figures["ground_mined"] == 2.0


def test_digging_elsewhere_or_long_ago_does_not_count():
    dug = {"dirt": 1}
    assert measured(obs(mined=dug), obs(x=2, y=60, mined=dug))["depth_dug"] == 0.0
    waiting = [obs(mined=dug)] * 22
    assert measured(*waiting, obs(y=60, mined=dug))["depth_dug"] == 0.0


def dig(depth, x=0.0, top=64.0, dug=0):
    """Observations of digging straight down, two ticks a block: it breaks, then the feet come down."""
    return [obs(x=x, y=top - n - step, mined={"dirt": dug + n + 1}) for n in range(depth) for step in (0, 1)]


def test_digging_counts_wherever_it_begins():
    climb = [obs(x=t, y=64 + t) for t in range(1, 5)]
    assert measured(*climb, *dig(4, 4, 68))["depth_dug"] == 4.0
    assert measured(*climb, *[obs(x=4, y=68 - t, mined={"dirt": t}) for t in range(1, 5)])["depth_dug"] == 4.0
    assert measured(*dig(2), *[obs(x=5, y=64, mined={"dirt": 2})] * 2, *dig(2, 5, dug=2))["depth_dug"] == 4.0


def test_a_fall_is_not_dug():
    dug = {"dirt": 1}
    cliff = [obs(mined=dug), obs(x=0.2, mined=dug), *(obs(x=0.2 + 0.2 * t, y=64 - t) for t in range(1, 9))]
    assert measured(*cliff, obs(x=1.8, y=56))["depth_dug"] == 0.0
    cave = [*dig(3), obs(y=61, mined={"dirt": 4}), *(obs(y=61 - t, mined={"dirt": 4}) for t in (1, 4, 9))]
    assert measured(*cave)["depth_dug"] == 4.0  # the block that was broken, not the cave under it
    beside = [obs(mined={"dirt": n}) for n in (1, 2, 3)]
    assert measured(*beside)["depth_dug"] == 0.0
    assert measured(*beside, obs(x=0.9, y=61, mined={"dirt": 3}))["depth_dug"] == 0.0


def test_a_stair_that_is_dug_counts_and_a_walk_down_it_does_not():
    stair = [obs(x=n + step, y=64 - n - step, mined={"dirt": n + 1}) for n in range(4) for step in (0, 1)]
    assert measured(*stair)["depth_dug"] == 4.0
    assert (
        measured(*stair, *[obs(x=4, y=60)] * 25, *(obs(x=4 + t, y=60 - t) for t in (1, 2)))["depth_dug"]
        == 4.0
    )


def test_a_jump_while_a_wall_is_dug_is_no_depth():
    heights = [0.42, 0.753, 1.001, 1.166, 1.249, 1.252, 1.177, 1.024, 0.797, 0.495, 0.121, 0.0]  # Minecraft's
    jump = [obs(y=64 + h, mined={"stone": n // 6}) for n, h in enumerate(heights)]
    assert measured(*jump)["depth_dug"] == 0.0


def test_blocks_are_counted_from_the_episodes_start():
    figures = measured(obs(mined={"oak_log": 7, "grass": 3, "oak_leaves": 1}))
    assert (figures["logs_mined"], figures["grass_broken"], figures["leaves_mined"]) == (2, 3, 1)


def test_what_comes_from_the_info():
    figures = measured(
        (obs(), {"isGuiOpen": True, "inWater": True, "hitBlock": "oak_log"}, {"attack": 1}),
        (obs(), {"isGuiOpen": False, "inWater": False, "hitBlock": "oak_log"}),
        (obs(), {"isGuiOpen": False, "inWater": False, "hitBlock": None}, {"attack": 1}),
        (obs(air=299), {"isGuiOpen": False, "inWater": True, "hitBlock": "dirt"}, {"attack": 1}),
    )
    assert figures["inventory_open"] == 0.25
    assert figures["in_water"] == 0.5
    assert figures["log_hits"] == 1.0
    assert figures["underwater"] == 0.25
    assert figures["attacking"] == 0.75


def test_what_a_world_does_not_offer_is_none_not_zero():
    pictures_only = EpisodeMeasures({"pov": None})
    pictures_only.add(noop_action(), {"pov": None}, {})
    figures = pictures_only.result()
    assert {name for name, value in figures.items() if value is not None} == {"attacking"}
    assert measured(obs())["in_water"] is None
    assert set(EpisodeMeasures(obs()).result().values()) == {None}


def test_every_behaviour_has_a_measure_that_exists():
    assert set(PUBLISHED_PROMPTS) | set(BEHAVIOURS) == set(OWN_MEASURES)
    assert {name for names in OWN_MEASURES.values() for name in names} <= set(MEASURES)
    assert list(measured(obs())) == list(MEASURES)
    assert own_measure("tree", {"log_hits": None, "logs_mined": 0.0}) == "logs_mined"
    assert own_measure("tree", {"log_hits": 3.0, "logs_mined": 0.0}) == "log_hits"
    assert own_measure("something else", measured(obs())) is None
