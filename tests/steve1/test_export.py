"""Exporting to the hub's form: what is written loads again to the bit, here and by MineStudio's own package."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_close
from safetensors.torch import load_file
from tiny_agent import WIDTH, failure, make_models

from steve1 import export, model_card
from steve1.checkpoints import (
    load_mineclip,
    load_model_file,
    load_weights,
    read_metadata,
    read_state_dict,
    save_mineclip,
    save_weights,
    tensors_hash,
)
from steve1.cli import UserError
from steve1.config import MINECLIP_CONFIG
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.mineclip import MineCLIP
from steve1.prior import TranslatorVAE, load_prior

MINESTUDIO = "STEVE1_TEST_MINESTUDIO_PYTHON"  # a Python that has MineStudio, for the last test


def exported(folder, *argv) -> Path:
    export.main(["--to", "hub", str(folder), *map(str, argv)])
    return folder


@pytest.fixture
def models(tmp_path):
    return make_models(tmp_path)


def test_policy_prior_and_mineclip_come_back_to_the_bit(models, tmp_path, capsys):
    hub = exported(tmp_path / "hub", *models)
    policy = MinecraftAgentPolicy(*load_model_file(hub))
    load_weights(policy, hub)
    assert tensors_hash(policy) == read_metadata(tmp_path / "policy.weights")["tensors_hash"]
    assert tensors_hash(load_prior(hub)) == read_metadata(tmp_path / "prior.pt")["tensors_hash"]
    assert tensors_hash(load_mineclip(hub)) == read_metadata(tmp_path / "mineclip.pt")["tensors_hash"]
    # what they were trained with is still known, part by part
    assert read_metadata(hub)["data"]["mineclip_hashes"] == [read_metadata(hub, "mineclip")["tensors_hash"]]
    assert read_metadata(hub, "prior")["mineclip_hash"] == read_metadata(hub, "mineclip")["tensors_hash"]
    config = json.loads((hub / "config.json").read_text())
    assert config["prior_kwargs"] == {"input_dim": WIDTH, "hidden_dim": 8, "latent_dim": 4}
    assert config["policy_kwargs"] == load_model_file(hub)[0]
    assert "temperature is 2.0" in capsys.readouterr().out
    assert sorted(path.name for path in hub.iterdir()) == [
        *("README.md", "config.json", "model.safetensors", "steve1_notes.json")
    ]
    # a folder in the hub's form is exported again from one flag, and is the same
    again = exported(tmp_path / "again", "--in_weights", hub)
    ours, theirs = load_file(again / "model.safetensors"), load_file(hub / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_left_out_is_said(models, tmp_path, capsys):
    hub = exported(tmp_path / "hub", *models[:4], "--mineclip_weights", "none")
    said = capsys.readouterr().out
    card = (hub / "README.md").read_text()
    for part in ("prior", "mineclip"):
        assert f"it holds no {part}: MineStudio fills it with random numbers; give --{part}_weights" in said
        assert f"It holds no {part}" in card
    assert {name.partition(".")[0] for name in load_file(hub / "model.safetensors")} == {
        "net",
        "pi_head",
        "value_head",
    }


def test_another_temperature_is_kept(models, tmp_path):
    model = json.loads(Path(models[1]).read_text())
    model["model"]["args"]["pi_head_opts"]["temperature"] = 1.5
    (tmp_path / "warm.json").write_text(json.dumps(model))
    hub = exported(tmp_path / "hub", "--in_model", tmp_path / "warm.json", *models[2:])
    assert load_model_file(hub)[1] == {"temperature": 1.5}


def test_the_card_tells_data_flags_and_figures_but_no_folders(models, tmp_path):
    state = read_state_dict(tmp_path / "policy.weights")
    known = {
        "data": {"mineclip_hashes": [], "episodes": 12},
        "flags": {"learning_rate": 4e-5, "in_weights": "/home/me/secret/steve1.weights", "note": "a|b"},
    }
    save_weights(state, tmp_path / "told.weights", known)
    report = tmp_path / "report.json"
    figures = {
        "log": {"mean": 2.5, "low": 1.0, "high": 4.25, "n": 8},
        "dirt": {"mean": 3, "low": None, "high": None},
    }
    group = {"prompt": "chop a tree", "kind": "text", "cond_scale": 6.0, "agent": "told", "figures": figures}
    other = {**group, "agent": "baseline", "prompt": "dig"}
    content = {
        "agents": [
            {"label": "told", "in_weights_hash": tensors_hash(state)},
            {"label": "baseline", "in_weights_hash": "other"},
        ],
        "groups": [{**one, "episodes": [{}] * 8} for one in (group, other)],
        "shown": ["log", "dirt", "seed"],
        "settings": {"world": "minerl", "gameplay_length": 3000},
        "seeds": "0 to 7",
    }
    report.write_text(json.dumps(content))
    hub = exported(
        tmp_path / "hub", *models[:2], "--in_weights", tmp_path / "told.weights", "--mineclip_weights", "none",
        "--report", report,
    )  # fmt: skip
    card = (hub / "README.md").read_text()
    assert "| chop a tree | 6 | 8 | 2.5 [1, 4.25] | 3 | - |" in card
    assert "| dig |" not in card
    assert "| learning_rate | 4e-05 |" in card
    assert "a\\|b" in card
    assert "| in_weights | steve1.weights |" in card
    assert "secret" not in card + (hub / "steve1_notes.json").read_text()
    with pytest.raises(UserError, match=r"report\.json has no episode played by these weights"):
        model_card.evaluation(report, "someone else's")
    report.write_text("[]")
    with pytest.raises(UserError, match=r"report\.json is no report's figures"):
        model_card.evaluation(report, tensors_hash(state))


def test_nothing_is_written_where_something_is_wrong(models, tmp_path, capsys):
    state = read_state_dict(tmp_path / "policy.weights")
    vpt = {name: tensor for name, tensor in state.items() if "mineclip_embed_linear" not in name}
    torch.save(vpt, tmp_path / "vpt.weights")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    goes = ["--mineclip_weights", "none"]
    for argv, code, words in (
        (["--to", "hub", mine, *models], 2, "is there and no export (thesis.txt)"),
        (["--to", "zip", tmp_path / "x", *models], 2, "--to zip"),
        (
            ["--to", "hub", tmp_path / "x", *models[:2], "--in_weights", tmp_path / "no.weights", *goes],
            2,
            "no.weights",
        ),
        (
            ["--to", "hub", tmp_path / "x", *models[:2], "--in_weights", tmp_path / "vpt.weights", *goes],
            1,
            "VPT file",
        ),
        (["--to", "hub", tmp_path / "x", *models, "--report", tmp_path / "no.json"], 2, "--report"),
    ):
        found, said = failure(export, capsys, *map(str, argv))
        assert (found, words in said) == (code, True), said
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    assert not (tmp_path / "x").exists()
    hub = exported(tmp_path / "x", *models)
    assert failure(export, capsys, "--to", "hub", str(hub), "--in_weights", str(hub))[0] == 2
    exported(hub, *models)  # an earlier export is replaced


@pytest.mark.skipif(
    MINESTUDIO not in os.environ,
    reason=f"needs a Python with minestudio==1.1.6 from PyPI, named by {MINESTUDIO} (docs/formats.md)",
)
def test_minestudios_own_package_reads_what_is_exported(vectors, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(vectors / "minestudio_steve_tiny.safetensors", source / "model.safetensors")
    shutil.copy(vectors / "minestudio_steve_tiny_config.json", source / "config.json")
    recorded = dict(np.load(vectors / "minestudio_steve_tiny_io.npz"))

    # from our own files, so that names go from the hub's to ours and back
    policy = MinecraftAgentPolicy(*load_model_file(source))
    load_weights(policy, source)
    model = {
        "model": {"args": {"net": {"args": load_model_file(source)[0]}, "pi_head_opts": {"temperature": 2.0}}}
    }
    save_weights(policy, tmp_path / "ours.weights", model)
    save_weights(load_prior(source), tmp_path / "ours_prior.pt")
    hub = exported(
        tmp_path / "small", "--in_weights", tmp_path / "ours.weights", "--prior_weights", tmp_path / "ours_prior.pt",
        "--mineclip_weights", "none",
    )  # fmt: skip
    theirs = by_minestudio(hub, recorded, tmp_path)
    for name, values in theirs.items():
        assert_close(values, recorded[name])

    # MineCLIP at the published sizes, the only ones that MineStudio builds
    torch.manual_seed(1)
    mineclip = MineCLIP(MINECLIP_CONFIG).eval()
    save_mineclip(mineclip, tmp_path / "attn.pth")
    model["model"]["args"]["net"]["args"]["mineclip_embed_dim"] = 512
    wide = MinecraftAgentPolicy(model["model"]["args"]["net"]["args"], {"temperature": 1.0})
    save_weights(wide, tmp_path / "wide.weights", model)
    save_weights(TranslatorVAE(512, 24, 16), tmp_path / "wide_prior.pt")
    hub = exported(
        tmp_path / "wide", "--in_weights", tmp_path / "wide.weights", "--prior_weights", tmp_path / "wide_prior.pt",
        "--mineclip_weights", tmp_path / "attn.pth",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    given = {
        "img": recorded["img"],
        "embed": rng.standard_normal((2, 512), np.float32),
        "text": rng.standard_normal((3, 512), np.float32),
        "tokens": rng.integers(1, 49408, (2, 77)),
        "video": rng.integers(0, 256, (1, 16, 3, 160, 256), dtype=np.uint8),
    }
    theirs = by_minestudio(hub, given, tmp_path)
    with torch.no_grad():
        assert_close(mineclip.encode_text(torch.from_numpy(given["tokens"])), theirs["text_embed"])
        assert_close(mineclip.encode_video(torch.from_numpy(given["video"])), theirs["video_embed"])
        prior = load_prior(hub)(torch.from_numpy(given["text"]), deterministic=True)
    assert_close(prior, theirs["prior_deterministic"])


def by_minestudio(hub, given, tmp_path) -> dict[str, np.ndarray]:
    np.savez(tmp_path / "given.npz", **given)
    side = Path(__file__).with_name("minestudio_side.py")
    command = [os.environ[MINESTUDIO], side, hub, tmp_path / "given.npz", tmp_path / "found.npz"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run(command, check=True, cwd=tmp_path, env={**clean, "HF_HUB_OFFLINE": "1"})
    return dict(np.load(tmp_path / "found.npz"))
