"""Stopped or killed anywhere and run again, training ends bit for bit like a run that was never stopped."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import assert_equal_weights
from safetensors.torch import load_file, save_file

from training import saving, train
from training.checkpointing import checkpoints, read_progress
from training.reporting import read_metrics

ROOT = Path(__file__).resolve().parents[2]
# Workers, augmentation and a mixed-up data order: whatever could differ after a restart is on.
MORE = ["--augment", "--num_workers", "2"]


@pytest.fixture(scope="module")
def unbroken(sampling, tmp_path_factory):
    """The weights of a run that nobody stopped: 24 steps, 8 batches of 3 pieces, more than two epochs."""
    folder = tmp_path_factory.mktemp("unbroken")
    flags = [
        *("--in_model", str(ROOT / "tests" / "tiny_policy.json")),
        *(
            "--out_weights",
            str(folder / "out.weights"),
            "--sampling",
            "tiny",
            "--sampling_dir",
            str(sampling),
        ),
        *("--T", "24", "--trunc_t", "8", "--batch_size", "2", "--gradient_accumulation_steps", "2"),
        *("--learning_rate", "1e-3", "--warmup_frames", "64", "--n_frames", "384", "--num_workers", "0"),
        *("--val_freq", "0", "--val_freq_begin", "0", "--save_freq", "0", "--seed", "3", "--augment"),
        *("--checkpoint_dir", str(folder / "ck"), "--log_dir", str(folder / "logs")),
    ]
    train.main(flags)
    return folder / "out.weights"


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send ourselves a signal while ``step`` is running."""
    original = train.step

    def stepping(self, batch):
        original(self, batch)
        if self.progress.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(train, "step", stepping)


@pytest.mark.parametrize(
    ("step", "number", "workers"),
    [(3, signal.SIGTERM, "2"), (13, signal.SIGINT, "0"), (22, signal.SIGUSR1, "4")],
)
def test_stopped_by_a_signal_it_ends_like_an_unbroken_run(
    flags, unbroken, tmp_path, monkeypatch, capsys, step, number, workers
):
    flags = [*flags, "--augment", "--num_workers", workers]
    with monkeypatch.context() as patch:
        stop_at(patch, step, number)
        with pytest.raises(SystemExit) as stopped:
            train.main(flags)
    assert stopped.value.code == 128 + number
    assert (
        f"Stopped by {number.name} at step {step + step % 2}; run the same command" in capsys.readouterr().out
    )
    assert not (tmp_path / "w" / "out.weights").exists()
    train.main([*flags, "--num_workers", "0"])
    assert_equal_weights(unbroken, tmp_path / "w" / "out.weights")
    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss/val" in row] == [0, 6, 12, 24]


# A process that counts what it does to files below a folder, and kills itself at the nth such thing.
KILLED = """
import itertools, os, signal, sys
below, at = sys.argv[1], int(sys.argv[2])
counting = itertools.count(1)  # saves are ended in a thread, which counts too
sys.argv = ["train.py", *sys.argv[3:]]
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
def hook(event, args):
    if event in EVENTS and isinstance(args[0], (str, bytes)) and below in os.fsdecode(args[0]):
        if next(counting) == at:
            os.kill(os.getpid(), signal.SIGKILL)
import torch, accelerate, training.run
sys.addaudithook(hook)
from training import train
train.main(sys.argv[1:])
"""


def run_killed(below, at, flags):
    command = [sys.executable, "-c", KILLED, str(below), str(at), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def test_killed_while_files_are_written_it_goes_on_from_the_last_whole_checkpoint(flags, unbroken, tmp_path):
    """SIGKILL in the middle of writing checkpoints and weights, twice in a row, then to the end."""
    flags = [*flags, *MORE, "--val_freq", "0", "--val_freq_begin", "0", "--save_freq", "2"]
    rng = random.Random(7)
    reached = [0]
    for _ in range(2):
        done = run_killed(tmp_path, rng.randint(40, 160), flags)
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
        whole = checkpoints(tmp_path / "ck")
        if whole:
            assert (whole[-1] / "model.safetensors").exists()
            reached.append(read_progress(whole[-1]).step)
    assert reached[-1] > 0
    assert reached == sorted(reached)
    train.main(flags)
    assert_equal_weights(unbroken, tmp_path / "w" / "out.weights")
    assert not list((tmp_path / "ck").glob(".*"))
    assert not list((tmp_path / "w").glob(".*"))


def test_killed_inside_a_checkpoint_the_one_before_is_used(flags, unbroken, tmp_path, monkeypatch, capsys):
    flags = [*flags, "--augment"]
    original = saving.save_checkpoint

    def dying(accelerator, folder, progress, memories, ema):
        if progress.step == 20:
            (folder / ".checkpoint_20.partial").mkdir()
            (folder / ".checkpoint_20.partial" / "model.safetensors").write_bytes(b"half")
            raise MemoryError("as if killed")
        return original(accelerator, folder, progress, memories, ema)

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_checkpoint", dying)
        with pytest.raises(MemoryError):
            train.main(flags)
    train.main(flags)
    out = capsys.readouterr().out
    assert "checkpoint_10 at step 10" in out.partition("Resuming from")[2]
    assert not list((tmp_path / "ck").glob(".*"))
    assert_equal_weights(unbroken, tmp_path / "w" / "out.weights")
    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss/train" in row] == [4, 8, 12, 16, 20, 24]


def test_a_checkpoint_that_is_not_finite_is_not_gone_on_from(flags, tmp_path, capsys):
    train.main([*flags, "--save_freq", "12"])
    *_, last = checkpoints(tmp_path / "ck")
    tensors = load_file(last / "model.safetensors")
    name = next(iter(tensors))
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, last / "model.safetensors")
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        train.main([*flags, "--save_freq", "12"])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert f"{last} holds NaN or inf in 1 of its tensors (weights.0.{name})" in said


def test_a_mistake_does_not_cost_the_checkpoint_that_was_to_be_reset(flags, tmp_path):
    train.main(flags)
    kept = checkpoints(tmp_path / "ck")
    with pytest.raises(SystemExit):
        train.main([*flags, "--reset_checkpoint_dir", "--sampling", "unheard_of"])
    assert checkpoints(tmp_path / "ck") == kept


# A run that holds a folder, and a worker forked from it; says the worker's number.
HOLDING = """
import os, sys, time
from steve1.files import hold
held = hold(sys.argv[1], "--checkpoint_dir")
worker = os.fork()
if worker:
    print(worker, flush=True)
else:
    os.close(1)
time.sleep(200)
"""


def test_a_folder_that_another_run_writes_to_is_refused_until_that_run_has_ended(flags, tmp_path, capsys):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / "ck"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    worker = int(other.stdout.readline())
    with pytest.raises(SystemExit):
        train.main([*flags, "--reset_checkpoint_dir"])
    said = capsys.readouterr().err
    assert f"--checkpoint_dir {tmp_path / 'ck'} is in use by another run; wait for its end, or give" in said
    other.kill()
    other.communicate()
    try:
        os.kill(worker, 0)  # it outlives the run, and doesn't keep the folder
        train.main([*flags, "--reset_checkpoint_dir"])
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize(("part", "workers"), [("train", "0"), ("train", "2"), ("val", "2")])
def test_a_broken_episode_stops_the_run_with_one_sentence_and_no_worker_is_left(
    flags, sampling, tmp_path, part, workers
):
    broken = sampling / "episodes" / "broken"
    shutil.copytree(sampling / "episodes" / "e0", broken, dirs_exist_ok=True)
    for picture in sorted((broken / "frames").iterdir())[20:30]:
        picture.write_bytes(b"no picture")
    for name in ("train", "val"):
        (sampling / f"broken_{name}.txt").write_text(
            f"{broken if name == part else broken.with_name('e1')}\n"
        )
    more = ["--sampling", "broken", "--num_workers", workers]
    if part == "train":
        more += ["--val_freq", "0", "--val_freq_begin", "0"]
    command = [sys.executable, str(ROOT / "training" / "train.py"), *flags, *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(broken) in errors[0]
