"""The moments of a sampling: those that may be goals, within the memory, of one MineCLIP; their pictures."""

import cv2
import numpy as np
import pytest
from tiny_episodes import WIDTH

from data import goal_moments
from data.EpisodeStorage import EpisodeStorage
from data.goal_moments import load_moments
from steve1.cli import UserError
from steve1.vpt.actions import BUTTONS


def episode(folder, name, seed, length=60, **metadata):
    rng = np.random.default_rng(seed)
    actions = {**{key: np.zeros(length, int) for key in BUTTONS}, "camera": np.zeros((length, 2))}
    embeds = rng.normal(size=(length, WIDTH)).astype(np.float32)
    frames = (np.full((128, 128, 3), 4 * t, np.uint8) for t in range(length))
    EpisodeStorage.write(folder / name, frames, actions, embeds, {"mineclip_hash": "a" * 64, **metadata})
    return folder / name, embeds


@pytest.fixture
def sampling(tmp_path):
    made = [episode(tmp_path, f"e{i}", i) for i in range(3)]
    (tmp_path / "mine_train.txt").write_text("".join(f"{path}\n" for path, _ in made))
    return tmp_path / "mine_train.txt", made


def test_every_moment_is_there_with_its_picture(sampling):
    path, made = sampling
    found = load_moments(str(path), WIDTH)
    assert len(found) == 3 * (60 - 15)
    assert f"135 moments of 3 of the 3 episodes of {path}" in found.about
    strip = found.look(made[1][1][33])
    assert (strip.moments[0].episode, strip.moments[0].frame) == ("e1", 33)
    assert strip.moments[0].cosine == pytest.approx(1.0, abs=1e-6)
    picture = cv2.imdecode(np.frombuffer(strip.moments[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 128, 3)
    assert abs(picture.astype(int) - 4 * 33).max() <= 3


def test_a_sampling_is_found_by_name(sampling, tmp_path, monkeypatch):
    monkeypatch.setenv("STEVE1_DATA_ROOT", str(tmp_path / "root"))
    (tmp_path / "root" / "samplings").mkdir(parents=True)
    sampling[0].rename(tmp_path / "root" / "samplings" / "mine_train.txt")
    assert len(load_moments("mine", WIDTH)) == 135


def test_memory_is_bounded_by_taking_every_so_many_th(sampling, monkeypatch):
    path, _ = sampling
    found = load_moments(str(path), WIDTH, megabytes=20 * WIDTH * 4 / 1e6)
    assert len(found) == 3 * 7  # every 7th of 45
    monkeypatch.setattr(goal_moments, "EPISODES", 2)
    assert len(load_moments(str(path), WIDTH)) == 90


def test_frames_after_a_cut_are_no_moments(tmp_path):
    path, _ = episode(tmp_path, "cut", 0, cuts=[30])
    (tmp_path / "list.txt").write_text(f"{path}\n")
    assert len(load_moments(str(tmp_path / "list.txt"), WIDTH)) == 60 - 15 - 15


def test_other_widths_and_other_mineclips_are_refused(sampling):
    path, _ = sampling
    with pytest.raises(UserError, match=r"e0 have 8 numbers, the goals 16; give the sampling"):
        load_moments(str(path), 2 * WIDTH)
    found = load_moments(str(path), WIDTH)
    found.check_made_by("a" * 64)
    found.check_made_by(None)
    with pytest.raises(UserError, match=r"e0 were made by another MineCLIP \(a+\) than the goals \(b+\)"):
        found.check_made_by("b" * 64)
