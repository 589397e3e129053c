"""The live session's server as a page uses it, over real sockets, without a browser."""

import asyncio
import contextlib
import json
import socket

import aiohttp
import cv2
import numpy as np
import pytest
from live import PATIENCE, Live

from steve1.cli import UserError
from steve1.live.access import host_is_ours, listen, origin_is_ours, url
from steve1.live.server import serve


class Page:
    """What page.html does: keeps the newest status, news and picture; says "shown" unless told not to."""

    def __init__(self, ws, diligent=True):
        self.ws, self.diligent = ws, diligent
        self.status, self.news, self.refused, self.picture, self.pictures = {}, {}, "", None, 0

    async def read(self):
        message = await self.ws.receive(timeout=PATIENCE)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.picture, self.pictures = message.data, self.pictures + 1
            if self.diligent:
                await self.ws.send_json({"type": "shown"})
        elif message.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            if content["type"] == "refused":
                self.refused = content["text"]
            else:
                setattr(self, content["type"], content)
        else:
            raise ConnectionError(f"closed: {message}")

    async def until(self, condition):
        while not condition(self):
            await self.read()

    async def say(self, **message):
        await self.ws.send_json(message)


@contextlib.asynccontextmanager
async def serving(live):
    """The session behind a real socket: (client, address)."""
    listener = listen("127.0.0.1", 0)
    up = asyncio.Event()
    task = asyncio.create_task(serve(live.session, listener, "127.0.0.1", up.set))
    try:
        async with aiohttp.ClientSession(base_url=url(listener)) as client:
            await up.wait()
            told = live.session.on_change
            live.session.on_change = lambda: (told(), live.notify())
            yield client
    finally:
        live.session.stop()
        await asyncio.wait_for(task, PATIENCE)


@contextlib.asynccontextmanager
async def opened(client, **options):
    async with client.ws_connect("/live") as ws:
        yield Page(ws, **options)


def test_a_page_sees_the_game_and_steers_it(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client, opened(client) as page:
            await page.until(lambda page: page.pictures > 2)
            picture = cv2.imdecode(np.frombuffer(page.picture, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (360, 640, 3)
            await page.say(type="prompt", text="  dig\ndown ")
            await page.until(lambda page: page.status["prompt"] == "dig down")
            await page.until(
                lambda page: page.news["prompts"] and page.news["prompts"][0]["step"] is not None
            )
            (asked,) = page.news["prompts"]
            assert (asked["number"], asked["prompt"], asked["step"]) == (1, "dig down", asked["frame"])
            assert asked["latency_ms"] >= 0
            await page.say(type="cond_scale", value=2.5)
            await page.until(lambda page: page.status["cond_scale"] == 2.5)
            await page.say(type="pause", paused=True)
            await page.until(lambda page: page.status["phase"] == "paused")
            await page.say(type="reset_world", seed=77)
            await page.until(lambda page: (page.status["seed"], page.status["step"]) == (77, 0))
            await page.say(type="pause", paused=False)
            await page.until(lambda page: page.status["step"] > 3)
            await page.say(type="reset_agent")
            await page.say(type="save")
            await page.until(lambda page: page.news["films"])
            (film,) = page.news["films"]
            async with client.get(f"/{film['video']}") as answer:
                assert (answer.status, answer.content_type) == (200, "video/mp4")
                assert await answer.read() == (tmp_path / film["name"]).read_bytes()
            async with client.get(f"/{film['json']}") as answer:
                content = await answer.json()
            assert content["frames"] == film["frames"]
            assert content["prompts"][1]["frame"] == asked["frame"]

    asyncio.run(go())
    assert live.agent.scales == [6.0, 2.5]
    assert live.log["seeds"] == [3, 77]


def test_a_slow_page_gets_the_newest_picture_and_never_a_queue(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client, opened(client) as quick, opened(client, diligent=False) as slow:
            await slow.until(lambda page: page.pictures == 2)
            seen = slow.status["step"]
            await quick.until(lambda page: page.status.get("step", 0) > seen + 30)
            await slow.say(type="shown")
            await slow.until(lambda page: page.pictures == 3)
            # The third picture is not the one after the second: those in between were left out.
            assert slow.status["step"] > seen + 30

    asyncio.run(go())


def test_the_game_waits_for_a_page(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client:
            async with opened(client) as page:
                await page.until(lambda page: page.status.get("step", 0) > 2)
            await asyncio.to_thread(live.wait, lambda view: view.phase == "waiting")
            async with opened(client) as page:
                await page.until(lambda page: page.status.get("phase") == "playing")

    asyncio.run(go())


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[" * 5000,
        "[]",
        "{}",
        '{"type": "format the disk"}',
        '{"type": "prompt"}',
        '{"type": "prompt", "text": 7}',
        json.dumps({"type": "prompt", "text": "x" * 501}),
        '{"type": "cond_scale", "value": "6"}',
        '{"type": "cond_scale", "value": NaN}',
        '{"type": "cond_scale", "value": -1}',
        '{"type": "cond_scale", "value": 1' + "0" * 400 + "}",
        '{"type": "reset_world", "seed": 1.5}',
        '{"type": "reset_world", "seed": -1}',
        '{"type": "reset_world", "seed": true}',
    ],
    ids=lambda message: message[:40],
)
def test_what_makes_no_sense_is_refused_in_words(tmp_path, monkeypatch, message):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client, opened(client) as page:
            await page.ws.send_str(message)
            await page.until(lambda page: page.refused)
            await page.say(type="prompt", text="go on")
            await page.until(lambda page: page.status.get("prompt") == "go on")

    asyncio.run(go())
    assert live.agent.scales == [6.0]
    assert live.log["seeds"] == [3]


def test_other_sites_and_other_files_are_refused(tmp_path, monkeypatch):
    live = Live(tmp_path / "films", monkeypatch)
    (tmp_path / "secret.json").write_text("{}")

    async def go():
        async with serving(live) as client:
            for headers in ({"Host": "evil.example"}, {"Host": "evil.example:8000"}, {"Host": ""}):
                async with client.get("/", headers=headers) as answer:
                    assert answer.status == 403
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await client.ws_connect("/live", headers=headers)
            for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await client.ws_connect("/live", headers={"Origin": origin})
            for path in (
                "/films/secret.json",
                "/films/..%2Fsecret.json",
                "/films/%2Fetc%2Fpasswd",
                "/page.html",
                "/static/..%2Fserver.py",
                "/static/../server.py",
                "/static/%2Fetc%2Fpasswd",
                "/static/none.js",
            ):
                async with client.get(path) as answer:
                    assert answer.status == 404
            async with client.get("/") as answer:
                assert answer.status == 200
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert "STEVE-1" in await answer.text()
            for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
                async with client.get(f"/static/{name}") as answer:
                    assert (answer.status, answer.content_type) == (200, kind)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("header", "bound", "ours"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost:9000", "127.0.0.1", True),
        ("[::1]:8000", "::1", True),
        ("192.168.0.7:8000", "127.0.0.1", False),
        ("192.168.0.7:8000", "0.0.0.0", True),
        ("gpu01:8000", "gpu01", True),
        ("gpu02:8000", "gpu01", False),
        (f"{socket.gethostname()}:8000", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        (None, "127.0.0.1", False),
    ],
)
def test_the_names_under_which_it_answers(header, bound, ours):
    assert host_is_ours(header, bound) is ours


def test_the_origin_must_be_the_page_itself():
    assert origin_is_ours("http://localhost:9000", "localhost:9000")
    assert origin_is_ours(None, "localhost:9000")
    assert not origin_is_ours("http://localhost:9001", "localhost:9000")


def test_a_port_that_is_taken_is_said():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port} can't be listened on"):
            listen("127.0.0.1", port)


def test_an_error_that_ends_the_game_ends_the_server_and_keeps_the_film(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    def fault():
        raise MemoryError("no memory")

    async def go():
        async with serving(live) as client, opened(client) as page:
            await page.until(lambda page: page.status.get("step", 0) > 2)
            monkeypatch.setattr(live.agent, "act", lambda povs, goals: fault())
            with pytest.raises(ConnectionError):
                await page.until(lambda page: False)

    with pytest.raises(MemoryError):
        asyncio.run(go())
    assert len(live.session.films) == 1
