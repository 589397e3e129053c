"""Episodes that the published code laid down: read, checked, sampled and trained on beside ours."""

import argparse
import json
import pickle
import re

import numpy as np
import pytest
import torch
from published_layout import CONTRACTOR, MIXED_AGENTS, WIDTH, actions, embeds, lay_down
from tiny_episodes import make_episode
from tiny_recordings import number_of

from data import EpisodeStorage as episode_module
from data import inspect_batch
from data.EpisodeStorage import EpisodeStorage, EpisodeWriter, convert_frames, find_episodes
from data.minecraft_dataset import MinecraftDataset
from data.sampling import dataset_summary, generate_sampling
from data.text_alignment import make_prior_dataset, mine_prior_dataset
from data.text_alignment.pairs import load_pairs
from data.visual_sources import episode_goal
from steve1.checkpoints import save_mineclip
from steve1.cli import UserError
from steve1.mineclip import MineCLIP
from steve1.vpt.actions import env_to_agent
from training import train
from training.train_mineclip import PRESETS

N = 60


@pytest.mark.parametrize(
    ("metadata", "lists", "seed"), [(CONTRACTOR, False, 0), (MIXED_AGENTS, True, 1), (None, False, 2)]
)
def test_every_published_form_is_read(tmp_path, metadata, lists, seed):
    episode = EpisodeStorage(lay_down(tmp_path / "e", N, metadata, lists, seed))
    assert len(episode) == N
    assert [number_of(frame) for frame in episode.load_frames(4, 45)] == list(range(4, 45))
    for key, values in actions(N, seed).items():
        np.testing.assert_array_equal(episode.load_actions(3, 20)[key], values[3:20])
    rows = episode.load_goals()
    assert np.isnan(rows[:15]).all()
    np.testing.assert_array_equal(rows[15:], embeds(N, seed + 1)[15:])
    assert episode.validate(deep=True) == []
    assert find_episodes(tmp_path) == [tmp_path / "e"]
    # What it says of itself is kept, and what it does not say is not made up.
    assert {key: episode.metadata[key] for key in metadata or {}} == (metadata or {})
    assert episode.metadata["mineclip_hash"] is None
    assert "embed_dim" not in episode.metadata


def test_its_items_are_those_of_its_arrays(tmp_path):
    data = MinecraftDataset([lay_down(tmp_path / "e", N)], 16, 5, 20, p_uncond=0.0)
    assert data.embed_dim == WIDTH
    obs, taken, _ = data[1]
    joint = env_to_agent(actions(N))
    assert [number_of(frame) for frame in obs["img"]] == list(range(31, 47))
    for head in ("buttons", "camera"):
        assert taken[head].dtype == np.int64
        np.testing.assert_array_equal(taken[head], joint[head][31:47])
    np.testing.assert_array_equal(obs["mineclip_embed"], embeds(N)[data.goals(1)])


def test_frames_are_converted_both_ways(tmp_path):
    folder = lay_down(tmp_path / "e", N)
    for frame_format in ("png", "mp4"):
        assert convert_frames(folder, frame_format)
        episode = EpisodeStorage(folder)
        assert episode.frame_format == frame_format
        assert [number_of(frame) for frame in episode.load_frames()] == list(range(N))
        assert episode.validate(deep=True) == []
        assert episode.metadata["contractor_index"] == 17


def test_it_is_not_replaced_by_an_episode_of_ours(tmp_path):
    folder = lay_down(tmp_path / "e", N)
    with pytest.raises(UserError, match="no episode of ours"), EpisodeWriter(folder):
        pass
    assert EpisodeStorage(folder).validate() == []


def cut_pickle(name):
    def change(folder):
        path = folder / name
        path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes())[:-1]))

    return change


def lost_row(folder):
    path = folder / "embeds_attn.pkl"
    rows = pickle.loads(path.read_bytes())
    rows[40] = None
    path.write_bytes(pickle.dumps(rows))


DAMAGE = {
    "another length": (lambda f: (f / "len.txt").write_text("61"), r"len\.txt says 61.* are 60 each"),
    "no length": (lambda f: (f / "len.txt").unlink(), r"len\.txt, which says how long.* is missing; fetch"),
    "no number": (lambda f: (f / "len.txt").write_text("6O"), "not a number of frames"),
    "fewer actions": (cut_pickle("actions.pkl"), r"actions\.pkl has 59 frames.* 60 by len\.txt; fetch"),
    "fewer embeddings": (cut_pickle("embeds_attn.pkl"), r"embeds_attn\.pkl has 59 rows.* 60 by len\.txt"),
    "a row too little": (lost_row, "row 40 is None"),
    "no actions": (lambda f: (f / "actions.pkl").unlink(), r"actions\.pkl is missing"),
    "no frames": (lambda f: (f / "frames.mp4").unlink(), r"frames\.mp4 is missing"),
    "no object": (lambda f: (f / "metadata.json").write_text("[]"), "no JSON object"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_half_an_episode_is_one_sentence(tmp_path, capsys, kind):
    damage, says = DAMAGE[kind]
    folder = lay_down(tmp_path / "e", N)
    damage(folder)
    with pytest.raises(SystemExit) as left:
        episode_module.main(["--validate", str(tmp_path), "--workers", "1"])
    assert left.value.code == 1
    said = [line for line in capsys.readouterr().out.splitlines() if "with problems" not in line]
    assert len(said) == 1, said
    assert re.search(says, said[0]), said
    with pytest.raises(UserError):
        MinecraftDataset([folder], 16, 5, 20)[0]


@pytest.fixture
def datasets(tmp_path):
    """Five published episodes, and two of ours."""
    for i in range(5):
        metadata = MIXED_AGENTS if i % 2 else CONTRACTOR
        lay_down(tmp_path / "theirs" / f"episode_{i}", 70 + i, metadata, lists=i > 2, seed=i)
    for i in range(2):
        make_episode(tmp_path / "ours" / f"own_{i}", 80, seed=i)
    return tmp_path


def test_they_are_checked_sampled_looked_at_and_trained_on_beside_ours(datasets, flags, capsys):
    folders = [str(datasets / "theirs"), str(datasets / "ours")]
    episode_module.main(["--validate", *folders, "--workers", "1"])
    assert "7 episodes, 0 with problems" in capsys.readouterr().out
    generate_sampling.main(
        [
            *("--type", "mixed", "--name", "both", "--dataset_dirs", ",".join(folders), "--T", "24"),
            *("--dataset_weights", "0.7,0.3", "--output_dir", str(datasets), "--val_frames", "140"),
        ]
    )
    dataset_summary.main(["--dataset_dirs", folders[0], "--workers", "1", "--html", str(datasets / "s.html")])
    said = capsys.readouterr().out
    assert "5 episodes of 5 sessions, 360 frames" in said
    assert "made by MineCLIP unknown" in said
    chosen = ["--sampling", "both", "--sampling_dir", str(datasets)]
    inspect_batch.main(
        [
            *(*chosen, "--T", "24", "--trunc_t", "8", "--batch_size", "4", "--num_workers", "0"),
            *("--min_btwn_goals", "5", "--max_btwn_goals", "20", "--output_path", str(datasets / "b.png")),
        ]
    )
    assert "LOOKS WRONG" not in capsys.readouterr().out
    out = datasets / "w" / "both.weights"
    train.main(
        [
            *(*flags, *chosen, "--n_frames", "96", "--batch_size", "4", "--out_weights", str(out)),
            *("--checkpoint_dir", str(datasets / "both"), "--snapshot_every_n_frames", "0"),
        ]
    )
    note = json.loads(out.with_suffix(".json").read_text())
    assert note["processed_frames"] == 128
    assert note["data"]["mineclip_hashes"] == []
    listed = (datasets / "both_train.txt").read_text() + (datasets / "both_val.txt").read_text()
    assert "episode_" in listed
    assert "own_" in listed


def test_they_make_prior_data_and_goals(tmp_path, capsys):
    folder = lay_down(tmp_path / "theirs" / "e", N)
    torch.manual_seed(0)
    save_mineclip(MineCLIP({**PRESETS["tiny"], "embed_dim": WIDTH}), tmp_path / "m.pth")
    (tmp_path / "labels.jsonl").write_text('{"episode": "e", "start": 10, "stop": 30, "text": "dig"}\n')
    files = ["--mineclip_weights", str(tmp_path / "m.pth"), "--output_path", str(tmp_path / "data.pkl")]
    files += ["--episodes_dir", str(tmp_path / "theirs")]
    labelled = [*files, "--labels", str(tmp_path / "labels.jsonl"), "--pairs_per_segment", "0"]
    with pytest.raises(SystemExit):
        make_prior_dataset.main(labelled)
    assert "does not say which MineCLIP embedded it" in capsys.readouterr().err
    make_prior_dataset.main([*labelled, "--allow_other_mineclip"])
    np.testing.assert_array_equal(load_pairs(tmp_path / "data.pkl")[1], embeds(N)[25:30])

    mine = [*files, "--instructions", "dig,look up", "--top_k", "1", "--sheet_columns", "2"]
    mine_prior_dataset.main([*mine, "--allow_other_mineclip"])
    rows = load_pairs(tmp_path / "data.pkl")[1]
    assert all((row == embeds(N)[15:]).all(axis=1).any() for row in rows)

    args = argparse.Namespace(compare_weights=None, in_weights=None, allow_other_mineclip=False)
    np.testing.assert_array_equal(episode_goal(args, folder, 20, WIDTH).numpy(), embeds(N)[20])
