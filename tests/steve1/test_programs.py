"""steve1.programs: several side by side in their order, and none that outlives who started it."""

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steve1.cli import entry_point
from steve1.programs import Program, run_programs

HOLD = """
import fcntl, signal, sys
from steve1.cli import entry_point
@entry_point
def main(argv=None):
    lock = open(sys.argv[1] + ".alive", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        open(sys.argv[1] + ".begun", "w").close()
        while True:
            signal.pause()
    finally:
        open(sys.argv[1] + ".tidied", "w").close()
main()
"""


def says(word, code=0):
    """A program that says a word, its line in one piece, since others write to the same log, and ends with a code."""
    return [
        sys.executable,
        "-c",
        f"import os; os.write(1, {word.encode() + bytes([10])!r}); raise SystemExit({code})",
    ]


def test_each_tells_how_it_ended_and_its_words_go_to_its_log(tmp_path):
    programs = [Program(f"p{i}", says(f"word {i}", i), tmp_path / "logs" / "log") for i in range(3)]
    ended = list(run_programs(programs, at_once=2))
    assert sorted((done.program.name, done.code) for done in ended) == [("p0", 0), ("p1", 1), ("p2", 2)]
    assert sorted((tmp_path / "logs" / "log").read_text().splitlines()) == ["word 0", "word 1", "word 2"]


def test_environment_and_folder_are_the_programs_own(tmp_path):
    code = "import os; print(os.environ['WHAT'], os.getcwd())"
    program = Program("p", [sys.executable, "-c", code], tmp_path / "log", {"WHAT": "this"}, tmp_path)
    assert [done.code for done in run_programs([program])] == [0]
    assert (tmp_path / "log").read_text() == f"this {tmp_path.resolve()}\n"


def hold(folder, name):
    return Program(name, [sys.executable, "-c", HOLD, str(folder / name)])


@entry_point
def main(argv=None):
    for _ in run_programs([hold(Path(sys.argv[1]), name) for name in "ab"], at_once=2):
        pass


def begun(folder, process):
    while not all((folder / f"{name}.begun").exists() for name in "ab"):
        assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_none_is_left_and_each_tidies_up(tmp_path, number):
    process = subprocess.Popen([sys.executable, __file__, str(tmp_path)], stderr=subprocess.DEVNULL)
    begun(tmp_path, process)
    process.send_signal(number)
    assert process.wait() == (-number if number == signal.SIGKILL else 128 + number)
    for name in "ab":
        with open(tmp_path / f"{name}.alive") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it is had when its process has ended
        assert (tmp_path / f"{name}.tidied").exists()


def test_an_iterator_that_is_closed_ends_what_runs(tmp_path):
    ended = run_programs([Program("soon", says("done")), hold(tmp_path, "a")], at_once=2)
    assert next(ended).program.name == "soon"
    ended.close()
    assert not (tmp_path / "a.begun").exists() or (tmp_path / "a.tidied").exists()


if __name__ == "__main__":
    main()
