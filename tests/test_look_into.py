"""Looking into the agent on the live page: a process of its own, a real browser, and the words of the socket."""

import asyncio
import json
import re

import aiohttp
import pytest
from live import PATIENCE
from test_run_interactive import BROWSER, BROWSER_FLAGS, SOON, session
from tiny_agent import make_models
from tiny_episodes import make_episode

from steve1.checkpoints import load_mineclip, tensors_hash
from steve1.live.access import below
from steve1.live.insight import measures_of

KEYS = {"forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use", "drop", "inventory"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def strip(models, tmp_path_factory):
    """The flag that names a sampling of two episodes, of this MineCLIP."""
    folder = tmp_path_factory.mktemp("sampling")
    known = tensors_hash(load_mineclip(models[models.index("--mineclip_weights") + 1]))
    paths = [make_episode(folder / f"e{i}", 30, i, mineclip_hash=known) for i in range(2)]
    (folder / "mine_train.txt").write_text("".join(f"{path}\n" for path in paths))
    return ["--goal_strip", str(folder / "mine_train.txt")]


async def receive(ws, wanted):
    """The next JSON message that ``wanted`` says yes to; pictures are acknowledged."""
    while True:
        message = await ws.receive(timeout=PATIENCE)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type is aiohttp.WSMsgType.BINARY:
            await ws.send_json({"type": "shown"})
        elif wanted(found := json.loads(message.data)):
            return found


def test_only_who_looks_is_told(models, strip, tmp_path):
    async def play(address):
        async with aiohttp.ClientSession() as client, client.ws_connect(below(address, "live")) as ws:
            first = await receive(ws, lambda m: m["type"] == "status" and m["step"] > 2)
            assert "look" not in first
            await ws.send_json({"type": "prompt", "text": "look at the sky"})
            # What is nearest to the goal is told to all.
            found = await receive(ws, lambda m: m["type"] == "strip")
            assert found["prompt"] == "look at the sky"
            assert {moment["episode"] for moment in found["moments"]} <= {"e0", "e1"}
            assert found["moments"]
            await ws.send_json({"type": "look", "on": True})
            past = await receive(ws, lambda m: m["type"] == "curves")
            assert past["marks"][-1][1] == "look at the sky"
            assert len(past["points"]) > 2
            look = (await receive(ws, lambda m: m.get("look") is not None))["look"]
            insight = look["insight"]
            assert len(insight["with_goal"]) == len(insight["without_goal"]) == 5
            assert set(insight["moved"]) == set(insight["moved_by_goal"]) == {"buttons", "camera"}
            assert all(0 <= share <= 1 for share in insight["moved"].values())
            assert look["measure"] == ["looking up", "share"]
            scored = await receive(ws, lambda m: m.get("look", {}).get("score") is not None)
            assert -1 <= scored["look"]["score"][1] <= 1
            await ws.send_json({"type": "cond_scale", "value": 0})
            # From the next tick on there is one half alone.
            await receive(ws, lambda m: "look" in m and m["look"]["insight"]["without_goal"] is None)
            await ws.send_json({"type": "look", "on": False})
            await receive(ws, lambda m: m["type"] == "status" and "look" not in m)

    with session(models, tmp_path / "films", *strip) as (_, address):
        asyncio.run(play(address))


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
def test_in_a_real_browser(models, strip, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    with session(models, tmp_path / "films", *strip) as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        page = browser.new_page()
        page.set_default_timeout(SOON)
        expect.set_options(timeout=SOON)
        faults, looks = [], []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)

        def heard(words):
            if isinstance(words, str) and json.loads(words).get("look"):
                looks.append(json.loads(words)["look"])

        page.on("websocket", lambda socket: socket.on("framereceived", heard))
        with page.expect_websocket() as opened:
            page.goto(address)

        def play(steps):
            """Wait until the game has gone on by so many steps."""
            begun = int(page.locator("#step").inner_text() or 0)
            opened.value.wait_for_event(
                "framereceived",
                lambda words: isinstance(words, str) and json.loads(words).get("step", 0) > begun + steps,
                timeout=SOON,
            )

        page.keyboard.type("look at the sky")
        page.keyboard.press("Enter")
        expect(page.locator("#now")).to_have_text("Now: look at the sky")
        expect(page.locator(".strip img").first).to_be_visible()
        expect(page.locator(".lists .row")).to_have_count(10)
        expect(page.locator(".moved")).to_contain_text(
            re.compile(r"Guidance moved keys \d.*; the goal alone")
        )
        # The prompt's mark, and curves that grow.
        expect(page.locator(".curve .mark title").last).to_have_text("look at the sky")
        expect(page.locator(".curve .values").first).to_have_attribute("d", re.compile(".{60}"))
        # Standing still, the page shows the newest action to the letter.
        page.keyboard.press("Escape")
        page.keyboard.press("p")
        expect(page.locator("#phase")).to_have_text("paused")
        newest = looks[-1]
        expect(page.locator(".cap.down")).to_have_count(len(newest["keys"]))
        lit = page.evaluate("[...document.querySelectorAll('.cap.down')].map(cap => cap.title)")
        assert sorted(lit) == sorted(newest["keys"])
        assert set(newest["keys"]) <= KEYS | {f"hotbar.{n}" for n in range(1, 10)}
        labels = page.locator(".likely").first.locator(".row span").all_inner_texts()
        assert labels == [label for label, _ in newest["insight"]["with_goal"]]
        still = newest["camera"] == [0, 0]
        assert (page.locator(".degrees").inner_text() == "still") == still

        # Closed, it asks for nothing more.
        page.locator("#look summary").click()
        page.keyboard.press("p")
        expect(page.locator("#phase")).to_have_text("playing")
        play(5)
        told = len(looks)
        play(10)
        assert len(looks) == told
        browser.close()
        assert faults == []


def test_what_is_counted_fits_the_prompt():
    assert measures_of("look at the sky") == ("looking_up",)
    assert measures_of("dance") == measures_of("") == ("log_hits", "logs_mined", "attacking")
