"""The options of fine-tuning: frozen parts, early stopping, augmentation, other embeddings, mixed MineCLIPs."""

import json

import numpy as np
import pytest
import torch
from conftest import TINY_POLICY
from tiny_episodes import make_episode

from steve1.checkpoints import load_model_file, read_metadata, read_state_dict
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import run, train
from training.augmentation import GREY, JITTER, augment, draw
from training.policy import trained_parameters
from training.reporting import read_metrics

SHORT = ["--n_frames", "64", "--warmup_frames", "16"]


def names(prefixes):
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    return {name for name in policy.state_dict() if name.startswith(tuple(prefixes))}


def run_from(flags, tmp_path, *more):
    """A run from saved random weights; returns the tensors before and after."""
    torch.manual_seed(1)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    torch.save(policy.state_dict(), tmp_path / "in.weights")
    train.main([*flags, *SHORT, "--in_weights", str(tmp_path / "in.weights"), *more])
    return policy.state_dict(), read_state_dict(tmp_path / "w" / "out.weights")


@pytest.mark.parametrize(
    ("freeze", "prefixes"),
    [
        (["img_process", "recurrent_layer"], ["net.img_process.", "net.recurrent_layer."]),
        (
            ["policy.net.img_process.cnn.stacks.0", "pi_head.camera"],
            ["net.img_process.cnn.stacks.0.", "pi_head.camera"],
        ),
        (["mineclip_embed_linear"], ["net.mineclip_embed_linear."]),
    ],
)
def test_frozen_tensors_do_not_change_by_a_bit_and_the_others_do(flags, tmp_path, capsys, freeze, prefixes):
    before, after = run_from(flags, tmp_path, "--weight_decay", "0.1", "--freeze", *freeze)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    value_head = {name for name in before if name.startswith("value_head")}
    assert changed == set(before) - names(prefixes) - value_head
    assert "Trainable parameters: " in capsys.readouterr().out


def test_the_table_of_trained_parameters_counts_by_part():
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    policy.net.img_process.requires_grad_(False)
    policy.net.recurrent_layer.blocks[0].mlp0.requires_grad_(False)
    table = trained_parameters(policy)
    of_net = sum(
        p.numel() for p in [*policy.net.parameters(), *policy.pi_head.parameters()] if p.requires_grad
    )
    assert f"{of_net:_}" in table
    lines = {line.split()[0]: line for line in table.splitlines()[1:]}
    assert lines["img_process"].endswith("frozen")
    assert lines["pi_head"].endswith(" trained")
    count, trained = lines["recurrent_layer"].split()[1:3]
    assert int(trained) < int(count)


def test_a_wrong_part_is_refused_with_the_right_ones(flags, capsys):
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--freeze", "img_proces", "lstm", "--T", "25"])
    assert refused.value.code == 2
    error = capsys.readouterr().err
    assert (
        "--freeze img_proces: the policy has no such part; its parts are img_process, mineclip_embed_linear"
        in error
    )
    assert "--freeze lstm" in error
    assert "--T 25" in error
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--freeze", "recurrent_layer.blocks.7"])
    assert refused.value.code == 1
    assert "recurrent_layer.blocks has 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main([*flags, "--freeze", "pre_lstm_ln"])  # a part of other policies, not of this one
    error = capsys.readouterr().err
    assert (
        "this policy has img_process, mineclip_embed_linear, recurrent_layer, lastlayer, final_ln, pi_head"
        in error
    )
    everything = [
        "img_process",
        "mineclip_embed_linear",
        "recurrent_layer",
        "lastlayer",
        "final_ln",
        "pi_head",
    ]
    with pytest.raises(SystemExit):
        train.main([*flags, "--freeze", *everything])
    assert "leave at least one" in capsys.readouterr().err


def test_early_stopping_ends_the_run_and_says_how_to_go_on(flags, tmp_path, capsys, monkeypatch):
    worse = iter([9.0, 3.0, *np.linspace(4, 5, 100)])
    monkeypatch.setattr(run, "validate", lambda *_: {"loss/val": float(next(worse))})
    flags = [*flags, "--val_freq", "4", "--val_freq_begin", "4", "--early_stopping_patience", "3"]
    train.main(flags)
    out = capsys.readouterr().out
    assert "Stopping early: no better validation loss than 3.000 of step 4 in 3 validations" in out
    note = read_metadata(tmp_path / "w" / "out.weights")
    assert note["step"] == 16
    assert note["best_step"] == 4
    assert (tmp_path / "w" / "out_best.weights").exists()
    train.main(flags)  # the same command again has nothing left to do
    assert "it stopped early" in capsys.readouterr().out
    assert read_metadata(tmp_path / "w" / "out.weights")["step"] == 16
    train.main([*flags, "--early_stopping_patience", "4"])
    assert read_metadata(tmp_path / "w" / "out.weights")["step"] == 20


def test_early_stopping_without_validations_is_a_usage_error(flags, capsys):
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--early_stopping_patience", "3", "--val_freq", "0"])
    assert refused.value.code == 2
    assert "needs validations" in capsys.readouterr().err


def test_another_embedding_width_gets_a_new_goal_layer(flags, tmp_path, capsys):
    wide = json.loads(TINY_POLICY.read_text())
    wide["model"]["args"]["net"]["args"]["mineclip_embed_dim"] = 12
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    torch.manual_seed(1)
    policy = MinecraftAgentPolicy(*load_model_file(tmp_path / "wide.json"))
    torch.save(policy.state_dict(), tmp_path / "wide.weights")
    flags = [
        *flags,
        *SHORT,
        "--in_model",
        str(tmp_path / "wide.json"),
        "--in_weights",
        str(tmp_path / "wide.weights"),
    ]
    with pytest.raises(SystemExit):
        train.main(flags)
    assert "give --mineclip_embed_dim 8" in capsys.readouterr().err
    train.main([*flags, "--mineclip_embed_dim", "8"])
    assert "is for embeddings of another width" in capsys.readouterr().out
    kwargs, _ = load_model_file(tmp_path / "w" / "out.json")  # what the agent is to be given as --in_model
    assert kwargs["mineclip_embed_dim"] == 8
    assert read_state_dict(tmp_path / "w" / "out.weights")["net.mineclip_embed_linear.weight"].shape == (
        32,
        8,
    )
    with pytest.raises(SystemExit):
        train.main([*flags, "--mineclip_embed_dim", "9", "--reset_checkpoint_dir"])
    assert "embeddings are 8 wide, the policy takes 9" in capsys.readouterr().err


@pytest.fixture
def two_mineclips(tmp_path):
    """Samplings ``a`` and ``b``, of one MineCLIP each, and ``mixed``, of both."""
    dirs = {}
    for number, name in enumerate("ab"):
        for i in range(2):
            path = tmp_path / "episodes" / f"{name}{i}"
            dirs[name, i] = make_episode(path, 80, seed=10 * number + i, mineclip_hash=name * 64)
    lists = {"a": ("a", "a"), "b": ("b", "b"), "mixed": ("a", "b")}
    for name, (train_of, val_of) in lists.items():
        (tmp_path / f"{name}_train.txt").write_text(f"{dirs[train_of, 0]}\n")
        (tmp_path / f"{name}_val.txt").write_text(f"{dirs[val_of, 1]}\n")
    return tmp_path


def test_goals_of_two_mineclips_are_refused_with_both_names_unless_allowed(
    flags, two_mineclips, tmp_path, capsys
):
    flags = [*flags, *SHORT, "--sampling_dir", str(two_mineclips)]
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--sampling", "mixed"])
    assert refused.value.code == 1
    error = capsys.readouterr().err
    assert "aaaaaaaaaaaa in" in error
    assert "bbbbbbbbbbbb in" in error
    assert "--allow_mixed_mineclip" in error
    train.main([*flags, "--sampling", "mixed", "--allow_mixed_mineclip"])
    assert read_metadata(tmp_path / "w" / "out.weights")["data"]["mineclip_hashes"] == ["a" * 64, "b" * 64]


def test_fine_tuning_with_goals_of_another_mineclip_is_refused_unless_allowed(
    flags, two_mineclips, tmp_path, capsys
):
    flags = [*flags, *SHORT, "--sampling_dir", str(two_mineclips)]
    train.main([*flags, "--sampling", "a"])
    second = [
        *flags,
        "--in_weights",
        str(tmp_path / "w" / "out.weights"),
        "--checkpoint_dir",
        str(tmp_path / "c2"),
    ]
    second += ["--out_weights", str(tmp_path / "w2" / "out.weights")]
    train.main([*second, "--sampling", "a"])
    with pytest.raises(SystemExit):
        train.main([*second, "--sampling", "b", "--reset_checkpoint_dir"])
    error = capsys.readouterr().err
    assert "was trained with goals of MineCLIP aaaaaaaaaaaa" in error
    assert "MineCLIP bbbbbbbbbbbb" in error
    train.main([*second, "--sampling", "b", "--reset_checkpoint_dir", "--allow_mixed_mineclip"])


def test_one_draw_an_item_the_same_for_all_its_frames_and_pieces():
    draws = draw(5, range(1000))
    assert draws.shape == (1000, 3)
    assert torch.equal(draws[400:410], draw(5, range(400, 410)))
    assert not torch.equal(draws[:10], draw(6, range(10)))
    factors = draws[:, :2]
    assert factors.min() >= 1 - JITTER
    assert factors.max() <= 1 + JITTER
    assert factors.std() == pytest.approx(2 * JITTER / 12**0.5, rel=0.1)
    assert draws[:, 2].mean() == pytest.approx(GREY, abs=0.03)

    frame = torch.randint(0, 255, (1, 1, 16, 16, 3), dtype=torch.uint8)
    changed = augment(frame.expand(2, 6, -1, -1, -1), torch.tensor([[1.1, 0.9, 0.0], [1.0, 1.0, 1.0]]))
    assert changed.dtype == torch.uint8
    assert (changed == changed[:, :1]).all()
    assert changed[1].unbind(-1)[0].equal(changed[1].unbind(-1)[1])  # grey: all channels alike
    assert not changed[0].unbind(-1)[0].equal(changed[0].unbind(-1)[1])


def test_a_draw_of_ones_changes_nothing_and_brightness_multiplies():
    frames = torch.randint(0, 230, (1, 3, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(augment(frames, torch.tensor([[1.0, 1.0, 0.0]])), frames)
    brighter = augment(frames, torch.tensor([[1.1, 1.0, 0.0]]))
    assert (brighter.float() - (frames.float() * 1.1).round()).abs().max() <= 1
    mean = (frames.float() @ torch.tensor([0.299, 0.587, 0.114])).mean((2, 3))[..., None, None, None]
    flatter = augment(frames, torch.tensor([[1.0, 0.9, 0.0]]))
    assert (flatter.float() - (frames * 0.9 + mean * 0.1)).abs().max() <= 1


def test_augmentation_reaches_training_and_not_validation(flags, tmp_path):
    seen = {}
    for name, more in (("plain", []), ("augmented", ["--augment"])):
        out = tmp_path / name
        train.main([*flags, *SHORT, *more, "--checkpoint_dir", str(out), "--out_weights", f"{out}/o.weights"])
        seen[name] = read_metrics(out / "logs" / "metrics.jsonl")
    first = {name: next(row["loss/val"] for row in rows if "loss/val" in row) for name, rows in seen.items()}
    assert first["plain"] == first["augmented"]
    train_losses = {
        name: [row["loss/train"] for row in rows if "loss/train" in row] for name, rows in seen.items()
    }
    assert train_losses["plain"] != train_losses["augmented"]


@pytest.mark.parametrize(
    ("T", "trunc_t", "batch", "accumulation", "asked", "processed"),
    [(24, 8, 3, 1, 240, 240), (24, 24, 1, 4, 100, 192), (32, 4, 2, 3, 50, 72), (20, 5, 2, 2, 60, 60)],
)
def test_frames_are_counted_as_the_policy_saw_them(
    flags, tmp_path, monkeypatch, T, trunc_t, batch, accumulation, asked, processed
):
    """Also where a run ends in the middle of an item, and where n_frames is no whole number of updates."""
    seen = []
    original = MinecraftAgentPolicy.forward

    def counting(self, obs, first, state_in, *goals):
        if torch.is_grad_enabled():
            seen.append(first.numel())
        return original(self, obs, first, state_in, *goals)

    monkeypatch.setattr(MinecraftAgentPolicy, "forward", counting)
    flags = [
        *flags,
        "--T",
        str(T),
        "--trunc_t",
        str(trunc_t),
        "--batch_size",
        str(batch),
        "--n_frames",
        str(asked),
    ]
    flags += ["--gradient_accumulation_steps", str(accumulation), "--warmup_frames", "10", "--log_freq", "1"]
    train.main(flags)
    assert sum(seen) == processed
    assert read_metadata(tmp_path / "w" / "out.weights")["processed_frames"] == processed
    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    counted = [row["processed_frames"] for row in rows if "loss/train" in row]
    assert counted == list(np.cumsum(seen))
