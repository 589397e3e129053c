"""Saves are ended beside the loop: it goes on meanwhile, what is saved is of the save's moment, errors stop the run."""

import os
import threading

import pytest
import torch
from conftest import assert_equal_weights

from steve1 import checkpoints as weight_files
from steve1.checkpoints import Snapshot, read_metadata, read_state_dict, save_weights, tensors_hash
from training import saving, train
from training.checkpointing import checkpoints, read_progress
from training.saving import InOrder

QUIET = ["--val_freq", "0", "--val_freq_begin", "0", "--snapshot_every_n_frames", "0"]


def patched_step(monkeypatch, after):
    """Let ``after(run)`` follow every step."""
    original = train.step

    def step(run, batch):
        original(run, batch)
        after(run)

    monkeypatch.setattr(train, "step", step)


def test_the_loop_goes_on_while_a_save_is_slow_and_the_file_is_of_its_moment(flags, tmp_path, monkeypatch):
    """The first save of _latest does not end before the loop has come four steps further."""
    seen, further, ended = {}, threading.Event(), []

    def after(run):
        seen[run.progress.step] = Snapshot(run.plain_policy).tensors_hash
        if run.progress.step == 14:
            further.set()

    def slow(copy, path, metadata):
        if metadata["step"] == 10:
            assert path.name == "out_latest.weights"
            assert further.wait(60), "the loop waits for the save"
            save_weights(copy, path, metadata)
            ended.append(read_metadata(path)["tensors_hash"])
        else:
            save_weights(copy, path, metadata)

    patched_step(monkeypatch, after)
    monkeypatch.setattr(saving, "save_weights", slow)
    train.main([*flags, *QUIET])
    assert ended == [seen[10]]
    assert seen[10] != seen[12]
    last = tmp_path / "w" / "out.weights"
    assert tensors_hash(read_state_dict(last)) == read_metadata(last)["tensors_hash"] == seen[24]
    assert_equal_weights(last, last.with_name("out_latest.weights"))
    assert [read_progress(found).step for found in checkpoints(tmp_path / "ck")] == [20, 24]


def test_an_error_beside_the_loop_stops_the_run_with_one_sentence(flags, tmp_path, monkeypatch, capsys):
    """The disk is full at the checkpoint of step 20: the one before is whole, and what comes after is not done."""
    steps, reached = [], threading.Event()

    def after(run):
        steps.append(run.progress.step)
        reached.set() if run.progress.step == 21 else None

    fsync = os.fsync

    def full(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if "checkpoint_20" in path:
            assert reached.wait(60)
            raise OSError(28, "No space left on device", path)
        fsync(descriptor)

    patched_step(monkeypatch, after)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as stopped:
        train.main([*flags, *QUIET, "--n_frames", "768"])
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: the disk is full (writing ")
    assert said.err.count("\n") == 1
    assert "Saved the checkpoint of step 10 in" in said.out
    assert "Saved the checkpoint of step 20" not in said.out
    assert 21 <= steps[-1] < 48
    assert [read_progress(found).step for found in checkpoints(tmp_path / "ck")] == [10]
    assert read_metadata(tmp_path / "w" / "out_latest.weights")["step"] == 10


def test_whatever_else_ends_the_run_what_was_begun_is_saved(flags, tmp_path, monkeypatch, capsys):
    def after(run):
        if run.progress.step == 11:
            raise RuntimeError("out of the blue")

    patched_step(monkeypatch, after)
    with pytest.raises(RuntimeError, match="out of the blue"):
        train.main([*flags, *QUIET])
    assert [read_progress(found).step for found in checkpoints(tmp_path / "ck")] == [10]
    assert read_metadata(tmp_path / "w" / "out_latest.weights")["step"] == 10

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_weights", full)
    with pytest.raises(RuntimeError, match="out of the blue"):
        train.main([*flags, *QUIET, "--reset_checkpoint_dir"])
    assert "warning: besides, a save failed: [Errno 28]" in capsys.readouterr().out


def test_a_moment_s_weights_are_copied_and_hashed_once_and_a_file_is_synced_once(
    flags, tmp_path, monkeypatch
):
    """At step 10 _best, _latest and the snapshot are due, each of the weights and of their average."""
    hashed, synced = [], []
    original, fsync = weight_files.tensors_hash, os.fsync
    monkeypatch.setattr(weight_files, "tensors_hash", lambda state: hashed.append(1) or original(state))
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")) or fsync(fd)
    )
    flags = [*flags, "--ema", "0.9", "--n_frames", "160", "--warmup_frames", "16", "--val_freq_begin", "10"]
    train.main([*flags, "--snapshot_every_n_frames", "160"])
    made = {path.name for path in (tmp_path / "w").glob("*.weights")}
    assert {"out_latest.weights", "out_ema_snapshot_160.weights", "out_ema_best.weights"} <= made
    begins, ends = 2, 2  # the end saves in a moment of its own
    assert len(hashed) == begins + 2 + ends
    weights = [path for path in synced if ".weights." in path]
    assert len(weights) == len(set(weights))


def test_in_order_and_after_an_error_nothing_more():
    done, gate = [], threading.Event()
    jobs = InOrder()
    jobs.give(lambda: gate.wait(60) and done.append(1))
    jobs.give(lambda: done.append(2) or "said")
    assert jobs.done() == []
    gate.set()
    assert jobs.wait() == ["said"]
    assert done == [1, 2]

    def wrong():
        raise OSError("no")

    jobs.give(wrong)
    jobs.give(lambda: done.append(3))
    with pytest.raises(OSError, match="no"):
        jobs.wait()
    assert jobs.wait() == []
    assert done == [1, 2]


def test_a_snapshot_is_out_of_reach_of_what_follows():
    layer = torch.nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    copy = Snapshot(layer)
    with torch.no_grad():
        layer.weight += 1
    assert torch.equal(copy.state["weight"], before)
    assert copy.tensors_hash == tensors_hash({"weight": before, "bias": layer.bias})
