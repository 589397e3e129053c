"""The memory benchmark: what it counts on fake tensors is what real ones take."""

import runpy
from pathlib import Path

import pytest
import torch
from conftest import TINY_POLICY

from steve1.checkpoints import load_model_file
from training.policy import build_policy

BENCHMARK = str(Path(__file__).parents[1] / "benchmarks" / "memory.py")


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(BENCHMARK)


def counted(benchmark, batch=4, trunc_t=8, bf16=False, checkpointing=False, freeze=()):
    return benchmark["step_memory"](
        *load_model_file(TINY_POLICY), batch, trunc_t, bf16, checkpointing, list(freeze), "cpu"
    )


def test_fixed_is_weights_gradients_and_two_moments(benchmark):
    flags = {"in_weights": None, "freeze": [], "gradient_checkpointing": False, "compile": False}
    policy, _ = build_policy(type("Flags", (), flags), *load_model_file(TINY_POLICY))
    every = sum(p.numel() for p in policy.parameters())
    trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    fixed = counted(benchmark, batch=1, trunc_t=1)["fixed"]
    assert fixed == pytest.approx(4 * (every + 3 * trained), rel=0.03)  # and the memory of one frame


def test_live_bytes_are_those_of_real_tensors(benchmark):
    tracker = benchmark["LiveBytes"]()
    with tracker:
        a = torch.zeros(1000)
        b = a.view(10, 100)[2:]  # no memory of its own
        assert tracker.live == 4000
        c = (b * 2).double()  # float32 and float64 at the same time
        assert tracker.peak == 4000 + 3200 + 6400
        del a, b
        assert tracker.live == 6400
        del c
        assert tracker.live == 0


def test_what_spares_memory_spares_it(benchmark):
    plain = counted(benchmark)
    assert counted(benchmark, batch=2)["kept"] == pytest.approx(plain["kept"] / 2, rel=0.05)
    assert counted(benchmark, checkpointing=True)["kept"] < 0.5 * plain["kept"]
    frozen = counted(benchmark, freeze=["img_process"])
    assert frozen["fixed"] < plain["fixed"]
    assert frozen["kept"] < 0.5 * plain["kept"]


def test_it_prints_a_line_for_each_case(benchmark, capsys):
    one = ["--precision", "bf16", "--gradient_checkpointing", "True", "--batch_size", "1", "--trunc_t", "1,2"]
    benchmark["main"](["--in_model", str(TINY_POLICY), "--device", "cpu", *one])
    lines = capsys.readouterr().out.splitlines()
    assert "counted" in lines[0]
    assert [line.split()[:4] for line in lines[2:]] == [["1", t, "bf16", "True"] for t in "12"]
