"""steve1.cli: one check of numbers, and one of paths, for every entry point."""

from argparse import Namespace

import pytest

from steve1.cli import not_there, out_of_range

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        ({"least": 1}, [1, 1.0, 2, 10**400], [0, -1, 0.999, NAN, INF, -INF]),
        ({"least": 0, "most": 1}, [0, 0.5, 1], [-1e-9, 1.1, NAN, INF]),
        ({"above": 0}, [1e-30, 1], [0, 0.0, -1, NAN, INF]),
        ({"least": 0, "below": 1}, [0, 0.999], [1, 1.0, -0.1, NAN]),
        ({}, [-5, 0.0], [NAN, INF]),
    ],
)
def test_numbers_within_and_without(limits, inside, outside):
    for value in inside:
        assert out_of_range(Namespace(x=value), "x", **limits) == []
    for value in outside:
        (problem,) = out_of_range(Namespace(x=value), "x", **limits)
        assert problem.startswith(f"--x {value} is ")


def test_all_flags_are_looked_at_and_the_remedy_is_said():
    args = Namespace(a=0, b=None, c=[1.0, -2.0, NAN], d=[], e=7)
    assert out_of_range(args, "a", "b", "c", "d", "e", least=1, most=6, note="1: none") == [
        "--a 0 is below 1; give at least 1 and at most 6 (1: none)",
        "--c -2.0 is below 1; give at least 1 and at most 6 (1: none)",
        "--c nan is no finite number; give at least 1 and at most 6 (1: none)",
        "--d is empty; give at least 1 and at most 6 (1: none)",
        "--e 7 is above 6; give at least 1 and at most 6 (1: none)",
    ]


def test_large_limits_are_written_out():
    (problem,) = out_of_range(Namespace(seed=2**32), "seed", least=0, most=2**32 - 1)
    assert "4,294,967,295" in problem


def test_paths_that_are_not_there(tmp_path):
    file, gone = tmp_path / "file", tmp_path / "gone"
    file.touch()
    args = Namespace(a=file, b=None, c=[str(tmp_path), str(file), str(gone)], d=gone)
    assert not_there(args, "a", "b", "c", "d") == [
        f"--c {gone} does not exist; check the path",
        f"--d {gone} does not exist; check the path",
    ]
    assert not_there(args, "a", "b", "c", folder=True) == [
        f"--a {file} is no folder; check the path",
        f"--c {file} is no folder; check the path",
        f"--c {gone} does not exist; check the path",
    ]
