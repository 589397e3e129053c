"""All weights of a run play, and the best of them is named for what it is."""

import json

import pytest
import torch
from tiny_agent import load_script, make_models

from steve1.checkpoints import read_metadata, read_state_dict, save_weights
from steve1.judging.verdicts import Group
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES, Measure
from training import judge_run


def group(weights, own, values, name="sky"):
    """Episodes of one prompt in which ``own`` had these values, a world each; None: the world was lost."""
    episodes = [
        PlayedEpisode(
            {"world_seed": world, "sampling_seed": world},
            {},
            {"lost": "gone" if value is None else None, "measures": {own: value}},
        )
        for world, value in enumerate(values)
    ]
    return Group(name, "text", name, name, weights, weights, 2.0, (), own, episodes)


def test_ranks_are_by_world_and_by_the_better_side():
    groups = {
        "start": [group("start", "looking_up", [0.5] * 7), group("start", "logs_mined", [3] * 7, "wood")],
        "out": [group("out", "looking_up", [0.9] * 6 + [None]), group("out", "logs_mined", [3] * 7, "wood")],
        "bad": [group("bad", "looking_up", [0.1] * 7), group("bad", "logs_mined", [4, *[0] * 6], "wood")],
    }
    judged, worlds = judge_run.rank(groups)
    assert worlds == 6
    assert [j.weights for j in judged] == ["out", "start", "bad"]
    # out: (1 + 1.5) / 2 in five worlds, and in the one where "bad" has most logs (1 + 2.5) / 2
    assert judged[0].mean_rank == pytest.approx((5 * 1.25 + 1.75) / 6)
    assert judged[0].ahead_p == pytest.approx(2 / 2**6)
    assert judged[2].means["wood (logs_mined, guidance 2)"] == pytest.approx(4 / 6)
    said = judge_run.sentence(judged, worlds, "7 to 12")
    assert said.startswith(
        "Best of 3 by play in 6 worlds: out, mean rank 1.33; told apart from the next, start"
    )
    assert "chosen on the seeds 7 to 12, where the chosen one looks better than it is" in said


def test_a_measure_without_a_better_side_judges_nothing_and_less_can_be_better(monkeypatch):
    pitch = {name: [group(name, "mean_pitch", [-50.0] * 6)] for name in ("start", "out")}
    with pytest.raises(ValueError, match="no prompt has a measure of its own with a better side"):
        judge_run.rank(pitch)
    monkeypatch.setitem(MEASURES, "mean_pitch", Measure("degrees", "less", ""))
    pitch["out"] = [group("out", "mean_pitch", [-60.0] * 6)]
    judged, _ = judge_run.rank(pitch)
    assert judged[0].weights == "out"
    assert judged[0].means == {"sky (mean_pitch, guidance 2)": -60.0}
    with pytest.raises(ValueError, match="was not measured of all weights"):
        judge_run.rank({**pitch, "lost": [group("lost", None, [None] * 6)]})


def test_equals_are_not_told_apart_and_the_start_is_the_best_of_them():
    same = {name: [group(name, "looking_up", [0.5] * 6)] for name in ("start", "out")}
    judged, worlds = judge_run.rank(same)
    assert judged[0].weights == "start"
    assert "not told apart from the next, out" in judge_run.sentence(judged, worlds, "0 to 5")
    few = {name: [group(name, "looking_up", [i, i])] for i, name in enumerate(("start", "out"))}
    judged, worlds = judge_run.rank(few)
    assert judged[0].weights == "out"
    assert "below 6 worlds nothing tells it apart" in judge_run.sentence(judged, worlds, "0 to 1")


def test_a_run_is_judged_end_to_end(tmp_path, monkeypatch, capsys):
    models = make_models(tmp_path)
    about = read_metadata(tmp_path / "policy.weights")
    state = read_state_dict(tmp_path / "policy.weights")

    def save(name, factor, of="out"):
        weights = {
            key: tensor * factor if tensor.is_floating_point() else tensor for key, tensor in state.items()
        }
        save_weights(
            weights, tmp_path / name, {**about, "flags": {"out_weights": str(tmp_path / f"{of}.weights")}}
        )

    save("out.weights", 1.5)
    save("out_latest.weights", 1.5)
    save("out_best.weights", 0.5)
    save("out_else.weights", 2.0, of="out_else")
    played = []
    monkeypatch.setattr(
        judge_run, "play", lambda flags: played.append(flags) or load_script("run_agent.py").main(flags)
    )
    threads = torch.get_num_threads()
    flags = ["--env", "blockworld", "--device", "cpu", "--behaviours", "sky", "--num_envs", "2"]
    flags += ["--num_seeds", "2", "--gameplay_length", "4", *models[:2], *models[4:]]
    where = ["--start", str(tmp_path / "policy.weights"), "--judged_dir", str(tmp_path / "j")]
    judge_run.main([str(tmp_path / "out.weights"), *where, *flags])
    torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert [flags[1].rpartition("/")[2] for flags in played] == [
        "policy.weights",
        "out.weights",
        "out_best.weights",
    ]
    assert all("--no_films" in flags and flags[flags.index("--seed") + 1] == "2000000" for flags in played)
    assert f"{tmp_path / 'out_else.weights'} is of another run: left out" in out
    assert "out = out_latest plays" in out
    assert "Best of 3 by play in 2 worlds: " in out
    (kept,) = (tmp_path / "j").glob("*/judged.json")
    noted = json.loads(kept.read_text())
    assert noted["seeds"] == "2000000 to 2000001"
    assert {j["weights"] for j in noted["judged"]} == {"policy", "out = out_latest", "out_best"}


def test_what_would_spoil_the_choice_is_refused(tmp_path, capsys):
    flags = ["--seeds", "evaluation", "--in_weights", "x", "--num_seeds", "0"]
    with pytest.raises(SystemExit) as stopped:
        judge_run.main([str(tmp_path / "none.weights"), *flags])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    for part in (
        "none.weights does not exist",
        "--seeds names worlds on which nothing",
        "--in_weights is set here",
    ):
        assert part in error
    assert "--num_seeds 0 is below 1" in error
