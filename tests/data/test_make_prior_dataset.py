"""Pairs for the prior: the right rows of the right episodes, with the texts of their behaviour."""

import json

import numpy as np
import pytest
import torch
from tiny_episodes import make_episode

from data.text_alignment.make_prior_dataset import main
from steve1.checkpoints import load_mineclip, load_pickle, save_mineclip, tensors_hash
from steve1.mineclip import MineCLIP
from training.train_mineclip import PRESETS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A MineCLIP of width 8, as the tiny episodes' embeddings, and two episodes that it made."""
    folder = tmp_path_factory.mktemp("prior")
    torch.manual_seed(0)
    mineclip = MineCLIP({**PRESETS["tiny"], "embed_dim": 8})
    save_mineclip(mineclip, folder / "m.pth")
    for name, length in (("a", 60), ("b", 40)):
        make_episode(folder / "episodes" / name, length, mineclip_hash=tensors_hash(mineclip))
    return folder


def labels(folder, *spans):
    keys = ("episode", "start", "stop", "behaviour", "text")
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(dict(zip(keys, span, strict=True))) + "\n" for span in spans))
    return path


def run(world, tmp_path, *flags):
    files = {"episodes_dir": world / "episodes", "mineclip_weights": world / "m.pth"}
    files |= {"labels": tmp_path / "labels.jsonl", "output_path": tmp_path / "data.pkl"}
    main([*(f"--{name}={path}" for name, path in files.items()), *map(str, flags)])
    return load_pickle(tmp_path / "data.pkl")


def fails(capsys, world, tmp_path, code, *flags):
    with pytest.raises(SystemExit) as left:
        run(world, tmp_path, *flags)
    assert left.value.code == code
    assert not (tmp_path / "data.pkl").exists()
    return capsys.readouterr().err.rpartition("error: ")[2]


def test_every_moment_whose_window_lies_inside(world, tmp_path, capsys):
    labels(tmp_path, ("b", 20, 99, "sky", "up"), ("a", 10, 30, "dig", "down"), ("a", 30, 45, "dig", "down"))
    data = run(world, tmp_path, "--pairs_per_segment=0")
    frames = [*range(25, 30), *range(35, 40)]  # the tiny episodes' row t is t everywhere; b ends at 40
    assert data["frames"] == frames
    assert [float(row[0]) for row in data["visual_embeddings"]] == frames
    assert data["episodes"] == ["a"] * 5 + ["b"] * 5
    assert data["texts"] == ["down"] * 5 + ["up"] * 5
    mineclip = load_mineclip(world / "m.pth")
    with torch.inference_mode():
        expected = mineclip.encode_text(data["texts"]).numpy()
    np.testing.assert_allclose(np.stack(data["text_embeddings"]), expected, rtol=1e-5, atol=1e-6)
    assert data["mineclip_hash"] == tensors_hash(mineclip)
    assert "1 of 3 labels are passed over: no window" in capsys.readouterr().out


def test_moments_are_paired_with_their_behaviours_wordings_in_turn(world, tmp_path):
    labels(tmp_path, ("a", 0, 60, "dig", "down"))
    wordings = {"wordings": {"dig": ["one", "two", "three"]}, "held_out": {"dig": ["four"]}}
    (tmp_path / "wordings.json").write_text(json.dumps(wordings))
    data = run(world, tmp_path, "--pairs_per_segment=3", "--wordings_per_moment=2")
    assert data["texts"] == ["one", "two", "three", "one", "two", "three"]
    first, *_ = data["frames"]
    assert data["frames"][:2] == [first, first]
    assert len(set(data["frames"])) == 3
    assert min(data["frames"]) >= 15
    assert run(world, tmp_path, "--pairs_per_segment=3")["frames"] == data["frames"]
    assert run(world, tmp_path, "--pairs_per_segment=3", "--seed=1")["frames"] != data["frames"]
    assert run(world, tmp_path, "--pairs_per_segment=0", "--min_offset=50")["frames"][0] == 50
    # Rows that have no embedding are never taken.
    assert run(world, tmp_path, "--pairs_per_segment=0", "--min_offset=0")["frames"][0] == 15


def test_train_prior_reads_it(world, tmp_path):
    from training.train_prior import load_pairs

    labels(tmp_path, ("a", 0, 60, "dig", "down"))
    run(world, tmp_path)
    text, visual, mineclip_hash = load_pairs(tmp_path / "data.pkl")
    assert text.shape == visual.shape == (16, 8)
    assert mineclip_hash == tensors_hash(load_mineclip(world / "m.pth"))


def test_another_mineclip_is_refused(world, tmp_path, capsys):
    labels(tmp_path, ("a", 0, 60, "dig", "down"))
    torch.manual_seed(1)
    other = MineCLIP({**PRESETS["tiny"], "embed_dim": 8})
    save_mineclip(other, tmp_path / "other.pth")
    message = fails(capsys, world, tmp_path, 1, f"--mineclip_weights={tmp_path / 'other.pth'}")
    assert tensors_hash(other) in message
    assert tensors_hash(load_mineclip(world / "m.pth")) in message


def test_nothing_left(world, tmp_path, capsys):
    labels(tmp_path, ("z", 0, 60, "dig", "down"), ("a", 0, 9, "dig", "down"))
    message = fails(capsys, world, tmp_path, 1)
    assert "no pair is left of the 2 labels" in message
    assert "no episode has their name" in message


def test_some_labels_without_an_episode_are_counted(world, tmp_path, capsys):
    labels(tmp_path, ("z", 0, 60, "dig", "down"), ("a", 0, 60, "dig", "down"))
    run(world, tmp_path)
    assert "1 of 2 labels are passed over: no episode has their name" in capsys.readouterr().out


def test_all_mistakes_of_flags_at_once(world, tmp_path, capsys):
    message = fails(capsys, world, tmp_path, 2, "--seed=-1", "--wordings=none.json", "--episodes_dir=nowhere")
    for said in ("--seed -1", "--wordings none.json", "--episodes_dir nowhere", "--labels"):
        assert said in message


def test_two_episodes_of_one_name(world, tmp_path, capsys):
    labels(tmp_path, ("a", 0, 60, "dig", "down"))
    make_episode(tmp_path / "more" / "a", 60)
    message = fails(capsys, world, tmp_path, 1, f"--episodes_dir={world / 'episodes'},{tmp_path / 'more'}")
    assert "one name" in message


def test_another_mineclip_s_episodes_by_leave_alone(world, tmp_path, capsys):
    labels(tmp_path, ("a", 10, 40, "dig", "down"))
    torch.manual_seed(5)
    save_mineclip(MineCLIP({**PRESETS["tiny"], "embed_dim": 8}), tmp_path / "other.pth")
    save_mineclip(MineCLIP({**PRESETS["tiny"], "embed_dim": 4}), tmp_path / "narrow.pth")
    other = f"--mineclip_weights={tmp_path / 'other.pth'}"
    assert "was embedded by the MineCLIP with the hash" in fails(capsys, world, tmp_path, 1, other)
    narrow = f"--mineclip_weights={tmp_path / 'narrow.pth'}"
    error = fails(capsys, world, tmp_path, 1, narrow, "--allow_other_mineclip")
    assert "has embeddings of width 8" in error
    assert set(run(world, tmp_path, other, "--allow_other_mineclip")["episodes"]) == {"a"}


def test_episodes_without_labels_of_their_own_are_said(world, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([f"--episodes_dir={world / 'episodes'}", f"--mineclip_weights={world / 'm.pth'}"])
    assert "carries a label; give --labels" in capsys.readouterr().err
