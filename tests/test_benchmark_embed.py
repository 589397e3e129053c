"""The embedding benchmark runs at a tiny size and compares two ways that agree."""

import json
import re
import runpy
from pathlib import Path

import pytest
from tiny_mineclip import TINY_MINECLIP

BENCHMARK = str(Path(__file__).parents[1] / "benchmarks" / "embed.py")


@pytest.fixture
def main():
    return runpy.run_path(BENCHMARK)["main"]


def test_prints_both_times_and_the_ratio(main, tmp_path, capsys):
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_MINECLIP))
    main(
        [
            "--mineclip_config",
            str(tmp_path / "tiny.json"),
            "--frames",
            "20",
            "--windows",
            "3",
            "--batch_size",
            "6",
        ]
    )
    said = capsys.readouterr().out
    assert "from 3 of 5 windows" in said
    found = re.search(r"ratio: [0-9.]+; largest relative difference (\S+)", said)
    assert found is not None
    assert float(found.group(1)) < 1e-4


def test_wrong_flags_are_listed_together(main, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--frames", "15", "--windows", "0"])
    assert left.value.code == 2
    assert re.search(r"--frames 15.*\n.*--windows 0", capsys.readouterr().err)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(SystemExit) as left:
        main(["--mineclip_config", str(tmp_path / "list.json")])
    assert left.value.code == 1
    assert "list.json" in capsys.readouterr().err
