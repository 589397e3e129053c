"""The rule by which episodes are compared, on made-up episodes and on data whose truth is known."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_episodes import episode, played

from steve1.judging.verdicts import MIN_WORLDS, from_json, groups_of, interval, judge, sign_flip_p, told

FAR = [0.8, 0.9, 0.85, 0.95, 0.7, 0.8, 0.9, 0.85]
NEAR = [0.1, 0.0, 0.2, 0.1, 0.0, 0.3, 0.1, 0.0]


def words(episodes, measures=()):
    return {(v.prompt, v.measure, v.against): v.word for v in judge(episodes, measures)}


def test_wins_loses_and_not_told_apart():
    episodes = [*played("sky", "looking_up", FAR), *played("no_goal", "looking_up", NEAR)]
    assert words(episodes) == {("look at the sky", "looking_up", "no goal"): "wins"}
    episodes = [*played("sky", "looking_up", NEAR), *played("no_goal", "looking_up", FAR)]
    assert words(episodes) == {("look at the sky", "looking_up", "no goal"): "loses"}
    episodes = [*played("sky", "looking_up", NEAR), *played("no_goal", "looking_up", NEAR[::-1])]
    assert words(episodes) == {("look at the sky", "looking_up", "no goal"): "not told apart"}


def test_the_p_value_is_the_share_of_sign_flips_that_lie_as_far():
    apart = np.array([3.0, 1, 4, 1, -5, 9, 2, 6])
    flips = np.array(list(itertools.product((1, -1), repeat=8))) @ apart
    assert sign_flip_p(apart) == pytest.approx((abs(flips) >= abs(apart.sum())).mean())


def test_with_many_worlds_flips_are_drawn_with_a_fixed_seed():
    apart = np.random.default_rng(0).normal(0.5, 1, 40)
    assert sign_flip_p(apart) == sign_flip_p(apart) == sign_flip_p(-apart)
    assert sign_flip_p(apart) < 0.05 < sign_flip_p(apart - apart.mean() + 0.1)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_below_six_worlds_there_is_no_verdict_and_no_interval(n):
    """However clear it looks, and though counts full of zeros have no spread: of 5 worlds no p is below 2 / 2^5."""
    episodes = [*played("dig", "depth_dug", [3.0] * n), *played("no_goal", "depth_dug", [0.0] * n)]
    (verdict,) = judge(episodes)
    assert (verdict.word, verdict.p_value) == ("too few worlds", None)
    for span in (verdict.ours, verdict.theirs, verdict.difference):
        assert (span.low, span.high, span.n) == (None, None, n)
    six = [*played("dig", "depth_dug", [3.0] * 6), *played("no_goal", "depth_dug", [0.0] * 6)]
    assert judge(six)[0].word == "wins"
    assert judge(six)[0].p_value == 2 / 2**6 < 0.05 < 2 / 2**5
    assert MIN_WORLDS == 6


def test_shares_and_counts_that_are_mostly_zero_keep_within_what_they_can_be():
    groups = groups_of(
        [*played("seeds", "grass_broken", [0] * 7 + [1]), *played("sky", "looking_up", [1] * 7 + [0.9])]
    )
    count, share = groups[0].figures(["grass_broken"]), groups[1].figures(["looking_up"])
    assert 0 <= count["grass_broken"].low <= 1 / 8 < count["grass_broken"].high
    assert share["looking_up"].low < 7.9 / 8 <= share["looking_up"].high <= 1
    none = interval([0.0] * 9, 0.0)
    assert (none.mean, none.low, none.high) == (0.0, 0.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0]), min_size=6, max_size=12))
def test_intervals_hold_the_mean_and_stay_in_range(values):
    span = interval(values, 0.0, 1.0)
    assert 0 <= span.low <= span.mean <= span.high <= 1
    assert span.mean == pytest.approx(np.mean(values))
    assert min(values) <= span.low
    assert span.high <= max(values)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=6, max_size=16))
def test_the_rule_is_the_same_seen_from_either_side(apart):
    ours, theirs = [10.0 + d for d in apart], [10.0] * len(apart)
    one = judge([*played("dig", "depth_dug", ours), *played("no_goal", "depth_dug", theirs)])[0]
    two = judge([*played("dig", "depth_dug", theirs), *played("no_goal", "depth_dug", ours)])[0]
    assert one.p_value == pytest.approx(two.p_value)
    assert {one.word, two.word} in ({"wins", "loses"}, {"not told apart"})


def test_of_twenty_comparisons_of_equals_about_one_is_told_apart():
    rng = np.random.default_rng(0)
    distances = rng.exponential(1.0, (600, 2, 9))
    found = [sign_flip_p(ours - theirs) < 0.05 for ours, theirs in distances]
    assert 0.03 < np.mean(found) < 0.07
    counts = rng.poisson(1.0, (300, 2, 9))  # ties make it less
    assert np.mean([sign_flip_p(ours - theirs) < 0.05 for ours, theirs in counts]) < 0.05
    strong = rng.poisson(4.0, (50, 9)) - rng.poisson(1.0, (50, 9))
    assert np.mean([sign_flip_p(apart) < 0.05 for apart in strong]) > 0.8


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    spans = [interval(values) for values in rng.normal(5, 2, (150, 16))]
    assert np.mean([span.low <= 5 <= span.high for span in spans]) > 0.85


def test_a_lost_world_is_left_out_with_its_pair_and_counted():
    clear = [*played("sky", "looking_up", FAR), *played("no_goal", "looking_up", NEAR)]
    lost = [
        episode("sky", 0, lost="lost at step 1 of 200: gone", looking_up=0.0),
        episode("sky", 1, lost="lost before its first step: gone"),
        *played("sky", "looking_up", FAR)[2:],
        *played("no_goal", "looking_up", NEAR)[:-1],
        episode("no_goal", 7, lost="lost at step 9 of 200: gone", looking_up=1.0),
    ]
    whole, (verdict,) = judge(clear)[0], judge(lost)
    assert whole.left_out == 0
    assert (verdict.left_out, verdict.difference.n, verdict.word) == (3, 5, "too few worlds")
    assert verdict.ours.mean == pytest.approx(np.mean(FAR[2:7]))
    assert verdict.theirs.mean == pytest.approx(np.mean(NEAR[2:7]))
    group = groups_of(lost)[0]
    assert group.lost == 2
    assert group.figures(["looking_up"])["looking_up"].mean == pytest.approx(np.mean(FAR[2:]))


def test_a_lost_world_takes_no_behaviour_its_measure():
    """The first episode has none of its measures known; the world offers both, so the first of them decides."""
    gone = episode("tree", 0, lost="lost before its first step: gone")
    tree = [gone, *(episode("tree", s, log_hits=9.0, logs_mined=1.0) for s in range(1, 8))]
    base = [episode("no_goal", s, log_hits=0.0, logs_mined=1.0) for s in range(8)]
    (verdict,) = judge([*tree, *base])
    assert (verdict.measure, verdict.word, verdict.left_out) == ("log_hits", "wins", 1)
    all_gone = [episode("tree", s, lost="lost before its first step: gone") for s in range(8)]
    (verdict,) = judge([*all_gone, *base])
    assert (verdict.measure, verdict.word, verdict.left_out) == ("log_hits", "too few worlds", 8)
    assert verdict.ours is None


def test_the_other_prompts_are_a_control_of_their_own():
    """Sky beats no goal, and yet what tells of following is being ahead of the other prompts."""
    episodes = [
        *played("sky", "looking_up", FAR),
        *played("dig", "looking_up", [value + 0.05 for value in FAR]),
        *played("explore", "looking_up", NEAR),
        *played("swim", "looking_up", [1.0] * 8, scale=6.0),
        *played("no_goal", "looking_up", NEAR),
    ]
    verdict = next(v for v in judge(episodes) if v.name == "sky")
    assert verdict.word == "wins"
    assert (verdict.rival.prompt, verdict.rival.of) == ("dig as far as possible", 2)
    assert verdict.rival.ahead == pytest.approx(-0.05)
    alone = [*played("sky", "looking_up", FAR), *played("no_goal", "looking_up", NEAR)]
    assert judge(alone)[0].rival is None


def test_agents_are_compared_prompt_by_prompt_and_each_with_its_own_control():
    episodes = [
        *played("sky", "looking_up", NEAR, label="base"),
        *played("sky", "looking_up", FAR),
        *played("no_goal", "looking_up", NEAR[::-1], label="base"),
        *played("no_goal", "looking_up", NEAR),
    ]
    found = {(v.agent, v.kind, v.against): v.word for v in judge(episodes, ["looking_up"])}
    assert found == {
        ("base", "text", "no goal"): "not told apart",
        ("mine", "text", "no goal"): "wins",
        ("mine", "text", "base"): "wins",
        ("mine", "no_goal", "base"): "not told apart",
    }
    assert [v.kind for v in told(judge(episodes, ["looking_up"]))] == ["text"] * 3


def test_only_episodes_of_equal_worlds_lengths_and_seeds_are_paired():
    sky, base = played("sky", "looking_up", FAR), played("no_goal", "looking_up", NEAR)
    for name, value in (("world", "MineRLEnv"), ("gameplay_length", 100), ("world_version", "2")):
        others = played("no_goal", "looking_up", NEAR)
        for other in others:
            other.decides[name] = value
        assert judge([*sky, *others]) == []
    assert judge([*sky, *base[:7]])[0].left_out == 1
    with pytest.raises(ValueError, match="twice"):
        judge([*sky, sky[0], *base])


def test_visual_prompts_of_one_name_are_two_prompts():
    one, two = played("goal", "logs_held", FAR), played("goal", "logs_held", NEAR)
    for part, goal in ((one, "a/goal.pkl"), (two, "b/goal.pkl")):
        for each in part:
            each.decides.update(kind="visual", prompt=goal, goal_hash=goal)
    assert [len(group.episodes) for group in groups_of([*one, *two])] == [8, 8]


def test_one_text_for_two_behaviours_is_two_prompts():
    episodes = [
        *played("tree", "logs_mined", FAR, prompt="go", looking_up=0.1),
        *played("sky", "looking_up", FAR, prompt="go", logs_mined=0.1),
    ]
    assert [(group.name, group.own) for group in groups_of(episodes)] == [
        ("tree", "logs_mined"),
        ("sky", "looking_up"),
    ]


def test_a_measure_without_a_better_side_is_higher_or_lower():
    episodes = [*played("sky", "mean_pitch", [-80.0] * 8), *played("no_goal", "mean_pitch", [0.0] * 8)]
    assert words(episodes, ["mean_pitch"])["look at the sky", "mean_pitch", "no goal"] == "lower"


def test_a_verdict_comes_back_from_json():
    episodes = [
        *played("sky", "looking_up", FAR),
        *played("dig", "looking_up", NEAR),
        *played("no_goal", "looking_up", NEAR),
    ]
    verdicts = judge(episodes, ["looking_up"])
    assert [from_json(json.loads(json.dumps(asdict(v), allow_nan=False))) for v in verdicts] == verdicts
