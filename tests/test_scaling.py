"""What docs/scaling.md promises: two processes by the script, the files for clusters, and the arithmetic."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from steve1.checkpoints import read_metadata
from training.reporting import read_metrics
from training.schedule import frames_per_step, total_steps
from training.train import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "scaling.md").read_text()


def test_two_processes_by_the_script(flags, tmp_path):
    """``NUM_PROCESSES=2 bash 3_train.sh`` is two processes, one writer, and counts the frames of both."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NUM_PROCESSES": "2",
        "MIXED_PRECISION": "no",
        "ACCELERATE_USE_CPU": "true",
        "STEVE1_DATA_ROOT": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", str(ROOT / "3_train.sh"), *flags, "--in_weights", ""],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("12 steps of 32 frames on 2 process(es)") == 1
    assert done.stdout.count("Done: ") == 1
    assert read_metadata(tmp_path / "w" / "out.weights")["processed_frames"] == 384
    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    assert [row["processed_frames"] for row in rows if "loss/train" in row] == [128, 256, 384]
    kept = sorted((tmp_path / "ck").glob("checkpoint_*"))[-1]
    assert {p.name for p in kept.glob("memory_*.pt")} == {"memory_0.pt", "memory_1.pt"}


def test_the_table_s_numbers_follow_from_the_flags():
    published = build_parser().parse_args(["--in_model", "m", "--out_weights", "w"])
    per_step = frames_per_step(published.trunc_t, published.batch_size, 1)
    steps = total_steps(published.n_frames, per_step, published.gradient_accumulation_steps)
    rows = {cells[0]: cells for cells in _tables()}
    assert f"= {per_step:,}" in rows["frames a step"][2]
    assert rows["steps of a run"][2] == f"{steps:,}"
    assert rows["updates of a run"][2] == f"{steps // published.gradient_accumulation_steps:,}"
    template = total_steps(10_000_000, frames_per_step(64, 8, 1), 2)
    assert rows["steps of a run"][3] == f"{template:,}"
    for gpus, batch, accumulation, update, total in (rows[n] for n in "124"):
        per_step = frames_per_step(64, int(batch), int(gpus))
        assert update == f"{per_step * int(accumulation):,}"
        assert total == f"{total_steps(10_000_000, per_step, int(accumulation)):,}"


def _tables():
    for line in PAGE.splitlines():
        if line.startswith("| "):
            yield [cell.strip().strip("`-") for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", ["multi_node", "fsdp"])
def test_accelerate_reads_the_files_and_knows_every_key(name):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(ROOT / "configs" / "accelerate" / f"{name}.yaml"))
    assert config.mixed_precision == "bf16"
    assert config.num_processes in (4, 16)
    assert config.distributed_type.value == {"multi_node": "MULTI_GPU", "fsdp": "FSDP"}[name]


def test_flags_on_the_page_exist():
    known = set(vars(build_parser().parse_args(["--in_model", "m", "--out_weights", "w"])))
    launch = {
        *("multi_gpu", "cpu", "num_processes", "num_machines", "main_process_port", "main_process_ip"),
        *("mixed_precision", "dynamo_backend", "config_file", "machine_rank", "requeue"),
    }
    named = set(re.findall(r"--(\w+)", PAGE))
    assert named <= known | launch
