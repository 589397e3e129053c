"""The report of played episodes: one page that shows them by itself, and its figures as JSON."""

import base64
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from made_up_episodes import episode

from data.video import decode
from steve1.films.film import Film
from steve1.judging.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = '<b>look</b> & "see" $x$ </video>'


def filmed(folder, prompt, seed, scale=6.0, name="sky", n=4, **more):
    """An episode and its film, a real video of ``n`` pictures."""
    path = folder / f"film_{name}_{len(prompt)}_{scale:g} {seed}.mp4"
    rng = np.random.default_rng(seed)
    with Film(path, prompt) as reel:
        for _ in range(n):
            reel.add(np.repeat(rng.integers(0, 256, (36, 64, 1), dtype=np.uint8), 3, axis=2))
    scores = {"frames": [15, 19], "cosines": [0.2, 0.1 * seed]}
    curves = {"pitch": [0, -20, -40, -60], "looking_up": [0, 0, 0.5, 0.05 * seed + 0.05 * scale]}
    known = {"looking_up": 0.05 * seed + 0.05 * scale, "logs_held": 0.0, "scores": scores, **more}
    known.setdefault("timeline", {"frames": [0, 1, 2, 3], "curves": curves})
    return episode(name, seed, prompt=prompt, scale=scale, film=path, **known)


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.videos, self.text, self.alts = [], [], [], [], []
        self.posters, self.curves = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        known = dict(attrs)
        self.addresses += [known[key] for key in ("src", "href") if known.get(key)]
        if tag == "video":
            self.videos.append(known["src"])
            self.posters.append(known["poster"])
        if "data-curves" in known:
            self.curves.append(known["data-curves"])
        if tag == "svg":
            self.alts.append(known["aria-label"])

    def handle_data(self, data):
        self.text.append(data)


def report(folder, episodes, embed_mb=50.0, name="report.html"):
    said = write_report(folder / name, episodes, ["logs_held", "travel_distance"], embed_mb)
    page = (folder / name).read_text(encoding="utf-8")
    return said, Reader(page), page


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return [filmed(folder, prompt, seed) for prompt in ("look at the sky", NASTY) for seed in range(3)]


@pytest.fixture(scope="module")
def judged():
    """Enough worlds for a verdict, without films."""
    sky = [episode("sky", seed, looking_up=0.8 + 0.01 * seed) for seed in range(8)]
    return [*sky, *(episode("no_goal", seed, looking_up=0.02 * seed) for seed in range(8))]


def test_everything_is_in_the_page(films, tmp_path):
    said, reader, page = report(tmp_path, films)
    assert "6 films, all in the page itself" in said
    assert len(reader.videos) == 6
    assert all(address.startswith("data:video/mp4;base64,") for address in reader.addresses)
    assert [poster[:23] for poster in reader.posters] == ["data:image/jpeg;base64,"] * 6
    assert "http" not in page
    first = tmp_path / "first.mp4"
    first.write_bytes(base64.b64decode(reader.videos[0].partition(",")[2]))
    assert first.read_bytes() == films[0].film.read_bytes()
    assert len(list(decode(first))) == 4
    words = " ".join(reader.text)
    assert NASTY in words
    assert "All films are in this file." in words
    assert "0 in every episode: logs held." in words
    assert "Not known of any episode: travel distance." in words


def test_a_reader_finds_verdicts_first_then_films_charts_and_figures(films, judged, tmp_path):
    _, _, page = report(tmp_path, [*judged, *films[3:]])
    heads = ["Verdicts", "Films", "Charts", "MineCLIP score along the way", "All figures", "Made by"]
    places = [page.index(f"<h2>{head}</h2>") for head in heads]
    assert places == sorted(places)
    assert places[0] < page.index("“look at the sky” at guidance 2 wins against no goal") < places[1]
    assert "not corrected for how many comparisons" in page
    # It opens with the verdicts; what was played on is told at the end.
    assert places[-1] < page.index('<ul class="tiles">')
    assert page.index("win their own measure against no goal") < page.index("<li", places[0])


def test_a_film_says_its_own_figure_and_shows_its_middle(films, tmp_path):
    _, reader, _ = report(tmp_path, films)
    captions = " ".join(reader.text)
    for seed in range(3):
        assert f"looking up {0.05 * seed + 0.3:.3g} share" in captions
    middle = list(decode(films[1].film))[2]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(reader.posters[1].partition(",")[2]), np.uint8), 1)
    assert shown.shape == middle.shape
    others = [abs(shown[:, :, ::-1].astype(int) - picture).mean() for picture in decode(films[1].film)]
    assert np.argmin(others) == 2
    (first, *_) = (json.loads(curves) for curves in reader.curves)
    assert [line["name"] for line in first] == [
        "looking up (share)",
        "pitch (degrees, down is positive)",
        "mineclip score (cosine)",
    ]
    assert first[1]["points"] == [[0, 0], [1, -20], [2, -40], [3, -60]]
    # Records of earlier versions have none.
    old = [replace(films[0], measured={**films[0].measured, "timeline": None, "scores": None})]
    assert report(tmp_path, old)[1].curves == []


def test_the_goal_strip_stands_above_the_films_with_its_warning(tmp_path):
    moment = {"episode": "<e1>", "frame": 20, "cosine": 0.91234, "jpeg": "AAAA"}
    strip = {"moments": [moment] * 6, "warning": "This is far from all that was trained on."}
    _, reader, page = report(tmp_path, [filmed(tmp_path, "go", 0, goal_strip=strip)])
    assert page.index("This is far from all") < page.index("Training moments nearest to the goal")
    assert page.index("Training moments nearest to the goal") < page.index("<video")
    assert reader.text.count("0.912") == reader.tags.count("img") == 6
    assert "&lt;e1&gt;, frame 20" in page


def test_what_does_not_fit_is_linked_the_first_seeds_last(films, tmp_path):
    sizes = [episode.film.stat().st_size for episode in films]
    limit = (sizes[0] + sizes[3] + sizes[1] - 1) / 1e6
    said, reader, _ = report(tmp_path, films, limit)
    assert "2 in the page itself, 4 as links" in said
    inside = [address.startswith("data:") for address in reader.videos]
    assert inside == [True, False, False, True, False, False]
    linked = [address for address in reader.videos if not address.startswith("data:")]
    assert all(" " not in address and address.startswith("../") for address in linked)
    assert "4 films are beside this file" in " ".join(reader.text)


def test_the_same_episodes_make_the_same_page_and_figures(films, judged, tmp_path):
    for name in ("a.html", "b.html"):
        report(tmp_path, [*films, *judged[8:]], name=name)
    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["seeds"] == "0 and on"
    assert content["agents"][0]["label"] == "mine"
    assert content["groups"][0]["figures"]["looking_up"]["mean"] == pytest.approx(0.35)
    assert [e["measures"]["looking_up"] for e in content["groups"][0]["episodes"]] == pytest.approx(
        [0.3, 0.35, 0.4]
    )
    assert [v["word"] for v in content["verdicts"] if v["own"]] == ["too few worlds"] * 2
    assert [v["left_out"] for v in content["verdicts"] if v["own"]] == [5, 5]


def test_score_series_are_means_over_the_whole_episodes_that_got_so_far(tmp_path):
    long, short = {"frames": [15, 19, 23], "cosines": [0.4, 0.4, 0.9]}, {"frames": [15], "cosines": [0.2]}
    lost = episode("sky", 9, lost="gone", scores={"frames": [15], "cosines": [-1.0]})
    report(tmp_path, [episode("sky", 0, scores=long), episode("sky", 1, scores=short), lost])
    along = json.loads((tmp_path / "report.json").read_text())["groups"][0]["score_series"]
    assert along["frames"] == [15, 19, 23]
    assert along["mean"] == pytest.approx([0.3, 0.4, 0.9])
    assert along["n"] == [2, 1, 1]


def test_one_scale_has_charts_and_several_have_a_sweep(films, tmp_path):
    _, one, _ = report(tmp_path, films)
    assert "Guidance" not in one.text
    assert "Charts" in one.text
    assert len(one.alts) == one.tags.count("svg") == 1 + 2
    assert "look at the sky: 0.35 share" in one.alts[0]
    swept = [episode("sky", s, scale=x, looking_up=0.1 * x) for x in (0.0, 2.0, 4.0) for s in range(2)]
    swept += [episode("no_goal", seed, looking_up=0.3) for seed in range(2)]
    _, many, _ = report(tmp_path, swept)
    assert "Guidance" in many.text
    assert "Charts" not in many.text
    assert many.alts == ["mine at 0: 0 share; mine at 2: 0.2 share; mine at 4: 0.4 share"]


def test_losses_stand_at_the_top_and_in_no_figure(films, judged, tmp_path):
    lost = episode("sky", 9, lost="lost at step 2 of 4: gone", looking_up=0.0)
    said, reader, page = report(tmp_path, [*judged, lost])
    assert "without films" in said
    assert page.index("lost at step 2 of 4: gone") < page.index("<h2>Verdicts</h2>")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["groups"][0]["figures"]["looking_up"]["n"] == 8
    assert content["groups"][0]["lost"] == 1
    assert len(reader.videos) == 0
    _, nothing, _ = report(tmp_path, [])
    assert "Nothing was played" in " ".join(nothing.text)


def test_two_agents_stand_side_by_side(tmp_path):
    path = filmed(tmp_path, "go", 0).film
    episodes = [episode("go", 0, label=label, film=path, looking_up=0.5) for label in ("base", "mine")]
    said, reader, page = report(tmp_path, episodes)
    assert "1 films" in said
    assert len(reader.videos) == 1
    assert "How they play: mine against base" in page
    assert "From left to right: base, mine." in page


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
def test_a_browser_plays_the_videos_without_a_fault(films, judged, tmp_path):
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
        # A click on a timeline, which reaches to the scores' frame 19, goes there, and the cursor follows.
        page.evaluate("document.querySelector('video').pause()")
        page.locator(".timeline").first.locator("svg").first.click(position={"x": 1, "y": 5})
        page.wait_for_function("document.querySelector('video').currentTime < 0.01")
        box = page.locator(".timeline").first.locator("svg").first.bounding_box()
        page.locator(".timeline").first.locator("svg").first.click(position={"x": box["width"] / 10, "y": 5})
        page.wait_for_function("Math.abs(document.querySelector('video').currentTime - 0.1) < 0.02")
        page.locator(".timeline .cursor").first.wait_for(state="attached")

        # One world: both prompts' films of these seeds alone.
        page.get_by_role("button", name="seed 1", exact=True).click()
        shown = page.locator("figure[data-seeds]:visible figcaption").all_inner_texts()
        assert [text.split("\n")[0] for text in shown] == ["seed 1", "seed 1"]
        page.get_by_role("button", name="all films").click()
        assert page.locator("figure[data-seeds]:visible").count() == 6
        assert faults == []

        # Nothing leaves a phone's width, whatever the prompts and agents are called; wide tables scroll by themselves.
        long = [episode("x" * 200, seed, label="y" * 90, looking_up=0.1 * seed) for seed in range(8)]
        report(tmp_path, [*films, *judged, *long])
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto((tmp_path / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
