"""Training the prior by its entry point: the files, the best epoch, resuming bit for bit, bad input."""

import json
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from steve1.checkpoints import dump_pickle, read_state_dict
from steve1.cli import UserError
from steve1.prior import load_prior
from training import small_training
from training.train_prior import default_beta, main

FLAGS = ["--hidden_dim=24", "--latent_dim=8", "--batch_size=16", "--lr=3e-3", "--n_validation=10"]


def pairs(n=60, width=12, seed=0):
    rng = np.random.default_rng(seed)
    text = rng.normal(size=(n, width)).astype(np.float32)
    mapping = rng.normal(size=(width, width)) / width**0.5
    visual = (text @ mapping + 0.1 * rng.normal(size=(n, width))).astype(np.float32)
    return {"text_embeddings": list(text), "visual_embeddings": list(visual)}


@pytest.fixture
def data(tmp_path):
    dump_pickle({**pairs(), "mineclip_hash": "abc"}, tmp_path / "data.pkl")
    return tmp_path / "data.pkl"


def run(data, output, *flags):
    main(["--data_path", str(data), "--output_path", str(output), *FLAGS, *map(str, flags)])
    return read_state_dict(output)


def fails(capsys, code, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code == code
    message = capsys.readouterr().err.rpartition("error: ")[2]
    assert message
    return message


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_files_and_learning(data, tmp_path):
    run(data, tmp_path / "new" / "prior.pt", "--n_epochs", 30, "--beta", 0.001)
    model = load_prior(tmp_path / "new" / "prior.pt")
    assert (model.input_dim, model.hidden_dim, model.latent_dim) == (12, 24, 8)
    written = json.loads((tmp_path / "new" / "prior.json").read_text())
    assert written["mineclip_hash"] == "abc"
    assert written["architecture"] == {"input_dim": 12, "hidden_dim": 24, "latent_dim": 8}
    assert written["flags"]["beta"] == 0.001
    assert written["n_pairs"] == 60
    log = EventAccumulator(str(tmp_path / "new" / "prior_checkpoint" / "logs"))
    log.Reload()
    assert {"loss/train", "loss/val", "loss/val_kl", "loss/train_reconstruction"} <= set(
        log.Tags()["scalars"]
    )
    losses = {event.step: event.value for event in log.Scalars("loss/val")}
    assert sorted(losses) == list(range(1, 31))
    assert losses[30] < losses[1] / 2
    best = min(losses, key=losses.__getitem__)
    assert (written["epoch"], written["loss_val"]) == (best, pytest.approx(losses[best]))


def test_best_epoch_is_kept_not_the_last(data, tmp_path):
    # Videos that have nothing to do with their texts can only be learnt by heart, which does not validate.
    unrelated = {
        "text_embeddings": pairs()["text_embeddings"],
        "visual_embeddings": pairs(seed=1)["visual_embeddings"],
    }
    dump_pickle(unrelated, data)
    flags = ("--lr", 0.02, "--beta", 1)
    long = run(data, tmp_path / "long.pt", "--n_epochs", 40, *flags)
    epoch = json.loads((tmp_path / "long.json").read_text())["epoch"]
    assert epoch < 40
    assert equal(long, run(data, tmp_path / "short.pt", "--n_epochs", epoch, *flags))


def test_same_seed_same_weights(data, tmp_path):
    torch.manual_seed(1)
    one = run(data, tmp_path / "a.pt", "--n_epochs", 2)
    torch.manual_seed(2)
    assert equal(one, run(data, tmp_path / "b.pt", "--n_epochs", 2))
    assert not equal(one, run(data, tmp_path / "c.pt", "--n_epochs", 2, "--seed", 1))


@pytest.mark.parametrize("moment", ["between epochs", "within an epoch", "while saving"])
def test_killed_and_run_again_gives_the_same_weights(data, tmp_path, monkeypatch, moment):
    whole = run(data, tmp_path / "whole.pt", "--n_epochs", 6)
    calls = {"between epochs": (small_training, "save_checkpoint"), "while saving": (torch, "save")}
    from data.text_alignment import vae

    owner, name = calls.get(moment, (vae, "prior_loss"))
    original, count = getattr(owner, name), [0]

    def dies(*args, **kwargs):
        count[0] += 1
        if count[0] == (3 if owner is not vae else 14):
            if moment == "between epochs":
                original(*args, **kwargs)
            if moment == "while saving":
                args[1].write_bytes(b"half")
            raise MemoryError("killed")
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(MemoryError):
            run(data, tmp_path / "cut.pt", "--n_epochs", 6)
    assert not (tmp_path / "cut.pt").exists()
    # TensorBoard reads its files in the order of the seconds in their names.
    time.sleep(1.01 - time.time() % 1)
    assert equal(whole, run(data, tmp_path / "cut.pt", "--n_epochs", 6))
    assert sorted(path.name for path in (tmp_path / "cut_checkpoint").iterdir()) == ["logs", "state.pt"]
    losses = EventAccumulator(str(tmp_path / "cut_checkpoint" / "logs")).Reload().Scalars("loss/train")
    assert [event.step for event in losses] == [1, 2, 3, 4, 5, 6]


def test_finished_run_again_trains_no_more_and_more_epochs_go_on(data, tmp_path, capsys):
    flags = ("--n_epochs", 3)
    first = run(data, tmp_path / "p.pt", *flags)
    capsys.readouterr()
    assert equal(first, run(data, tmp_path / "p.pt", *flags))
    assert "going on after epoch 3" in capsys.readouterr().out
    longer = run(data, tmp_path / "p.pt", "--n_epochs", 5)
    assert equal(longer, run(data, tmp_path / "q.pt", "--n_epochs", 5))


def test_checkpoint_of_other_flags_or_data_is_refused(data, tmp_path, capsys):
    arguments = ["--data_path", data, "--output_path", tmp_path / "p.pt", *FLAGS, "--n_epochs", 1]
    main([str(argument) for argument in arguments])
    message = fails(capsys, 1, *arguments, "--lr", 0.5)
    assert "learning_rate 0.003 there, 0.5 now" in message
    assert "--restart_from_checkpoint False" in message
    dump_pickle(pairs(seed=1), data)
    assert "data" in fails(capsys, 1, *arguments)
    main([str(argument) for argument in (*arguments, "--restart_from_checkpoint", "False")])
    (tmp_path / "p_checkpoint" / "state.pt").write_bytes(b"torn")
    assert "not a readable checkpoint" in fails(capsys, 1, *arguments)


def test_beta_default_follows_scale_and_width():
    visual = np.random.default_rng(0).normal(size=(5000, 64))
    assert default_beta(visual, factor=1.0) == pytest.approx(2 / 64, rel=0.05)
    assert default_beta(3 * visual) == pytest.approx(9 * default_beta(visual))


def test_too_few_pairs_is_one_sentence(data, tmp_path, capsys):
    message = fails(capsys, 1, "--data_path", data, "--output_path", tmp_path / "p.pt", "--n_validation", 60)
    assert "60 pairs" in message
    assert "--n_validation" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.pkl"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"text_embeddings": [[1.0]]}, "visual_embeddings"),
        ([1, 2], "visual_embeddings"),
        ({"text_embeddings": [[1.0], [1.0, 2.0]], "visual_embeddings": [[1.0], [1.0]]}, "rows of one width"),
        ({"text_embeddings": [[1.0]], "visual_embeddings": [[1.0], [2.0]]}, "both must be equal"),
        ({"text_embeddings": [[1.0], [float("nan")]], "visual_embeddings": [[1.0], [2.0]]}, "pair 1"),
    ],
)
def test_bad_data_is_named(tmp_path, capsys, content, expected):
    dump_pickle(content, tmp_path / "data.pkl")
    message = fails(capsys, 1, "--data_path", tmp_path / "data.pkl", "--output_path", tmp_path / "p.pt")
    assert expected in message
    assert "data.pkl" in message


def test_all_mistakes_of_flags_are_listed(tmp_path, capsys):
    message = fails(
        capsys, 2, "--data_path", tmp_path / "no.pkl", "--lr", 0, "--beta", -1, "--n_epochs", 0, "--seed", -1
    )
    for expected in ("no.pkl does not exist", "--learning_rate 0", "--beta -1", "--n_epochs 0", "--seed -1"):
        assert expected in message


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_a_checkpoint_that_is_not_finite_is_not_gone_on_from(data, tmp_path, capsys, part):
    arguments = ["--data_path", data, "--output_path", tmp_path / "p.pt", *FLAGS, "--n_epochs", 1]
    main([str(argument) for argument in arguments])
    path = tmp_path / "p_checkpoint" / "state.pt"
    saved = torch.load(path, weights_only=True)
    state = saved["training"][part]
    tensor = state["encoder.0.bias"] if part == "model" else state["state"][0]["exp_avg"]
    tensor.view(-1)[0] = float("nan")
    torch.save(saved, path)
    message = fails(capsys, 1, *arguments)
    assert f"{path} holds NaN or inf in 1 of its tensors ({part}." in message


def test_a_prior_that_is_not_finite_is_refused(data, tmp_path):
    state = run(data, tmp_path / "p.pt", "--n_epochs", 1)
    state["decoder.0.weight"][0, 0] = float("inf")
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(UserError, match=r"bad\.pt holds NaN or inf .*decoder\.0\.weight"):
        load_prior(tmp_path / "bad.pt")


def test_a_checkpoint_that_calls_the_learning_rate_lr_goes_on(data, tmp_path, capsys):
    """Earlier versions wrote it so."""
    run(data, tmp_path / "p.pt", "--n_epochs", 1)
    checkpoint = tmp_path / "p_checkpoint" / "state.pt"
    saved = torch.load(checkpoint, weights_only=True)
    saved["identity"]["lr"] = saved["identity"].pop("learning_rate")
    torch.save(saved, checkpoint)
    old = run(data, tmp_path / "p.pt", "--n_epochs", 2)
    assert "going on after epoch 1" in capsys.readouterr().out
    assert equal(old, run(data, tmp_path / "q.pt", "--n_epochs", 2))
    arguments = ["--data_path", data, "--output_path", tmp_path / "p.pt", *FLAGS, "--learning_rate", 0.5]
    assert "learning_rate 0.003 there, 0.5 now" in fails(capsys, 1, *arguments)
