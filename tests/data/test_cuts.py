"""Cuts: where no action leads from one frame to the next, no goal is taken from beyond."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import make_episode

from data.EpisodeStorage import EpisodeStorage
from data.goals import goal_of_each_frame, sample_goals
from data.minecraft_dataset import MinecraftDataset
from steve1.cli import UserError

gaps = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair)))
some_cuts = st.lists(st.integers(1, 199), unique=True, max_size=6).map(sorted)


def dataset(episodes, **changes):
    return MinecraftDataset(
        **{**dict(episode_dirs=episodes, T=16, min_btwn_goals=3, max_btwn_goals=9), **changes}
    )


@given(some_cuts, gaps, st.integers(0, 9))
def test_no_goal_lies_beyond_a_cut(cuts, gap, seed):
    goals = sample_goals(200, *gap, np.random.default_rng(seed), cuts)
    assert (np.diff(goals) > 0).all()
    segment = np.searchsorted(cuts, np.arange(200), side="right")
    first_of = np.array([0, *cuts])
    found = goal_of_each_frame(goals, 0, 200)
    for t, goal in enumerate(found):
        assert goal >= t
        assert segment[goal] == segment[t]
        # It shows nothing of before the cut, unless the segment has no frame that does so.
        last = goal == 199 or segment[goal + 1] != segment[goal]
        assert segment[t] == 0 or goal - first_of[segment[t]] >= 15 or last
    assert set(np.array(cuts, dtype=int) - 1) <= set(goals)


@given(some_cuts, gaps, st.integers(0, 9))
def test_each_segment_is_drawn_for_as_an_episode_would_be(cuts, gap, seed):
    rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
    goals = sample_goals(200, *gap, rng, cuts)
    wanted = []
    for begin, end in itertools.pairwise([0, *cuts, 200]):
        own = begin + sample_goals(end - begin, *gap, again)
        wanted += [goal for goal in own if begin == 0 or goal >= begin + 15 or goal == end - 1]
    assert goals.tolist() == wanted


@given(st.integers(1, 400), gaps, st.integers(0, 9))
def test_without_cuts_the_draws_are_those_of_before(length, gap, seed):
    goals = sample_goals(length, *gap, np.random.default_rng(seed), [])
    drawn = np.cumsum(np.random.default_rng(seed).integers(*gap, size=length // gap[0] + 1))
    assert goals.tolist() == [*drawn[drawn <= length - 1 - gap[0]], length - 1]


def test_items_of_an_episode_with_cuts(tmp_path):
    # Segments 0..19, 20..27 (too short for an embedding of its own), 28..79.
    path = make_episode(tmp_path / "e", 80, cuts=[20, 28])
    assert EpisodeStorage(path).validate() == []
    data = dataset([path], T=32, p_uncond=0.0, min_btwn_goals=4, max_btwn_goals=7)
    embeds = data[0][0]["mineclip_embed"]  # frames 15..46; row t of the embeddings is t everywhere
    goals = data.goals(0)
    assert goals[:5].tolist() == [19] * 5 or goals[4] == 19
    assert goals[5:13].tolist() == [27] * 8
    assert (embeds[:5, 0] == goals[:5]).all()
    assert (embeds[5:13] == 0).all()  # no goal: every embedding there shows what was before the cut
    assert (embeds[13:, 0] == goals[13:]).all()
    assert (goals[13:] >= 43).all()
    assert (goals[13:28] == goals[13]).all()


@pytest.mark.parametrize("cuts", [[0], [40], [12, 12], [13, 12], [1.5], [True], "12", {"12": 1}])
def test_impossible_cuts_are_refused(tmp_path, cuts):
    with pytest.raises(ValueError, match="cuts must be ascending frame numbers between 1 and 39"):
        make_episode(tmp_path / "e", 40, cuts=cuts)
    path = make_episode(tmp_path / "e", 40)
    said = json.loads((path / "metadata.json").read_text())
    (path / "metadata.json").write_text(json.dumps({**said, "cuts": cuts}))
    assert any("cuts must be" in problem for problem in EpisodeStorage(path).validate())
    with pytest.raises(UserError, match=r"metadata\.json: cuts must be"):
        dataset([path])[0]
