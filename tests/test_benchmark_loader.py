"""The loader's benchmark runs at a tiny size and prints all that it should."""

import os
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from tiny_recordings import make_video, number_of, numbered_frame

from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import MinecraftDataset

MODULE = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "loader.py"))


@pytest.fixture
def main():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield MODULE["main"]
    if before:
        os.sched_setaffinity(0, before)


def test_prints_rates_floors_and_quality(main, tmp_path, capsys):
    make_video(tmp_path / "clip.mp4", range(30), size=(256, 144))
    main(["--frames", "100", "--T", "32", "--items", "3", "--media", str(tmp_path)])
    said = capsys.readouterr().out
    assert "real footage (clip.mp4)" in said
    assert re.search(r"png: [\d,]+ frames/s by the clock.*floor 1,200, ratio \d+\.\d\d\n", said)
    assert "     lossless" in said
    assert re.search(r"mp4: [\d,]+ frames/s by the clock.*floor 1,600, ratio \d+\.\d\d\n", said)
    assert re.search(r"\n +[\d.]+ dB against the frames", said)
    assert len(re.findall(r"the published way [\d,]+ frames/s: ours is \d+\.\d\d times as fast", said)) == 2
    assert len(re.findall(r"a first touch [\d.]+ ms an item, [\d.]+ ms later: \d+\.\d\d times", said)) == 2


@pytest.mark.parametrize("form", ["png", "mp4"])
def test_both_ways_read_the_same_item(tmp_path, form):
    rng = np.random.default_rng(0)
    frames = [numbered_frame(i) for i in range(60)]
    actions = MODULE["random_actions"](60, rng)
    embeds = rng.normal(size=(60, 8)).astype(np.float32)
    episode = EpisodeStorage.write(tmp_path / "e", frames, actions, embeds, {}, form)
    theirs = MODULE["lay_down"](tmp_path / "p", episode, frames, actions, embeds, form)
    read, taken, goals = theirs.item(16, 20)
    obs, ours, _ = MinecraftDataset([episode.dirpath], 16, 59, 60, p_uncond=0.0)[0]
    assert [number_of(frame) for frame in read] == list(range(20, 36))
    if form == "png":
        assert (read[:11] == obs["img"][5:]).all()
    for head in ("buttons", "camera"):
        assert [int(one[head][0]) for one in taken[:11]] == ours[head][5:].tolist()
    assert (goals == obs["mineclip_embed"]).all()


def test_without_clips_it_says_that_they_are_blockworlds(main, tmp_path, capsys):
    main(["--frames", "20", "--T", "4", "--items", "1", "--media", str(tmp_path / "none")])
    assert "frames of BlockWorld" in capsys.readouterr().out


def test_wrong_flags_are_listed_together(main, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--frames", "600", "--T", "640", "--items", "0", "--seed", "-1"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert all(flag in said for flag in ("--T 640", "--items 0", "--seed -1"))
