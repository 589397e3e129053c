"""What a quickstart ends with: its verdicts are the report's, by no rule of its own."""

import json

import pytest
from made_up_episodes import episode
from tiny_agent import load_script

from steve1.judging.report import write_report
from steve1.judging.tables import verdict_table
from steve1.judging.verdicts import judge

quickstart_report = load_script("benchmarks/quickstart_report.py")


@pytest.fixture
def root(tmp_path):
    """What the stages leave, as far as figures are read from it."""
    entropy = {"buttons": 3.0, "camera": 2.0}
    losses = {"loss/val": 2.5, "loss/val_uncond": 2.8, "loss/val_shuffled": 3.1, "processed_frames": 160_000}
    for name, content in (
        ("samplings/quickstart_summary.json", {"quickstart (train)": {"entropy": entropy, "frames": 30_000}}),
        ("policy_checkpoint/logs/metrics.jsonl", losses),
        ("weights/mineclip/small.json", {"accuracy": {"seen": {"accuracy": 0.9}}}),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content) + "\n")
    (tmp_path / "stages.tsv").write_text("12\t8/8 Judge\n")
    return tmp_path


def episodes():
    dug = [3.0, 4.0, 2.0, 3.0, 0.0, 4.0, 3.0]
    return [
        *(episode("dig", seed, depth_dug=depth, looking_up=0.0) for seed, depth in enumerate(dug)),
        *(episode("sky", seed, depth_dug=0.0, looking_up=0.1 * (seed % 2)) for seed in range(7)),
        *(episode("no_goal", seed, depth_dug=0.0, looking_up=0.1 * (seed % 3)) for seed in range(7)),
    ]


def test_the_verdicts_are_the_reports(root):
    write_report(root / "judged.html", episodes(), ["logs_held"], 0)
    said = quickstart_report.text(quickstart_report.collect(root), root)
    table = verdict_table([verdict for verdict in judge(episodes()) if verdict.own])
    assert "\n".join(f"  {line}" for line in table.splitlines()) in said
    assert "1 of 2 prompts win their own measure" in said
    assert "play: 7 worlds" in said


def test_a_verdict_is_read_and_not_made_again(root):
    write_report(root / "judged.html", episodes(), ["logs_held"], 0)
    known = json.loads((root / "judged.json").read_text())
    for verdict in known["verdicts"]:
        verdict["word"] = "too few worlds"
    (root / "judged.json").write_text(json.dumps(known))
    figures = quickstart_report.collect(root)
    assert figures["wins"] == 0
    assert quickstart_report.text(figures, root).count("  too few worlds\n") == 2
