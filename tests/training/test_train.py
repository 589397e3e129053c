"""Training through its entry point on a very small policy: files, exactness, resuming, bad input."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY_POLICY as MODEL
from conftest import assert_equal_weights

from steve1.checkpoints import load_model_file, load_weights, read_metadata, read_state_dict
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import run, saving, train
from training.policy import parameter_groups
from training.reporting import read_metrics
from training.schedule import Schedule

ROOT = Path(__file__).resolve().parents[2]


def tensors(path):
    return read_state_dict(path)


def test_a_run_writes_every_promised_file(flags, tmp_path, capsys):
    train.main(flags)
    out = capsys.readouterr().out
    weights = tmp_path / "w"
    expected = {"out", "out_latest", "out_best", "out_snapshot_100", "out_snapshot_200", "out_snapshot_300"}
    assert {p.stem for p in weights.glob("*.weights")} == expected
    assert {p.stem for p in weights.glob("*.json")} == expected
    assert_equal_weights(weights / "out.weights", weights / "out_latest.weights")

    note = read_metadata(weights / "out_best.weights")
    assert note["best_val_loss"] > 0
    assert note["flags"]["learning_rate"] == 1e-3
    assert note["processed_frames"] == note["step"] * 16
    assert note["versions"]["torch"] == torch.__version__
    policy_kwargs, head = load_model_file(weights / "out.json")  # the JSON serves as an architecture file
    load_weights(MinecraftAgentPolicy(policy_kwargs, head), weights / "out.weights")

    assert sorted(p.name for p in (tmp_path / "ck").glob("checkpoint_*")) == [
        "checkpoint_20",
        "checkpoint_24",
    ]
    assert list((tmp_path / "ck" / "logs").glob("events.out.tfevents.*"))
    assert (tmp_path / "ck" / "logs" / "curves.png").read_bytes().startswith(b"\x89PNG")
    log = next((tmp_path / "logs").glob("train_*.log")).read_text()
    for text in (
        "Metrics for step 4:",
        "Curr DateTime: ",
        "loss: ",
        "grad_l2_norm: ",
        "processed_frames: 64",
    ):
        assert text in log
        assert text in out
    assert "New best validation loss: " in log

    rows = read_metrics(tmp_path / "ck" / "logs" / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss/train" in row] == [4, 8, 12, 16, 20, 24]
    assert [row["step"] for row in rows if "loss/val" in row] == [0, 6, 12, 24]
    for row in rows:
        if "learning_rate" in row:
            assert row["learning_rate"] == pytest.approx(
                Schedule("cosine", 1e-3, 64, 384).rate(row["processed_frames"])
            )
            assert row["grad_l2_norm"] > 0
    train_losses = [row["loss/train"] for row in rows if "loss/train" in row]
    assert train_losses[-1] < train_losses[0]


def test_tensorboard_has_the_promised_tags(flags, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train.main(flags)
    events = EventAccumulator(str(tmp_path / "ck" / "logs"))
    events.Reload()
    tags = {"loss/train", "loss/val", "learning_rate", "grad_l2_norm", "weights_l2_norm", "processed_frames"}
    assert tags | {"frames_per_second", "epoch"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("loss/train")] == [4, 8, 12, 16, 20, 24]


def test_a_finished_run_says_so_and_a_longer_one_goes_on(flags, tmp_path, capsys):
    train.main(flags)
    capsys.readouterr()
    train.main(flags)
    assert "is trained" in capsys.readouterr().out
    train.main([*flags, "--n_frames", "480"])
    assert read_metadata(tmp_path / "w" / "out.weights")["processed_frames"] == 480


def test_another_run_s_checkpoint_is_refused_with_every_difference(flags, capsys):
    train.main(flags)
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--batch_size", "1", "--seed", "4"])
    assert refused.value.code == 1
    error = capsys.readouterr().err
    assert "batch_size was 2 and is 1" in error
    assert "seed was 3 and is 4" in error
    assert "--reset_checkpoint_dir" in error
    with pytest.raises(SystemExit):
        train.main([*flags, "--restart_from_checkpoint", "False"])
    assert "--restart_from_checkpoint is False" in capsys.readouterr().err
    train.main([*flags, "--batch_size", "1", "--seed", "4", "--reset_checkpoint_dir"])


def test_fine_tuning_begins_with_the_loss_of_the_weights_it_begins_with(flags, tmp_path):
    train.main(flags)
    note = read_metadata(tmp_path / "w" / "out_best.weights")
    second = [
        *flags,
        "--in_weights",
        str(tmp_path / "w" / "out_best.weights"),
        "--checkpoint_dir",
        str(tmp_path / "c2"),
    ]
    train.main([*second, "--out_weights", str(tmp_path / "w2" / "out.weights")])
    first_row = read_metrics(tmp_path / "c2" / "logs" / "metrics.jsonl")[0]
    assert first_row["step"] == 0
    assert first_row["loss/val"] == note["best_val_loss"]


@pytest.mark.parametrize(("what", "step"), [("loss", 15), ("loss", 16), ("gradient", 16)])
def test_a_loss_that_is_no_number_stops_before_the_step(flags, tmp_path, capsys, monkeypatch, what, step):
    """Updates are of two steps; whichever of them went wrong is named, and the update is not made."""
    before, last = [], []
    note_loss, check_finite = run.Run.note_loss, run.Run.check_finite

    def noting(self, loss):
        bad = what == "loss" and self.progress.step == step - 1
        note_loss(self, loss * float("nan") if bad else loss)
        last[:] = [self]
        if self.progress.step == 14:
            before[:] = [parameter.detach().clone() for parameter in self.policy.parameters()]

    def checking(self, grad_norm):
        bad = what == "gradient" and self.progress.step == step - 1
        check_finite(self, grad_norm * float("nan") if bad else grad_norm)

    monkeypatch.setattr(run.Run, "note_loss", noting)
    monkeypatch.setattr(run.Run, "check_finite", checking)
    with pytest.raises(SystemExit) as stopped:
        train.main(flags)
    assert stopped.value.code == 1
    assert f"the {what} became nan at step {step}, so this step was not taken" in capsys.readouterr().err
    assert all(map(torch.equal, last[0].policy.parameters(), before))
    assert all(torch.isfinite(t).all() for t in tensors(tmp_path / "w" / "out_latest.weights").values())


def test_decay_reaches_matrices_of_linear_and_conv_layers_alone():
    policy = MinecraftAgentPolicy(*load_model_file(MODEL))
    decayed, rest = parameter_groups(policy, 0.1)
    names = {id(p): name for name, p in policy.named_parameters()}
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    plain = {names[id(p)].rsplit(".", 1)[-1] for p in rest["params"]}
    assert plain == {"bias", "weight", "b_nd"}
    for parameter in rest["params"]:
        name = names[id(parameter)]
        assert name.endswith("bias") or "norm" in name or "_ln" in name or ".n." in name or "b_nd" in name


def test_half_precision_without_a_gpu_is_refused_in_one_sentence(flags, capsys, monkeypatch):
    from accelerate.state import AcceleratorState

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    AcceleratorState._reset_state(True)
    try:
        with pytest.raises(SystemExit) as refused:
            train.main(flags)
    finally:
        AcceleratorState._reset_state(True)
    assert refused.value.code == 1
    assert "there is no GPU" in capsys.readouterr().err


BAD_FLAGS = {
    "--T 25 is not a multiple of --trunc_t 8; use --T 24": ["--T", "25"],
    "--min_btwn_goals 0 is below 1; give at least 1": ["--min_btwn_goals", "0"],
    "--min_btwn_goals 50 must be below --max_btwn_goals 50": [
        "--min_btwn_goals",
        "50",
        "--max_btwn_goals",
        "50",
    ],
    "--batch_size 0 is below 1": ["--batch_size", "0"],
    "--p_uncond 1.5 is above 1": ["--p_uncond", "1.5"],
    "--warmup_frames 1_000 must be below --n_frames 384": ["--warmup_frames", "1k"],
    "--learning_rate nan is no finite number": ["--learning_rate", "nan"],
    "--seed 4294967296 is above 4,294,967,295": ["--seed", "4294967296"],
    "must end in .weights": ["--out_weights", "here.pt"],
    "'ten' is not a number": ["--n_frames", "ten"],
    "'maybe' is neither True nor False": ["--save_each_val", "maybe"],
}


@pytest.mark.parametrize("message", BAD_FLAGS)
def test_a_bad_flag_is_a_usage_error_in_one_sentence(flags, capsys, message):
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, *BAD_FLAGS[message]])
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_all_bad_flags_are_reported_at_once_before_anything_loads(flags, capsys):
    with pytest.raises(SystemExit):
        train.main(
            [*flags, "--in_model", "nowhere.model", "--T", "25", "--batch_size", "0", "--p_uncond", "2"]
        )
    error = capsys.readouterr().err
    assert "--T 25" in error
    assert "--batch_size 0 is below 1" in error
    assert "--p_uncond 2.0 is above 1" in error
    assert "nowhere" not in error


BAD_FILES = {
    "does not exist": ["--in_model", "nowhere.model"],
    "there is no sampling": ["--sampling", "unheard_of"],
    "shorter than T + 15": ["--T", "400"],
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_bad_files_are_named_and_nothing_is_written(flags, tmp_path, capsys, message):
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, *BAD_FILES[message]])
    assert refused.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list((tmp_path / "w").glob("*")) if (tmp_path / "w").exists() else True


def test_a_missing_episode_folder_is_named(flags, sampling, capsys):
    (sampling / "gone_train.txt").write_text(f"{sampling}/episodes/e99\n")
    (sampling / "gone_val.txt").write_text("")
    with pytest.raises(SystemExit):
        train.main([*flags, "--sampling", "gone"])
    assert "episodes/e99" in capsys.readouterr().err


def test_an_empty_validation_list_is_an_error_unless_validation_is_off(flags, sampling, capsys):
    train_list = (sampling / "tiny_train.txt").read_text()
    (sampling / "noval_train.txt").write_text(train_list)
    (sampling / "noval_val.txt").write_text("")
    with pytest.raises(SystemExit):
        train.main([*flags, "--sampling", "noval"])
    assert "no validation episodes" in capsys.readouterr().err
    train.main([*flags, "--sampling", "noval", "--val_freq", "0", "--val_freq_begin", "0"])


def test_weights_of_another_shape_are_refused_with_names_and_shapes(flags, tmp_path, capsys):
    other = json.loads(MODEL.read_text())
    other["model"]["args"]["net"]["args"]["hidsize"] = 64
    (tmp_path / "other.json").write_text(json.dumps(other))
    policy = MinecraftAgentPolicy(*load_model_file(tmp_path / "other.json"))
    torch.save(policy.state_dict(), tmp_path / "other.weights")
    with pytest.raises(SystemExit):
        train.main([*flags, "--in_weights", str(tmp_path / "other.weights")])
    error = capsys.readouterr().err
    assert "of another shape" in error
    assert "recurrent_layer.blocks.0.r.orc_block.q_layer.bias (file [64], model [32])" in error


def test_embeddings_and_policy_of_different_width_are_refused(flags, tmp_path, capsys):
    other = json.loads(MODEL.read_text())
    other["model"]["args"]["net"]["args"]["mineclip_embed_dim"] = 512
    (tmp_path / "wide.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit):
        train.main([*flags, "--in_model", str(tmp_path / "wide.json")])
    assert "embeddings are 8 wide, the policy takes 512" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_leaves_no_half_checkpoint(flags, tmp_path, capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device", str(tmp_path / "ck" / "checkpoint_10"))

    monkeypatch.setattr(saving, "save_checkpoint", full)
    with pytest.raises(SystemExit) as stopped:
        train.main(flags)
    assert stopped.value.code == 1
    assert "the disk is full" in capsys.readouterr().err
    assert not list((tmp_path / "ck").glob("checkpoint_*"))


def test_a_full_gpu_is_one_sentence_with_the_remedy(flags, capsys, monkeypatch):
    def full(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ...")

    monkeypatch.setattr(train, "step", full)
    with pytest.raises(SystemExit) as stopped:
        train.main(flags)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert "the GPU's memory is full (CUDA out of memory); add --gradient_checkpointing, or halve" in error
    assert "Traceback" not in error


def test_of_several_processes_one_says_what_is_wrong(flags, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--in_model", "nowhere.model"])
    assert refused.value.code == 1
    assert capsys.readouterr().err == ""


def test_weights_in_the_hubs_form_are_trained_on_as_their_files_are(flags, tmp_path):
    from steve1 import export
    from steve1.checkpoints import save_weights

    torch.manual_seed(0)
    save_weights(MinecraftAgentPolicy(*load_model_file(MODEL)), tmp_path / "start.weights")
    files = ["--in_model", str(MODEL), "--in_weights", str(tmp_path / "start.weights")]
    export.main(["--to", "hub", str(tmp_path / "hub"), *files, "--mineclip_weights", "none"])
    flags += ["--n_frames", "96", "--warmup_frames", "32", "--val_freq", "0", "--val_freq_begin", "0"]
    train.main([*flags, *files])
    trained = tmp_path / "w" / "out.weights"
    ours = read_state_dict(trained)
    alone = [*flags[2:], "--in_weights", str(tmp_path / "hub"), "--reset_checkpoint_dir"]
    assert "--in_model" not in alone
    train.main(alone)
    theirs = read_state_dict(trained)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
