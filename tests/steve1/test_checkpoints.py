"""Weight files: the published ones' forms load, misfits are listed, ours are whole and described."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from tiny_mineclip import TINY_MINECLIP
from torch import nn

from steve1 import checkpoints
from steve1.checkpoints import (
    check_finite,
    load_mineclip,
    load_model_file,
    load_weights,
    metadata_path,
    read_metadata,
    read_state_dict,
    save_mineclip,
    save_weights,
    tensors_hash,
)
from steve1.cli import UserError
from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
from steve1.mineclip import MineCLIP


class Policy(nn.Module):
    """The parts of a policy that matter here: a layer, and the goal layer inside ``net``."""

    def __init__(self, width: int = 4, embed_dim: int = 6):
        super().__init__()
        self.net = nn.Module()
        self.net.linear = nn.Linear(3, width)
        self.net.mineclip_embed_linear = nn.Linear(embed_dim, width)
        self.value_head = nn.Linear(width, 1)


def policy(seed: int = 0, **sizes) -> Policy:
    torch.manual_seed(seed)
    return Policy(**sizes)


def equal(a: nn.Module, b: nn.Module) -> bool:
    a_state, b_state = a.state_dict(), b.state_dict()
    return a_state.keys() == b_state.keys() and all(torch.equal(a_state[k], b_state[k]) for k in a_state)


def model_content(temperature="2.0"):
    args = {"net": {"args": POLICY_2X_KWARGS, "function": "x"}, "pi_head_opts": {"temperature": temperature}}
    return {"model": {"args": args, "function": "y"}}


# ---- model files


@pytest.mark.parametrize("temperature", ["2.0", 2, np.float32(2)])
@pytest.mark.parametrize("protocol", [2, 4])
def test_model_pickles_and_json_read_alike(tmp_path, temperature, protocol):
    (tmp_path / "2x.model").write_bytes(pickle.dumps(model_content(temperature), protocol))
    (tmp_path / "2x.json").write_text(json.dumps(model_content(float(temperature))))
    for name in ("2x.model", "2x.json"):
        policy_kwargs, head_kwargs = load_model_file(tmp_path / name)
        assert policy_kwargs == POLICY_2X_KWARGS
        assert head_kwargs == PI_HEAD_KWARGS
        assert type(head_kwargs["temperature"]) is float


def test_model_files_of_another_kind_are_explained(tmp_path):
    (tmp_path / "a.model").write_bytes(pickle.dumps({"model": {"args": {}}}))
    (tmp_path / "b.json").write_text("[]")
    (tmp_path / "c.json").write_text("{")
    (tmp_path / "d.model").write_bytes(pickle.dumps(os.system))
    for name, words in {
        "a.model": "KeyError: 'net'.*pi_head_opts",
        "b.json": "list",
        "c.json": "not JSON",
        "d.model": "system",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            load_model_file(tmp_path / name)
        assert name in str(caught.value)


# ---- reading weights


@pytest.mark.parametrize("prefix", ["", "policy.", "module.policy.", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_prefixes_wrappers_and_torchs_old_format_load_alike(tmp_path, prefix, wrapped, zipped):
    saved, loaded = policy(0), policy(1)
    state = {prefix + name: tensor for name, tensor in saved.state_dict().items()}
    content = {"state_dict": state, "epoch": 3} if wrapped else state
    torch.save(content, tmp_path / "x.weights", _use_new_zipfile_serialization=zipped)
    assert load_weights(loaded, tmp_path / "x.weights") == []
    assert equal(saved, loaded)


def test_a_vpt_file_leaves_the_goal_layer_and_says_so(tmp_path, capsys):
    saved, loaded = policy(0), policy(1)
    before = loaded.net.mineclip_embed_linear.weight.clone()
    state = {name: t for name, t in saved.state_dict().items() if "mineclip" not in name}
    torch.save(state, tmp_path / "foundation.weights")
    names = ["net.mineclip_embed_linear.weight", "net.mineclip_embed_linear.bias"]
    assert load_weights(loaded, tmp_path / "foundation.weights") == names
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    assert torch.equal(loaded.net.mineclip_embed_linear.weight, before)
    assert torch.equal(loaded.net.linear.weight, saved.net.linear.weight)


def test_half_a_goal_layer_is_an_error(tmp_path):
    state = policy().state_dict()
    del state["net.mineclip_embed_linear.bias"]
    torch.save(state, tmp_path / "x.weights")
    with pytest.raises(UserError, match=r"1 missing: net\.mineclip_embed_linear\.bias"):
        load_weights(policy(), tmp_path / "x.weights")


def test_misfits_are_listed_and_nothing_is_loaded(tmp_path):
    state = policy(0, width=5).state_dict()
    state["net.extra"] = torch.zeros(1)
    del state["value_head.bias"]
    torch.save(state, tmp_path / "x.weights")
    loaded = policy(1)
    with pytest.raises(UserError) as caught:
        load_weights(loaded, tmp_path / "x.weights")
    message = str(caught.value)
    assert "x.weights does not fit" in message
    assert "1 missing: value_head.bias" in message
    assert "1 unexpected: net.extra" in message
    assert "5 of another shape: net.linear.weight (file [5, 3], model [4, 3])" in message
    assert equal(loaded, policy(1))


def test_long_lists_are_cut_after_a_dozen(tmp_path):
    torch.save({f"t{n}": torch.zeros(1) for n in range(30)}, tmp_path / "x.weights")
    with pytest.raises(UserError, match=r"30 unexpected: t0, .*, t11 and 18 more"):
        load_weights(policy(), tmp_path / "x.weights")


def test_another_embedding_width_starts_anew_only_when_asked(tmp_path, capsys):
    save_weights(policy(0), tmp_path / "x.weights")
    loaded = policy(1, embed_dim=9)
    with pytest.raises(UserError, match=r"mineclip_embed_linear.weight \(file \[4, 6\], model \[4, 9\]\)"):
        load_weights(loaded, tmp_path / "x.weights")
    kept = load_weights(loaded, tmp_path / "x.weights", new_embedding=True)
    assert kept == ["net.mineclip_embed_linear.weight", "net.mineclip_embed_linear.bias"]
    assert "another width" in capsys.readouterr().out
    assert torch.equal(
        loaded.net.mineclip_embed_linear.bias, policy(1, embed_dim=9).net.mineclip_embed_linear.bias
    )
    # A layer of the right width is loaded as ever.
    assert load_weights(policy(1), tmp_path / "x.weights", new_embedding=True) == []


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [False, True])
def test_weights_that_carry_code_are_refused_and_do_not_run(tmp_path, zipped):
    marker = tmp_path / "ran"
    content = {"net.linear.weight": torch.zeros(1), "x": Touch(marker)}
    torch.save(content, tmp_path / "x.weights", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"x\.weights was not loaded: it asks for \S*open"):
        read_state_dict(tmp_path / "x.weights")
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_truncated_and_foreign_files_are_explained(tmp_path, zipped):
    path = tmp_path / "x.weights"
    torch.save(policy().state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        whole[:-9],
        whole[:20],
        b"",
        b"<html>404</html>",
        b"\x80\x04].",
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.weights"):
            read_state_dict(path)
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "absent.weights")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(3), "Tensor, not a state dict"),
        ({"a": torch.zeros(1), "step": 3}, "not tensors .step."),
        ({}, "no tensors"),
        ({"policy.a": torch.zeros(1), "a": torch.zeros(1)}, "a twice"),
    ],
)
def test_other_contents_are_explained(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=words):
        read_state_dict(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.complex64]
)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_none_is_found_anywhere(dtype, wrong):
    tensors = {"whole": torch.arange(3), "none": torch.empty(0), "a": [torch.zeros(5, 7, dtype=dtype)]}
    tensors["a"][0].view(-1)[0] = torch.finfo(torch.float16).max
    tensors["a"][0].view(-1)[1] = torch.finfo(torch.float16).min
    check_finite(tensors, "f")
    for place in (0, 17, 34):
        held = tensors["a"][0].clone()
        held.view(-1)[place] = wrong
        with pytest.raises(UserError, match=r"f holds NaN or inf in 1 of its tensors \(a.0\)"):
            check_finite({**tensors, "a": [held]}, "f")


# ---- writing weights


def test_saved_weights_are_plain_and_described(tmp_path):
    path = tmp_path / "new" / "OUT_best.weights"
    save_weights(policy(0), path, {"frames": 512, "model": model_content()["model"]})
    assert sorted(os.listdir(path.parent)) == ["OUT_best.json", "OUT_best.weights"]
    state = torch.load(path, weights_only=True)
    assert set(state) == set(policy().state_dict())
    metadata = read_metadata(path)
    assert metadata["frames"] == 512
    assert metadata["tensors_hash"] == tensors_hash(policy(0)) == tensors_hash(read_state_dict(path))
    assert set(metadata["versions"]) == {"steve1", "torch", "numpy", "python"}
    # With the architecture in it, the JSON serves as a model file.
    assert load_model_file(path.with_name("OUT_best.json"))[0] == POLICY_2X_KWARGS


def test_wrappers_prefixes_are_not_saved(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = policy(0)

    save_weights(Wrapper(), tmp_path / "x.weights")
    assert torch.load(tmp_path / "x.weights", weights_only=True).keys() == policy().state_dict().keys()
    loaded = policy(1)
    load_weights(loaded, tmp_path / "x.weights")
    assert equal(loaded, policy(0))


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    save_weights({"a": torch.zeros(1_000_000)[:3]}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 10_000


def test_a_failed_save_leaves_the_old_pair(tmp_path, monkeypatch):
    path = tmp_path / "OUT.weights"
    save_weights(policy(0), path, {"frames": 1})

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(policy(1), path, {"frames": 2})
    assert sorted(os.listdir(tmp_path)) == ["OUT.json", "OUT.weights"]
    assert read_metadata(path)["frames"] == 1
    assert tensors_hash(read_state_dict(path)) == read_metadata(path)["tensors_hash"]


def test_a_kill_at_any_rename_never_leaves_the_json_of_other_weights(tmp_path, monkeypatch):
    path = tmp_path / "OUT.weights"
    replace, states = os.replace, set()
    for survived in (0, 1):
        save_weights(policy(0), path, {"frames": 1})
        renames = iter(range(9))

        def killed(source, target, renames=renames, survived=survived):
            if next(renames) == survived:
                raise SystemExit("killed")
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed)
            with pytest.raises(SystemExit):
                save_weights(policy(1), path, {"frames": 2})
        metadata, held = read_metadata(path), tensors_hash(read_state_dict(path))
        assert metadata == {} or metadata["tensors_hash"] == held
        states.add(held)
    assert states == {tensors_hash(policy(0)), tensors_hash(policy(1))}


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    for name in (
        ".OUT.weights.0123abcd.partial",
        ".OUT.json.0123abcd.partial",
        ".OTHER.weights.0123abcd.partial",
    ):
        (tmp_path / name).write_bytes(b"half")
    save_weights(policy(), tmp_path / "OUT.weights")
    assert sorted(os.listdir(tmp_path)) == [".OTHER.weights.0123abcd.partial", "OUT.json", "OUT.weights"]


def test_a_json_of_another_kind_is_not_overwritten(tmp_path):
    model_file = tmp_path / "demo.json"
    model_file.write_text(json.dumps(model_content()))
    for attempt in (metadata_path, lambda path: save_weights(policy(), path)):
        with pytest.raises(UserError, match=r"demo\.json would be overwritten"):
            attempt(tmp_path / "demo.weights")
    assert os.listdir(tmp_path) == ["demo.json"]
    assert read_metadata(tmp_path / "demo.weights") == {}


def test_json_names():
    names = {
        "a.weights": "a.json",
        "a.pt": "a.json",
        "v1.5_latest.weights": "v1.5_latest.json",
        "v1.5": "v1.5.json",
    }
    for name, beside in names.items():
        assert metadata_path(name).name == beside


# ---- hashes


def test_the_hash_sees_values_names_shapes_and_types_only(tmp_path):
    state = {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.zeros(()),
        "h": torch.ones(2, dtype=torch.bfloat16),
    }
    digest = tensors_hash(state)
    assert len(digest) == 64
    assert digest == tensors_hash(dict(reversed(state.items())))
    assert digest == tensors_hash({**state, "b": state["b"].t().contiguous().t()})
    torch.save({"state_dict": {f"policy.{k}": v for k, v in state.items()}}, tmp_path / "x.pt")
    assert digest == tensors_hash(read_state_dict(tmp_path / "x.pt"))
    changed = [
        {**state, "b": state["b"] + 1e-6},
        {**state, "b": state["b"].reshape(3, 2)},
        {**state, "b": state["b"].int().view(torch.float32)},
        {**state, "a": torch.zeros((), dtype=torch.int32)},
        {"c" if k == "b" else k: v for k, v in state.items()},
    ]
    assert len({digest, *map(tensors_hash, changed)}) == 6


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name_and_nothing_is_loaded(tmp_path, poison):
    state = policy(1).state_dict()
    state["net.linear.bias"][2] = state["value_head.weight"][0, 1] = poison
    torch.save(state, tmp_path / "x.weights")
    module = policy(2)
    with pytest.raises(UserError, match=r"x\.weights holds NaN or inf in 2 of its tensors") as refused:
        load_weights(module, tmp_path / "x.weights")
    assert "(net.linear.bias, value_head.weight)" in str(refused.value)
    assert equal(module, policy(2))


def test_tensors_that_are_not_finite_are_found_however_deep():
    whole = {"a": [torch.ones(2), {"b": torch.tensor([1, 2]), "c": "words"}], "d": float("inf")}
    checkpoints.check_finite(whole, "state.pt")
    whole["a"][1]["e"] = torch.tensor([0.0, float("-inf")], dtype=torch.float16)
    with pytest.raises(
        UserError, match=r"state\.pt holds NaN or inf in 1 of its tensors \(a\.1\.e\); remove it"
    ):
        checkpoints.check_finite(whole, "state.pt", "remove it")


# ---- MineCLIP


def small_mineclip(seed: int = 0) -> MineCLIP:
    torch.manual_seed(seed)
    return MineCLIP(TINY_MINECLIP)


def published_form(mineclip: MineCLIP) -> dict:
    """The tensors as the published file names them: vision thrice, text twice, and the reward head."""
    places = {
        "image_encoder": ("image_encoder", "clip_model.vision_model", "reward_head.clip_model.vision_model"),
        "text_model": ("clip_model.text_model", "reward_head.clip_model.text_model"),
        "temporal_encoder": ("temporal_encoder",),
    }
    state = {
        f"model.{place}.{name.partition('.')[2]}": tensor
        for name, tensor in mineclip.state_dict().items()
        for place in places[name.partition(".")[0]]
    }
    for name in (
        "clip_model.logit_scale",
        "reward_head.clip_model.logit_scale",
        "reward_head.video_residual_weight",
    ):
        state[f"model.{name}"] = torch.zeros(())
    for name in ("0.weight", "0.bias", "3.weight", "3.bias"):
        state[f"model.reward_head.video_adapter.{name}"] = torch.zeros(8)
    return {"state_dict": state}


def test_the_published_form_loads_with_a_config(tmp_path):
    saved = small_mineclip()
    torch.save(published_form(saved), tmp_path / "attn.pth")
    (tmp_path / "sizes.json").write_text(json.dumps(TINY_MINECLIP))
    for config in (TINY_MINECLIP, tmp_path / "sizes.json", str(tmp_path / "sizes.json")):
        loaded = load_mineclip(tmp_path / "attn.pth", config)
        assert equal(saved, loaded)
        assert not loaded.training
    (tmp_path / "attn.json").write_text(json.dumps(TINY_MINECLIP))
    assert equal(saved, load_mineclip(tmp_path / "attn.pth"))


def test_the_published_names_are_all_understood(vectors):
    published = json.loads((vectors / "mineclip_attn_keys.json").read_text())
    named = {checkpoints._mineclip_name(name) for name in published} - {None}
    with torch.device("meta"):
        ours = MineCLIP(checkpoints.MINECLIP_CONFIG).state_dict().keys()
    assert named == set(ours)


def test_a_saved_mineclip_knows_its_config(tmp_path):
    saved = small_mineclip()
    save_mineclip(saved, tmp_path / "tiny.pth", {"steps": 7})
    assert sorted(os.listdir(tmp_path)) == ["tiny.json", "tiny.pth"]
    content = torch.load(tmp_path / "tiny.pth", weights_only=True)
    assert list(content) == ["state_dict"]
    assert all(name.startswith("model.") for name in content["state_dict"])
    metadata = read_metadata(tmp_path / "tiny.pth")
    assert metadata["config"] == TINY_MINECLIP
    assert metadata["steps"] == 7
    loaded = load_mineclip(tmp_path / "tiny.pth")
    assert equal(saved, loaded)
    assert tensors_hash(loaded) == metadata["tensors_hash"]
    assert equal(saved, load_mineclip(tmp_path / "tiny.pth", tmp_path / "tiny.json"))
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_mineclip_of_other_sizes_is_explained(tmp_path):
    save_mineclip(small_mineclip(), tmp_path / "tiny.pth")
    with pytest.raises(
        UserError, match=r"does not fit the configuration given; .* of another shape: .*cls_token"
    ):
        load_mineclip(tmp_path / "tiny.pth", {**TINY_MINECLIP, "vision_width": 32})
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(UserError, match=r"does not fit the published MineCLIP.*missing"):
        load_mineclip(tmp_path / "tiny.pth")


def test_a_mineclip_that_is_not_finite_is_refused_but_for_what_is_not_read_of_it(tmp_path):
    content = published_form(small_mineclip())
    content["state_dict"]["model.clip_model.logit_scale"] = torch.tensor(float("inf"))
    torch.save(content, tmp_path / "attn.pth")
    load_mineclip(tmp_path / "attn.pth", TINY_MINECLIP)
    content["state_dict"]["model.image_encoder.cls_token"][0] = float("nan")
    torch.save(content, tmp_path / "attn.pth")
    with pytest.raises(
        UserError, match=r"attn\.pth holds NaN or inf in 1 of its tensors \(image_encoder\.cls_token"
    ):
        load_mineclip(tmp_path / "attn.pth", TINY_MINECLIP)
