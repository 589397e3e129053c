"""The summary's figures on episodes whose figures are known."""

import json

import numpy as np
import pytest

from data.EpisodeStorage import EpisodeStorage
from data.sampling.dataset_summary import main, summarize
from data.sampling.sessions import read_dataset
from steve1.vpt.actions import BUTTONS


@pytest.fixture
def dataset(tmp_path):
    for n, value in enumerate((3.0, 4.0)):
        length = 40
        actions = {name: np.zeros(length, dtype=np.int64) for name in BUTTONS}
        actions["attack"][:10] = 1
        actions["forward"][5:15] = 1
        actions["camera"] = np.zeros((length, 2))
        actions["camera"][20:24, 1] = 10.0
        embeds = np.zeros((length, 4), dtype=np.float32)
        embeds[:, n] = value
        if n == 1:
            embeds[39] = np.nan
        frames = np.zeros((length, 128, 128, 3), dtype=np.uint8)
        EpisodeStorage.write(tmp_path / f"e{n}", frames, actions, embeds, {"mineclip_hash": "abcd"})
    return tmp_path


def test_figures(dataset):
    summary = summarize(read_dataset(dataset))
    assert (summary["episodes"], summary["sessions"], summary["frames"]) == (2, 2, 80)
    assert summary["hours"] == pytest.approx(80 / 20 / 3600)
    assert summary["pressed"]["attack"] == 0.25
    assert summary["pressed"]["forward"] == 0.25
    assert summary["pressed"]["jump"] == 0
    assert summary["camera"]["yaw"][10] == pytest.approx(0.1)
    assert summary["camera"]["pitch"][5] == 1
    assert summary["doing_nothing"] == pytest.approx((40 - 15 - 4) / 40)
    assert summary["length"] == {"min": 40, "median": 40, "max": 40}
    # Of 40 frames: attack alone 5, both 5, forward alone 5, camera 4, nothing 21.
    shares = np.array([5, 5, 5, 4, 21]) / 40
    assert summary["entropy"]["buttons"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert summary["entropy"]["camera"] == pytest.approx(-(0.1 * np.log(0.1) + 0.9 * np.log(0.9)))
    size = sum(path.stat().st_size for path in dataset.rglob("*") if path.is_file())
    assert summary["gigabytes"] == pytest.approx(size / 1e9)
    embeddings = summary["embeddings"]
    assert embeddings["not_finite"] == 1
    assert embeddings["norm"]["min"] == 3
    assert embeddings["norm"]["max"] == 4
    assert embeddings["norm"]["mean"] == pytest.approx((25 * 3 + 24 * 4) / 49)
    assert embeddings["cosine"]["same_episode"] == pytest.approx(1)
    assert embeddings["cosine"]["other_episode"] == pytest.approx(0)
    assert embeddings["mineclip_hashes"] == ["abcd"]


def test_table_and_json(dataset, tmp_path, capsys):
    (tmp_path / "s_train.txt").write_text(f"{dataset / 'e0'}\n")
    (tmp_path / "s_val.txt").write_text(f"{dataset / 'e1'}\n")
    main(["--sampling", "s", "--sampling_dir", str(tmp_path), "--json", str(tmp_path / "out.json")])
    out = capsys.readouterr().out
    assert "s (train)" in out
    assert "s (val)" in out
    assert "attack      25.00% ##########" in out
    assert "1 rows are not finite" in out
    assert max(map(len, out.splitlines())) <= 110
    assert json.loads((tmp_path / "out.json").read_text())["s (val)"]["frames"] == 40


def test_sampled_episodes_are_said(dataset, capsys):
    main(["--dataset_dirs", str(dataset), "--max_episodes", "1"])
    assert "1 of 2 episodes" in capsys.readouterr().out


def test_bad_input(tmp_path, capsys):
    for arguments, code, expected in (
        ([], 2, "give --dataset_dirs"),
        (["--dataset_dirs", str(tmp_path / "nowhere")], 1, "nowhere does not exist"),
        (["--sampling", "none", "--sampling_dir", str(tmp_path)], 1, "none_train.txt"),
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == code
        assert expected in capsys.readouterr().err
