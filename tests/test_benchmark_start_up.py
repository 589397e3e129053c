"""The start-up benchmark runs at a tiny size; both ways come to the same, which it checks itself."""

import json
import re
import runpy

import pytest
from checkout import ROOT
from conftest import TINY_POLICY
from tiny_mineclip import TINY_MINECLIP


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return runpy.run_path(str(ROOT / "benchmarks" / "start_up.py"))


def test_it_prints_both_times_of_each_part(bench, tmp_path, capsys):
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_MINECLIP))
    sizes = ["--in_model", str(TINY_POLICY), "--mineclip_config", str(tmp_path / "tiny.json")]
    bench["main"]([*sizes, "--episodes", "20", "--repeats", "1"])
    rows = re.findall(r"^(\w+).*?((?: +\d+\.\d+){6})$", capsys.readouterr().out, re.M)
    assert [name for name, _ in rows] == ["flags", "policy", "MineCLIP", "index"]


def test_ways_that_differ_are_a_fault(bench):
    with pytest.raises(AssertionError):
        bench["turns"](lambda: [1], lambda: [2], 1)
