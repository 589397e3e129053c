"""The loader's benchmark runs at a tiny size and prints all that it should."""

import os
import re
import runpy
from pathlib import Path

import pytest
from tiny_recordings import make_video

BENCHMARK = str(Path(__file__).parents[1] / "benchmarks" / "loader.py")


@pytest.fixture
def main():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield runpy.run_path(BENCHMARK)["main"]
    if before:
        os.sched_setaffinity(0, before)


def test_prints_rates_floors_and_quality(main, tmp_path, capsys):
    make_video(tmp_path / "clip.mp4", range(30), size=(256, 144))
    main(["--frames", "100", "--T", "32", "--items", "3", "--media", str(tmp_path)])
    said = capsys.readouterr().out
    assert "real footage (clip.mp4)" in said
    assert re.search(r"png: [\d,]+ frames/s by the clock.*floor 1,200, ratio \d+\.\d\d\n +lossless", said)
    assert re.search(r"mp4: [\d,]+ frames/s by the clock.*floor 1,600, ratio \d+\.\d\d\n +[\d.]+ dB", said)


def test_without_clips_it_says_that_they_are_blockworlds(main, tmp_path, capsys):
    main(["--frames", "20", "--T", "4", "--items", "1", "--media", str(tmp_path / "none")])
    assert "frames of BlockWorld" in capsys.readouterr().out


def test_wrong_flags_are_listed_together(main, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--frames", "600", "--T", "640", "--items", "0", "--seed", "-1"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert all(flag in said for flag in ("--T 640", "--items 0", "--seed -1"))
