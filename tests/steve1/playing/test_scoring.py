"""MineCLIP scores along an episode: the cosines of embed_frames, with each frame encoded once at most."""

import numpy as np
import pytest
import torch
from tiny_mineclip import TINY_MINECLIP

from steve1.mineclip import MineCLIP, embed_frames
from steve1.playing.scoring import EpisodeScore


@pytest.fixture(scope="module")
def mineclip():
    torch.manual_seed(0)
    return MineCLIP(TINY_MINECLIP)


def frames(n):
    return list(np.random.default_rng(0).integers(0, 256, (n, 24, 32, 3), dtype=np.uint8))


def scored(mineclip, pictures, wanted, every):
    score = EpisodeScore(mineclip, wanted, every)
    for picture in pictures:
        score.add(picture)
    return score.finish()


@pytest.mark.parametrize("every", [1, 5, 16, 23])
def test_scores_are_cosines_with_the_last_16_frames(mineclip, every):
    pictures = frames(70)
    wanted = torch.randn(mineclip.config["embed_dim"], generator=torch.Generator().manual_seed(0))
    series = scored(mineclip, pictures, wanted, every)
    embeds = torch.from_numpy(embed_frames(mineclip, pictures))
    assert series.frames == list(range(15, 70, every))
    by_hand = torch.cosine_similarity(embeds[series.frames], wanted[None])
    assert np.allclose(series.cosines, by_hand, atol=2e-5)
    assert np.ptp(series.cosines) > 1e-4


@pytest.mark.parametrize(("every", "encoded"), [(1, 70), (5, 70), (16, 70), (23, 16 * 3 + 1)])
def test_each_frame_is_encoded_once_and_those_in_no_window_never(mineclip, every, encoded, monkeypatch):
    counts = []
    encode = mineclip.forward_image_features
    monkeypatch.setattr(
        mineclip, "forward_image_features", lambda images: counts.append(len(images)) or encode(images)
    )
    scored(mineclip, frames(70), torch.ones(mineclip.config["embed_dim"]), every)
    assert sum(counts) == encoded


def test_an_episode_shorter_than_a_window_has_no_scores(mineclip):
    series = scored(mineclip, frames(15), torch.ones(mineclip.config["embed_dim"]), 1)
    assert (series.frames, series.cosines) == ([], [])
