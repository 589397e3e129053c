"""The batch script for SLURM, with stand-ins for srun, scontrol and training: who is told what, and what comes next."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Runs each task as srun would, passes SIGUSR1 on, and ends with the highest exit code.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
tasks=()
trap 'kill -USR1 "${tasks[@]}"' USR1
for ((i = 0; i < SLURM_NTASKS; i++)); do
    SLURM_PROCID=$i SLURM_LOCALID=$((i % 2)) "$@" &
    tasks+=($!)
done
highest=0
for task in "${tasks[@]}"; do
    wait "$task"
    while kill -0 "$task" 2> /dev/null; do wait "$task"; done
    wait "$task"; code=$?
    ((code > highest)) && highest=$code
done
exit $highest
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then printf 'node7\\nnode8\\n'; else echo "$*" >> "$RECORD/scontrol"; fi
"""
# Training: notes how it was started, and ends as the test says, at once or when it is warned.
PYTHON = """#!/usr/bin/env bash
{ echo "$MASTER_ADDR:$MASTER_PORT rank $RANK of $WORLD_SIZE local $LOCAL_RANK $ACCELERATE_MIXED_PRECISION"
  printf '%s\\n' "$@"; } > "$RECORD/rank_$RANK"
codes=($CODES)
if [ "$WAITS" = no ]; then exit "${codes[$RANK]}"; fi
trap 'exit "${codes[$RANK]}"' USR1
echo ready > "$RECORD/ready_$RANK"
read -r _ <> "$RECORD/never"
"""


@pytest.fixture
def batch(tmp_path):
    """Run the script with training that ends with ``codes``, after a warning or at once: its code and requeues."""
    bin_, record = tmp_path / "bin", tmp_path / "record"
    bin_.mkdir()
    record.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "python": PYTHON}.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    os.mkfifo(record / "never")

    def run(codes, warn):
        env = {
            **os.environ,
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "RECORD": str(record),
            "CODES": codes,
            "WAITS": "yes" if warn else "no",
            "SLURM_SUBMIT_DIR": str(tmp_path),
            "SLURM_NTASKS": str(len(codes.split())),
            "SLURM_JOB_ID": "123456",
            "SLURM_JOB_NODELIST": "node[7-8]",
        }
        script = ["bash", str(ROOT / "configs" / "slurm" / "train.sbatch"), "--n_frames", "20M"]
        for rank in range(len(codes.split())):
            os.mkfifo(record / f"ready_{rank}")
        job = subprocess.Popen(script, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        if warn:
            for rank in range(len(codes.split())):  # opening a pipe waits for the task at its other end
                (record / f"ready_{rank}").read_text()
            job.send_signal(signal.SIGUSR1)
        job.communicate(timeout=60)
        asked = record / "scontrol"
        return job.returncode, asked.read_text() if asked.exists() else ""

    run.record = record
    return run


@pytest.mark.parametrize("codes", ["138", "138 138", "138 143", "143 138 138 138"])
def test_a_job_that_was_warned_and_saved_goes_back_into_the_queue(batch, codes):
    assert batch(codes, warn=True) == (0, "requeue 123456\n")


@pytest.mark.parametrize("codes", ["1 1", "0 0"])
def test_a_job_that_failed_or_finished_while_it_was_warned_does_not(batch, codes):
    assert batch(codes, warn=True) == (int(codes[0]), "")


@pytest.mark.parametrize(("codes", "code"), [("0 0", 0), ("1 0", 1), ("143 143", 143), ("138 138", 138)])
def test_a_job_that_ends_unwarned_stays_away(batch, codes, code):
    assert batch(codes, warn=False) == (code, "")


def test_each_process_knows_its_place(batch):
    batch("0 0 0 0", warn=False)
    for rank in range(4):
        lines = (batch.record / f"rank_{rank}").read_text().splitlines()
        assert lines[0] == f"node7:23456 rank {rank} of 4 local {rank % 2} bf16"
        assert lines[1] == "training/train.py"
        assert lines[-2:] == ["--n_frames", "20M"]


def test_the_flags_are_training_s_own(batch):
    from training.train import build_parser, flag_problems

    batch("0", warn=False)
    args = build_parser().parse_args((batch.record / "rank_0").read_text().splitlines()[2:])
    assert flag_problems(args) == []
    assert args.n_frames == 20_000_000
