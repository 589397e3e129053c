"""The live session's server as a page uses it, over real sockets, without a browser."""

import asyncio
import json
import threading

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import web
from live import PATIENCE, Live, ScriptedWorld
from live_page import TOKEN, Page, opened, serving


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
            async with client.get(f"/{film['video']}?token={TOKEN}") as answer:
                assert (answer.status, answer.content_type) == (200, "video/mp4")
                assert await answer.read() == (tmp_path / film["name"]).read_bytes()
            async with client.get(f"/{film['json']}?token={TOKEN}") as answer:
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
    ("message", "stays"),
    [
        ("not json", ""),
        ("[" * 5000, ""),
        ("[]", ""),
        ("7", ""),
        ('"prompt"', ""),
        ("{}", ""),
        ('{"type": []}', ""),
        ('{"type": "format the disk"}', ""),
        ('{"type": "prompt", "text": "go", "id": "x"}', "an id is a whole number"),
        ('{"type": "prompt", "text": "go", "id": 1.5}', "an id is a whole number"),
        ('{"type": "prompt"}', "it stays “stand”"),
        ('{"type": "prompt", "text": 7}', "it stays “stand”"),
        (json.dumps({"type": "prompt", "text": "x" * 501}), "it stays “stand”"),
        ('{"type": "cond_scale", "value": "6"}', "it stays 6"),
        ('{"type": "cond_scale", "value": NaN}', "it stays 6"),
        ('{"type": "cond_scale", "value": -1}', "it stays 6"),
        ('{"type": "cond_scale", "value": 1' + "0" * 400 + "}", "it stays 6"),
        ('{"type": "reset_world", "seed": 1.5}', "it stays 3"),
        ('{"type": "reset_world", "seed": -1}', "it stays 3"),
        ('{"type": "reset_world", "seed": true}', "it stays 3"),
    ],
    ids=lambda value: value[:40],
)
def test_what_makes_no_sense_is_refused_in_words(tmp_path, monkeypatch, message, stays):
    live = Live(tmp_path, monkeypatch, prompt="stand")

    async def go():
        async with serving(live) as client, opened(client) as page:
            await page.ws.send_str(message)
            await page.until(lambda page: page.refused)
            assert page.refused.endswith(stays)
            await page.say(type="prompt", text="go on")
            await page.until(lambda page: page.status.get("prompt") == "go on")

    asyncio.run(go())
    assert live.agent.scales == [6.0]
    assert live.log["seeds"] == [3]


def test_everything_is_answered_though_a_world_is_being_made(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    made = threading.Event()

    class Slow(ScriptedWorld):
        def reset(self):
            if self._log["steps"]:
                assert made.wait(PATIENCE)
            return super().reset()

    live.session._make_world = lambda: Slow(lambda step: None, live.log, 10**9)

    async def go():
        async with serving(live) as client, opened(client) as page:
            await page.until(lambda page: page.status.get("step", 0) > 2)
            await page.say(type="reset_world", seed=8, id=1)
            await page.until(lambda page: page.status["phase"] == "starting")
            await page.say(type="prompt", text="first", id=2)
            await page.say(type="reset_world", seed=9, id=3)
            await page.say(type="cond_scale", value=1.5, id=4)
            await page.say(type="prompt", text="second", id=5)
            await page.until(
                lambda page: ("overtaken", 2) in page.answers and page.status["waiting"] == "second"
            )
            assert sorted(page.answers) == [("overtaken", 2), *(("taken", n) for n in range(1, 6))]
            assert (page.status["phase"], page.status["prompt"]) == ("starting", "")
            made.set()
            await page.until(lambda page: page.status["prompt"] == "second" and page.status["step"] > 2)
            assert (page.status["seed"], page.status["cond_scale"], page.status["waiting"]) == (9, 1.5, None)
            assert [asked["prompt"] for asked in page.news["prompts"]] == ["second"]

    asyncio.run(go())
    assert live.log["seeds"] == [3, 8, 9]


def test_a_flood_of_prompts_and_resets_does_not_stop_the_game(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client, opened(client) as page, opened(client) as other:
            await page.until(lambda page: page.status.get("step", 0) > 2)

            async def flood():
                for n in range(5000):
                    await page.say(type="prompt", text=f"prompt {n}", id=n)
                    if n % 100 == 0:
                        await page.say(type="reset_world", seed=n, id=10_000 + n)

            flooding = asyncio.create_task(flood())
            await page.until(lambda page: ("taken", 4999) in page.answers)
            await flooding
            await page.until(lambda page: page.status["prompt"] == "prompt 4999" and page.status["step"] > 2)
            await other.until(lambda page: page.status.get("prompt") == "prompt 4999")
            # Every one is answered, and the flood's sender alone.
            assert {n for kind, n in page.answers if kind == "taken"} == {
                *range(5000),
                *range(10_000, 15_000, 100),
            }
            overtaken = {n for kind, n in page.answers if kind == "overtaken" and n < 5000}
            assert not other.answers
            assert len(overtaken) == 5000 - page.news["prompts"][-1]["number"]
            assert page.status["seed"] == 4900

    asyncio.run(go())


def test_two_pages_see_the_same(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    names = ("prompt", "cond_scale", "seed", "phase", "waiting", "playing")
    expected = ("dig", 3, 12, "paused", None, "agent")

    def state(page):
        return tuple(page.status.get(name, "missing") for name in names)

    async def go():
        async with serving(live) as client, opened(client) as one, opened(client) as two:
            await one.say(type="prompt", text="dig")
            await two.say(type="cond_scale", value=3)
            await one.say(type="reset_world", seed=12)
            await two.say(type="pause", paused=True)
            for page in (one, two):
                await page.until(lambda page: state(page) == expected and page.news["prompts"])
            assert one.news == two.news
            assert one.status["you"] != two.status["you"]
            async with opened(client) as late:
                await late.until(lambda page: page.pictures)
                assert state(late) == expected
                assert late.news == one.news

    asyncio.run(go())


def test_a_part_hangs_itself_on_the_server(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    left = []

    async def more(request):
        return web.Response(text="more")

    def part(server):
        def wave(viewer, message):
            if not message.get("hand"):
                return "show a hand"
            server.tell({"type": "waved", "by": viewer.number})
            return ""

        server.handlers["wave"] = wave
        server.extras.append(lambda view: {"double": 2 * view.step})
        server.routes.append(web.get("/extra", more))
        server.on_leave.append(lambda viewer: left.append(viewer.number))

    async def go():
        async with serving(live, parts=[part]) as client, opened(client) as one:
            async with opened(client) as two:
                await two.say(type="wave", id=1)
                await two.until(lambda page: page.refused)
                assert two.refused == "show a hand"
                await two.say(type="wave", hand=1, id=2)
                for page in (one, two):
                    await page.until(lambda page: hasattr(page, "waved") and page.status)
                    assert page.waved["by"] == two.status["you"]
            await one.until(lambda page: left == [two.status["you"]] and page.status["step"] > 2)
            assert one.status["double"] == 2 * one.status["step"]
            async with client.get(f"/extra?token={TOKEN}") as answer:
                assert await answer.text() == "more"
            async with client.get("/extra") as answer:
                assert answer.status == 403

    asyncio.run(go())


def test_a_proxy_s_page_may_play_when_it_is_named(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    headers = {"Host": "play.example.org", "Origin": "https://play.example.org"}

    async def go():
        async with (
            serving(live, names=("play.example.org",)) as client,
            client.ws_connect(f"/live?token={TOKEN}", headers=headers) as ws,
        ):
            await Page(ws).until(lambda page: page.pictures > 2)

    asyncio.run(go())


def test_other_sites_other_files_and_other_tokens_are_refused(tmp_path, monkeypatch):
    live = Live(tmp_path / "films", monkeypatch)
    (tmp_path / "secret.json").write_text("{}")

    async def go():
        async with serving(live) as client:

            async def status(path, token=TOKEN, **headers):
                async with client.get(
                    path, params={"token": token} if token else {}, headers=headers
                ) as answer:
                    assert (await answer.text()).count("\n") <= 1 or answer.status == 200
                    return answer.status

            async def shake_hands(token=TOKEN, **headers):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await client.ws_connect("/live", params={"token": token}, headers=headers)
                return refused.value.status

            for host in ("evil.example", "evil.example:8000"):
                assert await status("/", Host=host) == await shake_hands(Host=host) == 403
            for host in ("", "[", "user@localhost"):
                assert await status("/", Host=host) == await shake_hands(Host=host) == 400
            for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
                assert await shake_hands(Origin=origin) == 403
            for origin in ("http://[", "x", "http://a b"):
                assert await shake_hands(Origin=origin) == 400
            for token in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "ü", "x" * 5000):
                for path in ("/", "/films/any.mp4", "/nothing"):
                    assert await status(path, token) == 403
                assert await shake_hands(token) == 403
            async with client.get("/") as answer:
                assert "open the one that run_interactive.py printed" in await answer.text()
            for path in (
                "/films/secret.json",
                "/films/..%2Fsecret.json",
                "/films/%2Fetc%2Fpasswd",
                "/films/%00",
                "/films/%FF%FE",
                "/films/" + "x" * 5000,
                "/page.html",
                "/static/..%2Fserver.py",
                "/static/../server.py",
                "/static/%2Fetc%2Fpasswd",
                "/static/none.js",
                "/static/",
            ):
                assert await status(path) == 404, path
            async with client.get("/", params={"token": TOKEN}) as answer:
                assert answer.status == 200
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert "STEVE-1" in await answer.text()
            for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
                async with client.get(f"/static/{name}") as answer:
                    assert (answer.status, answer.content_type) == (200, kind)

    asyncio.run(go())


HOSTILE = {
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: h\xf6st\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: " + b"a." * 3000 + b"\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: " + b"a" * 20_000 + b"\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: \xff\xfe\r\n\r\n": 400,
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n": 403,
    b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n": 403,
    b"GET /live?token=%FF%00&token=x HTTP/1.1\r\nHost: localhost\r\n\r\n": 403,
    b"GET /films/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"NONSENSE\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
}


def test_what_no_browser_sends_is_a_bad_request_without_a_traceback(tmp_path, monkeypatch, caplog, capfd):
    live = Live(tmp_path, monkeypatch)

    async def go():
        async with serving(live) as client:
            found = {}
            for request in HOSTILE:
                reader, writer = await asyncio.open_connection(client._base_url.host, client._base_url.port)
                writer.write(request)
                line = await asyncio.wait_for(reader.readline(), PATIENCE)
                found[request] = int(line.split()[1])
                writer.close()
            assert found == HOSTILE
            async with opened(client) as page:
                await page.until(lambda page: page.pictures > 1)

    asyncio.run(go())
    assert caplog.text == ""
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert TOKEN not in said


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
