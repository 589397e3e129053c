"""Work in several processes: the order, what comes out when something goes wrong, and that nothing stays behind."""

import fcntl
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from data.parallel import cores, ordered_map
from steve1.cli import UserError, entry_point
from steve1.files import whole_file


def double(number):
    return 2 * number


def worker(_):
    return os.getpid()


def fails_at(bad, number):
    if number == bad:
        raise UserError(f"{number} is bad")
    return number


def killed_at(bad, number):
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_items_order(workers):
    assert list(ordered_map(double, range(20), workers)) == list(range(0, 40, 2))


def test_one_worker_or_one_item_stays_here():
    assert list(ordered_map(worker, [1, 2], 1)) == [os.getpid()] * 2
    assert list(ordered_map(worker, [1], 4)) == [os.getpid()]
    assert list(ordered_map(worker, [], 4)) == []
    assert cores() >= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_out_after_what_came_before_it(workers):
    results = ordered_map(partial(fails_at, 5), range(9), workers)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="5 is bad"):
        next(results)


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(UserError, match=r"a process was killed.*fewer --workers"):
        list(ordered_map(partial(killed_at, 3), range(9), 2))


def test_leaving_early_ends_the_workers():
    import multiprocessing

    results = ordered_map(worker, range(100), 2)
    assert next(results) != os.getpid()
    results.close()
    assert multiprocessing.active_children() == []


def writes_for_ever(folder, name):
    """Half-write a file, say so, and go on until something ends it; the lock is this process's while it lives."""
    lock = open(folder / f"{name}.alive", "w")  # noqa: SIM115
    fcntl.flock(lock, fcntl.LOCK_EX)
    with whole_file(folder / f"{name}.txt") as partial:
        partial.write_text("half")
        (folder / f"{name}.begun").touch()
        while True:
            signal.pause()


@entry_point
def main(argv=None):
    for _ in ordered_map(partial(writes_for_ever, Path(sys.argv[1])), ["a", "b"], int(sys.argv[2])):
        pass


@pytest.mark.parametrize(
    ("number", "to_group", "workers"),
    [
        (signal.SIGTERM, False, 2),
        (signal.SIGTERM, True, 2),
        (signal.SIGHUP, True, 2),
        (signal.SIGINT, True, 2),
        (signal.SIGKILL, False, 2),
        (signal.SIGTERM, False, 1),
    ],
)
def test_however_it_is_ended_no_process_and_nothing_half_written_is_left(tmp_path, number, to_group, workers):
    process = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path), str(workers)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    names = ["a", "b"][:workers]
    while not all((tmp_path / f"{name}.begun").exists() for name in names):
        assert process.poll() is None, process.communicate()
    (os.killpg if to_group else os.kill)(process.pid, number)
    said = process.communicate()[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert f"stopped by {name}; what was finished is kept" in said
        assert "Traceback" not in said
    for name in names:
        with open(tmp_path / f"{name}.alive") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it is had when its process has ended
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("alive", "begun")
    )


if __name__ == "__main__":
    main()
