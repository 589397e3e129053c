"""steve1.cli: one check of numbers, and one of paths, for every entry point; how it ends when a signal asks."""

import signal
import subprocess
import sys
from argparse import Namespace

import pytest

from steve1.cli import entry_point, not_there, out_of_range

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


def ended_by(number, body, before=""):
    """What a program whose ``main`` is ``body`` says and ends with when it sends itself a signal."""
    code = (
        "import os, signal\nfrom steve1.cli import entry_point\n"
        f"{before}\n@entry_point\ndef main(argv=None):\n    ask = lambda: os.kill(os.getpid(), {int(number)})\n"
        + "".join(f"    {line}\n" for line in body.splitlines())
        + "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (signal.SIGINT, "Ctrl-C")],
)
def test_a_signal_ends_a_program_in_one_sentence_after_it_has_tidied_up(number, name):
    tidy = 'try:\n    ask()\nfinally:\n    print("tidied")'
    said = f"error: stopped by {name}; what was finished is kept, run the same command to go on\n"
    assert ended_by(number, tidy) == (128 + number, "tidied\n", said)


def test_a_second_signal_does_not_interrupt_the_tidying_up():
    code, said, _ = ended_by(signal.SIGTERM, 'try:\n    ask()\nfinally:\n    ask()\n    print("tidied")')
    assert (code, said) == (143, "tidied\n")


def test_a_hang_up_that_is_ignored_and_a_signal_that_is_handled_stay_so():
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert ended_by(signal.SIGHUP, 'ask()\nprint("on")', ignored) == (0, "on\n", "")
    handled = 'signal.signal(signal.SIGTERM, lambda *_: print("handled"))'
    assert ended_by(signal.SIGTERM, "ask()", handled) == (0, "handled\n", "")


def test_a_fork_ends_as_any_process():
    body = "child = os.fork()\nif not child:\n    ask()\n    os._exit(7)\nprint(os.waitpid(child, 0)[1])"
    assert ended_by(signal.SIGTERM, body) == (0, f"{int(signal.SIGTERM)}\n", "")


def test_the_signals_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    entry_point(lambda argv: None)()
    assert signal.getsignal(signal.SIGTERM) == before
