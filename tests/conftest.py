"""What the tests share. Two test processes run side by side on two cores, so torch gets one thread each."""

import os
import signal
import sys
import threading
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# A checkout in which Minecraft is installed tests the same as any other.
os.environ["STEVE1_MINESTUDIO_PYTHON"] = os.environ["STEVE1_MINERL_PYTHON"] = sys.executable

import numpy as np
import pytest
import setuptools  # noqa: F401  torch.compile imports it; late in a long process it trips over the standard library's distutils
import torch
from hypothesis import settings

torch.set_num_threads(1)
# Under nohup, or in the background of a script, hang-ups and Ctrl-C are ignored, which programs that tests start would
# inherit.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(_number, _usual)
# No test asserts a time, not even hypothesis's own deadline, and the same commit tests the same cases.
settings.register_profile("steve1", deadline=None, derandomize=True)
settings.load_profile("steve1")

VECTORS = Path(__file__).parent / "vectors"
CASES = Path(__file__).parent / "cases"
TINY_POLICY = Path(__file__).parent / "tiny_policy.json"
# Minecraft footage that may not be copied here; present only beside a developer's checkout.
MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"


@pytest.fixture(scope="session")
def vectors() -> Path:
    return VECTORS


def assert_close(ours, recorded, tolerance: float = 1e-4) -> None:
    """|ours - recorded| <= tolerance * max|recorded|: the bound that goes with the recorded vectors."""
    ours = np.asarray(ours.detach() if isinstance(ours, torch.Tensor) else ours, dtype=np.float64)
    recorded = np.asarray(recorded, dtype=np.float64)
    assert ours.shape == recorded.shape
    error, scale = np.abs(ours - recorded).max(), np.abs(recorded).max()
    assert error <= tolerance * scale, f"off by {error:.3g}, allowed {tolerance * scale:.3g}"


@pytest.fixture(scope="module")
def sampling(tmp_path_factory) -> Path:
    """A folder with the sampling ``tiny``: three episodes to train on, two to validate on."""
    from tiny_episodes import make_episode

    folder = tmp_path_factory.mktemp("data")
    dirs = [make_episode(folder / "episodes" / f"e{i}", 100 + 7 * i, seed=i) for i in range(5)]
    (folder / "tiny_train.txt").write_text("".join(f"{d}\n" for d in dirs[:3]))
    (folder / "tiny_val.txt").write_text("".join(f"{d}\n" for d in dirs[3:]))
    return folder


@pytest.fixture
def flags(sampling, tmp_path) -> list[str]:
    """The flags of a training run of 24 steps; later flags overrule earlier ones."""
    return [
        *("--in_model", str(TINY_POLICY), "--out_weights", str(tmp_path / "w" / "out.weights")),
        *("--sampling", "tiny", "--sampling_dir", str(sampling)),
        *("--T", "24", "--trunc_t", "8", "--batch_size", "2", "--gradient_accumulation_steps", "2"),
        *("--learning_rate", "1e-3", "--warmup_frames", "64", "--n_frames", "384", "--num_workers", "0"),
        *("--val_freq", "12", "--val_freq_begin", "6", "--val_freq_switch_steps", "12", "--save_freq", "10"),
        *("--log_freq", "4", "--snapshot_every_n_frames", "100", "--seed", "3"),
        *("--checkpoint_dir", str(tmp_path / "ck"), "--log_dir", str(tmp_path / "logs")),
    ]


def assert_equal_weights(a, b) -> None:
    """Two weights files hold the same tensors, bit for bit."""
    from steve1.checkpoints import read_state_dict

    ours, theirs = read_state_dict(a), read_state_dict(b)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
