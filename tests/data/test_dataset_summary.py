"""The summary's figures on episodes whose figures are known."""

import base64
import json
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from data.EpisodeStorage import EpisodeStorage
from data.sampling.dataset_summary import main
from data.sampling.sessions import read_dataset
from data.sampling.summary_figures import summarize
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
    assert embeddings["cosine"]["neighbours"] == pytest.approx(1)
    assert embeddings["not_finite_share"] == pytest.approx(1 / 50)
    common = {row["buttons"]: row["share"] for row in summary["most_common"]}
    assert common == {"attack": 5 / 40, "attack + forward": 5 / 40, "forward": 5 / 40, "nothing": 25 / 40}
    histograms = summary["histograms"]
    assert histograms["length"] == {"edges": [39.5, 40.5], "counts": [2]}
    assert sum(histograms["norm"]["counts"]) == 2 * 64
    assert sum(histograms["cosine"]["neighbours"]) == 24 + 23
    assert histograms["cosine"]["same_episode"][-1] == sum(histograms["cosine"]["same_episode"]) > 100


def test_cosines_of_neighbours_and_of_distant_moments(tmp_path):
    length = 215
    angles = np.linspace(0, 2 * np.pi, length - 15, endpoint=False)
    embeds = np.zeros((length, 2), dtype=np.float32)
    embeds[15:] = 7 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    still = {"camera": np.zeros((length, 2))}
    for name in "ab":
        EpisodeStorage.write(tmp_path / name, np.zeros((length, 128, 128, 3), np.uint8), still, embeds, {})
    cosine = summarize(read_dataset(tmp_path))["embeddings"]["cosine"]
    assert cosine["neighbours"] == pytest.approx(np.cos(2 * np.pi / 200), abs=1e-6)
    assert abs(cosine["same_episode"]) < 0.25
    assert abs(cosine["other_episode"]) < 0.1


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


def test_the_page_is_one_file_with_pictures_and_charts(dataset, tmp_path, capsys):
    pages = []
    for number, more in enumerate((["--workers", "1"], ["--workers", "2"], ["--pictures", "0"])):
        path = tmp_path / f"{number}.html"
        main(["--dataset_dirs", str(dataset), "--html", str(path), *more])
        pages.append(path.read_text())
        assert f"wrote {path}" in capsys.readouterr().out
    assert pages[0] == pages[1]
    reader = Reader()
    reader.feed(pages[0])
    assert not reader.open
    assert len(reader.pictures) == 2 * 8
    for source in reader.pictures:
        kind, _, content = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (128, 128, 3)
    assert reader.tags.count("svg") == 7
    assert not {"script", "link", "iframe"} & set(reader.tags)
    assert "http" not in pages[0]
    assert '<td class="bad">1 (2.00%)</td>' in pages[0]
    assert "25.00%" in pages[0]
    assert "<img" not in pages[2]


class Reader(HTMLParser):
    """Collects tags and pictures, and which tags were never closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.pictures, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_are_escaped(dataset, tmp_path):
    folder = tmp_path / "a<b>&c"
    shutil.copytree(dataset / "e0", folder / "e<0>")
    main(["--dataset_dirs", str(folder), "--html", str(tmp_path / "p.html")])
    content = (tmp_path / "p.html").read_text()
    assert "a&lt;b&gt;&amp;c" in content
    assert "e&lt;0&gt;: 40 frames" in content


def test_sampled_episodes_are_said(dataset, capsys):
    main(["--dataset_dirs", str(dataset), "--max_episodes", "1"])
    assert "1 of 2 episodes" in capsys.readouterr().out


def test_bad_input(tmp_path, capsys):
    for arguments, code, expected in (
        ([], 2, "give --dataset_dirs"),
        (["--dataset_dirs", "a", "--pictures", "-1", "--workers", "0"], 2, "--workers 0"),
        (["--dataset_dirs", str(tmp_path / "nowhere")], 1, "nowhere does not exist"),
        (["--sampling", "none", "--sampling_dir", str(tmp_path)], 1, "none_train.txt"),
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == code
        assert expected in capsys.readouterr().err
