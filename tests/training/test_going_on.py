"""Going on with other flags: each is refused, takes effect from there on, or changes no weight; the rate says so."""

import json
import os
import shutil
import signal

import pytest
from conftest import assert_equal_weights

from steve1.checkpoints import read_metadata, read_state_dict
from training import train
from training.checkpointing import Progress, check_same_flags, checkpoints, read_progress
from training.reporting import read_metrics
from training.resuming import CHANGEABLE, FIXED, fixed_flags, schedule_from_here
from training.schedule import Schedule
from training.train_flags import build_parser

# Where things are, how they look and how quick they are: no weight depends on these.
NO_WEIGHT = {
    *("checkpoint_dir", "log_dir", "sampling_dir", "num_workers", "allow_mixed_mineclip"),
    *("restart_from_checkpoint", "reset_checkpoint_dir"),
    *("save_each_val", "save_freq", "log_freq", "snapshot_every_n_frames"),
}
UNSEEN = [
    "--val_freq",
    "0",
    "--val_freq_begin",
    "0",
]  # a validation's picture of the curves takes longer than 24 steps
CONSTANT = ["--schedule", "constant", *UNSEEN]


def test_every_flag_is_fixed_or_changeable_or_without_weight():
    flags = {action.dest for action in build_parser()._actions} - {"help"}
    assert flags == {*FIXED, *CHANGEABLE, *NO_WEIGHT}
    assert len(flags) == len(FIXED) + len(CHANGEABLE) + len(NO_WEIGHT)


@pytest.mark.parametrize("name", FIXED)
def test_another_value_of_a_fixed_flag_is_refused_by_its_name(name, tmp_path):
    args = build_parser().parse_args(["--in_model", "a.model", "--out_weights", "a.weights"])
    before = fixed_flags(args, 1, {"episodes_hash": "hash"})
    check_same_flags(before, fixed_flags(args, 1, {"episodes_hash": "hash"}), tmp_path)
    value = getattr(args, name)
    setattr(
        args,
        name,
        f"{value}2"
        if isinstance(value, str)
        else {"freeze": ["pi_head"], "lr_scale": ["pi_head=2"]}.get(name, 77),
    )
    if name in ("in_weights", "augment"):
        setattr(args, name, {"in_weights": "b.weights", "augment": True}[name])
    with pytest.raises(ValueError, match=f"{name} was .* and is "):
        check_same_flags(before, fixed_flags(args, 1, {"episodes_hash": "hash"}), tmp_path)


def last_rates(folder):
    rows = read_metrics(folder / "logs" / "metrics.jsonl")
    return [row["learning_rate"] for row in rows if "learning_rate" in row]


def test_weight_decay_takes_effect_on_going_on_and_the_json_says_from_when(flags, tmp_path, capsys):
    flags = [*flags, *CONSTANT]
    train.main([*flags, "--n_frames", "192", "--weight_decay", "0"])
    shutil.copytree(tmp_path / "ck", tmp_path / "ck2")
    train.main([*flags, "--weight_decay", "0"])
    without = read_state_dict(tmp_path / "w" / "out.weights")
    again = [*flags, "--weight_decay", "20", "--checkpoint_dir", str(tmp_path / "ck2")]
    capsys.readouterr()
    train.main(again)
    assert "From here on: --n_frames 384 (was 192), --weight_decay 20.0 (was 0.0)" in capsys.readouterr().out
    decayed = read_state_dict(tmp_path / "w" / "out.weights")
    shrunk = {name for name in decayed if decayed[name].norm() < 0.9 * without[name].norm()}
    assert "net.lastlayer.layer.weight" in shrunk
    assert "net.lastlayer.norm.weight" not in shrunk

    note = read_metadata(tmp_path / "w" / "out.weights")
    spans = [(s["from_step"], s["to_step"], s["flags"]["weight_decay"]) for s in note["flag_spans"]]
    assert spans == [(0, 12, 0.0), (12, 24, 20.0)]
    assert note["flag_spans"][1]["flags"]["precision"] == "no"


def test_a_larger_gradient_limit_and_rate_take_effect_too(flags, tmp_path):
    flags = [*flags, *CONSTANT]
    train.main([*flags, "--n_frames", "192"])
    train.main([*flags, "--learning_rate", "5e-4", "--warmup_frames", "16", "--max_grad_norm", "1e-9"])
    assert last_rates(tmp_path / "ck")[-1] == 5e-4
    flags_then = read_progress(checkpoints(tmp_path / "ck")[-1]).spans[-1]["flags"]
    assert flags_then["max_grad_norm"] == 1e-9


def test_a_longer_cosine_says_by_how_much_it_lifts_the_rate(flags, capsys):
    flags = [*flags, *UNSEEN]
    train.main([*flags, "--n_frames", "192"])
    capsys.readouterr()
    train.main(flags)
    old, new = (Schedule("cosine", 1e-3, 64, n) for n in (192, 384))
    out = capsys.readouterr().out
    assert (
        f"Going on lifts the learning rate from {old.rate(192):.3g} ({old.share(192):.1%} of its peak) to "
        f"{new.rate(192):.3g} ({new.share(192):.1%} of its peak)"
    ) in out
    assert "--n_frames 384 (was 192)" in out


def test_a_constant_run_gone_on_with_is_the_longer_run_and_a_tail_follows_at_its_rate(
    flags, tmp_path, capsys
):
    flags = [*flags, *CONSTANT]
    train.main([*flags, "--n_frames", "192"])
    train.main([*flags, "--n_frames", "288"])
    whole = tmp_path / "whole"
    elsewhere = ["--checkpoint_dir", str(whole), "--out_weights", str(whole / "o.weights")]
    train.main([*flags, "--n_frames", "288", *elsewhere])
    assert_equal_weights(tmp_path / "w" / "out.weights", whole / "o.weights")
    tail = ["--schedule", "wsd", "--decay_frames", "96", "--n_frames", "384", "--log_freq", "2"]
    train.main([*flags, *tail])
    out = capsys.readouterr().out
    assert "lifts" not in out
    assert "lowers" not in out
    rates = last_rates(tmp_path / "ck")[-3:]
    assert rates == pytest.approx([1e-3 * (1 - k / 3 / 1.1) for k in (1, 2, 3)])


def test_a_tail_is_lengthened_from_its_rate_and_ends_alike_when_stopped_in_it(
    flags, tmp_path, monkeypatch, capsys
):
    """256 frames with a tail of the last 96, lengthened to 384: the rate never rises."""
    flags = [*flags, *CONSTANT, "--schedule", "wsd", "--decay_frames", "96", "--log_freq", "2"]
    train.main([*flags, "--n_frames", "256"])
    shutil.copytree(tmp_path / "ck", tmp_path / "ck2")
    train.main(flags)
    assert (
        "The tail that began at 160 frames goes on to 384 frames, from 9.09e-05, 9.1%"
        in capsys.readouterr().out
    )
    rates = last_rates(tmp_path / "ck")
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert len(set(rates[-5:])) == 5
    assert rates[-1] == pytest.approx(1e-3 * (1 - 1 / 1.1) ** 2)

    original = train.step

    def stopping(run, batch):
        original(run, batch)
        if run.progress.step == 19:
            os.kill(os.getpid(), signal.SIGTERM)

    again = [*flags, "--checkpoint_dir", str(tmp_path / "ck2")]
    shutil.copy(tmp_path / "w" / "out.weights", tmp_path / "unbroken.weights")
    with monkeypatch.context() as patch:
        patch.setattr(train, "step", stopping)
        with pytest.raises(SystemExit):
            train.main(again)
    train.main(again)
    assert_equal_weights(tmp_path / "unbroken.weights", tmp_path / "w" / "out.weights")
    assert last_rates(tmp_path / "ck2") == rates


def arguments(*flags):
    return build_parser().parse_args(["--in_model", "a", "--out_weights", "a.weights", *flags])


def test_a_tail_that_can_not_be_is_refused():
    before = arguments(
        "--schedule", "wsd", "--n_frames", "1000", "--decay_frames", "200", "--warmup_frames", "0"
    )
    flags = {name: getattr(before, name) for name in CHANGEABLE}
    progress = Progress(step=1, spans=[{"from_step": 0, "flags": flags}], tail=[800, 1.0])
    before.decay_frames = 300
    with pytest.raises(
        ValueError, match="--decay_frames 300: the tail has begun at 800 frames; give the old 200"
    ):
        schedule_from_here(before, progress, 900)
    with pytest.raises(
        ValueError, match=r"would have begun at 700 frames, and the run is at 750; .* at most 250"
    ):
        schedule_from_here(before, progress, 750)
    later, _ = schedule_from_here(before, progress, 500)
    assert later.tail_from == 700


def test_a_checkpoint_that_knows_no_spans_is_gone_on_with(flags, tmp_path):
    flags = [*flags, *UNSEEN]
    train.main([*flags, "--n_frames", "192"])
    for path in checkpoints(tmp_path / "ck"):
        noted = json.loads((path / "progress.json").read_text())
        kept = ("step", "batches", "piece", "best_val_loss", "best_step", "validations_since_best", "flags")
        noted = {name: noted[name] for name in kept}
        for name in ("out_weights", "mineclip_embed_dim", "val_every_nth", "val_share"):
            del noted["flags"][name]
        (path / "progress.json").write_text(json.dumps(noted))
    train.main(flags)
    spans = read_metadata(tmp_path / "w" / "out.weights")["flag_spans"]
    assert [(s["from_step"], s["to_step"]) for s in spans] == [(0, 12), (12, 24)]
    assert spans[0]["flags"] == {}
