"""The arithmetic of a run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.schedule import (
    VALIDATION_COST,
    Schedule,
    affordable_items,
    frames_per_step,
    n_validations,
    short_count,
    snapshots_passed,
    total_steps,
    validation_due,
)


def test_the_guides_example_100_steps_of_8_items_and_64_frames():
    assert 100 * frames_per_step(trunc_t=64, batch_size=8, n_processes=1) == 51_200


@pytest.mark.parametrize("n", [0, 1, 2.5e6, 5e6, 9_999_999, 10e6, 20e6, 55e6, 99e6, 100e6])
def test_learning_rate_follows_the_formula(n):
    peak, warmup, total = 4e-5, 10_000_000, 100_000_000
    if n < warmup:
        expected = peak * n / warmup
    else:
        expected = peak * 0.5 * (1 + math.cos(math.pi * (n - warmup) / (1.1 * total - warmup)))
    assert Schedule("cosine", peak, warmup, total).rate(n) == pytest.approx(expected, rel=1e-12)


def test_the_last_update_still_learns_and_beyond_the_cosine_nothing_does():
    assert Schedule("cosine", 1.0, 10, 100).rate(100) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)))
    assert Schedule("cosine", 1.0, 10, 100).rate(200) == 0
    assert Schedule("cosine", 1.0, 0, 100).rate(0) == 1.0


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 64))
def test_steps_are_whole_updates_and_just_enough(n_frames, per_step, accumulation):
    steps = total_steps(n_frames, per_step, accumulation)
    assert steps % accumulation == 0
    assert steps * per_step >= n_frames
    assert (steps - accumulation) * per_step < n_frames


def test_validation_is_frequent_first_and_rarer_later():
    due = [step for step in range(1, 3001) if validation_due(step, 1000, 100, 500)]
    assert due == [100, 200, 300, 400, 500, 1000, 2000, 3000]
    assert not any(validation_due(step, 0, 0, 500) for step in range(1, 1000))


def test_every_snapshot_that_a_step_passes_is_taken():
    assert snapshots_passed(0, 49, 50) == []
    assert snapshots_passed(49, 50, 50) == [50]
    assert snapshots_passed(50, 170, 50) == [100, 150]
    assert snapshots_passed(0, 1000, 0) == []


@pytest.mark.parametrize(
    ("n", "text"),
    [(5_000_000, "5M"), (1_500_000, "1.5M"), (30_000, "30k"), (512, "512"), (100_000_000, "100M")],
)
def test_counts_are_written_as_users_write_them(n, text):
    assert short_count(n) == text


@given(
    total=st.integers(1, 3000),
    val_freq=st.integers(0, 700),
    begin=st.integers(0, 90),
    switch=st.integers(0, 2000),
)
def test_validations_are_counted_as_they_come_due(total, val_freq, begin, switch):
    due = sum(validation_due(step, val_freq, begin, switch) for step in range(1, total + 1))
    end = 0 if validation_due(total, val_freq, begin, switch) else 1
    assert 1 + due + end <= n_validations(total, val_freq, begin, switch) <= 2 + due


@given(share=st.floats(0.01, 0.5), T=st.integers(16, 640), validations=st.integers(2, 300))
def test_validations_of_a_long_run_take_their_share_and_of_a_short_one_enough_items(share, T, validations):
    n_frames = 1_000_000_000
    items = affordable_items(share, n_frames, T, validations)
    seconds = items * T * validations * VALIDATION_COST  # a training frame being a second
    assert seconds / (seconds + n_frames) <= share + 1e-9
    more = seconds + T * validations * VALIDATION_COST
    assert more / (more + n_frames) > share - 1e-9
    assert affordable_items(share, 1000, T, validations) == 64
