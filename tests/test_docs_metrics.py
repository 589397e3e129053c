"""docs/metrics.md has a row for every number that is logged, and names none that isn't."""

import re
import runpy
from pathlib import Path

import numpy as np
import torch
from conftest import TINY_POLICY

from steve1.checkpoints import load_model_file
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import train, train_prior
from training.reporting import read_metrics

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def section(title):
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def tags_of(text):
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return {tag for row in rows for tag in re.findall(r"`([\w/]+)`", row.split("|")[1])}


def test_every_metric_of_training_has_a_row_and_the_ranges_script_reads_them(flags, tmp_path, capsys):
    torch.save(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).state_dict(), tmp_path / "in.weights")
    flags = [*flags, "--in_weights", str(tmp_path / "in.weights"), "--ema", "0.9", "--kl_to_start", "0.1"]
    flags += ["--l2_to_start", "1"]
    train.main(flags)
    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    logged = {tag for row in rows for tag in row} - {"step"}
    # Those that need a GPU and a sampling of several datasets are not in this run.
    elsewhere = {"mfu", "gpu_memory_gib", "loss/val/NAME", "loss/val_ema/NAME"}
    assert tags_of(section("Training")) == logged | elsewhere
    capsys.readouterr()
    runpy.run_path(str(ROOT / "benchmarks" / "metric_ranges.py"))["main"]([str(tmp_path / "ck")])
    out = capsys.readouterr().out
    assert set(re.findall(r"^([\w/]+) +-?[\d.]", out, re.M)) == logged
    assert "against the right goals" in out


def test_every_metric_of_the_prior_has_a_row():
    text, visual = np.random.default_rng(0).normal(size=(2, 20, 8)).astype(np.float32)
    sizes = {"hidden_dim": 8, "latent_dim": 4, "batch_size": 8, "n_validation": 4}
    training = train_prior.Training(text, visual, **sizes, learning_rate=1e-3, beta=0.1, seed=0)
    assert tags_of(section("The prior")) == set(training.advance())
