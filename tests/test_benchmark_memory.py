"""The memory benchmark: what it counts on fake tensors is what real ones take."""

import runpy
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from conftest import TINY_POLICY

from steve1.checkpoints import load_model_file
from training import memory_count
from training.memory_count import GIB, LiveBytes, memory_note, peak_flops, step_flops, step_memory
from training.policy import build_policy

BENCHMARK = str(Path(__file__).parents[1] / "benchmarks" / "memory.py")


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(BENCHMARK)


def counted(batch=4, trunc_t=8, bf16=False, checkpointing=False, freeze=()):
    return step_memory(
        *load_model_file(TINY_POLICY), batch, trunc_t, bf16, checkpointing, list(freeze), "cpu"
    )


def test_fixed_is_weights_gradients_and_two_moments():
    flags = {"in_weights": None, "freeze": [], "gradient_checkpointing": False, "compile": False}
    policy, _ = build_policy(type("Flags", (), flags), *load_model_file(TINY_POLICY))
    every = sum(p.numel() for p in policy.parameters())
    trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    fixed = counted(batch=1, trunc_t=1)["fixed"]
    assert fixed == pytest.approx(4 * (every + 3 * trained), rel=0.03)  # and the memory of one frame


def test_live_bytes_are_those_of_real_tensors():
    tracker = LiveBytes()
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


def test_what_spares_memory_spares_it():
    plain = counted()
    assert counted(batch=2)["kept"] == pytest.approx(plain["kept"] / 2, rel=0.05)
    assert counted(checkpointing=True)["kept"] < 0.5 * plain["kept"]
    frozen = counted(freeze=["img_process"])
    assert frozen["fixed"] < plain["fixed"]
    assert frozen["kept"] < 0.5 * plain["kept"]


def test_half_precision_keeps_half_and_nothing_beyond_the_step():
    plain, half = counted(), counted(bf16=True)
    assert half["fixed"] == pytest.approx(plain["fixed"], rel=0.01)
    assert half["kept"] < 0.85 * plain["kept"]


def test_it_prints_a_line_for_each_case(benchmark, capsys):
    one = ["--precision", "bf16", "--gradient_checkpointing", "True", "--batch_size", "1", "--trunc_t", "1,2"]
    benchmark["main"](["--in_model", str(TINY_POLICY), "--device", "cpu", *one])
    lines = capsys.readouterr().out.splitlines()
    assert "counted" in lines[0]
    assert [line.split()[:4] for line in lines[2:]] == [["1", t, "bf16", "True"] for t in "12"]


@pytest.fixture
def note(monkeypatch):
    """The sentence for a card of so many GiB, where a step takes 1 GiB an item, 0.25 with checkpointing."""

    def as_if(policy, head, batch, trunc_t, bf16, checkpointing, freeze, device):
        return {
            "training": int(batch * (0.25 if checkpointing else 1) * GIB),
            "validation": 0,
            "fixed": 4 * GIB,
        }

    monkeypatch.setattr(memory_count, "step_memory", as_if)
    defaults = {
        "gradient_checkpointing": False,
        "ema": 0.0,
        "kl_to_start": 0.0,
        "l2_to_start": 0.0,
        "freeze": [],
        "trunc_t": 8,
    }
    defaults |= {"batch_size": 8, "gradient_accumulation_steps": 2}
    return lambda card, **changed: memory_note(Namespace(**{**defaults, **changed}), {}, {}, True, card * GIB)


def test_a_step_that_fits_is_said_and_one_that_does_not_names_flags_that_would(note):
    assert note(24) == "Memory: a step is counted to take 8.5 GiB of the card's 24.0"
    assert note(24, ema=0.999).startswith("Memory: a step is counted to take 9.5 GiB")
    assert note(9).startswith(
        "warning: Memory: a step is counted to take 8.5 GiB of the card's 9.0, which leaves"
    )
    assert note(9).endswith("; --gradient_checkpointing would take 2.5 GiB")
    fewer = "--batch_size 4 --gradient_accumulation_steps 4 would take 1.5 GiB"
    assert note(2).endswith(f"; --gradient_checkpointing {fewer}")
    assert note(2, gradient_checkpointing=True).endswith(f"; {fewer}")
    assert note(1, batch_size=3).endswith("; --gradient_checkpointing --batch_size 1 would take 0.8 GiB")
    assert "no --batch_size fits" in note(0.5)


def test_operations_of_a_step_are_those_of_its_layers():
    """The head alone: 2 operations a weight forward, and as many for each of the two gradients."""
    kwargs, head = load_model_file(TINY_POLICY)
    whole = step_flops(kwargs, head)
    assert step_flops(kwargs, head, ["img_process"]) < whole
    heads = 6 * kwargs["hidsize"] * (8641 + 121)
    assert heads < whole
    wider = step_flops({**kwargs, "impala_chans": [2 * c for c in kwargs["impala_chans"]]}, head)
    assert whole < wider < 4 * whole
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("Some Card") is None
