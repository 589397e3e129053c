"""What is wrong with an episode, and what happens to loading processes, is one sentence, however many load."""

import os
import pickle
import re
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import TINY_POLICY
from tiny_episodes import WIDTH, make_episode
from torch.utils.data import DataLoader

from data import inspect_batch, loader_errors
from data.episode_checks import OtherLength
from data.EpisodeStorage import EpisodeStorage, convert_frames
from data.loader_errors import explained, explanation, shared_memory_note
from data.minecraft_dataset import MinecraftDataset, batches
from data.text_alignment.mine_prior_dataset import main as mine
from data.video import Undecodable
from steve1.cli import UserError
from training import train

T = 40


def spoil(frame, value):
    """An episode whose embedding at ``frame`` holds one ``value``."""

    def change(folder):
        path = folder / "embeds_attn.pkl"
        rows = pickle.loads(path.read_bytes())
        rows[frame, 3] = value
        path.write_bytes(pickle.dumps(rows))

    return change


def narrower(folder):
    (folder / "embeds_attn.pkl").write_bytes(pickle.dumps(np.zeros((T, WIDTH - 2), np.float32)))


def smaller_picture(folder):
    cv2.imwrite(str(folder / "frames" / "00020.png"), np.zeros((64, 96, 3), np.uint8))


def torn_video(folder):
    convert_frames(folder, "mp4")
    path = folder / "frames.mp4"
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)  # the index at the end stays
    path.write_bytes(content)


DAMAGE = {
    "a missing frame": (lambda f: (f / "frames" / "00020.png").unlink(), r"frames/00020\.png is missing"),
    "a folder for a frame": (
        lambda f: [(f / "frames" / "00020.png").unlink(), (f / "frames" / "00020.png").mkdir()],
        r"frames/00020\.png can't be read",
    ),
    "an empty frame": (
        lambda f: (f / "frames" / "00020.png").write_bytes(b""),
        r"00020\.png is not a readable",
    ),
    "a smaller picture": (smaller_picture, r"00020\.png is 96x64, but stored frames are 128x128"),
    "a torn video": (torn_video, r"frames\.mp4"),
    "no embeddings": (lambda f: (f / "embeds_attn.pkl").unlink(), r"embeds_attn\.pkl is missing"),
    "a torn pickle": (lambda f: os.truncate(f / "embeds_attn.pkl", 90), "not a readable pickle"),
    "NaN": (spoil(22, np.nan), r"embeds_attn\.pkl, frame 22: the embedding holds NaN"),
    "infinite": (spoil(17, np.inf), r"embeds_attn\.pkl, frame 17: the embedding holds infinite numbers"),
    "two widths": (narrower, rf"bad are {WIDTH - 2} wide, and those of .*good {WIDTH}"),
    "no actions": (lambda f: (f / "actions.jsonl").unlink(), r"actions\.jsonl is missing"),
    "a torn line": (
        lambda f: os.truncate(f / "actions.jsonl", os.path.getsize(f / "actions.jsonl") - 9),
        "torn",
    ),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_episode(tmp_path_factory.mktemp("episodes") / "good", T)


@pytest.fixture
def pair(good, tmp_path):
    """A good episode and one that is to be spoilt."""
    return [good, Path(shutil.copytree(good, tmp_path / "bad"))]


def loader(folders, workers, batch_size=1):
    return DataLoader(
        MinecraftDataset(folders, 25, 5, 20, p_uncond=0.0), batch_size=batch_size, num_workers=workers
    )


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_sentence_that_names_the_episode(pair, kind, workers):
    damage, says = DAMAGE[kind]
    damage(pair[1])
    seen = []
    with pytest.raises(UserError) as raised:
        seen += batches(loader(pair, workers))
    assert re.search(says, str(raised.value)), raised.value
    assert str(pair[1]) in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("lost", ["frames/00050.png", "embeds_attn.pkl"])
@pytest.mark.parametrize("workers", ["0", "4"])
def test_training_names_the_file_and_leaves_with_1(flags, sampling, tmp_path, capfd, lost, workers):
    bad = Path(shutil.copytree(sampling / "episodes" / "e0", tmp_path / "bad"))
    (bad / lost).unlink()
    for part in ("train", "val"):
        (tmp_path / f"bad_{part}.txt").write_text(f"{bad}\n")
    broken = ["--sampling", "bad", "--sampling_dir", str(tmp_path), "--num_workers", workers]
    with pytest.raises(SystemExit) as left:
        train.main([*flags, *broken])
    assert left.value.code == 1
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert re.findall("^error: .*", said.err, re.M) == [
        line for line in said.err.splitlines() if f"{bad / lost} is missing" in line
    ]


def test_validation_and_a_look_at_a_batch_name_it_too(flags, sampling, tmp_path, capsys):
    bad = Path(shutil.copytree(sampling / "episodes" / "e0", tmp_path / "bad"))
    spoil(60, np.nan)(bad)
    (tmp_path / "bad_train.txt").write_text((sampling / "tiny_train.txt").read_text())
    (tmp_path / "bad_val.txt").write_text(f"{bad}\n")
    where = ["--sampling", "bad", "--sampling_dir", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        train.main([*flags, *where])
    assert left.value.code == 1
    assert f"{bad / 'embeds_attn.pkl'}, frame 60: the embedding holds NaN" in capsys.readouterr().err
    (tmp_path / "bad_train.txt").write_text(f"{bad}\n")
    with pytest.raises(SystemExit) as left:
        inspect_batch.main(
            [
                *where,
                "--T",
                "24",
                "--trunc_t",
                "8",
                "--batch_size",
                "2",
                "--output_path",
                str(tmp_path / "b.png"),
            ]
        )
    assert left.value.code == 1
    assert "frame 60" in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()


def test_two_widths_are_refused_before_training(flags, sampling, tmp_path, capsys):
    narrow = make_episode(tmp_path / "narrow", T + 10)
    episode = EpisodeStorage(narrow)
    EpisodeStorage.write(
        narrow, episode.load_frames(), episode.load_actions(), episode.load_embeds_attn()[:, :6], {}
    )
    (tmp_path / "s_train.txt").write_text((sampling / "tiny_train.txt").read_text())
    (tmp_path / "s_val.txt").write_text(f"{narrow}\n")
    with pytest.raises(SystemExit):
        train.main([*flags, "--sampling", "s", "--sampling_dir", str(tmp_path)])
    said = capsys.readouterr().err
    assert "6 in" in said
    assert "8 in" in said


def test_mining_refuses_what_is_not_finite(pair, tmp_path, capsys):
    import torch

    from steve1.checkpoints import save_mineclip
    from steve1.mineclip import MineCLIP
    from training.train_mineclip import PRESETS

    torch.manual_seed(0)
    save_mineclip(MineCLIP({**PRESETS["tiny"], "embed_dim": WIDTH}), tmp_path / "m.pth")
    spoil(30, np.inf)(pair[1])
    with pytest.raises(SystemExit):
        mine(
            [
                *("--instructions", "a,b", "--episodes_dir", str(pair[1]), "--allow_other_mineclip"),
                *("--mineclip_weights", str(tmp_path / "m.pth"), "--output_path", str(tmp_path / "x.pkl")),
            ]
        )
    assert f"{pair[1] / 'embeds_attn.pkl'}, frame 30" in capsys.readouterr().err


# ---- lost workers, full shared memory ----


class Dies:
    """Items that end the process which loads them."""

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, r"is killed by signal: Killed.*want of memory.*fewer --num_workers"),
        (signal.SIGBUS, r"/dev/shm \([\d.]+ [GM]B\) is full.*docker run --shm-size.*fewer --num_workers"),
    ],
)
def test_a_lost_worker_says_what_to_do(number, says):
    with pytest.raises(UserError, match=says):
        list(batches(DataLoader(Dies(number), num_workers=1)))


def test_a_worker_lost_in_the_middle_of_a_step_ends_training_in_one_sentence(flags, capsys, monkeypatch):
    def step(run, batch):  # as torch's handler of SIGCHLD does, wherever the main process is
        raise RuntimeError(
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that ..."
        )

    monkeypatch.setattr(train, "step", step)
    with pytest.raises(SystemExit) as left:
        train.main(flags)
    assert left.value.code == 1
    assert "--shm-size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("unable to write to file </torch_12_34_0>: No space left on device (28)", "--shm-size"),
        ("unable to allocate shared memory(shm) for file </torch_1_2_3>: x (2)", "--shm-size"),
        (
            "unable to mmap 393216000 bytes from file </torch_1_2_3>: Cannot allocate memory (12)",
            "--shm-size",
        ),
        ("DataLoader worker (pid(s) 11, 12) exited unexpectedly", "want of memory"),
        ("Too many open files. Communication with the workers is no longer possible.", "ulimit -n"),
        ("received 0 items of ancdata", "ulimit -n"),
    ],
)
def test_torchs_words_are_understood(said, says):
    assert says in explanation(said)


def test_other_errors_are_left_alone():
    assert explanation("Caught RuntimeError in DataLoader worker process 0.\nshape mismatch") is None
    with pytest.raises(RuntimeError, match="shape mismatch"), explained():
        raise RuntimeError("shape mismatch")


def test_small_shared_memory_is_warned_of(monkeypatch, flags, capsys):
    monkeypatch.setattr(loader_errors, "_free", lambda: 64 * 2**20)
    published = 12 * 640 * (128 * 128 * 3 + 4 * 512 + 17)
    note = shared_memory_note(published, workers=4, loaders=2)
    assert "has 67.1 MB free" in note
    assert "batches of 0.39 GB that 4 --num_workers load ahead take up to 6.69 GB" in note
    assert "--shm-size" in note
    assert shared_memory_note(published, workers=0) is None
    assert shared_memory_note(2**20, workers=4) is None
    assert shared_memory_note(2**20, workers=4, processes=8) is not None
    # Training says it before it begins. A tiny batch is 2 x 24 x (32 x 32 x 3 + 4 x 8 + 17) bytes.
    monkeypatch.setattr(loader_errors, "_free", lambda: 9 * 149_808 - 1)
    short = [
        "--n_frames",
        "32",
        "--warmup_frames",
        "8",
        "--val_freq",
        "0",
        "--val_freq_begin",
        "0",
        "--num_workers",
        "4",
    ]
    train.main([*flags, *short, "--in_model", str(TINY_POLICY)])
    assert "warning: /dev/shm has 1.3 MB free" in capsys.readouterr().out


@pytest.mark.parametrize("error", [Undecodable("x.mp4", 7), OtherLength(3, "x has 3 frames")])
def test_errors_come_whole_out_of_other_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
