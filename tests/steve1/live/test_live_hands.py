"""What pages send between two ticks becomes one action a tick; one page plays."""

import math

import numpy as np
import pytest

from steve1.live.hands import PLAYABLE, Hands
from steve1.vpt.actions import ENV_KEYS

PAGE, OTHER = object(), object()


@pytest.fixture
def hands():
    hands = Hands()
    assert hands.take(PAGE) == ""
    return hands


def pressed(hands):
    """The keys of the next tick, told as played."""
    action = hands.action(0)
    assert set(action) == {*ENV_KEYS, "camera"}
    hands.played(action)
    return {key for key in ENV_KEYS if action[key]}


def test_a_press_within_a_tick_counts_for_one(hands):
    hands.input(PAGE, {"keys": ["forward"], "tapped": ["forward"]})
    hands.input(PAGE, {"keys": [], "tapped": []})
    assert pressed(hands) == {"forward"}
    assert pressed(hands) == set()


def test_a_second_press_is_seen_as_one_although_no_tick_lay_between(hands):
    hands.input(PAGE, {"keys": ["attack"], "tapped": ["attack"]})
    assert pressed(hands) == {"attack"}
    hands.input(PAGE, {"keys": [], "tapped": []})
    hands.input(PAGE, {"keys": ["attack"], "tapped": ["attack"]})
    assert [pressed(hands) for _ in range(3)] == [set(), {"attack"}, {"attack"}]


def test_held_keys_stay_down_and_a_lost_message_does_no_harm(hands):
    hands.input(PAGE, {"keys": ["forward", "jump"], "tapped": ["forward", "jump"]})
    assert [pressed(hands) for _ in range(3)] == [{"forward", "jump"}] * 3
    hands.input(
        PAGE, {"keys": ["jump", "left"]}
    )  # the press of "left" and the release of "forward" were lost
    assert pressed(hands) == {"jump", "left"}


def test_a_pixel_is_0_15_degrees_and_nothing_of_the_way_is_lost(hands):
    hands.input(PAGE, {"dx": 20, "dy": -10})
    hands.input(PAGE, {"dx": 0.75})
    np.testing.assert_allclose(hands.action(0)["camera"], [-1.5, 3.0])
    hands.input(PAGE, {"dx": 0.25})
    np.testing.assert_allclose(hands.action(1)["camera"], [0, 0.15])
    hands.input(PAGE, {"dx": 2400})  # once around; a tick turns by less than half
    turned = [hands.action(tick)["camera"][1] for tick in range(4)]
    assert math.isclose(sum(turned), 360)
    assert max(turned) < 180
    assert turned[3] == 0


def test_the_wheel_presses_the_key_of_the_slot_that_it_comes_to(hands):
    hands.input(PAGE, {"wheel": -1})
    assert pressed(hands) == {"hotbar.9"}
    hands.input(PAGE, {"keys": ["hotbar.4"], "tapped": ["hotbar.4"]})
    assert pressed(hands) == {"hotbar.4"}
    hands.input(PAGE, {"wheel": 2})
    assert pressed(hands) == {"hotbar.6"}
    hands.new_world()
    hands.input(PAGE, {"wheel": 1})
    assert pressed(hands) == {"hotbar.2"}


def test_one_page_plays_until_it_lets_go_or_another_takes_over(hands):
    assert "another page plays" in hands.take(OTHER)
    assert hands.input(OTHER, {"keys": ["forward"]}) == "another page plays"
    assert not hands.hand_back(OTHER)
    hands.input(PAGE, {"keys": ["forward"], "tapped": ["forward"], "dx": 3})
    assert hands.take(OTHER, from_another=True) == ""
    action = hands.action(0)
    assert not action["forward"]
    assert not action["camera"].any()
    assert hands.hand_back(OTHER)
    assert hands.holder is None
    assert "take over first" in hands.input(OTHER, {"keys": []})


def test_a_silent_page_lets_go_of_its_keys_and_then_of_the_hands(hands):
    hands.input(PAGE, {"keys": ["forward"], "tapped": ["forward"]})
    for _ in range(3):  # a page that only shows pictures is there
        assert all(pressed(hands) == {"forward"} for _ in range(25))
        hands.heard(PAGE)
    assert [pressed(hands) for _ in range(31)][-1] == set()
    assert hands.holder is PAGE
    for _ in range(200):
        pressed(hands)
    assert hands.holder is None


@pytest.mark.parametrize(
    "message",
    [
        {"keys": "forward"},
        {"keys": ["ESC"]},
        {"keys": ["fly"]},
        {"keys": [["forward"]]},
        {"tapped": [3]},
        {"dx": "1"},
        {"dx": True},
        {"dy": math.nan},
        {"dx": math.inf},
        {"wheel": 10**9},
    ],
)
def test_what_is_no_input_is_refused_with_what_would_be(hands, message):
    assert hands.input(PAGE, message)
    assert pressed(hands) == set()
    assert "ESC" not in PLAYABLE
