"""Playing on the live page with real keys and mouse; what was played is recorded, saved and converted."""

import asyncio
import json
import re
import signal

import aiohttp
import numpy as np
import pytest
from live import PATIENCE
from test_run_interactive import BROWSER, BROWSER_FLAGS, SOON, models, session
from tiny_recordings import make_mineclip

from data.contractor import Recording
from data.EpisodeStorage import EpisodeStorage
from data.generation.convert_custom_data import main as convert
from data.recording_options import RecordingOptions
from data.video import decode
from steve1.envs import make_env
from steve1.live.access import below
from steve1.live.recordings import recover

assert models  # the fixture

SEED = 5
# What is pressed, one after the other, and MineRL's names of it.
PATTERN = {
    "w": "forward",
    "Space": "jump",
    "a": "left",
    "Shift": "sneak",
    "s": "back",
    "Control": "sprint",
    "d": "right",
    "q": "drop",
    "3": "hotbar.3",
}


def lines_of(folder):
    return [json.loads(line) for line in (folder / "actions.jsonl").read_text().splitlines()]


def runs(values):
    """Equal values in a row as one."""
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


def pressed(recording, number):
    actions = recording.actions.env_actions
    return {key for key, values in actions.items() if key != "camera" and values[number]}


def told_to_end(process, how):
    """What a session says when it is told to end; it may have its world to make first."""
    process.send_signal(how)
    said = process.stdout.read()  # communicate() with a timeout would lose what readline() has read ahead
    process.wait(6 * PATIENCE)
    assert process.returncode == 0, said
    return said


class Player:
    """A page in a browser, and waiting until the game has played on."""

    def __init__(self, browser, address, faults):
        self.page = browser.new_page()
        self.page.set_default_timeout(3 * SOON)
        self.page.on("pageerror", lambda error: faults.append(str(error)))
        self.page.goto(address)
        self.page.locator("#phase").filter(has_text="playing").wait_for()

    def ticks(self, count=3):
        until = int(self.page.locator("#step").inner_text()) + count
        self.page.wait_for_function(
            "n => Number(document.getElementById('step').textContent) >= n", arg=until
        )

    def says(self, text):
        self.page.locator("#holder").filter(has_text=text).wait_for()

    def hold(self, key):
        self.page.keyboard.down(key)
        self.ticks()
        self.page.keyboard.up(key)
        self.ticks(2)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
def test_what_a_person_plays_is_recorded_saved_and_converted(models, tmp_path):
    from playwright.sync_api import sync_playwright

    faults = []
    films = tmp_path / "films"
    with session(models, films, "--seed", str(SEED)) as (process, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        first = Player(browser, address, faults)
        page = first.page
        assert "W A S D" in page.locator("#hands").inner_text()
        page.get_by_role("button", name="Take over").click()
        first.says("You play.")
        page.mouse.move(300, 200)
        first.ticks(2)
        page.mouse.move(320, 190)
        first.ticks()
        for key in PATTERN:
            first.hold(key)
        page.mouse.down()
        first.ticks()
        page.mouse.up()
        first.ticks(2)
        page.mouse.wheel(0, 100)
        first.ticks()

        # A second page watches; it is told who plays, and refused.
        second = Player(browser, address, faults)
        second.says("Page 1 plays (this is page 2)")
        second.page.on("dialog", lambda dialog: dialog.dismiss())
        second.page.get_by_role("button", name="Take over").click()
        second.says("Page 1 plays")
        second.page.close()

        # To the agent, and back, without letting go of the mouse.
        page.bring_to_front()
        if not page.evaluate("document.pointerLockElement !== null"):
            page.locator("#screen").click()
            page.wait_for_function("document.pointerLockElement !== null")
        page.keyboard.press("Tab")
        first.says("The agent plays.")
        first.ticks(5)
        page.keyboard.press("Tab")
        first.says("You play")
        first.hold("w")

        # The inventory, whose cursor the mouse moves.
        first.hold("e")
        page.mouse.move(350, 240)
        first.ticks(2)
        page.mouse.move(360, 245)
        first.ticks()
        first.hold("e")

        # Keys that are down when the mouse is let go of are released.
        page.keyboard.down("w")
        first.ticks()
        page.keyboard.press("Escape")
        page.wait_for_function("document.pointerLockElement === null")
        first.ticks(2)
        page.keyboard.up("w")
        page.locator("#label").fill("walk about")
        page.get_by_role("button", name="Save as recording").click()
        page.locator("#recordings li").filter(has_text="walk about").wait_for()
        page.get_by_role("button", name="Hand back to the agent").click()
        first.says("The agent plays.")
        browser.close()
        said = told_to_end(process, signal.SIGINT)
    assert faults == []
    (folder,) = (tmp_path / "recordings").iterdir()
    assert f"{folder}: " in said

    # The pattern, read back exactly.
    lines = lines_of(folder)
    assert [line["tick"] for line in lines] == list(range(len(lines)))
    who = runs([line["player"] for line in lines])
    assert who == ["agent", "human", "agent", "human"]
    options = RecordingOptions(only="human")
    human = Recording.read(folder / "video.mp4", folder / "actions.jsonl", options)
    shown = runs([frozenset(pressed(human, n)) for n in range(len(human.actions.kept))])
    wanted = [*PATTERN.values(), "attack", "hotbar.4", "forward", "inventory", "inventory", "forward"]
    assert [set(keys) for keys in shown if keys] == [{key} for key in wanted]
    mouse = [(line["mouse"]["dx"], line["mouse"]["dy"]) for line in lines if line["player"] == "human"]
    assert (20, -10) in mouse
    assert any(line["isGuiOpen"] and line["mouse"]["x"] != 640 for line in lines)

    # Every picture is that of its tick: the same actions in the same world show it again.
    env = make_env("blockworld", SEED)
    seen = [env.reset()["pov"]]
    everything = Recording.read(folder / "video.mp4", folder / "actions.jsonl")
    played = dict(zip(everything.actions.kept.tolist(), range(len(everything.actions.kept)), strict=True))
    for number in range(len(lines) - 1):
        row = played.get(number)
        action = (
            {}
            if row is None
            else {key: values[row] for key, values in everything.actions.env_actions.items()}
        )
        seen.append(env.step(action)[0]["pov"])
    pictures = list(decode(folder / "video.mp4"))
    assert len(pictures) == len(lines)
    for number, picture in enumerate(pictures):
        near = range(max(number - 2, 0), min(number + 3, len(seen)))
        apart = {n: np.abs(picture.astype(np.int16) - seen[n]).mean() for n in near}
        assert apart[number] < 7, number  # what the video's compression leaves
        assert apart[number] <= min(apart.values()) + 0.1, (number, apart)

    # And converted: the person's ticks alone, with the sentence, and no goal over a seam.
    flags = ["--mineclip_weights", str(make_mineclip(tmp_path / "mineclip.pth")), "--min_timesteps", "10"]
    folders = ["--input_dir", str(tmp_path / "recordings"), "--output_dir", str(tmp_path / "episodes")]
    convert([*folders, "--only", "human", *flags])
    episode = EpisodeStorage(tmp_path / "episodes" / folder.name)
    assert episode.validate(deep=True) == []
    assert episode.metadata["label"] == "walk about"
    assert episode.metadata["settings"]["only"] == "human"
    assert len(episode.metadata["cuts"]) == 1
    actions = episode.load_actions()
    for key, values in human.actions.env_actions.items():
        np.testing.assert_array_equal(actions[key], values, err_msg=key)


def test_a_killed_session_loses_less_than_two_seconds(models, tmp_path):
    async def play(address):
        async with aiohttp.ClientSession() as client, client.ws_connect(below(address, "live")) as ws:
            await ws.send_json({"type": "take"})
            while True:
                message = await ws.receive(timeout=PATIENCE)
                if message.type is aiohttp.WSMsgType.BINARY:
                    await ws.send_json({"type": "shown"})
                    await ws.send_json({"type": "input", "keys": ["forward"], "dx": 10})
                elif (recording := json.loads(message.data).get("recording")) and recording["human"] > 45:
                    return recording["ticks"]

    with session(models, tmp_path / "films", "--fps", "0") as (process, address):
        ticks = asyncio.run(play(address))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with session(models, tmp_path / "films") as (process, address):
        said = told_to_end(process, signal.SIGTERM)
    found = re.search(r"left by a session that was killed: .*: (\d+) ticks", said)
    assert found, said
    kept = int(found[1])
    assert kept >= ticks - 40
    assert recover(tmp_path / "recordings") == []
    (folder,) = (tmp_path / "recordings").iterdir()
    recording = Recording.read(folder / "video.mp4", folder / "actions.jsonl")
    assert len(list(recording.frames())) == len(recording.actions.kept) > 0
    assert recording.warnings == []
    assert recording.actions.n_lines == kept


def test_hands_go_back_to_the_agent_when_their_page_goes_away(models, tmp_path):
    async def status(ws, condition):
        while True:
            message = await ws.receive(timeout=PATIENCE)
            if message.type is aiohttp.WSMsgType.BINARY:
                await ws.send_json({"type": "shown"})
                continue
            said = json.loads(message.data)
            if condition(said):
                return said

    async def play(address):
        async with aiohttp.ClientSession() as client, client.ws_connect(below(address, "live")) as watching:
            you = (await status(watching, lambda said: "you" in said))["you"]
            async with client.ws_connect(below(address, "live")) as playing:
                await playing.send_json({"type": "input", "keys": ["forward"]})
                refused = await status(playing, lambda said: said["type"] == "refused")
                assert "take over first" in refused["text"]
                await playing.send_json({"type": "take"})
                await status(watching, lambda said: said.get("holder") not in (None, you))
                await watching.send_json({"type": "take"})
                refused = await status(watching, lambda said: said["type"] == "refused")
                assert "another page plays" in refused["text"]
                await watching.send_json({"type": "take", "from_another": True})
                await status(playing, lambda said: said.get("holder") == you)
                await playing.send_json({"type": "take", "from_another": True})
                await status(watching, lambda said: said.get("holder") not in (None, you))
            await status(watching, lambda said: said.get("holder", 0) is None and said["playing"] == "agent")

    with session(models, tmp_path / "films", "--recordings_dir", "none") as (process, address):
        asyncio.run(play(address))
        told_to_end(process, signal.SIGTERM)
    assert not (tmp_path / "recordings").exists()
