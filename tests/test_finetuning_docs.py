"""The commands of docs/finetuning.md run, in their order, on a very small policy and short recordings.

A fenced block after the line ``<!-- run -->`` is run as it stands, by bash, in a checkout whose fine-tuning template
has small sizes. Both languages have the same blocks (tests/test_docs.py).
"""

import re
import shutil
import subprocess

import pytest
import torch
from checkout import ROOT, add_recordings, add_weights, edit, environment, make_checkout
from tiny_mineclip import TINY_MINECLIP
from warm_python import warm_python

from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import load_sampling
from steve1.checkpoints import load_model_file, read_metadata, read_state_dict, save_mineclip
from steve1.mineclip import MineCLIP

PAGE = (ROOT / "docs" / "finetuning.md").read_text()
BLOCKS = re.findall(r"^<!-- run -->\n```bash\n(.*?)^```$", PAGE, re.M | re.S)
SIZES = {
    "BATCH_SIZE": 2,
    "T": 24,
    "TRUNC_T": 8,
    "LEARNING_RATE": 1e-3,
    "WARMUP_FRAMES": 32,
    "TOTAL_FRAMES": 128,
    "SNAPSHOT_FRAMES": 64,
    "VAL_FREQ": 4,
    "SAVE_FREQ": 8,
    "NUM_WORKERS": 0,
    "MIXED_PRECISION": "no",
}
# Lengths that the page gives by name, for recordings of a few seconds.
SMALLER = {
    "12_000_000": "192",
    "5_000_000": "128",
    "500_000": "32",
    "--T 320 --batch_size 8": "--T 24 --trunc_t 8 --batch_size 2",
    "bash 3_train.sh ": "bash 3_train.sh --T 24 --trunc_t 8 --batch_size 2 --n_frames 128 --warmup_frames 32 "
    "--val_freq_begin 4 --num_workers 0 ",
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The checkout after all commands, and what each block printed."""
    folder = tmp_path_factory.mktemp("finetuning")
    checkout = make_checkout(folder / "steve1")
    add_weights(checkout)
    config = {**TINY_MINECLIP, "vocab_size": 49408, "embed_dim": 768}
    torch.manual_seed(1)
    save_mineclip(MineCLIP(config), checkout / "data" / "weights" / "mineclip" / "my_clip_768.pth")
    add_recordings(checkout / "data" / "recordings")
    edit(checkout / "3_train_finetune_template.sh", **SIZES)
    outputs = []
    with warm_python(folder / "bin") as warm:
        env = {**environment(checkout, warm), "MIXED_PRECISION": "no"}
        for block in BLOCKS:
            for full, small in SMALLER.items():
                block = block.replace(full, small)
            done = subprocess.run(
                ["bash", "-euc", block],
                cwd=checkout,
                env=env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}"
            outputs.append(done.stdout)
            if "prepare_custom_data.sh" in block:  # what step 1 would have made of OpenAI's recordings
                shutil.copytree(
                    checkout / "data" / "dataset_custom", checkout / "data" / "dataset_contractor"
                )
    return checkout, outputs


def changed(weights, before):
    now, then = read_state_dict(weights), read_state_dict(before)
    return {name for name in now if now[name].shape != then[name].shape or not now[name].equal(then[name])}


def test_every_scenario_has_commands_that_run(walked):
    checkout, outputs = walked
    assert len(outputs) == len(BLOCKS) == 11
    steve1 = checkout / "data" / "weights" / "steve1"
    for name in ("house", "house_frozen", "768", "mixed", "near", "augmented"):
        for kind in ("", "_best", "_latest"):
            assert (steve1 / f"steve1_{name}{kind}.weights").is_file()
    assert (checkout / "batch.png").is_file()


def test_a_first_validation_is_that_of_the_weights_it_begins_with(walked):
    assert "Running validation at step 0" in walked[1][2]


def test_b_frozen_parts_do_not_change_by_a_bit(walked):
    steve1 = walked[0] / "data" / "weights" / "steve1"
    moved = changed(steve1 / "steve1_house_frozen.weights", steve1 / "steve1.weights")
    assert moved
    assert not any("img_process" in name or "recurrent_layer" in name for name in moved)
    assert any("mineclip_embed_linear" in name for name in moved)


def test_c_the_goal_layer_has_another_width(walked):
    steve1 = walked[0] / "data" / "weights" / "steve1"
    assert "start anew" in walked[1][5]
    assert load_model_file(steve1 / "steve1_768.json")[0]["mineclip_embed_dim"] == 768
    assert read_state_dict(steve1 / "steve1_768.weights")["net.mineclip_embed_linear.weight"].shape[1] == 768
    episode = next((walked[0] / "data" / "dataset_768").iterdir())
    assert EpisodeStorage(episode).load_embeds_attn().shape[1] == 768


def test_vpt_s_goal_layer_starts_anew(walked):
    assert "has no goal layer (a VPT file)" in walked[1][6]


def test_the_mixture_has_both(walked):
    train, _ = load_sampling(walked[0] / "data" / "samplings", "mixed_training")
    assert {path.split("/")[-2] for path in train} == {"dataset_contractor", "dataset_custom"}


def test_what_stays_near_the_start_is_there(walked):
    steve1 = walked[0] / "data" / "weights" / "steve1"
    assert (walked[0] / "data" / "house_frozen_checkpoint" / "features").is_dir()
    flags = read_metadata(steve1 / "steve1_near_ema_best.weights")["flags"]
    assert (flags["ema"], flags["kl_to_start"]) == (0.999, 0.1)
    assert flags["lr_scale"] == ["img_process=0.1", "recurrent_layer=0.3"]
    shares = {
        path.name: read_metadata(path)["interpolated"]["alpha"] for path in steve1.glob("*_alpha_*.weights")
    }
    assert shares == {f"steve1_house_alpha_{alpha:g}.weights": alpha for alpha in (0.25, 0.5, 0.75)}


def test_options_arrive(walked):
    flags = read_metadata(walked[0] / "data/weights/steve1/steve1_augmented.weights")["flags"]
    assert flags["augment"] is True
    assert flags["early_stopping_patience"] == 5
