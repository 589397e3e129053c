"""The benchmarks of a step and of actions: both ways agree, a ratio is printed, a profile is written."""

import runpy
from pathlib import Path

from conftest import TINY_POLICY

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_both_ways_of_a_step_and_of_acting_agree_and_a_profile_is_written(tmp_path, capsys):
    table = tmp_path / "step.txt"
    flags = ["--in_model", str(TINY_POLICY), "--batch_size", "2", "--trunc_t", "4", "--repeats", "1"]
    runpy.run_path(str(BENCHMARKS / "train_step.py"))["main"]([*flags, "--profile", str(table)])
    _, compared, _, step, acting, _ = capsys.readouterr().out.splitlines()
    ours, published = (float(word.rstrip(";")) for word in compared.split()[1:4:2])
    assert abs(ours - published) < 1e-5
    assert float(compared.split()[-1]) < 1e-3
    for line in (step, acting):
        mine, theirs, ratio = (float(word.rstrip("x")) for word in line.split()[2:])
        assert abs(ratio - theirs / mine) < 0.01 + 0.01 * ratio
    assert "aten::convolution" in table.read_text()


def test_actions_one_by_one_are_those_of_all_at_once(capsys):
    runpy.run_path(str(BENCHMARKS / "actions.py"))["main"](["--frames", "300", "--repeats", "1"])
    assert "300 frames, microseconds a frame: ours" in capsys.readouterr().out
