"""Training towards marked boundaries: what is noted of it, what is refused, and that uniform goals are as they were."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_POLICY as MODEL
from conftest import assert_equal_weights

from data.generation import mark_boundaries
from data.minecraft_dataset import MinecraftDataset, load_sampling
from steve1.checkpoints import load_model_file, read_metadata, save_weights, tensors_hash
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training import train


def test_boundaries_are_trained_towards_and_noted(flags, sampling, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main([*flags, "--goal_sampling", "boundaries"])
    said = capsys.readouterr().err
    assert "3 of 3 episodes have no marked boundaries" in said
    assert "python data/generation/mark_boundaries.py --sampling NAME" in said

    policy = MinecraftAgentPolicy(*load_model_file(MODEL))
    save_weights(policy, tmp_path / "start.weights")
    lists = ["--sampling", "tiny", "--sampling_dir", str(sampling)]
    files = ["--in_model", str(MODEL), "--in_weights", str(tmp_path / "start.weights")]
    rule = ["--threshold", "0.5", "--min_length", "5", "--workers", "1"]
    mark_boundaries.main([*lists, *files, *rule])
    train.main([*flags, "--goal_sampling", "boundaries", "--n_frames", "192"])
    note = read_metadata(tmp_path / "w" / "out.weights")
    assert note["flags"]["goal_sampling"] == note["data"]["goal_sampling"] == "boundaries"
    assert note["data"]["marked_by"] == {
        "policy": tensors_hash(policy),
        "rule": {"threshold": 0.5, "min_length": 5},
    }
    with pytest.raises(SystemExit):  # a run goes on with the goals that it began with
        train.main(flags)
    assert "goal_sampling was boundaries and is uniform" in capsys.readouterr().err

    # Marks alone change nothing.
    again = [*flags, "--reset_checkpoint_dir", "True", "--n_frames", "192"]
    train.main([*again, "--out_weights", str(tmp_path / "w" / "marked.weights")])
    note = read_metadata(tmp_path / "w" / "marked.weights")
    assert (note["data"]["goal_sampling"], note["data"]["marked_by"]) == ("uniform", None)
    for path in Path(sampling).rglob("goal_boundaries.npz"):
        path.unlink()
    train.main([*again, "--out_weights", str(tmp_path / "w" / "unmarked.weights")])
    assert_equal_weights(tmp_path / "w" / "marked.weights", tmp_path / "w" / "unmarked.weights")


def test_uniform_goals_are_those_of_before(sampling):
    """A digest of the goals that were drawn before there were boundaries."""
    data = MinecraftDataset(load_sampling(sampling, "tiny")[0], 24, 5, 20, seed=7)
    goals = np.concatenate([data.goals(item, epoch) for epoch in range(3) for item in range(len(data))])
    assert hashlib.sha256(goals.astype("<i8").tobytes()).hexdigest()[:16] == "70afd14857ad71c2"
