"""Weights in the hub's form: MineStudio's own outputs, a hub on the loopback, and what is refused in one sentence."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_close
from hub_site import COMMIT, hub_site
from safetensors.torch import load_file, save_file
from tiny_mineclip import TINY_MINECLIP

from data.generation.conversion_flags import flag_problems
from steve1 import checkpoints, flags, hub
from steve1.checkpoints import (
    load_mineclip,
    load_model_file,
    load_weights,
    read_metadata,
    read_state_dict,
    tensors_hash,
)
from steve1.cli import UserError
from steve1.config import MINECLIP_CONFIG, PI_HEAD_KWARGS, POLICY_2X_KWARGS
from steve1.embed_conditioned_policy import MinecraftAgentPolicy, guide
from steve1.envs.telling import say_once
from steve1.inverse_dynamics import InverseActionPolicy
from steve1.mineclip import MineCLIP
from steve1.prior import TranslatorVAE, load_prior

EVERY_40TH = slice(None, None, 40)  # the vectors keep every 40th of the 8641 button log-probs


def tiny_folder(vectors, folder) -> Path:
    """MineStudio's tiny policy and prior as they lie on the hub."""
    folder.mkdir(parents=True)
    shutil.copy(vectors / "minestudio_steve_tiny.safetensors", folder / "model.safetensors")
    shutil.copy(vectors / "minestudio_steve_tiny_config.json", folder / "config.json")
    return folder


@pytest.fixture
def folder(vectors, tmp_path):
    return tiny_folder(vectors, tmp_path / "steve")


def outputs(policy, recorded, scale):
    """Log-probs and the value before denormalisation, guided as MineStudio does: two rows, two memories."""
    img = torch.from_numpy(recorded["img"])
    embed = torch.from_numpy(recorded["embed"])[:, None].expand(-1, img.shape[1], -1)
    first = torch.zeros(img.shape[:2], dtype=torch.bool)
    normalizer = policy.value_head.normalizer
    normalizer.debiasing_term.data.fill_(1)  # so that denormalising is the identity
    normalizer.running_mean.data.fill_(0)
    normalizer.running_mean_sq.data.fill_(1)
    with torch.no_grad():
        (cond, value), _ = policy(
            {"img": img, "mineclip_embed": embed}, first, policy.initial_state(len(img))
        )
        if scale:
            obs = {"img": img, "mineclip_embed": torch.zeros_like(embed)}
            (uncond, _), _ = policy(obs, first, policy.initial_state(len(img)))
            cond = {name: guide(cond[name], uncond[name], scale) for name in cond}
    return cond, value


@pytest.mark.parametrize("scale", [0, 4])
def test_minestudios_outputs_are_ours(folder, vectors, scale):
    recorded = np.load(vectors / "minestudio_steve_tiny_io.npz")
    policy = MinecraftAgentPolicy(load_model_file(folder)[0], {"temperature": 1.0}).eval()
    assert load_weights(policy, folder) == []
    log_probs, value = outputs(policy, recorded, scale)
    assert_close(log_probs["buttons"][..., EVERY_40TH], recorded[f"buttons_scale{scale}"])
    assert_close(log_probs["camera"], recorded[f"camera_scale{scale}"])
    assert_close(value[..., None], recorded[f"vpred_scale{scale}"])


def test_minestudios_prior_is_ours(folder, vectors):
    recorded = np.load(vectors / "minestudio_steve_tiny_io.npz")
    prior = load_prior(folder)
    assert (prior.input_dim, prior.hidden_dim, prior.latent_dim) == (32, 24, 16)
    assert_close(
        prior(torch.from_numpy(recorded["text"]), deterministic=True), recorded["prior_deterministic"]
    )
    module = TranslatorVAE(32, 24, 16)
    load_weights(module, folder)
    assert tensors_hash(module) == tensors_hash(prior)


def test_the_published_temperature_is_taken_and_said_once(folder, capsys):
    say_once.cache_clear()
    assert load_model_file(folder)[1] == {"temperature": 2.0}
    assert load_model_file(folder)[1] == {"temperature": 2.0}
    assert capsys.readouterr().err.count("MineStudio plays with 1.0") == 1


def test_names_and_shapes_at_the_published_sizes(vectors):
    keys = json.loads((vectors / "minestudio_steve_keys.json").read_text())["keys"]
    with torch.device("meta"):
        ours = {
            "policy": MinecraftAgentPolicy(POLICY_2X_KWARGS, PI_HEAD_KWARGS),
            "prior": TranslatorVAE(),
        }
        mineclip = MineCLIP(MINECLIP_CONFIG)
    for part, module in ours.items():
        cut = "" if part == "policy" else f"{part}."
        theirs = {n.removeprefix(cut): s for n, s in keys.items() if n.startswith(hub.PREFIXES[part])}
        assert theirs == {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    theirs = {
        checkpoints._mineclip_name(name.removeprefix("mineclip.")): shape
        for name, shape in keys.items()
        if name.startswith("mineclip.")
    }
    del theirs[None]  # the reward head's own
    assert theirs == {name: list(tensor.shape) for name, tensor in mineclip.state_dict().items()}
    assert not hub.foreign_prefixes(keys, [start for starts in hub.PREFIXES.values() for start in starts])


def mineclip_folder(folder, names):
    """A tiny MineCLIP in the hub's form, its encoders stored once, under ``names`` (ours -> there)."""
    torch.manual_seed(0)
    mineclip = MineCLIP(TINY_MINECLIP)
    state = {}
    for name, tensor in mineclip.state_dict().items():
        start = next((ours for ours in names if name.startswith(ours)), "")
        state[f"mineclip.{names.get(start, '')}{name.removeprefix(start)}"] = tensor.clone()
    state["mineclip.clip_model.logit_scale"] = torch.tensor(1.0)
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return mineclip


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"image_encoder.": "clip_model.vision_model.", "text_model.": "clip_model.text_model."},
        {
            "image_encoder.": "reward_head.clip_model.vision_model.",
            "text_model.": "reward_head.clip_model.text_model.",
        },
    ],
)
def test_mineclip_is_found_under_any_of_its_names(tmp_path, names):
    mineclip = mineclip_folder(tmp_path / "hub", names)
    for place in (tmp_path / "hub", str(tmp_path / "hub" / "model.safetensors")):
        assert tensors_hash(load_mineclip(place, TINY_MINECLIP)) == tensors_hash(mineclip)


def test_what_a_folder_lacks_is_said(folder, tmp_path):
    with pytest.raises(UserError, match=r"holds no mineclip \(net\.\* \(95 tensors\).*file of its own"):
        load_mineclip(folder, TINY_MINECLIP)
    assert hub.parts_of(folder) == {"policy", "prior"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"empty holds no model\.safetensors and no config\.json; the hub's form"
    ):
        load_model_file(tmp_path / "empty")
    (folder / "config.json").write_text('{"policy_kwargs": {}}')
    with pytest.raises(UserError, match=r"config\.json does not describe a policy"):
        load_model_file(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        load_model_file(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"not a readable safetensors file"):
        read_state_dict(folder)


def test_nan_is_refused_in_the_hubs_form_too(folder):
    state = load_file(folder / "model.safetensors")
    state["pi_head.camera.linear_layer.bias"][3] = float("nan")
    save_file(state, folder / "model.safetensors")
    policy = MinecraftAgentPolicy(*load_model_file(folder))
    with pytest.raises(
        UserError, match=r"NaN or inf in 1 of its tensors \(pi_head\.camera\.linear_layer\.bias\)"
    ):
        load_weights(policy, folder)
    load_prior(folder)  # the part that went wrong is not read for the others


def test_prefixes_that_are_not_ours_come_first_and_in_one_line(folder, tmp_path, capsys):
    policy = MinecraftAgentPolicy(*load_model_file(folder))
    state = {f"agent.{name}": tensor for name, tensor in policy.state_dict().items()}
    torch.save(state, tmp_path / "a.weights")
    save_file(state, folder / "model.safetensors")
    capsys.readouterr()
    for place in (tmp_path / "a.weights", folder):
        with pytest.raises(UserError) as caught:
            load_weights(policy, place)
        assert "under agent.* (104 tensors), where net.*, " in str(caught.value)
        assert "\n" not in str(caught.value)
    assert "goal layer" not in capsys.readouterr().out


def test_an_inverse_dynamics_model_is_not_filled_with_a_policy(folder, vectors):
    recorded = np.load(vectors / "idm_tiny.npz")
    keys = [name for name in recorded.files if name.endswith(".json")]
    kwargs = [json.loads(str(recorded[name])) for name in sorted(keys)]
    idm = InverseActionPolicy(*(kwargs if "hidsize" in kwargs[0] else kwargs[::-1])[:2])
    with pytest.raises(UserError, match="does not fit the model"):
        load_weights(idm, folder)


@pytest.fixture
def hub_home(monkeypatch, tmp_path):
    """A cache of its own for huggingface_hub, which reads where it is only once."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_hub_itself_is_read_by_its_own_client(vectors, hub_home, monkeypatch):
    folder = tiny_folder(vectors, hub_home / "there")
    (folder / "video.mp4").write_bytes(b"not asked for")
    with hub_site("CraftJarvis/Tiny", folder) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        for address in (
            "hf://CraftJarvis/Tiny",
            Path("hf://CraftJarvis/Tiny"),
            f"hf://CraftJarvis/Tiny@{COMMIT}",
        ):
            policy = MinecraftAgentPolicy(*load_model_file(address))
            load_weights(policy, address)
            assert tensors_hash(policy) == tensors_hash(read_state_dict(folder))
            assert read_metadata(address) == {}
        fetched = [path for method, path, _ in site.asked if method == "GET" and "/resolve/" in path]
        assert sorted(path.rpartition("/")[2] for path in fetched) == ["config.json", "model.safetensors"]
        with pytest.raises(
            UserError, match=rf"CraftJarvis/Nothing is not there, or needs a login.*{site.url}"
        ):
            load_model_file("hf://CraftJarvis/Nothing")
    # without the network, what was fetched is still there
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert load_model_file("hf://CraftJarvis/Tiny")[0]["hidsize"] == 64
    with pytest.raises(
        UserError, match=r"hf://CraftJarvis/Other could not be fetched from http://127\.0\.0\.1:9"
    ):
        load_model_file("hf://CraftJarvis/Other")


def test_a_cut_connection_to_the_hub_leaves_a_whole_file(vectors, hub_home, monkeypatch):
    folder = tiny_folder(vectors, hub_home / "there")
    with hub_site("CraftJarvis/Tiny", folder) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
        site.cut_after = 1_000_000
        found = hub.fetch("hf://CraftJarvis/Tiny", hub_home / "local")
    assert (found / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("address", ["hf://CraftJarvis", "hf://a/b/c", "hf://", "hf://a/b@"])
def test_addresses_that_name_nothing_are_refused_before_anything_is_asked(address):
    args = argparse.Namespace(in_weights=Path(address))
    (said,) = flags.missing_files(args, ("in_weights",))
    assert "write hf://OWNER/NAME" in said
    with pytest.raises(UserError, match="write hf://OWNER/NAME"):
        load_model_file(address)


def models(*argv):
    parser = argparse.ArgumentParser()
    flags.add_model_flags(parser)
    args = parser.parse_args(argv)
    flags.complete_models(args)
    return args


def test_one_flag_names_everything_that_a_folder_holds(folder):
    args = models("--in_weights", str(folder))
    assert args.in_model == args.in_weights == args.prior_weights == folder
    assert args.mineclip_weights.name == "attn.pth"  # this folder has no MineCLIP
    args = models("--in_weights", "hf://CraftJarvis/Any", "--prior_weights", "none", "--in_model", "a.json")
    assert args.prior_weights is None
    assert args.in_model == Path("a.json")
    assert args.mineclip_weights == args.in_weights
    assert not flags.missing_files(args, ("in_weights", "mineclip_weights"))


def test_without_the_hubs_form_the_defaults_are_the_downloaded_files(folder):
    args = models()
    assert (args.in_model.name, args.in_weights.name) == ("2x.model", "steve1.weights")
    assert args.prior_weights is None
    assert args.mineclip_weights.name == "attn.pth"
    args = models("--mineclip_config", str(folder))
    assert flags.missing_files(args, ("mineclip_config",)), "a folder is no configuration"


def test_programs_that_embed_take_a_folder_as_well(tmp_path):
    mineclip_folder(tmp_path / "hub", {})
    for place, wrong in (
        (tmp_path / "hub", 0),
        ("hf://CraftJarvis/Any", 0),
        (tmp_path, 1),
        (tmp_path / "no.pth", 1),
    ):
        given = {"batch_size": 1, "min_timesteps": 0, "mineclip_config": None, "mineclip_weights": str(place)}
        assert len(flag_problems(argparse.Namespace(**given))) == wrong
    assert hub.file_of(tmp_path / "hub") == tmp_path / "hub" / "model.safetensors"
    assert hub.file_of(tmp_path / "attn.pth") == tmp_path / "attn.pth"


def test_addresses_mean_the_same_in_any_folder():
    assert hub.absolute("hf://a/b") == "hf://a/b"
    assert hub.absolute("w/a.weights") == str(Path.cwd() / "w" / "a.weights")
    assert hub.shown(Path("hf://a/b@c")) == "hf://a/b@c"
    assert hub.shown(Path("/w/a.weights")) == "/w/a.weights"
