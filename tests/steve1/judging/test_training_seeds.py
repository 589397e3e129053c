"""Figures over training seeds: matrix, shares, scores, intervals and counts, each against a figure made by hand."""

import math

import pytest
import scipy.stats
from made_up_episodes import episode, played

from steve1.judging.claims import Claim, Runs, summarise
from steve1.judging.training_seeds import (
    AHEAD,
    BEHIND,
    OPEN,
    by_column,
    column_maxima,
    matrix,
    mean_matrix,
    own_values,
    paired,
    score,
    t_interval,
    tally,
    told_apart,
)
from steve1.judging.verdicts import Interval, groups_of, judge

WORLDS = range(6)


def run(sky=0.9, dig=2.0, sky_at_rest=0.1, dig_at_rest=1.0, scale=2.0):
    """The groups of two prompts and no goal in six worlds; a figure differs a little from world to world."""
    jitter = [0.001 * world for world in WORLDS]
    episodes = [
        *(
            episode("sky", w, scale=scale, looking_up=sky + j, depth_dug=0.0)
            for w, j in zip(WORLDS, jitter, strict=True)
        ),
        *(
            episode("dig", w, scale=scale, looking_up=0.0, depth_dug=dig + j)
            for w, j in zip(WORLDS, jitter, strict=True)
        ),
        *(
            episode("no_goal", w, looking_up=sky_at_rest - j, depth_dug=dig_at_rest - j)
            for w, j in zip(WORLDS, jitter, strict=True)
        ),
    ]
    return groups_of(episodes)


def test_t_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = t_interval(values)
    assert (found.mean, found.low, found.high, found.n) == pytest.approx(
        (7 / 3, expected.low, expected.high, 3)
    )
    assert t_interval([5.0]) == Interval(5.0, None, None, 1)
    with pytest.raises(ValueError, match="no values"):
        t_interval([])


def test_differences_are_paired_over_training_seeds():
    ours, theirs = [1.0, 5.0, 9.0], [0.9, 4.88, 8.9]
    expected = scipy.stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = paired(ours, theirs)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert told_apart(found) == AHEAD
    assert told_apart(paired(theirs, ours)) == BEHIND
    assert told_apart(paired([1.0, 2.0], [2.0, 1.0])) == OPEN
    assert told_apart(t_interval([5.0])) == OPEN  # one training seed shows nothing


def test_a_matrix_has_every_prompts_mean_of_every_own_measure():
    found = matrix(run())
    assert list(found) == ["sky", "dig", "no_goal"]
    assert found["sky"] == pytest.approx({"looking_up": 0.9025, "depth_dug": 0.0})
    assert found["no_goal"] == pytest.approx({"looking_up": 0.0975, "depth_dug": 0.9975})
    with pytest.raises(ValueError, match="two settings"):
        matrix([*run(), *run(scale=6.0)])


def test_matrices_are_averaged_and_columns_divided_by_their_maxima():
    one = {"sky": {"looking_up": 0.4, "depth_dug": 0.0}, "no_goal": {"looking_up": 0.2, "depth_dug": 0.0}}
    two = {"sky": {"looking_up": 0.6, "depth_dug": 0.0}, "no_goal": {"looking_up": 0.0, "depth_dug": 0.0}}
    mean = mean_matrix([one, two])
    assert mean == {
        "sky": {"looking_up": 0.5, "depth_dug": 0.0},
        "no_goal": {"looking_up": 0.1, "depth_dug": 0.0},
    }
    assert column_maxima(mean) == {"looking_up": 0.5, "depth_dug": 0.0}
    shares = by_column(mean)
    assert shares["sky"] == {"looking_up": 1.0, "depth_dug": 0.0}
    assert shares["no_goal"]["looking_up"] == pytest.approx(0.2)


def test_wins_and_losses_are_the_one_rules():
    groups = run(dig=0.5)
    found = tally(groups)
    words = {v.name: v.word for v in judge([e for g in groups for e in g.episodes]) if v.own}
    assert words == {"sky": "wins", "dig": "loses"}
    assert (found.wins, found.loses, found.judged) == (("sky",), ("dig",), 2)


def test_the_highest_is_above_every_other_prompt_and_no_goal():
    assert tally(run()).highest == ("sky", "dig")
    assert tally(run(dig_at_rest=2.1)).highest == ("sky",)  # no goal has more
    same = [*played("sky", "looking_up", [0.5] * 6), *played("no_goal", "looking_up", [0.5] * 6)]
    assert tally(groups_of(same)).highest == ()  # as much is not more


def test_below_the_least_number_of_worlds_nothing_wins():
    episodes = [*played("sky", "looking_up", [1.0] * 5), *played("no_goal", "looking_up", [0.0] * 5)]
    assert tally(groups_of(episodes)).wins == ()


def test_a_score_is_the_mean_share_of_the_most():
    own = own_values(run(sky=0.45, dig=1.0))
    most = {"sky": 0.9, "dig": 2.0}
    assert score(own, most, [0], most) == pytest.approx(0.5)
    assert score(own, {**most, "dig": 0.0}, [0], most) == pytest.approx(0.5)  # shown by nothing: left out
    with pytest.raises(ValueError, match="world 17"):
        score(own, most, [0, 17], most)
    with pytest.raises(ValueError, match="no behaviour"):
        score(own, dict.fromkeys(most, 0.0), [0], most)


def test_claims_compare_the_same_training_seeds_in_the_same_worlds():
    text = [run(sky=0.9 + 0.01 * seed) for seed in range(3)]
    weak = [run(sky=0.4 + 0.01 * seed) for seed in range(3)]
    found = summarise(
        Runs(text, {"usual": text, "without": weak}, {"all": text, "less": weak}, ("usual", "all")),
        WORLDS,
        [Claim("it helps", "usual", "without"), Claim("not played", "usual", "nothing")],
    )
    (one,) = found["claims"]
    # sky is at 0.9125 of the most at seed 1, the mean; dig is at its own most.
    assert one["difference"] == pytest.approx([0.5 / 0.9125 / 2] * 3)
    assert one["word"] == AHEAD
    assert found["wins"] == {"each": [2, 2, 2], "mean": [2.0, 2.0, 2.0], "least": 2, "greatest": 2}
    rows = {row["setting"]: row for row in found["settings_played"]}
    assert rows["usual"]["against"] is None
    assert (rows["without"]["against"], rows["without"]["word"]) == ("usual", BEHIND)
    assert rows["less"]["against"] == "all"
    assert rows["usual"]["own_measures"]["dig"] == pytest.approx([2.0025] * 3)
    assert math.isclose(rows["usual"]["scores"][1], 1.0, abs_tol=1e-3)
