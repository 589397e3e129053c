"""Samplings: whole sessions on one side, weights, counts, determinism and bad input."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_episodes import make_episode

from data.minecraft_dataset import load_sampling
from data.sampling.generate_sampling import main
from data.sampling.sampling_report import COLOURS
from data.sampling.sessions import Episode, read_dataset, read_episodes, session_of
from data.sampling.split import split, take, total
from steve1.cli import UserError


def test_sessions_are_told_by_name_and_metadata():
    name = "cheeky-cornflower-setter-02e496ce4abb-20220421-092639"
    assert session_of(f"/d/{name}", {}) == "02e496ce4abb"
    placeholder = "cheeky-cornflower-setter-f153ac423f61-20220421-092639"
    assert session_of(f"/d/{placeholder}", {}) == placeholder
    assert session_of(f"/d/{placeholder}", {"session": "f153ac423f61"}) == placeholder
    assert session_of("/d/episode_1", {}) == "/d/episode_1"
    assert session_of("/d/episode_1", {"session": "monday"}) == "monday"
    assert session_of("/d/x-02e496ce4ab-20220421-092639", {}) == "/d/x-02e496ce4ab-20220421-092639"


def episode(name, frames, session, dataset=0):
    return Episode(f"/{dataset}/{name}", frames, session, dataset, None, None)


pools = st.lists(st.tuples(st.integers(20, 400), st.integers(0, 9)), min_size=4, max_size=40).map(
    lambda rows: [episode(f"e{n}", frames, f"s{session}") for n, (frames, session) in enumerate(rows)]
)


@given(pools, st.integers(0, 5), st.randoms())
def test_split_is_disjoint_complete_and_independent_of_order(pool, seed, random):
    try:
        result = split([pool], None, None, -1, seed)
    except UserError:
        # Only where the sessions leave nothing to train on.
        biggest = max(total(e for e in pool if e.session == s) for s in {e.session for e in pool})
        assert biggest > total(pool) * 0.4
        return
    sides = [{e.path for e in side} for side in (result.train, result.val, result.unused)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(pool)
    assert not {e.session for e in result.train} & {e.session for e in result.val}
    longest = max(e.frames for e in pool)
    assert total(pool) / 10 <= total(result.val) < total(pool) / 10 + longest
    assert {e.session for e in result.unused} <= {e.session for e in result.val}
    mixed = random.sample(pool, len(pool))
    assert split([mixed], None, None, -1, seed).val == result.val
    assert split([mixed], None, None, -1, seed).train == result.train


@given(
    st.integers(0, 20),
    st.sampled_from([(0.8, 0.2), (4, 1), (0.5, 0.5), (1.0, 0.0)]),
    st.sampled_from([-1, 3000]),
)
def test_frames_asked_for_are_met_to_within_an_episode_and_the_rest_is_all(seed, weights, train_frames):
    big = [episode(f"a{n}", 200 + 7 * n, f"a{n}") for n in range(60)]
    small = [episode(f"b{n}", 150 + 11 * n, f"b{n}", 1) for n in range(20)]
    result = split([big, small], weights, 1000, train_frames, seed)
    for side, asked in ((result.val, 1000), (result.train, train_frames)):
        if asked < 0:
            continue
        for index, weight in enumerate(weights):
            part = total(e for e in side if e.dataset == index)
            goal = asked * weight / sum(weights)
            assert goal <= part < goal + 620
    if train_frames < 0:  # weights leave out no episode
        used = {e.path for e in result.train + result.val}
        assert used == {
            e.path for pool, weight in zip((big, small), weights, strict=True) if weight for e in pool
        }


def test_a_tenth_of_each_dataset_validates_and_all_the_rest_trains_whatever_the_weights():
    old = [episode(f"a{n}", 100, f"a{n}") for n in range(20)]
    new = [episode(f"b{n}", 100, f"b{n}", 1) for n in range(20)]
    result = split([old, new], (0.8, 0.2), None, -1, 0)
    for index in (0, 1):
        assert len([e for e in result.val if e.dataset == index]) == 2
        assert len([e for e in result.train if e.dataset == index]) == 18


def test_same_session_in_two_datasets_stays_on_one_side():
    first = [episode(f"e{n}", 100, f"s{n}") for n in range(10)]
    second = [episode(f"e{n}", 100, f"s{n}", 1) for n in range(10)]
    for seed in range(5):
        result = split([first, second], (1, 1), 400, -1, seed)
        assert {e.session for e in result.train}.isdisjoint({e.session for e in result.val})
        assert len({e.session for e in result.val}) == 2


def test_validation_prefers_sessions_that_fit():
    pool = [episode(f"big{n}", 100, "big") for n in range(9)] + [
        episode(f"e{n}", 50, f"s{n}") for n in range(2)
    ]
    for seed in range(5):
        result = split([pool], None, 100, -1, seed)
        assert {e.session for e in result.val} == {"s0", "s1"}
        assert result.unused == []


def test_take_stops_once_it_has_enough():
    pool = [episode(f"e{n}", 100, "s") for n in range(5)]
    assert [len(take(pool, frames)) for frames in (0, 1, 100, 101, 9999)] == [0, 1, 1, 2, 5]


# ---- the entry point, on real folders ----

SESSIONS = ("02e496ce4abb", "02e496ce4abb", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "f153ac423f61", "f153ac423f61")


@pytest.fixture(scope="module")
def contractor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contractor")
    for n, session in enumerate(SESSIONS):
        make_episode(folder / f"some-player-{session}-20220421-09263{n}", 40 + n, mineclip_hash="c" * 64)
    return folder


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("custom")
    for n in range(4):
        make_episode(folder / f"mine_{n}", 30, mineclip_hash="c" * 64)
    return folder


def run(tmp_path, *arguments):
    main(["--output_dir", str(tmp_path / "new" / "samplings"), *map(str, arguments)])
    return tmp_path / "new" / "samplings"


def fails(capsys, code, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    return message


def test_neurips_reads_the_contractor_folder_under_the_data_root(contractor, tmp_path, monkeypatch, capsys):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "dataset_contractor").symlink_to(contractor)
    monkeypatch.setenv("STEVE1_DATA_ROOT", str(tmp_path / "root"))
    main([])
    folder = tmp_path / "root" / "samplings"
    assert sorted(path.name for path in folder.iterdir()) == [
        "neurips.json",
        "neurips_histogram.png",
        "neurips_summary.txt",
        "neurips_train.txt",
        "neurips_val.txt",
    ]
    train, val = load_sampling(folder, "neurips")
    assert all(path.startswith("/") for path in train + val)
    sessions = {e.path: e.session for e in read_dataset(contractor)}
    assert {sessions[p] for p in train}.isdisjoint({sessions[p] for p in val})
    assert len(train) + len(val) == 6
    written = json.loads((folder / "neurips.json").read_text())
    assert written["mineclip_hashes"] == ["c" * 64]
    assert written["train"]["episodes"] == len(train)
    assert written["train"]["frames"] + written["val"]["frames"] == sum(40 + n for n in range(6))
    assert "sampling neurips" in capsys.readouterr().out


def test_short_episodes_are_left_out_with_count_and_names(contractor, tmp_path, capsys):
    folder = run(tmp_path, "--type", "custom", "--dataset_dirs", contractor, "--T", 27)
    train, val = load_sampling(folder, "custom")
    assert len(train) + len(val) == 4
    out = capsys.readouterr().out
    assert "shorter than 42 frames: 2 episodes" in out
    assert "some-player-02e496ce4abb-20220421-092630" in out
    assert len(json.loads((folder / "custom.json").read_text())["episodes_left_out"]) == 2


def test_frames_asked_for_and_seed(custom, tmp_path):
    def lists(*arguments):
        return load_sampling(
            run(tmp_path, "--type", "custom", "--dataset_dirs", custom, *arguments), "custom"
        )

    train, val = lists("--val_frames", 30, "--train_frames", 31)
    assert (len(train), len(val)) == (2, 1)
    assert lists("--val_frames", 30, "--train_frames", 31) == (train, val)
    assert len({lists("--seed", seed)[1][0] for seed in range(8)}) > 1
    assert [len(side) for side in lists("--val_frames", 0)] == [4, 0]


def test_mixed(contractor, custom, tmp_path, capsys):
    dirs = ("--type", "mixed", "--name", "mix", "--dataset_dirs", f"{contractor},{custom}")
    folder = run(tmp_path, *dirs, "--dataset_weights", "0.7,0.3", "--val_frames", 60)
    written = json.loads((folder / "mix.json").read_text())
    first, second = written["train"]["datasets"]
    assert (first["asked"], second["asked"]) == (0.7, 0.3)
    assert first["dataset"] == str(contractor)
    assert written["unused"]["episodes"] == written["left_out"]["episodes"] == 0
    assert first["got"] == first["frames"] / written["train"]["frames"]
    assert all(part["frames"] for part in written["val"]["datasets"])
    out = capsys.readouterr().out
    assert (folder / "mix_summary.txt").read_text() in out
    row = next(line for line in out.splitlines() if line.startswith("train"))
    cells = ["train", str(contractor), "70.0%", f"{first['got']:.1%}", str(first["frames"])]
    assert row.split() == [
        *cells,
        f"{first['frames'] / 72_000:.2f}",
        *map(str, (first["episodes"], first["sessions"])),
    ]


def test_episodes_of_val_from_are_shown_and_weights_are_trainings(contractor, custom, tmp_path, capsys):
    other = tmp_path / "other"
    for n in range(2):
        make_episode(other / f"o{n}", 50, mineclip_hash="c" * 64)
    dirs = ("--type", "mixed", "--name", "m", "--dataset_dirs", f"{contractor},{custom}")
    folder = run(tmp_path, *dirs, "--dataset_weights", "1,1", "--val_from", other)
    written = json.loads((folder / "m.json").read_text())
    assert [part["asked"] for part in written["train"]["datasets"]] == [0.5, 0.5]
    *none, theirs = written["val"]["datasets"]
    assert [part["frames"] for part in none] == [0, 0]
    assert {part["asked"] for part in (*none, theirs)} == {None}
    assert (theirs["frames"], theirs["got"]) == (100, 1.0)
    assert "(--val_from)" in capsys.readouterr().out


def test_the_histogram_is_a_picture_and_the_same_each_time(contractor, custom, tmp_path):
    dirs = ("--type", "mixed", "--dataset_dirs", f"{contractor},{custom}", "--dataset_weights", "1,1")
    for name in ("one", "two"):
        folder = run(tmp_path / name, *dirs, "--name", "m", "--T", 10)
    content = (folder / "m_histogram.png").read_bytes()
    assert content == (tmp_path / "one" / "new" / "samplings" / "m_histogram.png").read_bytes()
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    for colour in COLOURS[:2]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - rgb).max(axis=2) < 8).sum() > 500


def test_val_from_sampling_and_folder_never_leaks(contractor, custom, tmp_path):
    common = ("--type", "custom", "--dataset_dirs", contractor)
    folder = run(tmp_path, *common, "--name", "one")
    _, val = load_sampling(folder, "one")
    sessions = {e.path: e.session for e in read_dataset(contractor)}
    for source in ("one", folder / "one_val.txt"):
        run(tmp_path, *common, "--name", "two", "--val_from", source, "--seed", 5)
        train, again = load_sampling(folder, "two")
        assert again == val
        assert {sessions[p] for p in train}.isdisjoint({sessions[p] for p in val})
        assert len(train) + len({p for p in sessions if sessions[p] in {sessions[v] for v in val}}) == 6
    run(tmp_path, *common, "--name", "three", "--val_from", custom, "--val_frames", 50)
    train, val = load_sampling(folder, "three")
    assert len(train) == 6
    assert len(val) == 2
    assert all(str(custom) in path for path in val)


def test_too_few_frames_is_one_sentence_and_writes_nothing(custom, tmp_path, capsys):
    common = ("--type", "custom", "--dataset_dirs", custom, "--output_dir", tmp_path / "out")
    message = fails(capsys, 1, *common, "--train_frames", "10k")
    assert "too few frames: 90 can be used to train where 10,000 are asked for" in message
    assert "too few frames" in fails(capsys, 1, *common, "--val_frames", 500)
    assert "nothing is left to train on" in fails(capsys, 1, *common, "--val_frames", 120)
    assert "no episode" in fails(capsys, 1, *common, "--T", 99)
    assert not (tmp_path / "out").exists()


def test_one_session_can_not_be_split(tmp_path, capsys):
    make_episode(tmp_path / "d" / "only", 30)
    message = fails(
        capsys, 1, "--type", "custom", "--dataset_dirs", tmp_path / "d", "--output_dir", tmp_path / "out"
    )
    assert "1 play session" in message
    assert "--val_from" in message


def test_embeddings_of_two_mineclips_are_refused(custom, tmp_path, capsys):
    make_episode(tmp_path / "d" / "other", 30, mineclip_hash="d" * 64)
    arguments = (
        "--type",
        "custom",
        "--dataset_dirs",
        f"{custom},{tmp_path / 'd'}",
        "--output_dir",
        tmp_path / "out",
    )
    message = fails(capsys, 1, *arguments)
    assert "cccccccccccc" in message
    assert "dddddddddddd" in message
    assert str(tmp_path / "d" / "other") in message
    main([str(argument) for argument in (*arguments, "--allow_mixed_mineclip")])
    assert len(json.loads((tmp_path / "out" / "custom.json").read_text())["mineclip_hashes"]) == 2


def test_missing_and_empty_folders_are_named(tmp_path, capsys):
    message = fails(capsys, 1, "--type", "custom", "--dataset_dirs", tmp_path / "nowhere")
    assert "nowhere does not exist" in message
    assert "holds no episode" in fails(capsys, 1, "--type", "custom", "--dataset_dirs", tmp_path)


def test_folder_within_another_counts_once(tmp_path):
    for n in range(4):
        make_episode(tmp_path / "d" / ("sub" if n % 2 else "") / f"e{n}", 30)
    folder = run(tmp_path, "--type", "custom", "--dataset_dirs", f"{tmp_path / 'd' / 'sub'},{tmp_path / 'd'}")
    train, val = load_sampling(folder, "custom")
    assert len(set(train + val)) == len(train + val) == 4


def test_all_mistakes_of_flags_are_listed(capsys):
    message = fails(
        capsys, 2, "--type", "mixed", "--dataset_dirs", "a,b", "--dataset_weights", "1,x,2", "--train_frames", 0,
        "--val_frames", -5, "--T", 0, "--seed", -1, "--name", "a/b",
    )  # fmt: skip
    for flag in (
        "--dataset_weights: 3 given for 2",
        "'x'",
        "--train_frames 0",
        "--val_frames -5",
        "--T 0",
        "--seed",
        "--name",
    ):
        assert flag in message
    assert "needs --dataset_dirs" in fails(capsys, 2, "--type", "custom")
    assert "--dataset_weights is for" in fails(capsys, 2, "--dataset_weights", "1,2")


def test_links_and_relative_paths_are_one_episode(contractor, tmp_path, monkeypatch):
    real = next(path for path in sorted(contractor.iterdir()))
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "folder").symlink_to(contractor)
    monkeypatch.chdir(tmp_path)
    given = [
        "link",
        f"folder/{real.name}",
        real,
        f"{real}/",
        f"folder/{real.name}/.",
        f"folder/./{real.name}",
    ]
    assert [e.path for e in read_episodes(given)] == [str(real.resolve())]
