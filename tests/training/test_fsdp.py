"""Two real processes under FSDP: unequal shares of the validation items, a checkpoint, going on, the same result."""

from pathlib import Path

import pytest
import torch
from conftest import TINY_POLICY
from test_exactness import launch_two

from steve1.checkpoints import load_model_file, read_state_dict
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import train
from training.reporting import read_metrics

SCRIPT = Path(__file__).with_name("fsdp_on_cpu.py")


def test_two_fsdp_processes_validate_stop_and_go_on_like_one_process(flags, tmp_path):
    """Five validation items in batches of two: one process has two batches, the other one has one."""
    flags = [*flags, "--schedule", "constant", "--val_every_nth", "2", "--snapshot_every_n_frames", "0"]
    flags += [
        "--gradient_accumulation_steps",
        "1",
        "--val_freq",
        "3",
        "--val_freq_begin",
        "3",
        "--log_freq",
        "1",
    ]
    torch.manual_seed(1)
    torch.save(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).state_dict(), tmp_path / "in.weights")
    flags += ["--in_weights", str(tmp_path / "in.weights"), "--l2_to_start", "100"]
    one = tmp_path / "one"
    elsewhere = ["--checkpoint_dir", str(one), "--out_weights", str(one / "o.weights")]
    train.main([*flags, "--batch_size", "4", "--n_frames", "192", *elsewhere])

    for n_frames in ("96", "192"):
        done = launch_two(SCRIPT, [*flags, "--batch_size", "2", "--n_frames", n_frames])
        assert done.returncode == 0, done.stderr[-3000:]
    assert "Resuming from" in done.stdout
    assert "FSDP: 0.50 of the parameters are here, in 2 units" in done.stdout

    ours, theirs = (read_metrics(folder / "logs" / "metrics.jsonl") for folder in (tmp_path / "ck", one))
    assert [row["step"] for row in ours if "loss/val" in row] == [0, 3, 6]
    tags = (
        "loss/train",
        "loss/val",
        "loss/val_uncond",
        "loss/val_shuffled",
        "grad_l2_norm",
        "weights_l2_norm",
        "l2_to_start",
    )
    for tag in tags:
        figures = [[row[tag] for row in rows if tag in row] for rows in (ours, theirs)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-4), tag
        assert figures[0]
    ours, theirs = read_state_dict(tmp_path / "w" / "out.weights"), read_state_dict(one / "o.weights")
    assert ours.keys() == theirs.keys()
    # Adam divides a gradient by its size: where gradients are rounding noise, updates of 1e-3 differ by some of it.
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=1e-4)
