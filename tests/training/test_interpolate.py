"""Weights between a start and what became of it: the formula, its ends, what is noted, what is refused."""

import pytest
import torch
from conftest import TINY_POLICY, assert_equal_weights

from steve1.checkpoints import load_model_file, read_metadata, read_state_dict, save_weights, tensors_hash
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import interpolate


@pytest.fixture
def two(tmp_path):
    paths = []
    for name in ("start", "tuned"):
        torch.manual_seed(len(name))
        policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
        about = {"flags": {"out_weights": f"{name}.weights"}, "data": {"mineclip_hashes": ["aa"]}}
        save_weights(policy, tmp_path / f"{name}.weights", about)
        paths.append(tmp_path / f"{name}.weights")
    return paths


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as stopped:
        interpolate.main([str(part) for part in argv])
    return stopped.value.code, capsys.readouterr().err


def test_each_alpha_is_its_point_of_the_line(two, tmp_path):
    start, tuned = two
    interpolate.main([str(start), str(tuned), "--alpha", "0", "0.25", "1"])
    assert_equal_weights(tmp_path / "tuned_alpha_0.weights", start)
    assert_equal_weights(tmp_path / "tuned_alpha_1.weights", tuned)
    ours = read_state_dict(tmp_path / "tuned_alpha_0.25.weights")
    a, b = read_state_dict(start), read_state_dict(tuned)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, 0.75 * a[name] + 0.25 * b[name], rtol=1e-5, atol=1e-7)
    note = read_metadata(tmp_path / "tuned_alpha_0.25.weights")
    assert note["interpolated"] == {
        "from": str(start),
        "from_hash": tensors_hash(a),
        "to": str(tuned),
        "to_hash": tensors_hash(b),
        "alpha": 0.25,
    }
    assert note["flags"]["out_weights"] == "tuned.weights"
    assert note["tensors_hash"] == tensors_hash(ours)


def test_what_has_nothing_between_is_refused_and_nothing_written(two, tmp_path, capsys):
    start, tuned = two
    state = read_state_dict(tuned)
    narrower = {name: tensor for name, tensor in state.items() if not name.startswith("pi_head")}
    save_weights(narrower, tmp_path / "narrow.weights")
    code, error = refused(capsys, start, tmp_path / "narrow.weights")
    assert code == 1
    assert "are of two architectures" in error
    bad = {**state, "net.final_ln.bias": torch.full_like(state["net.final_ln.bias"], float("nan"))}
    torch.save(bad, tmp_path / "bad.weights")
    code, error = refused(capsys, start, tmp_path / "bad.weights")
    assert code == 1
    assert "bad.weights holds NaN or inf in 1 of its tensors (net.final_ln.bias)" in error
    save_weights(state, tmp_path / "goals.weights", {"data": {"mineclip_hashes": ["bb"]}})
    code, error = refused(capsys, start, tmp_path / "goals.weights")
    assert "knows goals of MineCLIP aa and" in error
    code, error = refused(capsys, start, tmp_path / "none.weights", "--alpha", "0.5", "1.5")
    assert code == 2
    assert "--alpha 1.5 is above 1" in error
    assert "none.weights does not exist" in error
    assert not list(tmp_path.glob("*alpha*"))
