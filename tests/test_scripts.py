"""The scripts as users edit them: variables one a line, with units; an edited copy runs."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT, add_recordings, add_weights, edit, environment, make_checkout, variables_of
from warm_python import warm_python

from steve1.checkpoints import read_metadata, read_state_dict
from training.train import build_parser

TEMPLATE = ROOT / "3_train_finetune_template.sh"
PROMISED = {
    "BATCH_SIZE": "8",
    "GRADIENT_ACCUM_STEPS": "2",
    "T": "320",
    "TRUNC_T": "64",
    "LEARNING_RATE": "1e-5",
    "WARMUP_FRAMES": "1_000_000",
    "TOTAL_FRAMES": "10_000_000",
    "VAL_FREQ": "200",
    "SAVE_FREQ": "500",
    "P_UNCOND": "0.1",
    "MIN_BTWN_GOALS": "15",
    "MAX_BTWN_GOALS": "100",
    "SNAPSHOT_FRAMES": "5_000_000",
    "IN_WEIGHTS": "$DATA/weights/steve1/steve1.weights",
    "CHECKPOINT_DIR": "$DATA/finetuning_checkpoint",
}
SIZES = {
    "T": 24,
    "TRUNC_T": 8,
    "BATCH_SIZE": 2,
    "WARMUP_FRAMES": 64,
    "TOTAL_FRAMES": 256,
    "SNAPSHOT_FRAMES": 128,
    "VAL_FREQ": 8,
    "SAVE_FREQ": 8,
    "LOG_FREQ": 4,
    "NUM_WORKERS": 0,
    "SAMPLING_NAME": "custom",
    "MIXED_PRECISION": "no",
}


def test_the_template_has_the_promised_values():
    ours = variables_of(TEMPLATE)
    assert {name: ours[name] for name in PROMISED} == PROMISED
    assert {"SAMPLING_NAME", "OUT_WEIGHTS"} <= set(ours)


def test_every_variable_of_the_template_says_what_it_is_and_is_used():
    text = TEMPLATE.read_text()
    block = text.split("# ---- edit from here")[1].split("# ---- to here")[0]
    rest = text.split("# ---- to here")[1]
    lines = [line for line in block.splitlines()[1:] if line.strip()]
    for line in lines:
        name = re.fullmatch(r'([A-Z][A-Z0-9_]*)=("[^"]*"|\S+) +# \S.*', line)
        assert name, line
        assert re.search(rf"\$\{{?{name[1]}\b", rest), f"{name[1]} is not used"
        assert len(line) <= 120


@pytest.mark.parametrize("script", ["3_train.sh", "3_train_finetune_template.sh"])
def test_scripts_give_flags_that_exist_and_none_twice(script):
    given = re.findall(r"^ {4}(?:\$\{\w+:\+)?--(\w+)", (ROOT / script).read_text(), re.M)
    given = [flag for flag in given if flag != "mixed_precision"]
    assert len(set(given)) == len(given)
    assert set(given) <= set(vars(build_parser().parse_args(["--in_model", "m", "--out_weights", "w"])))


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Run bash in a checkout with recordings and weights; returns what was printed."""
    folder = tmp_path_factory.mktemp("scripts")
    checkout = make_checkout(folder / "steve1")
    add_weights(checkout)
    add_recordings(checkout / "data" / "recordings")
    with warm_python(folder / "bin") as warm:
        env = environment(checkout, warm)

        def run(command: str) -> str:
            done = subprocess.run(
                ["bash", "-euc", command],
                cwd=checkout,
                env=env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            return done.stdout

        run.checkout = checkout
        run("bash prepare_custom_data.sh --batch_size 8")
        yield run


def trained_tensors(weights: Path, before: Path) -> set[str]:
    now, then = read_state_dict(weights), read_state_dict(before)
    return {name for name in now if now[name].shape != then[name].shape or not now[name].equal(then[name])}


def test_a_copy_of_the_template_is_edited_and_run(shell):
    data = shell.checkout / "data"
    shell("cp 3_train_finetune_template.sh 3_train_my_task.sh")
    edit(shell.checkout / "3_train_my_task.sh", **SIZES, OUT_WEIGHTS="$DATA/weights/steve1/my_task.weights")
    out = shell("bash 3_train_my_task.sh")
    assert "Done: " in out
    steve1 = data / "weights" / "steve1"
    kinds = {"", "_best", "_latest", "_snapshot_128", "_snapshot_256"}
    assert {p.stem for p in steve1.glob("my_task*.weights")} == {f"my_task{kind}" for kind in kinds}
    flags = read_metadata(steve1 / "my_task.weights")["flags"]
    assert flags["freeze"] == []
    assert flags["mineclip_embed_dim"] is None
    assert (flags["augment"], flags["gradient_checkpointing"], flags["compile"]) == (False, True, False)
    assert (data / "finetuning_checkpoint" / "logs" / "curves.png").exists()
    assert "is trained" in shell("bash 3_train_my_task.sh")


def test_the_template_s_options_reach_training(shell):
    script = shell.checkout / "3_train_options.sh"
    shell(f"cp 3_train_finetune_template.sh {script.name}")
    steve1 = shell.checkout / "data" / "weights" / "steve1"
    edit(
        script,
        **SIZES,
        OUT_WEIGHTS="$DATA/weights/steve1/options.weights",
        CHECKPOINT_DIR="$DATA/options_checkpoint",
        FREEZE="img_process recurrent_layer",
        MINECLIP_EMBED_DIM=8,
        AUGMENT="True",
        GRADIENT_CHECKPOINTING="False",
        EARLY_STOPPING_PATIENCE=3,
        WEIGHT_DECAY=0,
        MAX_GRAD_NORM=1,
        SEED=5,
    )
    shell(f"bash {script.name}")
    flags = read_metadata(steve1 / "options.weights")["flags"]
    assert flags["freeze"] == ["img_process", "recurrent_layer"]
    assert flags["mineclip_embed_dim"] == 8
    assert (flags["augment"], flags["gradient_checkpointing"], flags["compile"]) == (True, False, False)
    assert (flags["early_stopping_patience"], flags["max_grad_norm"], flags["seed"]) == (3, 1, 5)
    changed = trained_tensors(steve1 / "options.weights", steve1 / "steve1.weights")
    assert {name.split(".")[0] for name in changed} == {"net", "pi_head"}
    assert not any("img_process" in name or "recurrent_layer" in name for name in changed)


def test_the_sampling_script_s_variables(shell):
    edit(
        shell.checkout / "2_create_sampling.sh",
        SAMPLING_NAME="mixture",
        SAMPLING_TYPE="mixed",
        DATASET_DIRS="$DATA/dataset_custom,$DATA/dataset_other",
        DATASET_WEIGHTS="0.5,0.5",
        VAL_FRAMES=100,
    )
    shell("cp -r data/dataset_custom data/dataset_other")
    shell("bash 2_create_sampling.sh")
    listed = (shell.checkout / "data" / "samplings" / "mixture_train.txt").read_text()
    assert "dataset_custom/" in listed
    assert "dataset_other/" in listed


def test_one_broken_recording_never_stops_the_others(shell):
    data = shell.checkout / "data"
    add_recordings(data / "mixed_recordings")
    (data / "mixed_recordings" / "torn").mkdir()
    (data / "mixed_recordings" / "torn" / "video.mp4").write_bytes(b"no video")
    (data / "mixed_recordings" / "torn" / "actions.jsonl").write_text(
        '{"camera": [0, 0], "buttons": {"forward": 1}}\n' * 40
    )
    flags = "--input_dir data/mixed_recordings --output_dir data/elsewhere --val_frames 60 --workers 1"
    out = shell(f"SAMPLING_NAME=mine bash prepare_custom_data.sh {flags} --batch_size 8")
    assert "torn/video.mp4 is not a readable video" in out
    lists = [(data / "samplings" / f"mine_{part}.txt").read_text().split() for part in ("train", "val")]
    assert all(str(data / "elsewhere") in path for path in lists[0] + lists[1])
    assert len(lists[0] + lists[1]) == 4
    assert lists[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_a_script_of_several_steps_ends_its_step_too(number):
    step = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    inner = f'. scripts/run.sh; run python3 -c "{step}"; echo went on'
    script = (
        f"set -euo pipefail; . scripts/run.sh; stage() {{ bash -ec '{inner}'; }}; run stage; echo went on"
    )
    shell = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    running = int(shell.stdout.readline())
    shell.send_signal(number)
    rest, _ = shell.communicate(timeout=30)
    assert rest == ""
    assert shell.returncode not in (0, None)
    with pytest.raises(ProcessLookupError):
        os.kill(running, 0)
