"""What played episodes come to, from records whose figures are known."""

import json
from dataclasses import replace

import pytest

from steve1.evaluation import differences, evaluation, groups_of
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES

FIGURES = {
    "base": {"sky": (0.1, 0.2, 0.3), "": (0.0, 0.1, 0.0)},
    "mine": {"sky": (0.6, 0.8, 0.7), "": (0.0, 0.1, 0.0)},
}


def played(name, seed, sides, kind="text", scale=6.0, prompt="look at the sky"):
    """A record for each agent. ``sides``: label -> values of measures, or what else was measured."""
    return [
        PlayedEpisode(
            {
                "kind": kind,
                "prompt": prompt,
                "cond_scale": scale,
                "world_seed": seed,
                "sampling_seed": seed + 100,
                "weights_hash": label,
            },
            {
                "name": name or "no_goal",
                "behaviour": name or "no_goal",
                "caption": prompt or "no goal",
                "label": label,
                "in_weights": f"{label}.weights",
            },
            {
                "frames": 5,
                "lost": None,
                "scores": None,
                "actions_hash": "",
                **extra,
                "measures": {**dict.fromkeys(MEASURES), **extra["measures"]},
            },
        )
        for label, extra in sides.items()
    ]


@pytest.fixture
def compared():
    return [
        episode
        for name, kind, prompt, scale in (("sky", "text", "look at the sky", 6.0), ("", "no_goal", "", None))
        for seed in range(3)
        for episode in played(
            name,
            seed,
            {
                label: {"measures": {"looking_up": values[name][seed], "logs_held": 2.0 * seed}}
                for label, values in FIGURES.items()
            },
            kind,
            scale,
            prompt,
        )
    ]


def test_groups_and_their_figures(compared):
    groups = groups_of(compared)
    assert [(g.prompt, g.agent, g.own) for g in groups] == [
        ("look at the sky", "base", "looking_up"),
        ("look at the sky", "mine", "looking_up"),
        ("no goal", "base", None),
        ("no goal", "mine", None),
    ]
    figures = groups[1].figures(MEASURES)
    assert set(figures) == {"looking_up", "logs_held"}
    assert figures["looking_up"]["mean"] == pytest.approx(0.7)
    # s = 0.1, t(2) = 4.3027, n = 3
    assert figures["looking_up"]["low"] == pytest.approx(0.7 - 4.30265 * 0.1 / 3**0.5, abs=1e-4)
    assert figures["looking_up"]["n"] == 3


def test_differences_are_taken_seed_by_seed(compared):
    found = {
        (d["agent"], d["minus"], d["prompt"], d["measure"]): d for d in differences(groups_of(compared), [])
    }
    assert set(found) == {
        ("base", "no goal", "look at the sky", "looking_up"),
        ("mine", "no goal", "look at the sky", "looking_up"),
        ("mine", "base", "look at the sky", "looking_up"),
    }
    one = found["mine", "base", "look at the sky", "looking_up"]
    assert one["mean"] == pytest.approx((0.5 + 0.6 + 0.4) / 3)
    assert one["low"] == pytest.approx(0.5 - 4.30265 * 0.1 / 3**0.5, abs=1e-4)
    assert (one["n"], one["reading"], one["own"]) == (3, "more", True)
    assert found["base", "no goal", "look at the sky", "looking_up"]["reading"] == "not told apart"


def test_only_seeds_that_both_played_whole_are_compared(compared):
    compared[4] = replace(compared[4], measured={**compared[4].measured, "lost": "lost at step 3 of 5: gone"})
    one = next(d for d in differences(groups_of(compared), []) if d["minus"] == "no goal")
    assert one["n"] == 2


def test_a_single_seed_has_no_interval_and_its_json_no_infinity():
    content = evaluation(played("sky", 0, {"mine": {"measures": {"looking_up": 0.5}}}), ["looking_up"])
    span = content["groups"][0]["figures"]["looking_up"]
    assert span == {"mean": 0.5, "low": None, "high": None, "n": 1}
    json.dumps(content, allow_nan=False)
    assert content["differences"] == []


def test_score_series_are_means_over_the_episodes_that_got_so_far():
    series = ([15, 19], [0.2, 0.4]), ([15, 19, 23], [0.4, 0.4, 0.9])
    episodes = [
        episode
        for seed, (frames, cosines) in enumerate(series)
        for episode in played(
            "sky", seed, {"mine": {"measures": {}, "scores": {"frames": frames, "cosines": cosines}}}
        )
    ]
    along = groups_of(episodes)[0].score_series()
    assert along["frames"] == [15, 19, 23]
    assert along["mean"] == pytest.approx([0.3, 0.4, 0.9])
    assert along["n"] == [2, 2, 1]
    assert along["low"][2] is None
