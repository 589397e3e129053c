"""Measures of synthetic episodes, whose figures are known, and the intervals over seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steve1.envs.spaces import noop_action
from steve1.intervals import mean_interval, t_quantile
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


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (15, 2.13145), (200, 1.97190)]
)
def test_students_t(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, abs=4e-3)


def test_an_interval_by_hand():
    interval = mean_interval([1, 2, 3, 4])
    assert interval.mean == 2.5
    assert interval.high - 2.5 == pytest.approx(3.1824 * math.sqrt(5 / 3) / 2, rel=2e-3)
    assert mean_interval([7]).low == -math.inf
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(-1e3, 1e3))
def test_intervals_move_with_their_values(values, shift):
    ours, moved = mean_interval(values), mean_interval([value + shift for value in values])
    assert moved.mean == pytest.approx(ours.mean + shift, abs=1e-6)
    assert ours.low <= ours.mean <= ours.high
    assert moved.high - moved.low == pytest.approx(ours.high - ours.low, rel=1e-4, abs=1e-3)
