"""The whole walk on very small models, through every entry point's ``main``: recordings in, trained weights out."""

import itertools
import json
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tiny_mineclip import TINY_MINECLIP

from data import EpisodeStorage as episode_module
from data.EpisodeStorage import EpisodeStorage
from data.generation import convert_custom_data, convert_from_contractor
from data.minecraft_dataset import load_sampling
from data.sampling import generate_sampling
from steve1.checkpoints import load_model_file, load_weights, read_metadata, save_mineclip
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.mineclip import MineCLIP
from steve1.prior import load_prior
from training import train, train_prior

N_LINES = 160


def write_video(path, n_frames, seed):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (36, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for i in range(n_frames):
            image = np.roll(base, i, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def walked(tmp_path_factory, vectors):
    """Steps 1 and 2 done: a folder with recordings, episodes, a sampling and a small MineCLIP."""
    folder = tmp_path_factory.mktemp("walk")
    torch.manual_seed(0)
    save_mineclip(MineCLIP({**TINY_MINECLIP, "vocab_size": 49408}), folder / "mineclip.pth")
    with open(vectors / "contractor_recording.jsonl") as file:
        lines = list(itertools.islice(file, N_LINES))
    for i in range(4):
        (own := folder / "own" / f"clip_{i}").mkdir(parents=True)
        write_video(own / "video.mp4", N_LINES, seed=i)
        (own / "actions.jsonl").write_text("".join(lines))
    mineclip = ["--mineclip_weights", str(folder / "mineclip.pth")]
    convert_custom_data.main(
        ["--input_dir", str(folder / "own"), "--output_dir", str(folder / "dataset_custom"), *mineclip]
    )
    generate_sampling.main(
        [
            *("--type", "custom", "--name", "walk", "--dataset_dirs", str(folder / "dataset_custom")),
            *("--output_dir", str(folder / "samplings"), "--val_frames", "100", "--T", "32"),
        ]
    )
    return folder


def train_flags(folder):
    return [
        *(
            "--in_model",
            str(Path(__file__).parent / "tiny_policy.json"),
            "--out_weights",
            str(folder / "w/my.weights"),
        ),
        *("--sampling", "walk", "--sampling_dir", str(folder / "samplings"), "--T", "32", "--trunc_t", "16"),
        *(
            "--batch_size",
            "2",
            "--gradient_accumulation_steps",
            "1",
            "--warmup_frames",
            "64",
            "--n_frames",
            "256",
        ),
        *("--val_freq_begin", "4", "--save_freq", "4", "--log_freq", "2", "--num_workers", "0"),
        *("--snapshot_every_n_frames", "128", "--checkpoint_dir", str(folder / "my_checkpoint")),
        *("--log_dir", str(folder / "logs")),
    ]


def test_recordings_become_valid_episodes_with_the_kept_lines(walked, vectors):
    kept = np.load(vectors / "contractor_recording_expected.npz")["kept"]
    episodes = sorted((walked / "dataset_custom").iterdir())
    assert [e.name for e in episodes] == [f"clip_{i}" for i in range(4)]
    for path in episodes:
        episode = EpisodeStorage(path)
        assert episode.validate(deep=True) == []
        assert len(episode) == (kept < N_LINES).sum()
        assert episode.load_embeds_attn().shape == (len(episode), 8)
    episode_module.main(["--validate", str(walked / "dataset_custom")])


def test_the_sampling_lists_every_episode_once(walked):
    train_dirs, val_dirs = load_sampling(walked / "samplings", "walk")
    assert len(set(train_dirs) | set(val_dirs)) == len(train_dirs) + len(val_dirs) == 4


def test_a_policy_is_trained_and_the_same_command_goes_on(walked, capsys):
    train.main(train_flags(walked))
    names = {"my", "my_latest", "my_best", "my_snapshot_128", "my_snapshot_256"}
    assert {p.stem for p in (walked / "w").glob("*.weights")} == names
    assert {p.stem for p in (walked / "w").glob("*.json")} == names
    assert list((walked / "my_checkpoint" / "logs").glob("events.out.tfevents.*"))
    assert len(list((walked / "logs").glob("train_????????.log"))) == 1
    policy = MinecraftAgentPolicy(*load_model_file(walked / "w" / "my.json"))
    load_weights(policy, walked / "w" / "my_best.weights")

    capsys.readouterr()
    train.main([*train_flags(walked), "--n_frames", "384"])
    out = capsys.readouterr().out
    assert "Resuming from" in out
    assert "at step 8" in out
    assert read_metadata(walked / "w" / "my.weights")["step"] == 12
    hashes = read_metadata(walked / "w" / "my.weights")["data"]["mineclip_hashes"]
    assert hashes == [EpisodeStorage(walked / "dataset_custom" / "clip_0").metadata["mineclip_hash"]]


def test_a_prior_is_trained_and_the_same_command_finds_it_done(walked, capsys):
    rng = np.random.default_rng(0)
    text = rng.normal(size=(40, 8)).astype(np.float32)
    pairs = {"text_embeddings": list(text), "visual_embeddings": list(text + 1)}
    (walked / "data.pkl").write_bytes(pickle.dumps(pairs))
    flags = [
        *("--data_path", str(walked / "data.pkl"), "--output_path", str(walked / "w" / "prior.pt")),
        *(
            "--hidden_dim",
            "16",
            "--latent_dim",
            "4",
            "--batch_size",
            "8",
            "--n_validation",
            "8",
            "--n_epochs",
            "2",
        ),
    ]
    train_prior.main(flags)
    prior = load_prior(walked / "w" / "prior.pt")
    assert prior(torch.from_numpy(text), deterministic=True).shape == (40, 8)
    before = (walked / "w" / "prior.pt").read_bytes()
    train_prior.main(flags)
    assert (walked / "w" / "prior.pt").read_bytes() == before


def test_contractor_recordings_in_a_folder_are_converted_too(walked, tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    names = [f"player-alias-0123456789a{i}-20220101-00000{i}" for i in range(2)]
    for i, name in enumerate(names):
        source = walked / "own" / f"clip_{i}"
        (recordings / f"{name}.mp4").write_bytes((source / "video.mp4").read_bytes())
        (recordings / f"{name}.jsonl").write_bytes((source / "actions.jsonl").read_bytes())
    convert_from_contractor.main(
        [
            *("--local_dir", str(recordings), "--output_dir", str(tmp_path / "dataset_contractor")),
            *("--cache_dir", str(tmp_path / "cache"), "--min_timesteps", "50", "--frame_format", "mp4"),
            *("--mineclip_weights", str(walked / "mineclip.pth")),
        ]
    )
    episodes = [EpisodeStorage(tmp_path / "dataset_contractor" / name) for name in names]
    assert [e.frame_format for e in episodes] == ["mp4", "mp4"]
    assert all(e.validate(deep=True) == [] for e in episodes)
    assert (recordings / f"{names[0]}.mp4").exists()  # the user's own files stay
    assert (
        json.loads((tmp_path / "dataset_contractor" / names[0] / "metadata.json").read_text())["n_frames"]
        > 50
    )
