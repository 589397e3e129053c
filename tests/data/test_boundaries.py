"""Where behaviours end: the rule, its file, and goals that lie there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import make_episode

from data.boundaries import Boundaries, Rule, find_boundaries
from data.EpisodeStorage import EpisodeStorage
from data.goals import sample_goals
from data.minecraft_dataset import MinecraftDataset
from steve1.cli import UserError

losses = st.lists(st.floats(0, 20), min_size=1, max_size=120)
gaps = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair)))
frames = st.lists(st.integers(0, 199), unique=True, max_size=30).map(sorted)


@given(losses, st.floats(0.5, 6), st.integers(1, 30), st.lists(st.integers(1, 119), unique=True, max_size=3))
def test_the_rule_is_the_formula(nll, threshold, min_length, cuts):
    cuts = sorted(cut for cut in cuts if cut < len(nll))
    found = find_boundaries(np.array(nll), Rule(threshold, min_length), cuts).tolist()
    begins = sorted({0, *cuts, *(b + 1 for b in found)})
    for t in range(1, len(nll)):
        s = max(begin for begin in begins if begin < t)
        stands_out = t - s >= min_length and nll[t] > threshold + sum(nll[s:t]) / (t - s)
        near = abs(nll[t] - threshold - sum(nll[s:t]) / (t - s)) < 1e-9
        assert near or (t - 1 in found) == (stands_out and t not in cuts)


def test_a_behaviour_that_is_surprising_throughout_ends_once():
    nll = np.array([0.5] * 40 + [9.0] * 40 + [0.5] * 40 + [9.0])
    assert find_boundaries(nll[:120], Rule(4.0, 16)).tolist() == [39]
    assert find_boundaries(nll, Rule(4.0, 16), [40]).tolist() == [119]
    assert find_boundaries(nll, Rule(4.0, 16), [100]).tolist() == [39, 119]
    assert find_boundaries(nll, Rule(4.0, 41)).tolist() == [40, 119]
    assert find_boundaries(nll, Rule(8.6, 16)).tolist() == []


@given(st.integers(0, 9), gaps, frames)
def test_goals_are_the_next_boundaries_and_drawn_where_there_is_none(seed, gap, marks):
    minimum, maximum = gap
    goals = sample_goals(200, minimum, maximum, np.random.default_rng(seed), (), marks)
    last = 0
    for goal in goals[:-1].tolist():
        within = [b for b in marks if last + minimum <= b < last + maximum]
        assert goal == within[0] if within else last + minimum <= goal < last + maximum
        last = goal
    assert goals[-1] == 199
    assert (np.diff(goals) > 0).all()
    drawn = sample_goals(200, minimum, maximum, np.random.default_rng(seed))
    assert sample_goals(200, minimum, maximum, np.random.default_rng(seed), (), []).tolist() == drawn.tolist()


@given(st.integers(0, 9), gaps, frames, st.lists(st.integers(1, 199), unique=True, max_size=5).map(sorted))
def test_no_boundary_beyond_a_cut_is_a_goal(seed, gap, marks, cuts):
    goals = sample_goals(200, *gap, np.random.default_rng(seed), cuts, marks)
    assert set(np.array(cuts, dtype=int) - 1) <= set(goals)
    for begin, end in zip([0, *cuts], [*cuts, 200], strict=True):
        own = goals[(goals >= begin) & (goals < end)]
        assert begin == 0 or all(goal >= begin + 15 or goal == end - 1 for goal in own)


def test_a_file_that_is_not_whole_is_refused(tmp_path):
    marks = Boundaries.mark(np.arange(60) % 31, "abc", Rule(), [20])
    again = Boundaries.from_bytes(marks.to_bytes())
    assert again.frames.tolist() == marks.frames.tolist()
    assert again.nll.tobytes() == marks.nll.tobytes()
    assert (again.policy, again.rule, again.cuts) == ("abc", Rule(), (20,))
    assert marks.to_bytes() == again.to_bytes()
    episode = EpisodeStorage(make_episode(tmp_path / "e", 60, cuts=[20]))
    before = episode.fingerprint()
    episode.write_boundaries(marks)
    assert EpisodeStorage(episode.dirpath).load_boundaries().frames.tolist() == marks.frames.tolist()
    assert episode.validate() == []
    assert episode.fingerprint() == before
    path = episode.dirpath / "goal_boundaries.npz"
    for content in (b"", path.read_bytes()[:-30], b"PK\3\4 no zip"):
        path.write_bytes(content)
        assert any("is damaged" in problem for problem in EpisodeStorage(episode.dirpath).validate())
    episode.write_boundaries(Boundaries.mark(np.zeros(60), "abc", Rule(), []))
    assert any("other frames or cuts" in problem for problem in EpisodeStorage(episode.dirpath).validate())


def test_items_want_marks_of_one_maker(tmp_path):
    paths = [make_episode(tmp_path / name, 80) for name in "ab"]
    flags = {"T": 32, "min_btwn_goals": 4, "max_btwn_goals": 30, "p_uncond": 0.0}

    def data():
        return MinecraftDataset(paths, **flags, goal_sampling="boundaries")

    def mark(path, ends, **rule):
        nll = np.zeros(80)
        nll[np.array(ends) + 1] = 9
        EpisodeStorage(path).write_boundaries(Boundaries.mark(nll, "abc", Rule(**rule), []))

    mark(paths[0], [20, 44, 62])
    with pytest.raises(
        UserError, match=r"1 of 2 episodes have no marked .* data/generation/mark_boundaries\.py --s"
    ):
        data()
    mark(paths[1], [30], threshold=5.0)
    with pytest.raises(UserError, match="2 policies or rules"):
        data()
    mark(paths[1], [30])
    items = data()
    assert items.marked_by == {"policy": "abc", "rule": {"threshold": 4.0, "min_length": 16}}
    assert items.goals(0).tolist() == [20] * 6 + [44] * 24 + [62] * 2  # frames 15..46
    assert (items[0][0]["mineclip_embed"][:, 0] == items.goals(0)).all()
    assert MinecraftDataset(paths, **flags).marked_by is None
