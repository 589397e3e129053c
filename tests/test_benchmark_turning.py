"""benchmarks/turning.py: an agent that sees its way is told from one that doesn't."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_agent import TINY_POLICY, load_script, make_models

from blockworld import blocks as b
from blockworld.env import BlockWorldEnv
from blockworld.players import walking
from blockworld.players.behaviour import turn_between
from blockworld.players.behaviours import PLAYERS
from steve1 import envs
from steve1.vpt.actions import BIN_ANGLES, CAMERA_BINS, N_CAMERA_ACTIONS

turning = load_script("benchmarks/turning.py")


def test_the_mean_turn_is_to_the_side_alone():
    log_probs = torch.full((2, N_CAMERA_ACTIONS), -math.inf)
    log_probs[0, 9 * CAMERA_BINS + 7] = 0.0  # down and right
    log_probs[1, [5 * CAMERA_BINS + 0, 5 * CAMERA_BINS + 5]] = math.log(0.5)  # left, or not at all
    assert turning.mean_turn(log_probs).tolist() == pytest.approx([BIN_ANGLES[7], BIN_ANGLES[0] / 2])


def test_who_sees_has_a_correlation_near_one_and_who_does_not_has_none():
    rng = np.random.default_rng(0)
    aside = rng.uniform(-turning.WIDEST, turning.WIDEST, 150)
    seeing, blind = 0.1 * aside + rng.normal(0, 0.5, 150), rng.normal(2.0, 0.5, 150)
    found = turning.summary(list(zip(aside, seeing, blind, strict=True)))
    assert found["correlation"]["sentence"][0] > 0.9
    value, low, high = found["correlation"]["no goal"]
    assert low < 0 < high
    assert low < value < high
    assert sum(n for _, _, n, _, _ in found["rows"]) == 150
    assert [means[3] for means in found["rows"]] == sorted(means[3] for means in found["rows"])
    assert "correlation, sentence: 0.9" in turning.text({"tree": found})


def test_bearings_point_to_a_trunk_and_to_a_shore():
    env = BlockWorldEnv(seed=turning.FIRST_WORLD)
    env.observe = dict
    env.reset()
    for name in turning.GOING:
        player = PLAYERS[name](env, np.random.default_rng(1))
        player.begin()
        if name == "swim":
            assert walking.shore(env, player.bearing, 9.0) is not None
            continue
        trunks = walking.near(env, walking.cells_of(env, b.LOGS), 9.0)
        apart = [
            abs(turn_between(env.angles_to(x + 0.5, y + 0.5, z + 0.5)[0], player.bearing))
            for x, y, z in trunks.tolist()
        ]
        assert min(apart) < 1e-6
    assert PLAYERS["sky"](env, np.random.default_rng(1)).bearing is None


def test_the_figures_of_a_tiny_agent(tmp_path, capsys, monkeypatch):
    make_models(tmp_path)
    quick = SimpleNamespace(
        model=TINY_POLICY,
        policy=tmp_path / "policy.weights",
        mineclip=tmp_path / "mineclip.pt",
        prior=tmp_path / "prior.pt",
    )
    monkeypatch.setattr(turning, "Quickstart", lambda root: quick)
    turning.main(["--quickstart", str(tmp_path), "--places", "4", "--json", str(tmp_path / "turning.json")])
    said = capsys.readouterr().out
    assert said.count("correlation, sentence") == 2
    written = json.loads((tmp_path / "turning.json").read_text())
    assert (written["places"], written["weights"]) == (4, str(quick.policy))
    assert turning.text({name: written[name] for name in turning.GOING}) + "\n" == said
    turning.main(["--quickstart", str(tmp_path), "--places", "4"])
    assert capsys.readouterr().out == said
    with pytest.raises(SystemExit):
        turning.main(["--quickstart", str(tmp_path), "--places", "2"])
    assert "--places" in capsys.readouterr().err


def test_places_are_where_they_are_said_to_be(monkeypatch):
    made = []
    monkeypatch.setattr(
        envs, "make_env", lambda name, make=envs.make_env: made.append(make(name)) or made[-1]
    )
    given = []
    for place in turning.places("tree", 5):
        given.append(place)
        env, aside = made[-1], place[0]
        trunks = walking.near(env, walking.cells_of(env, b.LOGS), 9.0).tolist()
        yaws = [env.angles_to(x + 0.5, y + 0.5, z + 0.5)[0] for x, y, z in trunks]
        assert min(abs(turn_between(env.player.yaw, yaw) - aside) for yaw in yaws) < 1e-6
    assert len(given) == 5
    assert all(abs(aside) <= turning.WIDEST and picture.shape == (360, 640, 3) for aside, _, picture in given)
    again = list(turning.places("tree", 5))
    assert all(a[0] == c[0] and (a[2] == c[2]).all() for a, c in zip(given, again, strict=True))
