"""steve1.streams: the numbers that every position has given so far, and positions that don't meet."""

import itertools

import pytest
import torch

from steve1.streams import numpy_stream, torch_stream


@pytest.mark.parametrize(
    ("position", "padded", "first"),
    [
        ((7,), False, [268638, 468817, 973869]),
        ((7, 1), False, [195311, 274996, 8545]),
        ((7, 1, 0), False, [322567, 364785, 509958]),
        (("contrast", 7, 12), False, [908523, 651977, 193381]),
        (("pairs", 7, "some/episode", 20, 90), False, [810827, 61130, 468327]),
        ((7, 100, 2), True, [159318, 624995, 816951]),
        ((7, 2), True, [281321, 277970, 152857]),
    ],
)
def test_numpy_streams_give_the_recorded_numbers(position, padded, first):
    assert numpy_stream(*position, padded=padded).integers(10**6, size=3).tolist() == first


@pytest.mark.parametrize(
    ("position", "first"),
    [
        (("actions", 7), [721441, 649241, 233673]),
        (("prior", 7), [741733, 930490, 474433]),
        (("prior", 7, 1), [586582, 312453, 24384]),
        (("mixed agents", 100, 2, 3), [531856, 190507, 660356]),
    ],
)
def test_torch_streams_give_the_recorded_numbers(position, first):
    assert torch.randint(10**6, (3,), generator=torch_stream(*position)).tolist() == first


def test_positions_are_streams_of_their_own():
    numbers = [position for n in (1, 2, 3) for position in itertools.product((0, 1), repeat=n)]
    words = [("contrast", *position) for position in numbers] + [("pairs", *position) for position in numbers]
    drawn = {tuple(numpy_stream(*position).integers(2**60, size=2)) for position in [*numbers, *words]}
    assert len(drawn) == len(numbers) + len(words)
    drawn = {
        tuple(torch.randint(2**60, (2,), generator=torch_stream(*position)).tolist()) for position in words
    }
    assert len(drawn) == len(words)


def test_a_stream_is_made_anew_each_time():
    assert numpy_stream(1, 2).random() == numpy_stream(1, 2).random()
    torch_stream("actions", 1)
    state = torch.random.get_rng_state()
    torch_stream("actions", 2)
    assert torch.equal(state, torch.random.get_rng_state())
