"""A page of a live session without a browser: its socket, and what it knows."""

import asyncio
import contextlib
import json

import aiohttp
from live import PATIENCE

from steve1.live.access import Access, listen, url
from steve1.live.server import serve

TOKEN = "a-token-of-the-tests"


class Page:
    """What page.js does: keeps the newest status, news and picture; says "shown" unless told not to."""

    def __init__(self, ws, diligent=True):
        self.ws, self.diligent = ws, diligent
        self.status, self.news, self.refused, self.picture, self.pictures = {}, {}, "", None, 0
        self.answers = set()

    async def read(self):
        message = await self.ws.receive(timeout=PATIENCE)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.picture, self.pictures = message.data, self.pictures + 1
            if self.diligent:
                await self.ws.send_json({"type": "shown"})
        elif message.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            if content["type"] in ("refused", "taken", "overtaken"):
                self.refused = content.get("text", self.refused)
                self.answers.add((content["type"], content.get("id")))
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
async def serving(live, names=(), parts=()):
    """The session behind a real socket: (client, address)."""
    listener = listen("127.0.0.1", 0)
    up = asyncio.Event()
    task = asyncio.create_task(
        serve(live.session, listener, Access("127.0.0.1", TOKEN, names), up.set, parts)
    )
    try:
        async with aiohttp.ClientSession(base_url=url(listener, TOKEN)) as client:
            await up.wait()
            told = live.session.on_change
            live.session.on_change = lambda: (told(), live.notify())
            yield client
    finally:
        live.session.stop()
        await asyncio.wait_for(task, PATIENCE)


@contextlib.asynccontextmanager
async def opened(client, **options):
    async with client.ws_connect(f"/live?token={TOKEN}") as ws:
        yield Page(ws, **options)
