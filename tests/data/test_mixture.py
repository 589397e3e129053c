"""Several datasets in a sampling: their names, and items drawn exactly by their weights."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import make_episode

from data.minecraft_dataset import ItemSampler, MinecraftDataset, load_sampling
from data.mixture import dataset_names, load_mixture, mixed_order
from data.sampling.generate_sampling import main
from steve1.cli import UserError


def groups_of(sizes, weights):
    starts = np.cumsum([0, *sizes])
    return [(np.arange(a, b), w) for a, b, w in zip(starts, starts[1:], weights, strict=False)]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    data=st.data(),
    seed=st.integers(0, 3),
)
def test_after_any_number_of_items_each_dataset_has_its_share_and_passes_are_whole(sizes, data, seed):
    weights = data.draw(st.lists(st.floats(0.05, 5), min_size=len(sizes), max_size=len(sizes)))
    groups = groups_of(sizes, weights)
    drawn = list(itertools.islice(mixed_order(groups, seed), 300))
    for n in (1, 7, 50, 300):
        for (items, weight), size in zip(groups, sizes, strict=True):
            mine = [item for _, item in drawn[:n] if item in items]
            assert abs(len(mine) - n * weight / sum(weights)) <= max(len(sizes) - 1, 1)
            passes = [mine[i : i + size] for i in range(0, len(mine) - size + 1, size)]
            assert all(sorted(one) == items.tolist() for one in passes)
    assert len(set(drawn)) == len(drawn)  # an item of a pass comes once: each has goals of its own


def test_processes_and_a_resumed_run_take_their_part_of_one_stream():
    groups = groups_of([5, 3], [0.8, 0.2])
    whole = list(itertools.islice(mixed_order(groups, 4), 60))
    for start in (0, 12):
        ranks = [ItemSampler(8, 3, rank, 2, seed=4, start_item=start, groups=groups) for rank in (0, 1)]
        batches = [list(itertools.islice(rank, 4)) for rank in ranks]
        merged = [place for pair in zip(*batches, strict=True) for batch in pair for place in batch]
        assert merged == whole[start : start + 24]
    assert next(iter(ItemSampler(8, 30, seed=5, groups=groups))) != whole[:30]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    for name, n in (("dataset_old", 8), ("dataset_new", 4)):
        for i in range(n):
            make_episode(root / name / f"e{i}", 60 + i, seed=i)
    return root


def sample(folders, out, *more):
    dirs = f"{folders / 'dataset_old'},{folders / 'dataset_new'}"
    main(["--name", "s", "--dataset_dirs", dirs, "--output_dir", str(out), *more])
    return load_sampling(out, "s"), load_mixture(out, "s")


WEIGHTED = ("--type", "mixed", "--dataset_weights", "3,1")


def test_a_mixed_sampling_uses_every_episode_and_draws_by_weight(folders, tmp_path, capsys):
    (train, val), mixture = sample(folders, tmp_path, *WEIGHTED)
    assert len(train) + len(val) == 12
    assert (mixture.names, mixture.weights) == (["old", "new"], [0.75, 0.25])
    assert "drawn in training: 25.0% of the items from new" in capsys.readouterr().out
    assert set(mixture.dataset_of) == {*train, *val}
    dataset = MinecraftDataset(train, 16, 5, 20)
    drawn = itertools.islice(mixed_order(mixture.groups(dataset), 0), 400)
    owners = mixture.owners(dataset)
    assert Counter(owners[item] for _, item in drawn) == {0: 300, 1: 100}
    assert all(
        f"dataset_{mixture.names[owners[i]]}" in train[dataset.chunks[i][0]] for i in range(len(owners))
    )


def test_without_weights_the_names_stay_and_all_items_count_alike(folders, tmp_path):
    (train, _), mixture = sample(folders, tmp_path, "--type", "custom")
    assert (mixture.names, mixture.weights) == (["old", "new"], None)
    assert mixture.groups(MinecraftDataset(train, 16, 5, 20)) is None


def test_a_sampling_of_one_dataset_takes_an_older_file_away(folders, tmp_path):
    sample(folders, tmp_path, *WEIGHTED)
    assert (tmp_path / "s_datasets.json").exists()
    one = ["--type", "custom", "--dataset_dirs", str(folders / "dataset_new"), "--name", "s"]
    main([*one, "--output_dir", str(tmp_path)])
    assert load_mixture(tmp_path, "s") is None


def test_episodes_to_validate_on_keep_the_dataset_that_they_are_of(folders, tmp_path):
    make_episode(folders / "elsewhere" / "e", 60)
    (_, val), mixture = sample(folders, tmp_path, *WEIGHTED, "--val_from", str(folders / "elsewhere"))
    assert [mixture.names[mixture.dataset_of[path]] for path in val] == ["val_from"]
    assert mixture.weights == [0.75, 0.25, 0]
    (_, val), mixture = sample(
        folders, tmp_path, *WEIGHTED, "--val_from", str(folders / "dataset_new" / "e1")
    )
    assert [mixture.names[mixture.dataset_of[path]] for path in val] == ["new"]


def test_names_are_the_folders_and_no_two_alike():
    assert dataset_names(["/a/dataset_x", "/b/x", "/c/x/", "/c/y"]) == ["x", "x_2", "x_3", "y"]


def test_a_list_that_does_not_fit_its_datasets_is_refused(folders, tmp_path):
    (train, _), mixture = sample(folders, tmp_path, *WEIGHTED)
    dataset = MinecraftDataset(train, 16, 5, 20)
    dataset.episode_dirs[2] = "/elsewhere/e9"
    with pytest.raises(
        UserError, match=r"the episode /elsewhere/e9 is in .* _datasets.json; create the sampling"
    ):
        mixture.groups(dataset)
    only_old = MinecraftDataset([path for path in train if "dataset_old" in path], 16, 5, 20)
    with pytest.raises(
        UserError, match=r"25.0% of the items are to be drawn from new, and none of its episodes"
    ):
        mixture.groups(only_old)


@pytest.mark.parametrize("content", ["{", "[]", '{"datasets": [{"name": "a"}], "episodes": {}}'])
def test_a_broken_file_of_datasets_is_named(tmp_path, content):
    (tmp_path / "s_datasets.json").write_text(content)
    with pytest.raises(UserError, match=r"s_datasets.json can't be read"):
        load_mixture(tmp_path, "s")


def test_weights_that_are_none_are_refused(tmp_path):
    rows = [{"name": "a", "folder": "", "weight": -1.0}, {"name": "b", "folder": "", "weight": 1.0}]
    (tmp_path / "s_datasets.json").write_text(json.dumps({"datasets": rows, "episodes": {}}))
    with pytest.raises(UserError, match="weights"):
        load_mixture(tmp_path, "s")
