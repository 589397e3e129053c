"""The plan of a mixed-agent episode: who acts when, where the memory is wiped, and how the player spins."""

import numpy as np
import pytest

from data.generation.mixed_agents import Plan, draw_plan, draw_spin, is_tuned, switch_probs

FOUNDATION, TUNED = "foundation-model-2x.weights", "rl-from-foundation-2x.weights"


def rng(*seed):
    return np.random.default_rng(seed)


def test_tuned_by_name():
    assert [is_tuned(name) for name in (FOUNDATION, TUNED, "my_rl_from_x.weights", "girl.weights")] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("tuned", "expected"),
    [
        ((False, False), (1 / 1000, 1 / 1000)),
        ((True, True), (1 / 1000, 1 / 1000)),
        ((False, True), (1 / 3000, 1 / 1000)),
        ((True, False), (1 / 1000, 1 / 3000)),
    ],
)
def test_switch_probabilities(tuned, expected):
    assert switch_probs(1 / 1000, tuned) == pytest.approx(expected, rel=1e-12)


def test_switches_happen_as_often_as_they_should():
    plan = draw_plan(rng(0), 400_000, 1 / 10, 0, (False, True))
    switches = plan.switches(len(plan.agent))
    for to, p in ((1, 1 / 30), (0, 1 / 10)):
        tries = (plan.agent == 1 - to).sum()
        n = sum(switch["to"] == to for switch in switches)
        assert abs(n - p * tries) < 4 * np.sqrt(p * tries)
    # The tuned one acts a quarter of the time: it is left three times as readily as the other.
    assert plan.agent.mean() == pytest.approx(1 / 4, abs=0.01)
    assert not plan.spin.any()


def test_spins_begin_as_often_as_they_should():
    plan = draw_plan(rng(1), 200_000, 0, 1 / 50)
    spins = plan.spins(len(plan.spin))
    tries = (plan.spin == 0).sum() + len(spins)  # a spin is played to its end, so none begins within one
    assert abs(len(spins) - tries / 50) < 4 * np.sqrt(tries / 50)
    left = sum(spin["degrees"] < 0 for spin in spins)
    assert abs(left - len(spins) / 2) < 2 * np.sqrt(len(spins))
    assert sum(spin["frames"] for spin in spins) == np.count_nonzero(plan.spin)
    assert len(np.unique(plan.agent)) == 1


def test_spins_keep_their_limits():
    totals = []
    for i in range(3000):
        yaws = draw_spin(rng(2, i))
        assert len(set(yaws)) == 1
        assert ((np.abs(yaws) >= 20 - 1e-9) & (np.abs(yaws) <= 30 + 1e-9)).all()
        totals.append(abs(yaws.sum()))
    assert 90 - 1e-9 <= min(totals) < 92
    assert 358 < max(totals) <= 360 + 1e-9
    assert np.mean(totals) == pytest.approx(225, abs=5)
    assert np.quantile(totals, 0.25) == pytest.approx(157.5, abs=8)


def test_memory_is_fresh_at_the_start_after_switches_and_after_spins_only():
    plan = draw_plan(rng(3), 50_000, 1 / 50, 1 / 70)
    expected = np.zeros(len(plan.fresh), bool)
    expected[0] = True
    expected[[switch["frame"] for switch in plan.switches(len(plan.agent))]] = True
    after = [spin["frame"] + spin["frames"] for spin in plan.spins(len(plan.spin))]
    expected[[t for t in after if t < len(expected)]] = True
    np.testing.assert_array_equal(plan.fresh, expected)
    # A switch never falls into the middle of a spin.
    inside = (plan.spin[1:] != 0) & (plan.spin[:-1] != 0) & ~plan.fresh[1:]
    assert not np.diff(plan.agent)[inside].any()


def test_certain_and_impossible():
    always = draw_plan(rng(4), 9, 1, 0)
    assert (np.diff(always.agent) != 0).all()
    assert always.fresh.all()
    assert len(always.switches(9)) == 8
    spinning = draw_plan(rng(4), 200, 0, 1)
    assert spinning.spin.all()
    spins = spinning.spins(200)
    assert [s["frame"] for s in spins] == np.flatnonzero(spinning.fresh).tolist()
    assert all(90 - 1e-9 <= abs(s["degrees"]) <= 360 + 1e-9 for s in spins[:-1])
    never = draw_plan(rng(4), 500, 0, 0)
    assert never.fresh.tolist() == [True] + [False] * 499
    assert not never.spin.any()


def test_a_seed_is_a_plan_and_either_agent_begins():
    one, same, other = (draw_plan(rng(5, i), 4000, 1 / 50, 1 / 50) for i in (0, 0, 1))
    for name in ("agent", "fresh", "spin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.spin, other.spin)
    first = [draw_plan(rng(6, i), 1).agent[0] for i in range(400)]
    assert 150 < sum(first) < 250


def test_what_a_cut_episode_says():
    plan = Plan(
        agent=np.array([0, 0, 1, 1, 1, 1, 1, 0]),
        fresh=np.array([1, 0, 1, 0, 0, 1, 0, 1], bool),
        spin=np.array([0, 0, 0, 20.0, 25.0, -30.0, -20.0, 0]),
    )
    assert plan.switches(8) == [{"frame": 2, "to": 1}, {"frame": 7, "to": 0}]
    assert plan.switches(7) == [{"frame": 2, "to": 1}]
    assert plan.spins(8) == [
        {"frame": 3, "frames": 2, "degrees": 45.0},
        {"frame": 5, "frames": 2, "degrees": -50.0},
    ]
    assert plan.spins(4) == [{"frame": 3, "frames": 1, "degrees": 20.0}]
    assert plan.spins(3) == []
