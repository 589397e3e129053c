"""The fine-tuning table says what was measured: shares of the start, means and intervals over training seeds."""

import runpy

import pytest
import scipy.stats
from checkout import ROOT

bench = runpy.run_path(str(ROOT / "benchmarks" / "finetuning.py"))


def test_what_is_kept_is_a_share_of_the_start_where_the_start_shows_anything():
    start = {"sky": 0.8, "tree": 0.0, "dig": 4.0, "leaves": 0.1}
    assert bench["kept"]({"sky": 0.4, "tree": 3.0, "dig": 5.0, "leaves": 2.0}, start) == pytest.approx(0.75)


def test_rows_are_means_with_student_intervals_over_training_seeds():
    runs = [{"leaves": value, "sky": 0.5} for value in (1.0, 2.0, 4.0)]
    rows = bench["summary"]({"start": [{"leaves": 0.0, "sky": 1.0}], "plain": runs})
    mean, low, high = rows["plain"]["leaves"]
    expected = scipy.stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((7 / 3, expected.low, expected.high))
    assert rows["plain"]["kept"] == pytest.approx([0.5, 0.5, 0.5])
    assert rows["start"]["leaves"] == [0.0, None, None]
    lines = bench["table"](rows).splitlines()
    assert lines[0] == "| | leaves | kept | sky |"
    assert lines[3] == f"| plain | 2.33 [{low:.3g}, {high:.3g}] | 0.5 [0.5, 0.5] | 0.5 [0.5, 0.5] |"
