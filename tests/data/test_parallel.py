"""Work in several processes: the order, what comes out when something goes wrong, and that nothing stays behind."""

import os
import signal
from functools import partial

import pytest

from data.parallel import cores, ordered_map
from steve1.cli import UserError


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
