"""What the tests share. Two test processes run side by side on two cores, so torch gets one thread each."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# No test asserts a time, not even hypothesis's own deadline, and the same commit tests the same cases.
settings.register_profile("steve1", deadline=None, derandomize=True)
settings.load_profile("steve1")

VECTORS = Path(__file__).parent / "vectors"
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
