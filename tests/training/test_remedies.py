"""Against little data and forgetting: averaged weights, rates by part, a start to stay near, kept features."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from conftest import TINY_POLICY, assert_equal_weights

from data.minecraft_dataset import MinecraftDataset
from steve1.checkpoints import load_model_file, read_metadata, read_state_dict
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import feature_cache, opening, train
from training.ema import Ema
from training.reporting import read_metrics
from training.start_policy import StartPolicy, StartWeights, kl_divergence

SHORT = ["--n_frames", "128", "--warmup_frames", "16", "--log_freq", "1"]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("start") / "in.weights"
    torch.save(MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).state_dict(), path)
    return path


def run(flags, folder, *more):
    train.main([*flags, *more, "--checkpoint_dir", str(folder), "--out_weights", str(folder / "o.weights")])
    return folder / "o.weights"


def rows(folder, tag):
    return [row[tag] for row in read_metrics(folder / "logs" / "metrics.jsonl") if tag in row]


def distance(a, b, part=""):
    a, b = read_state_dict(a), read_state_dict(b)
    return sum(float((a[n] - b[n]).square().sum()) for n in a if n.startswith(part)) ** 0.5


# ---- the moving average ----


def test_the_average_is_the_formula_and_the_raw_weights_come_back():
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    ema = Ema(module, 0.5)
    expected = module.weight.detach().clone()
    bias = module.bias.clone()
    for n in range(1, 20):
        with torch.no_grad():
            module.weight += n
        ema.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    raw = module.weight.detach().clone()
    with ema.in_place():
        torch.testing.assert_close(module.weight.detach(), expected)
        assert torch.equal(module.bias, bias)
    assert torch.equal(module.weight, raw)


def test_the_average_is_judged_and_saved_beside_weights_that_it_does_not_move(flags, start, tmp_path):
    flags = [*flags, *SHORT, "--in_weights", str(start)]
    plain = run(flags, tmp_path / "plain")
    raw = run(flags, tmp_path / "ema", "--ema", "0.9")
    assert_equal_weights(plain, raw)
    average = raw.with_name("o_ema.weights")
    assert 0 < distance(average, start) < distance(raw, start)
    note = read_metadata(average)
    assert note["average"] == {"decay": 0.9, "updates": 4}
    losses = rows(tmp_path / "ema", "loss/val_ema")
    assert len(losses) == len(rows(tmp_path / "ema", "loss/val"))
    assert losses[0] == rows(tmp_path / "ema", "loss/val")[0]  # of the start
    assert losses[-1] != rows(tmp_path / "ema", "loss/val")[-1]
    assert note["best_ema_loss"] == min(losses)
    assert {p.name for p in raw.parent.glob("o_ema*.weights")} == {
        *("o_ema.weights", "o_ema_best.weights", "o_ema_latest.weights", "o_ema_snapshot_100.weights")
    }


# ---- a rate for each part ----


def test_a_part_moves_by_its_own_rate_and_the_innermost_name_counts(flags, start, tmp_path):
    """Adam's first update moves each weight by about its learning rate."""
    flags = [
        *flags,
        "--in_weights",
        str(start),
        "--n_frames",
        "32",
        "--warmup_frames",
        "16",
        "--weight_decay",
        "0",
    ]
    flags += ["--val_freq", "0", "--val_freq_begin", "0"]
    plain = run(flags, tmp_path / "plain")
    scales = ["net.recurrent_layer=0.1", "recurrent_layer.blocks.0.mlp0=3", "pi_head=0.5"]
    scaled = run(flags, tmp_path / "scaled", "--lr_scale", *scales)
    parts = {
        "net.recurrent_layer.blocks.0.r": 0.1,
        "net.recurrent_layer.blocks.0.mlp0": 3,
        "pi_head": 0.5,
        "net.img": 1,
    }
    for part, scale in parts.items():
        assert distance(scaled, start, part) == pytest.approx(
            scale * distance(plain, start, part), rel=1e-3
        ), part
    assert read_metadata(scaled)["flags"]["lr_scale"] == scales


def test_rates_that_mean_nothing_are_refused_all_at_once(flags, start, capsys):
    wrong = ["lstm=0.1", "pi_head", "img_process=0", "final_ln=1", "net.final_ln=2", "lastlayer=inf"]
    with pytest.raises(SystemExit) as refused:
        train.main([*flags, "--lr_scale", *wrong, "--ema", "1", "--kl_to_start", "2"])
    assert refused.value.code == 2
    error = capsys.readouterr().err
    for sentence in (
        "--lr_scale lstm: the policy has no such part",
        "--lr_scale pi_head must be PART=S with S above 0",
        "--lr_scale img_process=0 must be",
        "--lr_scale lastlayer=inf must be",
        "--lr_scale names final_ln twice",
        "--ema 1.0 is not below 1",
        "--kl_to_start 2 is for a start worth staying near; give --in_weights",
    ):
        assert sentence in error
    with pytest.raises(SystemExit):
        train.main([*flags, "--freeze", "img_process", "--lr_scale", "img_process=0.1"])
    assert "--lr_scale img_process: this part is not trained" in capsys.readouterr().err


# ---- near the start ----


def test_the_divergence_is_torchs_own_and_the_start_remembers_for_itself():
    torch.manual_seed(0)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    start = StartPolicy(policy)
    obs = {
        "img": torch.randint(0, 255, (2, 16, 32, 32, 3), dtype=torch.uint8),
        "mineclip_embed": torch.randn(2, 16, 8),
    }
    first = torch.zeros(2, 16, dtype=torch.bool)
    first[:, 0] = True
    (whole, _), _ = policy(obs, first, policy.initial_state(2))
    halves = [
        start.log_probs({name: value[:, half] for name, value in obs.items()}, first[:, half])
        for half in (slice(0, 8), slice(8, 16))
    ]
    for name in ("buttons", "camera"):
        torch.testing.assert_close(
            torch.cat([half[name] for half in halves], 1), whole[name], rtol=1e-4, atol=1e-5
        )
    other = {name: torch.randn_like(values).log_softmax(-1) for name, values in whole.items()}
    kl = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=whole[name]),
            torch.distributions.Categorical(logits=other[name]),
        ).mean()
        for name in whole
    )
    torch.testing.assert_close(kl_divergence(whole, other), kl)
    assert kl_divergence(whole, whole).item() == pytest.approx(0, abs=1e-6)


def test_a_strong_pull_keeps_the_policy_near_its_start(flags, start, tmp_path):
    flags = [*flags, *SHORT, "--in_weights", str(start)]
    plain = run(flags, tmp_path / "plain", "--kl_to_start", "1e-9")
    held = run(flags, tmp_path / "held", "--kl_to_start", "1k")
    free, near = rows(tmp_path / "plain", "loss/kl_to_start"), rows(tmp_path / "held", "loss/kl_to_start")
    assert near[-1] < free[-1] / 2
    assert (
        rows(tmp_path / "plain", "loss/train")[:2] == rows(tmp_path / "held", "loss/train")[:2]
    )  # the loss alone
    assert distance(plain, held) > 0


def test_another_start_of_the_same_name_is_refused(flags, start, tmp_path, capsys):
    shutil.copy(start, tmp_path / "in.weights")
    flags = [*flags, *SHORT, "--in_weights", str(tmp_path / "in.weights"), "--kl_to_start", "0.1"]
    train.main(flags)
    state = read_state_dict(start)
    torch.save({name: value + 0.01 for name, value in state.items()}, tmp_path / "in.weights")
    with pytest.raises(SystemExit):
        train.main([*flags, "--n_frames", "256"])
    assert "start was" in capsys.readouterr().err
    goalless = {name: value for name, value in state.items() if "mineclip_embed_linear" not in name}
    torch.save(goalless, tmp_path / "in.weights")
    with pytest.raises(SystemExit):
        train.main([*flags, "--reset_checkpoint_dir"])
    assert "so the start knows nothing of these goals" in capsys.readouterr().err


def test_weights_are_pulled_by_rate_times_strength_times_what_lies_between():
    """By the formula, each group at its own rate; what is frozen is no part of it."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[2].requires_grad_(False)
    near = StartWeights(module, 10)
    groups = [{"params": list(module[0].parameters()), "lr": 0.01}]
    groups += [{"params": list(module[1].parameters()), "lr": 0.002}]
    optimizer = torch.optim.SGD(groups)
    begun = [p.detach().clone() for p in module.parameters()]
    with torch.no_grad():
        for p in module[:2].parameters():
            p += torch.randn_like(p)
    moved = [p.detach().clone() for p in module.parameters()]
    expected = sum(float((now - then).square().sum()) for now, then in zip(moved, begun, strict=True)) ** 0.5
    assert near.distance() == pytest.approx(expected, rel=1e-5)
    near.pull(optimizer)
    for p, now, then, share in zip(
        module.parameters(), moved, begun, [0.1] * 2 + [0.02] * 2 + [0] * 2, strict=True
    ):
        torch.testing.assert_close(p.detach(), now + share * (then - now))


def test_a_pull_on_the_weights_keeps_them_near_the_start_and_is_logged(flags, start, tmp_path):
    flags = [*flags, *SHORT, "--in_weights", str(start), "--weight_decay", "0"]
    free = run(flags, tmp_path / "free")
    barely = run(flags, tmp_path / "barely", "--l2_to_start", "1e-9")
    held = run(flags, tmp_path / "held", "--l2_to_start", "900")
    assert not rows(tmp_path / "free", "l2_to_start")
    assert 0 < distance(held, start) < 0.6 * distance(free, start)
    assert distance(barely, start) == pytest.approx(distance(free, start), rel=1e-3)
    trained = {n: t for n, t in read_state_dict(held).items() if not n.startswith("value_head")}
    begun = read_state_dict(start)
    expected = sum(float((t - begun[n]).square().sum()) for n, t in trained.items()) ** 0.5
    assert rows(tmp_path / "held", "l2_to_start")[-1] == pytest.approx(expected, rel=1e-4)
    assert read_metadata(held)["flags"]["l2_to_start"] == 900


def test_a_pull_that_makes_no_sense_is_refused(flags, start, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main([*flags, "--l2_to_start", "2"])
    assert "--l2_to_start 2 is for a start worth staying near; give --in_weights" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main([*flags, "--in_weights", str(start), "--learning_rate", "0.01", "--l2_to_start", "100"])
    assert "--l2_to_start 100 times --learning_rate 0.01 must be below 1" in capsys.readouterr().err
    state = read_state_dict(start)
    vpt = tmp_path / "vpt.weights"
    torch.save({n: t for n, t in state.items() if "mineclip_embed_linear" not in n}, vpt)
    with pytest.raises(SystemExit):
        train.main([*flags, "--in_weights", str(vpt), "--l2_to_start", "2"])
    assert "--l2_to_start 2: net.mineclip_embed_linear" in capsys.readouterr().err


# ---- kept picture features ----


def test_training_from_kept_features_has_the_same_losses_and_looks_at_no_picture(
    flags, start, tmp_path, monkeypatch, capsys
):
    flags = [*flags, *SHORT, "--in_weights", str(start), "--freeze", "img_process"]
    plain = run(flags, tmp_path / "plain", "--cache_features", "False")
    seen = []
    original = MinecraftDataset.load_frames
    monkeypatch.setattr(MinecraftDataset, "load_frames", lambda *a: seen.append(a[1]) or original(*a))
    kept = run(flags, tmp_path / "kept", "--num_workers", "2")
    assert len(set(seen)) == 5  # of training and validation
    for tag in ("loss/train", "loss/val", "loss/val_shuffled"):
        curve = rows(tmp_path / "plain", tag)
        assert curve
        assert rows(tmp_path / "kept", tag) == pytest.approx(curve, abs=1e-4)
    assert distance(plain, kept) < 1e-3 * distance(plain, start)
    files = sorted((tmp_path / "kept" / "features").rglob("*"))
    assert len([p for p in files if p.suffix == ".npy"]) == 5
    assert not [p for p in files if ".partial" in p.name]

    seen.clear()
    longer = run(flags, tmp_path / "kept", "--n_frames", "192")
    assert not seen  # found again
    next(p for p in files if p.suffix == ".npy").write_bytes(b"torn")
    capsys.readouterr()
    train.main(
        [
            *flags,
            "--n_frames",
            "256",
            "--checkpoint_dir",
            str(tmp_path / "kept"),
            "--out_weights",
            str(longer),
        ]
    )
    assert len(set(seen)) == 1
    assert "Computing the picture features of 1 episode(s)" in capsys.readouterr().out


def test_features_of_other_weights_and_other_frames_are_others(sampling, start, tmp_path):
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY))
    episode = shutil.copytree((sampling / "tiny_train.txt").read_text().split()[0], tmp_path / "e")
    first = feature_cache.FeatureCache(policy, "no", tmp_path).path(str(episode))
    assert feature_cache.FeatureCache(policy, "no", tmp_path).path(str(episode)) == first
    picture = next(p for p in sorted(episode.rglob("*")) if p.is_file())
    os.utime(picture, ns=(1, 1))
    others = {first, feature_cache.FeatureCache(policy, "no", tmp_path).path(str(episode))}
    others.add(feature_cache.FeatureCache(policy, "bf16", tmp_path).path(str(episode)))
    with torch.no_grad():
        next(policy.net.img_process.parameters()).add_(1)
    others.add(feature_cache.FeatureCache(policy, "no", tmp_path).path(str(episode)))
    assert len(others) == 4
    with torch.no_grad():
        next(policy.net.img_process.parameters()).fill_(np.nan)
    dataset = MinecraftDataset([episode], 24, 15, 200, img_size=(32, 32))
    cache = feature_cache.FeatureCache(policy, "no", tmp_path)
    with pytest.raises(ValueError, match="holds NaN or inf"):
        cache.compute(dataset, str(episode))
    assert not cache.path(str(episode)).exists()


def test_augmentation_turns_the_cache_off_and_says_so(flags, tmp_path, capsys):
    run([*flags, *SHORT], tmp_path, "--freeze", "img_process", "--augment")
    assert (
        "Picture features are not kept, but computed in every step: --augment changes"
        in capsys.readouterr().out
    )
    assert not (tmp_path / "features").exists()


def test_what_needs_whole_weights_is_refused_or_off_where_they_are_in_parts(
    flags, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(opening, "_sharded", lambda _: True)
    with pytest.raises(SystemExit):
        run([*flags, *SHORT], tmp_path, "--ema", "0.9")
    assert "--ema 0.9 can't average what FSDP keeps in parts" in capsys.readouterr().err
    run([*flags, *SHORT], tmp_path, "--freeze", "img_process")
    assert "computed in every step: FSDP has" in capsys.readouterr().out


def test_a_disk_that_is_too_small_is_said_before_training(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10**9))
    with pytest.raises(SystemExit):
        run([*flags, *SHORT], tmp_path, "--freeze", "img_process")
    assert "--cache_features False" in capsys.readouterr().err


# ---- all of it at once ----


def test_with_everything_on_a_stopped_run_ends_like_an_unbroken_one(flags, start, tmp_path, monkeypatch):
    flags = [
        *flags,
        "--in_weights",
        str(start),
        "--freeze",
        "img_process",
        "--ema",
        "0.9",
        "--kl_to_start",
        "0.5",
        "--l2_to_start",
        "20",
    ]
    flags += ["--lr_scale", "recurrent_layer=0.3", "pi_head=2"]
    whole = run(flags, tmp_path / "whole")
    original = train.step

    def stepping(self, batch):
        original(self, batch)
        if self.progress.step == 5:  # in the middle of an update, and of a batch
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train, "step", stepping)
        with pytest.raises(SystemExit):
            run(flags, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "features")  # computed anew, to the bit
    stopped = run(flags, tmp_path / "stopped")
    for kind in ("", "_ema", "_best", "_ema_best"):
        assert_equal_weights(whole.with_name(f"o{kind}.weights"), stopped.with_name(f"o{kind}.weights"))
    for tag in ("loss/val", "loss/val_ema"):
        assert rows(tmp_path / "whole", tag) == rows(tmp_path / "stopped", tag)
    assert len(read_state_dict(whole)) == len(read_state_dict(start))
