"""What films come to, from JSON files whose figures are known."""

import json

import pytest

from steve1.evaluation import difference_table, differences, evaluation, groups_of, losses, table
from steve1.filming import Episode
from steve1.playing.measures import MEASURES

FIGURES = {
    "base": {"sky": (0.1, 0.2, 0.3), "": (0.0, 0.1, 0.0)},
    "mine": {"sky": (0.6, 0.8, 0.7), "": (0.0, 0.1, 0.0)},
}


def film(folder, name, seed, sides, kind="text", scale=6.0, prompt="look at the sky"):
    """A film's JSON and an empty video. ``sides``: label -> values of measures, or what else is noted."""
    video = folder / f"{name or 'no_goal'}_{scale}_{seed}.mp4"
    notes = [
        {
            "label": label,
            "frames": 5,
            "lost": None,
            **extra,
            "measures": {**dict.fromkeys(MEASURES), **extra["measures"]},
        }
        for label, extra in sides.items()
    ]
    video.write_bytes(b"")
    video.with_suffix(".json").write_text(json.dumps({"sides": notes}))
    return Episode(name or "no_goal", kind, prompt, seed, scale, video, seed + 100)


@pytest.fixture
def compared(tmp_path):
    films = []
    for name, kind, prompt, scale in (("sky", "text", "look at the sky", 6.0), ("", "no_goal", "", None)):
        films += [
            film(
                tmp_path,
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
            for seed in range(3)
        ]
    return films


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


def test_only_seeds_that_both_played_are_compared(compared):
    compared[2].video.unlink()
    one = next(d for d in differences(groups_of(compared), []) if d["minus"] == "no goal")
    assert one["n"] == 2


def test_a_single_seed_has_no_interval_and_its_json_no_infinity(tmp_path):
    films = [film(tmp_path, "sky", 0, {"mine": {"measures": {"looking_up": 0.5}}})]
    content = evaluation(films, ["looking_up"])
    span = content["groups"][0]["figures"]["looking_up"]
    assert span == {"mean": 0.5, "low": None, "high": None, "n": 1}
    json.dumps(content, allow_nan=False)
    assert content["differences"] == []
    assert difference_table(films, ["looking_up"]) == ""


def test_score_series_are_means_over_the_episodes_that_got_so_far(tmp_path):
    series = ([15, 19], [0.2, 0.4]), ([15, 19, 23], [0.4, 0.4, 0.9])
    films = [
        film(
            tmp_path,
            "sky",
            seed,
            {"mine": {"measures": {}, "scores": {"frames": frames, "cosines": cosines}}},
        )
        for seed, (frames, cosines) in enumerate(series)
    ]
    along = groups_of(films)[0].score_series()
    assert along["frames"] == [15, 19, 23]
    assert along["mean"] == pytest.approx([0.3, 0.4, 0.9])
    assert along["n"] == [2, 2, 1]
    assert along["low"][2] is None


def test_tables_name_agents_and_scales_where_there_are_several(tmp_path, compared):
    said = table(compared, ["logs_held"])
    assert said.splitlines()[0].split("  ")[:1] == ["prompt"]
    assert "agent" in said
    assert "guidance" not in said
    assert "looking_up 0.7 ± 0.25 (share)" in said
    sweep = [film(tmp_path, "sky", 0, {"mine": {"measures": {}}}, scale=s) for s in (None, 2.0)]
    heads = table(sweep, ["logs_held"]).splitlines()[0]
    assert "guidance" in heads
    assert "agent" not in heads
    lines = difference_table(compared, []).splitlines()
    assert len(lines) == 4
    assert any("mine - base" in line and line.endswith("more") for line in lines)


def test_losses_name_film_and_agent(compared):
    content = json.loads(compared[0].json.read_text())
    content["sides"][1]["lost"] = "lost at step 3 of 5: gone"
    compared[0].json.write_text(json.dumps(content))
    compared[1].video.unlink()
    first, second = losses(compared)
    assert f"{compared[0].video.name} (mine): lost at step 3 of 5: gone" in first
    assert f"{compared[1].video.name}: not made" in second
