"""The steering benchmark: its judgement on made-up figures, and a run on tiny models."""

import json

import pytest
from tiny_agent import load_script, make_models

from steve1.playing.measures import MEASURES

steering = load_script("benchmarks/steering.py")


def figures(**values):
    return {**dict.fromkeys(MEASURES), **values}


def test_the_judgement():
    played = {
        "sky": [figures(looking_up=value) for value in (0.8, 0.9, 0.85, 0.95)],
        "explore": [figures(travel_distance=value) for value in (11, 31, 51, 71)],
        "dig": [figures(depth_dug=value) for value in (0, 1, 2, 0)],
        "swim": [figures()] * 4,
        "no goal": [
            figures(looking_up=0.1 * i, travel_distance=10 + 20 * i, depth_dug=i % 2) for i in range(4)
        ],
    }
    verdicts = steering.judge(played)
    assert (verdicts["sky"]["wins"], verdicts["sky"]["paired_wins"]) == (True, True)
    assert (verdicts["explore"]["wins"], verdicts["explore"]["paired_wins"]) == (False, True)
    assert verdicts["explore"]["paired_difference"] == [1.0, 1.0, 1.0]
    assert (verdicts["dig"]["wins"], verdicts["dig"]["paired_wins"]) == (False, False)
    assert verdicts["swim"]["measure"] is None
    table = steering.report(played, verdicts)
    assert "1 of 4 behaviours win" in table
    assert "paired only" in table


def test_a_run_whatever_the_batches(tmp_path, capsys):
    models = make_models(tmp_path)
    (tmp_path / "prompts.json").write_text(json.dumps({"sky": "look up"}))
    results = []
    for name, flags in (("a", ["--num_envs", "3"]), ("b", ["--num_envs", "2"])):
        out = tmp_path / f"{name}.json"
        steering.main(
            [
                *models,
                *(
                    "--behaviours",
                    "sky,inventory",
                    "--prompts",
                    str(tmp_path / "prompts.json"),
                    "--processes",
                    "1",
                ),
                *("--n_seeds", "2", "--gameplay_length", "4", "--out", str(out), *flags),
            ]
        )
        results.append(json.loads(out.read_text()))
    assert results[0]["prompts"] == {"sky": "look up", "inventory": "open inventory"}
    assert results[0]["seeds"] == [1_000_000, 1_000_001]
    assert results[0]["episodes"] == results[1]["episodes"]
    assert set(results[0]["episodes"]) == {"sky", "inventory", "no goal"}
    assert all(None is not row["looking_up"] for row in results[0]["episodes"]["sky"])
    said = capsys.readouterr().out
    assert "of 2 behaviours win their own measure" in said


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--behaviours", "sky,fly"], "--behaviours fly"),
        (["--n_seeds", "1"], "--n_seeds 1 is below 2"),
        (["--in_weights", "none.weights"], "none.weights does not exist"),
    ],
)
def test_mistakes_are_usage_errors(flags, part, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        steering.main([*make_models(tmp_path), *flags])
    assert stopped.value.code == 2
    assert part in capsys.readouterr().err
