"""The index benchmark runs at a small size, and what it makes is what is indexed."""

import re
import runpy
from pathlib import Path

import pytest

BENCHMARK = str(Path(__file__).parents[1] / "benchmarks" / "index_episodes.py")


@pytest.fixture
def main(monkeypatch):
    # The process that runs the tests stays on all its cores.
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None, raising=False)
    return runpy.run_path(BENCHMARK)["main"]


def test_prints_the_time_of_each_way_to_index(main, tmp_path, capsys):
    main(["--episodes", "40", "--dir", str(tmp_path)])
    out = capsys.readouterr().out
    assert "40 episodes" in out
    assert len(re.findall(r"\d+\.\d\d s \(.*budget 0\.01 s, ratio", out)) == 3
    items = sum(-(-(1000 + number * 7919 % 5001 - 15) // 640) for number in range(40))
    found = int(re.search(r"([\d,]+) items of T=640", out)[1].replace(",", ""))
    assert 0.5 * items < found <= items  # the training list alone
    assert list(tmp_path.iterdir()) == []


def test_too_few_episodes_are_refused(main, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--episodes", "3"])
    assert left.value.code == 2
    assert "--episodes 3" in capsys.readouterr().err
