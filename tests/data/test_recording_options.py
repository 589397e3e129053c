import argparse

import pytest

from data.recording_options import (
    RecordingOptions,
    add_recording_flags,
    recording_options,
    recording_problems,
)


def parse(*flags):
    parser = argparse.ArgumentParser()
    add_recording_flags(parser)
    return parser.parse_args(flags)


def test_no_flags_are_the_defaults():
    args = parse()
    assert recording_problems(args) == []
    assert recording_options(args) == RecordingOptions()


def test_flags_become_options():
    args = parse(
        *("--fps_as_ticks", "--window", "1920X1080", "--degrees_per_pixel", "0.1"),
        *("--max_hole_ticks", "3", "--legacy_int_camera"),
    )
    assert recording_problems(args) == []
    assert recording_options(args) == RecordingOptions(True, True, (1920, 1080), 0.1, 3)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--window", "1280"),
        ("--window", "x720"),
        ("--window", "1280x0"),
        ("--window", "-4x720"),
        ("--degrees_per_pixel", "0"),
        ("--degrees_per_pixel", "nan"),
        ("--degrees_per_pixel", "200"),
        ("--max_hole_ticks", "-1"),
    ],
)
def test_impossible_values_are_named(flag, value):
    (problem,) = recording_problems(parse(f"{flag}={value}"))
    assert problem.startswith(flag)
    assert value in problem
