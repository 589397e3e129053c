"""The report of films: one page that plays by itself, and its figures as JSON."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from data.video import decode
from steve1.charts import Curve, Row, curves, intervals, sweep, ticks
from steve1.films.film import Film
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES
from steve1.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = '<b>look</b> & "see" </video>'


def film(folder, prompt, seed, scale=6.0, kind="text", n=4, lost=None):
    """A record with a real video of ``n`` pictures, or without one where ``n`` is 0."""
    video = folder / f"film_{kind}_{len(prompt)}_{scale:g} {seed}.mp4"
    rng = np.random.default_rng(seed)
    if n:
        with Film(video, prompt or "no goal") as reel:
            for _ in range(n):
                reel.add(np.repeat(rng.integers(0, 256, (36, 64, 1), dtype=np.uint8), 3, axis=2))
    measures = {**dict.fromkeys(MEASURES), "looking_up": 0.1 * seed + 0.05 * scale, "logs_held": 0.0}
    decides = {
        "kind": kind,
        "prompt": prompt,
        "cond_scale": scale or None,
        "world_seed": seed,
        "sampling_seed": seed,
        "weights_hash": "c0ffee" * 10,
        "world": "blockworld",
        "gameplay_length": 4,
        "deterministic": False,
    }
    about = {
        "name": "sky" if kind == "text" else "no_goal",
        "behaviour": "sky" if kind == "text" else "no_goal",
        "caption": prompt or "no goal",
        "label": "mine",
        "in_weights": "w/mine.weights",
    }
    measured = {
        "frames": n,
        "lost": lost,
        "measures": measures,
        "scores": {"frames": [15, 19], "cosines": [0.2, 0.1 * seed]},
        "actions_hash": "",
    }
    return PlayedEpisode(decides, about, measured, video if n else None)


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.videos, self.text = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        known = dict(attrs)
        self.addresses += [known[key] for key in ("src", "href") if known.get(key)]
        if tag == "video":
            self.videos.append(known["src"])

    def handle_data(self, data):
        self.text.append(data)


def report(folder, films, embed_mb=50.0, name="report.html"):
    said = write_report(folder / name, films, ["logs_held", "travel_distance"], "0 to 2", embed_mb)
    page = (folder / name).read_text(encoding="utf-8")
    return said, Reader(page), page


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return [film(folder, prompt, seed) for prompt in ("look at the sky", NASTY) for seed in range(3)]


def test_everything_is_in_the_page(films, tmp_path):
    said, reader, _ = report(tmp_path, films)
    assert "6 videos, all in the page itself" in said
    assert len(reader.videos) == 6
    assert all(address.startswith("data:video/mp4;base64,") for address in reader.addresses)
    first = tmp_path / "first.mp4"
    first.write_bytes(base64.b64decode(reader.videos[0].partition(",")[2]))
    assert first.read_bytes() == films[0].film.read_bytes()
    assert len(list(decode(first))) == 4
    words = " ".join(reader.text)
    assert NASTY in words
    assert "All videos are in this file." in words
    assert "0 in every episode: logs held." in words
    assert "Not offered by this world: travel distance." in words


def test_what_does_not_fit_is_linked_the_first_seeds_last(films, tmp_path):
    sizes = [film.film.stat().st_size for film in films]
    limit = (sizes[0] + sizes[3] + sizes[1] - 1) / 1e6
    said, reader, _ = report(tmp_path, films, limit)
    assert "2 in the page itself, 4 as links" in said
    inside = [address.startswith("data:") for address in reader.videos]
    assert inside == [True, False, False, True, False, False]
    linked = [address for address in reader.videos if not address.startswith("data:")]
    assert all(" " not in address and address.startswith("../") for address in linked)
    assert "4 videos are beside this file" in " ".join(reader.text)


def test_the_same_films_make_the_same_page_and_figures(films, tmp_path):
    report(tmp_path, films, name="a.html")
    report(tmp_path, films, name="b.html")
    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["seeds"] == "0 to 2"
    assert content["agents"][0]["label"] == "mine"
    assert content["groups"][0]["figures"]["looking_up"]["mean"] == pytest.approx(0.4)
    assert [e["measures"]["looking_up"] for e in content["groups"][0]["episodes"]] == pytest.approx(
        [0.3, 0.4, 0.5]
    )


def test_one_scale_has_figures_and_several_have_a_sweep(films, tmp_path):
    _, one, _ = report(tmp_path, films)
    words = " ".join(one.text)
    assert "Guidance" not in one.text
    assert "Figures" in one.text
    assert "MineCLIP score along the way" in words
    swept = [film(tmp_path, "look at the sky", seed, scale) for scale in (0.0, 2.0, 4.0) for seed in range(2)]
    swept += [film(tmp_path, "", seed, 0.0, "no_goal") for seed in range(2)]
    _, many, _ = report(tmp_path, swept)
    assert "Guidance" in many.text
    assert "Figures" not in many.text
    assert "Differences on the same seeds" in many.text


def test_losses_and_missing_films_stand_at_the_top(films, tmp_path):
    lost = film(tmp_path, "look at the sky", 9, lost="lost at step 2 of 4: gone")
    absent = film(tmp_path, "look at the sky", 10, n=0, lost="lost before its first step: none")
    _, reader, _ = report(tmp_path, [*films, lost, absent])
    words = " ".join(reader.text)
    assert "lost at step 2 of 4: gone" in words
    assert "world 10, sampling 10: lost before its first step: none" in words
    assert len(reader.videos) == 7
    _, nothing, _ = report(tmp_path, [])
    assert "Nothing was played" in " ".join(nothing.text)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
def test_a_browser_plays_the_videos_without_a_fault(films, tmp_path):
    from playwright.sync_api import sync_playwright
    from test_run_interactive import BROWSER_FLAGS

    report(tmp_path, films)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        page = browser.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_function(
            "[...document.querySelectorAll('video')].every(v => v.src.startsWith('blob:'))"
        )
        page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
        lengths = page.evaluate("[...document.querySelectorAll('video')].map(v => v.duration)")
        assert lengths == pytest.approx([4 / 20] * 6)
        page.evaluate("document.querySelector('video').play()")
        page.wait_for_function("document.querySelector('video').currentTime > 0")
        assert faults == []
        browser.close()


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 17, [-5, 0, 5, 10, 15, 20]),
        (0, 23456, [0, 5000, 10000, 15000, 20000, 25000]),
    ],
)
def test_ticks_are_round_and_enclose(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


def test_charts_stay_in_their_frame_whatever_the_interval():
    rows = [Row("a", 0, 1.0, -1e9, 1e9, [0.5, 1.5]), Row("b", 1, -2.0, None, None, [-2.0])]
    lines = [
        Curve("a", 0, [15, 16], [0.1, 0.2], [-1e9, None], [1e9, None], 0.15),
        Curve("b", 1, [15], [0], [None], [None]),
    ]
    for svg in (intervals(rows, "blocks"), curves(lines, "frame", "cosine"), sweep(lines, "scale", "share")):
        reader = Reader(svg)
        assert reader.tags[0] == "svg"
        numbers = [float(v) for v in re.findall(r'\bc?x[12]?="(-?[\d.]+)"', svg)]
        assert -10 < min(numbers) <= max(numbers) <= 520
