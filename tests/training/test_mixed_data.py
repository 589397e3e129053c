"""Training on two datasets: a validation loss for each, one of which may decide, and resuming to the bit."""

import os
import signal

import pytest
from conftest import assert_equal_weights
from tiny_episodes import make_episode

from data.sampling.generate_sampling import main as generate
from steve1.checkpoints import read_metadata
from training import run, schedule, train
from training.reporting import read_metrics


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    for name, n in (("dataset_old", 5), ("dataset_new", 3)):
        for i in range(n):
            make_episode(root / name / f"e{i}", 100 + 7 * i, seed=i + 10 * n)
    dirs = f"{root / 'dataset_old'},{root / 'dataset_new'}"
    for name, weights in (("mix", "0.8,0.2"), ("other", "0.5,0.5")):
        flags = ["--type", "mixed", "--dataset_dirs", dirs, "--dataset_weights", weights, "--name", name]
        generate([*flags, "--output_dir", str(root / "samplings")])
    return root / "samplings"


@pytest.fixture
def mixed_flags(flags, mixed):
    return [*flags, "--sampling", "mix", "--sampling_dir", str(mixed)]


def rows(folder):
    return [row for row in read_metrics(folder / "logs" / "metrics.jsonl") if "loss/val" in row]


def test_each_dataset_has_its_loss_and_the_whole_is_their_mean_by_weight(mixed_flags, tmp_path, capsys):
    train.main(mixed_flags)
    out = capsys.readouterr().out
    assert "Drawn: 80.0% of the items from old (" in out
    for row in rows(tmp_path / "ck"):
        old, new = row["loss/val/old"], row["loss/val/new"]
        assert old != new
        assert row["loss/val"] == pytest.approx(0.8 * old + 0.2 * new)
    assert f"val_loss/new: {new:.3f}" in out


def test_the_dataset_that_is_named_decides(mixed_flags, tmp_path, monkeypatch):
    losses = iter([(3.0, 3.0), (2.0, 4.0), (1.0, 2.5), (0.5, 9.0)])

    def made_up(*_):
        old, new = next(losses)
        return {"loss/val": old, "loss/val/old": old, "loss/val/new": new}

    monkeypatch.setattr(run, "validate", made_up)
    train.main([*mixed_flags, "--best_by", "new"])
    note = read_metadata(tmp_path / "w" / "out.weights")
    assert (note["best_step"], note["best_val_loss"]) == (12, 2.5)
    assert note["flags"]["best_by"] == "new"


def test_a_dataset_that_is_not_there_can_not_decide(mixed_flags, flags, capsys):
    for given, said in ((mixed_flags, "validates on old, new"), (flags, "has no datasets")):
        with pytest.raises(SystemExit) as refused:
            train.main([*given, "--best_by", "young"])
        assert refused.value.code == 1
        assert f"--best_by young: the sampling {given[given.index('--sampling') + 1]!r}"[:15] in (
            error := capsys.readouterr().err
        )
        assert said in error


def test_stopped_and_gone_on_with_it_is_the_unbroken_run(mixed_flags, tmp_path, monkeypatch):
    """With all that has a state or a stream of its own: fewer validation items, a tail, augmentation, workers."""
    monkeypatch.setattr(schedule, "MIN_VAL_ITEMS", 4)
    mixed_flags = [
        *mixed_flags,
        "--augment",
        "--schedule",
        "wsd",
        "--decay_frames",
        "256",
        "--best_by",
        "new",
    ]
    mixed_flags += ["--num_workers", "1"]
    train.main(mixed_flags)
    again = [
        *mixed_flags,
        "--checkpoint_dir",
        str(tmp_path / "c2"),
        "--out_weights",
        str(tmp_path / "o.weights"),
    ]
    original = train.step

    def stopping(self, batch):
        original(self, batch)
        if self.progress.step == 13:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train, "step", stopping)
        with pytest.raises(SystemExit):
            train.main(again)
    train.main(again)
    assert_equal_weights(tmp_path / "w" / "out.weights", tmp_path / "o.weights")
    assert rows(tmp_path / "ck") == rows(tmp_path / "c2")
    notes = [read_metadata(path) for path in (tmp_path / "w" / "out.weights", tmp_path / "o.weights")]
    for name in ("best_step", "best_val_loss", "flag_spans", "val_items"):
        assert notes[0][name] == notes[1][name]


def test_other_weights_are_another_run(mixed_flags, mixed, capsys):
    train.main(mixed_flags)
    listed = (mixed / "other_datasets.json").read_text()
    kept = (mixed / "mix_datasets.json").read_text()
    (mixed / "mix_datasets.json").write_text(listed)
    try:
        with pytest.raises(SystemExit):
            train.main(mixed_flags)
    finally:
        (mixed / "mix_datasets.json").write_text(kept)
    assert "datasets was {'names': ['old', 'new'], 'weights': [0.8, 0.2]}" in capsys.readouterr().err


def test_fewer_validation_items_are_of_all_datasets(mixed_flags, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "MIN_VAL_ITEMS", 4)
    train.main(mixed_flags)
    assert all({"loss/val/old", "loss/val/new"} <= set(row) for row in rows(tmp_path / "ck"))
    assert read_metadata(tmp_path / "w" / "out.weights")["val_items"] == 4
