"""run_interactive as a user runs it: a process of its own, tiny models, BlockWorld, and a real browser."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from live import PATIENCE, strips
from tiny_agent import load_script, make_models

from data.video import decode
from steve1.live.access import below

ROOT = Path(__file__).parents[1]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Nothing of this asks a host outside: a test machine's closed network would be tried again and again.
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOON = 1000 * PATIENCE  # ms that the browser waits for what should come at once


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@contextmanager
def session(models, folder, *flags):
    """The process, and the link to its page."""
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                str(ROOT / "run_interactive.py"),
                *models,
                "--env",
                "blockworld",
                "--port",
                "0",
            ),
            *("--device", "cpu", "--save_dirpath", str(folder)),
            *("--recordings_dir", str(folder.parent / "recordings"), *flags),
        ],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]+", said)
        assert address, said + process.communicate()[0]
        yield process, address[0]
    finally:
        process.kill()
        process.wait()


def ended(process, how):
    """What a session says when it is told to end."""
    process.send_signal(how)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


def test_sigterm_ends_it_with_its_films_whole(models, tmp_path):
    async def play(address):
        async with aiohttp.ClientSession() as client, client.ws_connect(below(address, "live")) as ws:
            await ws.send_json({"type": "prompt", "text": "look at the sky"})
            while True:
                message = await ws.receive(timeout=PATIENCE)
                if message.type is aiohttp.WSMsgType.BINARY:
                    await ws.send_json({"type": "shown"})
                elif json.loads(message.data).get("filmed", 0) > 5:
                    return

    with session(models, tmp_path / "films") as (process, address):
        asyncio.run(play(address))
        said = ended(process, signal.SIGTERM)
    (video,) = (tmp_path / "films").glob("*.mp4")
    content = json.loads(video.with_suffix(".json").read_text())
    assert len(list(decode(video))) == content["frames"] > 5
    assert f"{video}: {content['frames']} frames" in said
    assert len(list((tmp_path / "films").iterdir())) == 2
    assert (
        len(content["prior_hash"]) == len(content["mineclip_hash"]) == len(content["in_weights_hash"]) == 64
    )
    assert content["world"] == "blockworld"


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
def test_in_a_real_browser(models, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    folder = tmp_path / "films"
    with session(models, folder, "--seed", "5") as (process, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        page = browser.new_page()
        page.set_default_timeout(SOON)
        expect.set_options(timeout=SOON)
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.goto(address)

        def step():
            return int(page.locator("#step").inner_text())

        def picture():
            return page.evaluate(
                """(() => { const screen = document.getElementById("screen");
                return [...screen.getContext("2d").getImageData(0, 0, screen.width, screen.height).data]
                  .filter((_, i) => i % 97 == 0) })()"""
            )

        # The picture changes as the game runs.
        expect(page.locator("#phase")).to_have_text("playing")
        first = picture()
        page.locator("#step").filter(has_text=re.compile(r"\d\d")).wait_for()
        assert len(set(first)) > 20
        assert picture() != first

        # A prompt typed into the page, which has the focus already, is shown, and the server says from which step on.
        before = step()
        page.keyboard.type("look at the <b>sky</b>")
        page.keyboard.press("Enter")
        expect(page.locator("#now")).to_have_text("Now: look at the <b>sky</b>")
        asked = page.locator("#prompts li").first
        expect(asked).to_contain_text("look at the <b>sky</b>")
        expect(asked).to_contain_text(re.compile(r"step \d+ · acted on after \d+ ms"))
        assert before <= int(re.search(r"step (\d+)", asked.inner_text())[1])

        # Keys work outside of the prompt; a paused game stands still, whatever is asked of it.
        page.keyboard.press("Escape")
        page.keyboard.press("p")
        expect(page.locator("#phase")).to_have_text("paused")
        stood = step()
        page.locator("#scale").fill("2.5")
        page.keyboard.press("Enter")
        expect(page.locator("#guidance")).to_have_text("2.5")
        assert step() == stood
        page.keyboard.press("Alt+p")
        expect(page.locator("#phase")).to_have_text("playing")
        page.get_by_role("button", name="Reset agent").click()

        # The film so far, with its prompts, is a download.
        page.get_by_role("button", name="Save film").click()
        links = page.locator("#films li").first
        with page.expect_download() as video:
            links.get_by_text("video", exact=True).click()
        with page.expect_download() as prompts:
            links.get_by_text("prompts", exact=True).click()
        assert video.value.suggested_filename.endswith(".mp4")
        frames = list(decode(video.value.path()))
        content = json.loads(Path(prompts.value.path()).read_text())
        assert len(frames) == content["frames"] > stood
        assert [(row["prompt"], row["cond_scale"]) for row in content["prompts"]] == [
            ("", 6.0),
            ("look at the <b>sky</b>", 6.0),
            ("look at the <b>sky</b>", 2.5),
        ]
        began = content["prompts"][1]["frame"]
        assert strips(frames) == [0] * began + [1] * (len(frames) - began)
        assert "reset_agent" in [row["event"] for row in content["events"]]

        # The next world; the step counter begins again.
        page.get_by_role("button", name="New world").click()
        expect(page.locator("#in_seed")).to_have_text("6")
        page.locator("#seed").fill("41")
        page.get_by_role("button", name="Go", exact=True).click()
        expect(page.locator("#in_seed")).to_have_text("41")
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Reset world").click()
        expect(page.locator("#step")).to_have_text("0")

        # At narrow widths nothing leaves the window.
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert faults == []
        ended(process, signal.SIGINT)
        expect(page.locator("#veil")).to_contain_text("The session has ended. What you typed is kept")
        browser.close()
        assert [fault for fault in faults if "WebSocket" not in fault and "load resource" not in fault] == []
    assert len(list(folder.glob("*.mp4"))) == 2


def test_mistakes_are_said_together_before_anything_loads(tmp_path, capsys):
    script = load_script("run_interactive.py")
    flags = [
        "--port",
        "70000",
        "--cond_scale",
        "-1",
        "--fps",
        "-5",
        "--in_weights",
        str(tmp_path / "none.weights"),
    ]
    with pytest.raises(SystemExit) as stopped:
        script.main(flags)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    for words in ("--port 70000", "--cond_scale -1.0", "--fps -5.0", "none.weights does not exist"):
        assert words in said


def test_the_page_asks_nothing_of_other_hosts():
    page = "".join(path.read_text() for path in (ROOT / "steve1" / "live" / "page").iterdir())
    assert set(re.findall(r"https?://[\w./]+", page)) <= {"http://www.w3.org/2000/svg"}
