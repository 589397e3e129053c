"""What an update is, to five digits: by hand, over processes, over workers, in other precisions; and a golden curve."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo.utils
from conftest import TINY_POLICY, VECTORS, assert_equal_weights

from data.minecraft_dataset import ItemSampler, MinecraftDataset
from steve1 import embed_conditioned_policy
from steve1.checkpoints import load_model_file, read_state_dict
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.vpt.recurrence import detach_state
from training import run as runs
from training import train
from training.policy import make_optimizer
from training.reporting import read_metrics
from training.schedule import Schedule

ROOT = Path(__file__).resolve().parents[2]


def losses(folder: Path, tag="loss/train") -> list[float]:
    return [row[tag] for row in read_metrics(folder / "logs" / "metrics.jsonl") if tag in row]


def test_one_update_equals_the_mean_of_its_pieces_gradients(flags, sampling, tmp_path):
    """Two accumulated pieces, by hand: the memory carried and detached, both gradients in the update."""
    train.main(
        [*flags, "--n_frames", "32", "--warmup_frames", "16", "--max_grad_norm", "0", "--weight_decay", "0.1"]
    )

    torch.manual_seed(3)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    dirs = (sampling / "tiny_train.txt").read_text().split()
    dataset = MinecraftDataset(dirs, 24, 15, 200, p_uncond=0.1, seed=3, img_size=(32, 32))
    indices = next(iter(ItemSampler(len(dataset), 2, seed=3)))
    items = [dataset[index] for index in indices]

    def batch(select, piece):
        return torch.from_numpy(np.stack([select(item)[piece * 8 : piece * 8 + 8] for item in items]))

    optimizer = make_optimizer(policy, 0.1)
    state = policy.initial_state(2)
    for piece in range(2):
        obs = {name: batch(lambda item, n=name: item[0][n], piece) for name in ("img", "mineclip_embed")}
        actions = {name: batch(lambda item, n=name: item[1][n], piece) for name in ("buttons", "camera")}
        (log_probs, _), state = policy(obs, batch(lambda item: item[2], piece), state)
        state = detach_state(state)
        (-policy.log_prob(log_probs, actions).mean() / 2).backward()
    for group in optimizer.param_groups:
        group["lr"] = Schedule("cosine", 1e-3, 16, 32).rate(32)
    optimizer.step()

    trained = read_state_dict(tmp_path / "w" / "out.weights")
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)


NO_STOPS = ["--val_freq", "0", "--val_freq_begin", "0", "--save_freq", "0", "--log_freq", "1"]


# Training whose second process is asked to stop in its second step.
STOPPED = """
import os, signal, sys
from training import run as runs
from training import train
original = train.step
def stepping(self, batch):
    original(self, batch)
    if self.progress.step == 2 and self.accelerator.process_index == 1:
        os.kill(os.getpid(), signal.SIGTERM)
train.step = stepping
train.main(sys.argv[1:])
"""


def launch_two(script, flags):
    """``accelerate launch`` with two processes on the CPU; without --multi_gpu it would start a single one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), str(script), *flags]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=env)


def test_two_processes_of_two_items_equal_one_process_of_four(flags, tmp_path):
    """Five updates: the same items whatever the split, losses averaged over ranks, one writer.

    The two are stopped after two of the five, by a signal to the second, and started again.
    """
    flags = [
        *flags,
        *NO_STOPS,
        "--gradient_accumulation_steps",
        "1",
        "--n_frames",
        str(5 * 8 * 4),
        "--augment",
    ]
    one = tmp_path / "one"
    train.main(
        [*flags, "--batch_size", "4", "--checkpoint_dir", str(one), "--out_weights", str(one / "o.weights")]
    )
    flags += ["--batch_size", "2"]
    (tmp_path / "stopped.py").write_text(STOPPED)
    stopped = launch_two(tmp_path / "stopped.py", flags)
    assert stopped.returncode != 0
    assert "Stopped by a signal to another process at step 2; run the same command to go on" in stopped.stdout
    done = launch_two(ROOT / "training" / "train.py", flags)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "on 2 process(es)" in done.stdout
    assert done.stdout.count("Done: ") == 1

    assert len(losses(tmp_path / "ck")) == 5
    assert losses(tmp_path / "ck") == pytest.approx(losses(one), abs=1e-5)
    ours, theirs = read_state_dict(tmp_path / "w" / "out.weights"), read_state_dict(one / "o.weights")
    # Adam divides a gradient by its size: where gradients are rounding noise, updates of 1e-3 differ by some of it.
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=5e-5)


def test_workers_change_nothing(flags, tmp_path):
    for number in ("0", "2", "4"):
        out = tmp_path / number
        more = ["--num_workers", number, "--checkpoint_dir", str(out / "ck")]
        train.main([*flags, *more, "--out_weights", f"{out}/o.weights"])
        assert_equal_weights(tmp_path / "0" / "o.weights", out / "o.weights")
        assert losses(tmp_path / "0" / "ck", "loss/val") == losses(out / "ck", "loss/val")


def test_the_golden_curve(flags, tmp_path):
    """Twenty steps: equal on every run on one machine, and within 1e-3 of what was recorded on another.

    Record anew, after a change that is meant to change losses: ``RECORD_GOLDEN=1 pytest -k golden``.
    """
    golden = VECTORS / "golden_loss.json"
    curves = []
    for run in ("a", "b"):
        out = tmp_path / run
        train.main(
            [
                *flags,
                *NO_STOPS,
                "--n_frames",
                str(20 * 16),
                "--checkpoint_dir",
                str(out),
                "--out_weights",
                f"{out}/o.weights",
            ]
        )
        curves.append(losses(out))
    assert len(curves[0]) == 20
    assert curves[0] == curves[1]
    assert_equal_weights(tmp_path / "a" / "o.weights", tmp_path / "b" / "o.weights")
    if os.environ.get("RECORD_GOLDEN"):
        golden.write_text(json.dumps({"loss/train": curves[0]}, indent=1) + "\n")
    assert curves[0] == pytest.approx(json.loads(golden.read_text())["loss/train"], abs=1e-3)


def curve_of(flags, tmp_path, name, *more):
    out = tmp_path / name
    train.main([*flags, *NO_STOPS, *more, "--checkpoint_dir", str(out), "--out_weights", f"{out}/o.weights"])
    return losses(out)


def test_gradient_checkpointing_changes_no_loss(flags, tmp_path, monkeypatch):
    used = []
    original = embed_conditioned_policy.checkpoint
    monkeypatch.setattr(
        embed_conditioned_policy, "checkpoint", lambda *args, **how: used.append(1) or original(*args, **how)
    )
    flags = [*flags, "--n_frames", str(10 * 16)]
    plain = curve_of(flags, tmp_path, "plain")
    assert not used
    assert len(plain) == 10
    assert curve_of(flags, tmp_path, "other", "--gradient_checkpointing") == pytest.approx(plain, abs=1e-5)
    assert used


def test_compiling_changes_no_loss(flags, tmp_path):
    """Over two items, so that the memory comes from an initial state and from the piece before."""
    model = json.loads(TINY_POLICY.read_text())
    model["model"]["args"]["net"]["args"] |= {"impala_chans": [4], "use_pointwise_layer": False}
    (tmp_path / "small.json").write_text(json.dumps(model))  # compiling takes a second a kernel
    flags = [*flags, "--in_model", str(tmp_path / "small.json"), "--n_frames", str(6 * 16)]
    plain = curve_of(flags, tmp_path, "plain")
    assert len(plain) == 6
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert curve_of(flags, tmp_path, "other", "--compile") == pytest.approx(plain, abs=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
    assert (
        read_state_dict(tmp_path / "other" / "o.weights").keys()
        == read_state_dict(tmp_path / "plain" / "o.weights").keys()
    )


def test_compiled_graphs_are_static_and_validations_in_between_add_none(flags, tmp_path, monkeypatch):
    """Validation items do not fill the last batch, and the losses are those of a run that is not compiled."""
    graphs, after = [], {}

    def keeping(graph, inputs):
        graphs.append(graph)
        assert not any(isinstance(value, torch.SymInt) for value in inputs)
        assert all(
            type(size) is int for value in inputs if isinstance(value, torch.Tensor) for size in value.shape
        )
        return graph.forward

    compiled, validate = torch.nn.Module.compile, runs.Run.validate

    def validating(self):
        assert len(self.data.val_items) % self.args.batch_size  # so there is a short batch to be filled
        validate(self)
        after[self.progress.step] = len(graphs)

    monkeypatch.setattr(
        MinecraftAgentPolicy, "compile", lambda self, **how: compiled(self, backend=keeping, **how)
    )
    monkeypatch.setattr(runs.Run, "validate", validating)
    more = ["--n_frames", str(8 * 24), "--val_freq_begin", "2", "--val_share", "0", "--log_freq", "1"]
    curves = {}
    for name, how in (("plain", "False"), ("compiled", "True")):
        out = tmp_path / name
        places = ["--checkpoint_dir", str(out), "--out_weights", f"{out}/o.weights"]
        train.main([*flags, *more, "--batch_size", "3", "--compile", how, *places])
        curves[name] = {tag: losses(out, tag) for tag in ("loss/train", "loss/val", "loss/val_shuffled")}
    assert max(after) == 8
    assert 0 < len(graphs) == after[2]  # nothing was compiled after the first steps and the second validation
    for tag, values in curves["plain"].items():
        assert curves["compiled"][tag] == pytest.approx(values, abs=1e-5)


def test_checkpointed_activations_are_computed_again_and_give_the_same_gradients():
    torch.manual_seed(0)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    obs = {
        "img": torch.randint(0, 255, (3, 30, 32, 32, 3), dtype=torch.uint8),
        "mineclip_embed": torch.randn(3, 30, 8),
    }
    first = torch.zeros(3, 30, dtype=torch.bool)
    calls = []
    policy.net.img_process.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = []
    for recompute in (False, True):
        policy.net.gradient_checkpointing = recompute
        policy.zero_grad()
        calls.clear()
        (log_probs, _), _ = policy(obs, first, policy.initial_state(3))
        log_probs["buttons"][..., 0].mean().backward()
        # 90 frames: two parts of at most 64, each computed forward and again backward
        assert len(calls) == (4 if recompute else 1)
        gradients.append([p.grad.clone() for p in policy.net.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_bf16_changes_the_loss_by_less_than_two_percent(flags, tmp_path):
    flags = [*flags, *NO_STOPS, "--val_freq", "20", "--n_frames", str(20 * 16)]
    train.main([*flags, "--checkpoint_dir", str(tmp_path / "no"), "--out_weights", f"{tmp_path}/no.weights"])
    command = [sys.executable, str(ROOT / "training" / "train.py"), *flags]
    command += ["--checkpoint_dir", str(tmp_path / "bf16"), "--out_weights", f"{tmp_path}/bf16.weights"]
    env = {**os.environ, "ACCELERATE_MIXED_PRECISION": "bf16"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "precision bf16" in done.stdout
    for tag in ("loss/train", "loss/val"):
        full, half = (losses(tmp_path / precision, tag) for precision in ("no", "bf16"))
        assert full
        assert half != full
        assert half == pytest.approx(full, rel=0.02)
