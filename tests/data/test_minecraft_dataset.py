"""Chunks, goals, guidance dropout, the order of items, and reading samplings (docs/formats.md)."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import WIDTH, make_episode
from torch.utils.data import DataLoader

from data.EpisodeStorage import EpisodeStorage
from data.goals import goal_of_each_frame, sample_goals
from data.minecraft_dataset import (
    ItemSampler,
    MinecraftDataset,
    chunk_starts,
    item_order,
    load_sampling,
)
from steve1.cli import UserError
from steve1.streams import numpy_stream
from steve1.vpt.actions import env_to_agent


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes")
    return [make_episode(folder / f"e{n}", length, seed=n) for n, length in enumerate((60, 39, 47))]


def dataset(episodes, **changes):
    return MinecraftDataset(
        **{**dict(episode_dirs=episodes, T=16, min_btwn_goals=3, max_btwn_goals=9), **changes}
    )


gaps = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair)))


@given(st.integers(1, 400), gaps, st.integers(0, 2**40))
def test_goals_keep_their_gaps_and_end_at_the_last_frame(length, gap, seed):
    minimum, maximum = gap
    goals = sample_goals(length, minimum, maximum, np.random.default_rng(seed))
    assert goals[-1] == length - 1
    between = np.diff(np.concatenate([[0], goals]))
    assert (between[:-1] >= minimum).all()
    assert (between[:-1] < maximum).all()
    if len(goals) > 1:
        # Fewer than min frames never remain after a goal, so the last gap is at least min as well.
        assert between[-1] >= minimum
    assert between[-1] < maximum + minimum


@given(st.integers(30, 400), gaps, st.data())
def test_goal_is_the_nearest_at_or_after_the_frame(length, gap, data):
    goals = sample_goals(length, *gap, np.random.default_rng(length))
    start = data.draw(st.integers(0, length - 1))
    T = data.draw(st.integers(1, length - start))
    found = goal_of_each_frame(goals, start, T)
    for t, goal in zip(range(start, start + T), found, strict=True):
        assert goal == min(g for g in goals if g >= t)


def test_gaps_are_uniform():
    goals = sample_goals(400_000, 3, 7, numpy_stream(0))
    values, counts = np.unique(np.diff(goals[:-1]), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6]
    assert np.abs(counts / counts.sum() - 0.25).max() < 0.01


@given(st.integers(1, 300), st.integers(1, 64))
def test_chunks_cover_the_episode_from_15_to_its_end(length, T):
    starts = chunk_starts(length, T)
    if length < T + 15:
        assert starts == []
        return
    covered = np.zeros(length, dtype=int)
    for start in starts:
        covered[start : start + T] += 1
    assert (covered[:15] == 0).all()
    assert (covered[15:] >= 1).all()
    assert starts[-1] == length - T
    assert [start for start in starts[:-1]] == [15 + n * T for n in range(len(starts) - 1)]


def test_published_chunking_example():
    assert chunk_starts(15 + 640, 640) == [15]
    assert chunk_starts(15 + 641, 640) == [15, 16]


def test_item_has_the_episodes_frames_actions_and_goals(episodes):
    data = dataset(episodes, p_uncond=0.0)
    assert data.chunks == [(0, 15), (0, 31), (0, 44), (1, 15), (1, 23), (2, 15), (2, 31)]
    assert data.embed_dim == WIDTH
    assert data.frames == 60 + 39 + 47
    obs, actions, firsts = data[2, 2]
    assert obs["img"].shape == (16, 128, 128, 3)
    assert obs["img"].dtype == np.uint8
    assert obs["img"][:, 5, 5, 0].tolist() == list(range(44, 60))
    assert obs["mineclip_embed"].shape == (16, WIDTH)
    assert obs["mineclip_embed"].dtype == np.float32
    assert obs["mineclip_embed"][:, 0].tolist() == data.goals(2, epoch=2).tolist()
    assert (data.goals(2, epoch=2) >= np.arange(44, 60)).all()
    assert firsts.dtype == bool
    assert firsts.tolist() == [True] + [False] * 15
    whole = EpisodeStorage(episodes[0]).load_actions()
    joint = env_to_agent(whole, whole["camera"])
    for name in ("buttons", "camera"):
        assert actions[name].dtype == np.int64
        assert actions[name].tolist() == joint[name][44:60].tolist()


def test_integer_is_epoch_0_and_epochs_differ(episodes):
    data = dataset(episodes, p_uncond=0.0)
    assert (data[1][0]["mineclip_embed"] == data[0, 1][0]["mineclip_embed"]).all()
    assert len({tuple(data.goals(1, epoch)) for epoch in range(8)}) > 4
    assert len({tuple(dataset(episodes, seed=seed).goals(1)) for seed in range(8)}) > 4
    assert data.goals(1).tolist() == dataset(episodes).goals(1).tolist()


def test_guidance_dropout_zeroes_whole_items_at_its_rate(episodes):
    data = dataset(episodes, p_uncond=0.3)
    dropped = 0
    for epoch in range(40):
        for item in range(len(data)):
            embeds = data[epoch, item][0]["mineclip_embed"]
            assert (embeds == 0).all() or (embeds[:, 0] == data.goals(item, epoch)).all()
            dropped += bool((embeds == 0).all())
    n = 40 * len(data)
    assert abs(dropped / n - 0.3) < 4 * (0.21 / n) ** 0.5
    assert (dataset(episodes, p_uncond=1.0)[0][0]["mineclip_embed"] == 0).all()


def test_frames_are_resized_as_asked(episodes):
    img = dataset(episodes, img_size=(32, 64))[0][0]["img"]
    assert img.shape == (16, 32, 64, 3)
    assert img[:, 3, 3, 1].tolist() == list(range(15, 31))


def test_short_episodes_are_left_out_and_named(episodes, tmp_path):
    data = dataset(episodes, T=26)
    assert data.left_out == [str(episodes[1])]
    with pytest.raises(UserError, match=r"all 3 episodes are shorter than T \+ 15 = 115.*e0"):
        dataset(episodes, T=100)
    with pytest.raises(UserError, match="empty"):
        dataset([])
    with pytest.raises(UserError, match="nowhere does not exist"):
        dataset([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(min_btwn_goals=0), "at least 1"),
        (dict(min_btwn_goals=9), "below the maximum"),
        (dict(p_uncond=1.5), "p_uncond"),
        (dict(T=0), "T is 0"),
        (dict(seed=-1), "seed"),
    ],
)
def test_impossible_values_are_refused(episodes, changes, message):
    with pytest.raises(UserError, match=message):
        dataset(episodes, **changes)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool((one == other).all())


def test_workers_do_not_change_the_batches(episodes):
    data = dataset(episodes, p_uncond=0.5)
    data[0]
    batches = []
    for workers in (0, 2):
        loader = DataLoader(data, batch_sampler=ItemSampler(len(data), 2, seed=3), num_workers=workers)
        batches.append(list(itertools.islice(loader, 6)))
    assert same(*batches)
    assert batches[0][0][0]["img"].shape == (2, 16, 128, 128, 3)


def test_pickle_carries_no_open_episodes(episodes):
    data = dataset(episodes)
    before = len(pickle.dumps(data))
    item = data[3, 1]
    assert len(pickle.dumps(data)) == before
    assert same(pickle.loads(pickle.dumps(data))[3, 1], item)


def take(n_batches, **kwargs):
    return list(itertools.islice(ItemSampler(**kwargs), n_batches))


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_ranks_share_the_same_stream(n_items, batch, world, shuffle, seed):
    common = dict(n_items=n_items, seed=seed, shuffle=shuffle)
    one = take(7, batch_size=batch * world, **common)
    ranks = [take(7, batch_size=batch, rank=rank, world_size=world, **common) for rank in range(world)]
    assert one == [list(itertools.chain(*parts)) for parts in zip(*ranks, strict=True)]


@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 99))
def test_every_epoch_visits_every_item_once(n_items, batch, seed):
    n_batches = -(-3 * n_items // batch)
    seen = list(itertools.chain(*take(n_batches, n_items=n_items, batch_size=batch, seed=seed)))[
        : 3 * n_items
    ]
    for epoch in range(3):
        part = seen[epoch * n_items : (epoch + 1) * n_items]
        assert {e for e, _ in part} == {epoch}
        assert [item for _, item in part] == item_order(n_items, seed, epoch).tolist()
        assert sorted(item for _, item in part) == list(range(n_items))


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 3), st.integers(0, 9))
def test_sampler_resumes_where_it_stood(n_items, batch, world, done):
    common = dict(n_items=n_items, batch_size=batch, rank=world - 1, world_size=world, seed=1)
    whole = take(done + 5, **common)
    assert take(5, start_item=done * batch * world, **common) == whole[done:]


def test_orders_differ_by_epoch_and_seed_and_can_be_left_alone():
    orders = {tuple(item_order(20, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    unshuffled = take(4, n_items=3, batch_size=2, shuffle=False)
    assert unshuffled == [[(0, 0), (0, 1)], [(0, 2), (1, 0)], [(1, 1), (1, 2)], [(2, 0), (2, 1)]]


def test_sampling_is_read(episodes, tmp_path):
    (tmp_path / "s_train.txt").write_text(f"# ours\n{episodes[0]}\n\n{episodes[1]}\n")
    (tmp_path / "s_val.txt").write_text(f"{episodes[2]}\n")
    assert load_sampling(tmp_path, "s") == ([str(episodes[0]), str(episodes[1])], [str(episodes[2])])


def test_sampling_errors_name_list_and_folder(episodes, tmp_path):
    with pytest.raises(UserError, match=r"s_train\.txt.*2_create_sampling\.sh"):
        load_sampling(tmp_path, "s")
    (tmp_path / "s_train.txt").write_text("/nowhere/at/all\n")
    (tmp_path / "s_val.txt").write_text("")
    with pytest.raises(UserError, match=r"/nowhere/at/all, listed in .*s_train\.txt, does not exist"):
        load_sampling(tmp_path, "s")
    (tmp_path / "s_train.txt").write_text("\n")
    with pytest.raises(UserError, match="lists no episode"):
        load_sampling(tmp_path, "s")
