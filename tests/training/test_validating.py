"""What validations decide and what they cost: the start competes, and fewer items are the same ones every time."""

import pytest
import torch
from conftest import TINY_POLICY, assert_equal_weights

from steve1.checkpoints import load_model_file, read_metadata, save_weights
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import run, schedule, train
from training.reporting import read_metrics


@pytest.fixture
def start(tmp_path):
    torch.manual_seed(1)
    save_weights(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)), tmp_path / "start.weights", {})
    return tmp_path / "start.weights"


def rows(folder, tag):
    return {row["step"]: row[tag] for row in read_metrics(folder / "logs" / "metrics.jsonl") if tag in row}


def test_the_start_competes_for_the_best_weights(flags, start, tmp_path, capsys):
    """At a rate that ruins the policy nothing is better than what the run began with."""
    flags = [*flags, "--in_weights", str(start), "--learning_rate", "30", "--max_grad_norm", "0"]
    train.main(flags)
    losses = rows(tmp_path / "ck", "loss/val")
    assert min(losses, key=losses.get) == 0
    assert_equal_weights(tmp_path / "w" / "out_best.weights", start)
    note = read_metadata(tmp_path / "w" / "out.weights")
    assert (note["best_step"], note["best_val_loss"]) == (0, losses[0])
    out = capsys.readouterr().out
    assert (
        f"at step 0, its start: no validation was better, so {tmp_path / 'w' / 'out_best.weights'} holds"
        in out
    )


def test_early_stopping_counts_from_the_start(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "validate", lambda *_: {"loss/val": 2.0})
    train.main([*flags, "--val_freq", "4", "--val_freq_begin", "4", "--early_stopping_patience", "2"])
    assert read_metadata(tmp_path / "w" / "out.weights")["step"] == 8


def test_fewer_items_are_the_same_ones_in_every_validation_and_after_resuming(
    flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(schedule, "MIN_VAL_ITEMS", 3)
    looked_at = []
    original = run.RunData.validation_part

    def noted(self):
        looked_at.append(list(self.val_items))
        return original(self)

    monkeypatch.setattr(run.RunData, "validation_part", noted)
    train.main(flags)
    assert "Every validation looks at the same 3 of 10 items" in capsys.readouterr().out
    train.main([*flags, "--n_frames", "480"])
    assert len(looked_at) > 4
    assert all(items == looked_at[0] for items in looked_at)
    assert len(looked_at[0]) == 3
    assert read_metadata(tmp_path / "w" / "out.weights")["val_items"] == 3
    with pytest.raises(SystemExit):
        train.main([*flags, "--val_share", "0"])
    assert "val_share was 0.1 and is 0.0" in capsys.readouterr().err

    elsewhere = ["--checkpoint_dir", str(tmp_path / "all"), "--val_share", "0"]
    train.main([*flags, *elsewhere])
    assert len(looked_at[-1]) == 10
    few, full = (rows(tmp_path / folder, "loss/val")[0] for folder in ("ck", "all"))
    assert few != full


def test_what_validations_took_is_logged(flags, tmp_path, capsys):
    train.main(flags)
    shares = rows(tmp_path / "ck", "validation_share")
    assert set(shares) == {4, 8, 12, 16, 20, 24}
    assert all(0 < share < 1 for share in shares.values())
    out = capsys.readouterr().out
    assert f"validation_share: {shares[24]:.1%}" in out
    assert "Validations took " in out


def test_a_single_validation_item_has_no_other_s_goals(flags, tmp_path):
    train.main([*flags, "--val_every_nth", "100"])
    assert set(rows(tmp_path / "ck", "loss/val_uncond")) == {0, 6, 12, 24}
    assert rows(tmp_path / "ck", "loss/val_shuffled") == {}
