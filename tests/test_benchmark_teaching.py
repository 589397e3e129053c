"""benchmarks/teaching.py: a scripted hand corrects an agent by the page's own protocol; how the share is chosen."""

import json
import sys
from types import SimpleNamespace

import pytest
from checkout import ROOT
from tiny_agent import TINY_POLICY, load_script, make_models

sys.path.insert(0, str(ROOT / "benchmarks"))  # as for the script itself
teaching = load_script("benchmarks/teaching.py")


@pytest.fixture
def bench(tmp_path):
    """What the lessons need of a benchmark, with tiny models."""
    make_models(tmp_path)
    flags = ["--quickstart", str(tmp_path), "--output_dir", str(tmp_path), "--cond_scale", "1"]
    args = teaching._parser().parse_args([*flags, "--correction_ticks", "90", "--corrections", "2"])
    (tmp_path / "corrections").mkdir()
    return SimpleNamespace(
        args=args,
        out=tmp_path,
        recordings=tmp_path / "corrections",
        start=tmp_path / "policy.weights",
        mineclip=tmp_path / "mineclip.pt",
        quick=SimpleNamespace(model=TINY_POLICY, prior=tmp_path / "prior.pt"),
    )


def test_each_lesson_is_a_recording_of_the_agent_s_ticks_and_then_the_hand_s(bench):
    teaching._Lessons(bench, range(2)).hold()
    recordings = sorted(bench.recordings.iterdir())
    assert len(recordings) == 2
    for folder in recordings:
        lines = [json.loads(line) for line in (folder / "actions.jsonl").read_text().splitlines()]
        who = [line["player"] for line in lines]
        lesson = ["agent"] * teaching.WATCHED + ["human"] * 90
        assert who[: len(lesson)] == lesson
        assert set(who[len(lesson) :]) <= {"agent"}


def test_the_share_is_that_whose_worse_half_is_best(monkeypatch):
    figures = {
        "choosing_before": {"tree": 0.0, "sky": 0.8},
        "choosing_0.5": {"tree": 20.0, "sky": 0.4},  # all of the new, half of the old
        "choosing_0.8": {"tree": 14.0, "sky": 0.8},  # 70 % of the new, all of the old
    }
    bench = object.__new__(teaching.Teaching)
    bench.args, bench.start = SimpleNamespace(old_share=["0.5", "0.8"]), None
    monkeypatch.setattr(bench, "play", lambda name, weights, world: figures[name], raising=False)
    monkeypatch.setattr(bench, "taught", lambda seed, share: None, raising=False)
    assert bench.choose_share() == 0.8
    figures["choosing_0.8"]["tree"] = 6.0
    assert bench.choose_share() == 0.5
    bench.args.old_share = ["0.8"]
    assert bench.choose_share() == 0.8
