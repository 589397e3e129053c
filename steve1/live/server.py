"""The live session's web server: one page, one WebSocket a viewer, the saved films.

The protocol, over ``/live``; all but the pictures is JSON with a ``type``.

To a viewer go ``status`` (what :meth:`LiveServer._says` and the ``extras`` say of one view; ``you``, the viewer's
number; ``waiting``, a prompt that is not in force yet) and right behind it the newest picture as binary JPEG, which
the status belongs to; ``news`` (prompts so far, films) when these have changed; and whatever else
:meth:`LiveServer.tell` is given. No more than two pictures are ever on their way: a slow viewer sees fewer, never old
ones, and all else at once.

From a viewer come ``shown`` for every picture that it has drawn, ``prompt`` (``text``; "" is no goal), ``cond_scale``
(``value``; 0 is no guidance), ``pause`` (``paused``), ``reset_agent``, ``reset_world`` (``seed``, or none for the
same), ``save``, and whatever is in ``handlers``. They are answered, with their ``id`` where they have one (a whole
number): ``taken`` as soon as they have come, though a world be made meanwhile, and ``overtaken`` when a newer one of
their type came before they could be done; ``refused``, with a ``text`` that says the value in force, where they make
no sense.

Requests are let in by :mod:`steve1.live.access`: under the session's own name, from its own page, and with its token,
without which only the page's ``/static`` files are to be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import signal
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from steve1.config import FPS
from steve1.live.access import Access
from steve1.live.session import Session
from steve1.live.view import View

PAGE = Path(__file__).with_name("page")  # folder of the page and of what it loads
SHARED = PAGE.parents[1] / "pages" / "curves.js"  # that the report has too
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MAX_PROMPT = 500  # characters; the tokenizer reads 75 tokens
MAX_SCALE = 100.0
MAX_SEED = 2**31 - 1
_AHEAD = 2  # pictures on their way to a viewer
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


# Does what a message of a viewer asks; why it can't be done, or "".
Handler = Callable[["Viewer", dict[str, Any]], str]


class Viewer:
    """One page: its socket, the news, status and picture that it has, and whether there is room for another picture."""

    def __init__(self, ws: web.WebSocketResponse, number: int) -> None:
        self.ws, self.number, self.news = ws, number, -1
        self.letters: deque[dict[str, Any]] = deque()  # JSON that goes to this viewer before the next status
        self.picture: bytes | None = None
        self.status: dict[str, Any] | None = None
        self.wake = asyncio.Event()  # there is something new for it, or room for it
        self._on_way = 0

    @property
    def has_room(self) -> bool:
        return self._on_way < _AHEAD

    def sent(self, picture: bytes) -> None:
        """A picture is on its way to it."""
        self.picture = picture
        self._on_way += 1

    def shown(self) -> None:
        """It has drawn a picture."""
        self._on_way = max(self._on_way - 1, 0)
        self.wake.set()


class LiveServer:
    """The web side of a :class:`~steve1.live.session.Session`. Lives in one event loop.

    A part of the page that has a module of its own adds to ``handlers``, ``extras``, ``routes`` and ``on_leave``
    before :meth:`app` is called, see :func:`serve`; all are called in the event loop.
    """

    def __init__(self, session: Session, access: Access) -> None:
        self.session, self._access = session, access
        self.handlers: dict[str, Handler] = {
            "shown": self._shown,
            "prompt": self._prompt,
            "cond_scale": self._cond_scale,
            "pause": self._pause,
            "reset_agent": self._reset_agent,
            "reset_world": self._reset_world,
            "save": self._save,
        }
        self.extras: list[Callable[[View], dict[str, Any]]] = []  # what else a status says, JSON; once a view
        self.routes: list[web.RouteDef] = []
        self.on_leave: list[Callable[[Viewer], object]] = []
        self.viewers: set[Viewer] = set()
        self._numbers = itertools.count(1)
        self._composed: tuple[View, dict[str, Any]] | None = None
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        session.on_change = self._changed

    def app(self) -> web.Application:
        """What aiohttp serves."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/live", self._live)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/films/{name}", self._film)
        app.router.add_routes(self.routes)
        return app

    async def close(self) -> None:
        """Say goodbye to the pages."""
        for viewer in list(self.viewers):
            await viewer.ws.close(code=WSCloseCode.GOING_AWAY, message=b"the session has ended")

    def tell(self, message: dict[str, Any], *viewers: Viewer) -> None:
        """Send a JSON message (its ``type`` is the page's to know) to these viewers, or to all; from any thread."""
        for viewer in viewers or list(self.viewers):
            viewer.letters.append(message)
        self._changed()

    def _changed(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for viewer in self.viewers:
            viewer.wake.set()
        if self.session.ended:
            self.ended.set()

    # Requests

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        refusal = self._access.refusal(
            request.headers.getall("Host", []), request.headers.getall("Origin", [])
        )
        # The page's own files are no secret, and its modules load each other without a token.
        if (
            refusal is None
            and handler != self._static
            and not self._access.admits(request.query.get("token"))
        ):
            refusal = (
                403,
                "this link has no token of this session; open the one that run_interactive.py printed",
            )
        if refusal is None and self.ended.is_set():
            refusal = 503, "the session has ended"
        if refusal is not None:
            return web.Response(status=refusal[0], text=f"{refusal[1]}\n", headers=_SECURITY)
        return await handler(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return _file(PAGE / "page.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        # Of the names that the folder has; the request's text never becomes a path.
        names = {path.name: path for path in (*PAGE.iterdir(), SHARED) if path.suffix in _TYPES}
        path = names.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="the page has no such file")
        return _file(path)

    async def _film(self, request: web.Request) -> web.StreamResponse:
        # Only names that this session has saved lead to files; the request's text never becomes a path.
        files = {path.name: path for film in self.session.films for path in (film.video, film.json)}
        path = files.get(request.match_info["name"])
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="this session has saved no such film")
        kind = "video/mp4" if path.suffix == ".mp4" else "application/json"
        return web.FileResponse(path, headers={"Content-Type": kind, "X-Content-Type-Options": "nosniff"})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        # Pictures are compressed already.
        ws = web.WebSocketResponse(heartbeat=30, compress=False, max_msg_size=16 * 1024)
        await ws.prepare(request)
        viewer = Viewer(ws, next(self._numbers))
        self.viewers.add(viewer)
        self.session.watch(1)
        sender = asyncio.create_task(self._send(viewer))
        try:
            async for message in ws:
                answer = self._obey(viewer, message.data if message.type is WSMsgType.TEXT else "")
                if answer is not None:
                    await ws.send_json(answer)  # who doesn't read its answers isn't read either
        finally:
            self.session.watch(-1)
            self.viewers.discard(viewer)
            for leave in self.on_leave:
                leave(viewer)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
        return ws

    # What goes to a viewer

    async def _send(self, viewer: Viewer) -> None:
        while not viewer.ws.closed:
            # Cleared first, so that nothing that happens from here on is missed; the newest view after it.
            viewer.wake.clear()
            view = self.session.view
            while viewer.letters:
                await viewer.ws.send_json(viewer.letters.popleft())
            if viewer.news != view.news:
                viewer.news = view.news
                await viewer.ws.send_json(self._news())
            if viewer.has_room:
                status = self._status(view) | {"you": viewer.number, "waiting": self.session.waiting}
                if status != viewer.status:
                    viewer.status = status
                    await viewer.ws.send_json(status)
                if view.picture is not None and view.picture is not viewer.picture:
                    viewer.sent(view.picture)
                    await viewer.ws.send_bytes(view.picture)
            await viewer.wake.wait()

    def _status(self, view: View) -> dict[str, Any]:
        if self._composed is None or self._composed[0] is not view:
            said = self._says(view)
            for extra in self.extras:
                said |= extra(view)
            self._composed = view, said
        return self._composed[1]

    @staticmethod
    def _says(view: View) -> dict[str, Any]:
        return {
            "type": "status",
            "phase": view.phase,
            "step": view.step,
            "fps": round(view.fps, 1),
            "prompt": view.prompt.text,
            "cond_scale": view.prompt.cond_scale,
            "seed": view.prompt.seed,
            "world": view.world,
            "filmed": view.filmed,
            "problem": view.problem,
            "playing": view.playing,
            "remarks": view.remarks,
        }

    def _news(self) -> dict[str, Any]:
        prompts = [
            {
                "number": asked.number,
                "prompt": asked.text,
                "cond_scale": asked.cond_scale,
                "seconds": round(asked.seconds, 1),
                "step": asked.step,
                "frame": asked.frame,
                "latency_ms": None if asked.latency is None else round(1000 * asked.latency),
                "remarks": asked.remarks,
            }
            for asked in list(self.session.history)
        ]
        films = [
            {
                "video": f"films/{film.video.name}",
                "json": f"films/{film.json.name}",
                "name": film.video.name,
                "frames": film.frames,
                "seconds": film.frames / FPS,
                "prompts": sum(bool(row["prompt"]) for row in film.prompts),
            }
            for film in list(self.session.films)
        ]
        return {"type": "news", "prompts": prompts, "films": films}

    # What comes from a viewer

    def _obey(self, viewer: Viewer, text: str) -> dict[str, Any] | None:
        """Do what a message asks; what it is answered, if anything."""
        try:
            message = json.loads(text)
            kind, number = message["type"], message.get("id")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"type": "refused", "text": 'a message is JSON with a "type"'}
        handler = self.handlers.get(kind) if isinstance(kind, str) else None
        if number is not None and not _is_whole(number, -(2**53), 2**53):
            problem, number = "an id is a whole number", None
        elif handler is None:
            problem = f"there is nothing called {str(kind)[:40]!r} to do"
        else:
            problem = handler(viewer, message)
        known = {"what": kind} if handler else {}
        if problem:
            return {"type": "refused", "id": number, "text": problem, **known}
        return None if number is None else {"type": "taken", "id": number, **known}

    def _overtaken(self, viewer: Viewer, message: dict[str, Any]) -> Callable[[], object] | None:
        """How to tell a viewer that what it asked will not be done."""
        number = message.get("id")
        if number is None:
            return None
        return lambda: self.tell({"type": "overtaken", "id": number, "what": message["type"]}, viewer)

    def _shown(self, viewer: Viewer, message: dict[str, Any]) -> str:
        viewer.shown()
        return ""

    def _prompt(self, viewer: Viewer, message: dict[str, Any]) -> str:
        prompt = message.get("text")
        if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT:
            now = self.session.view.prompt.caption
            return f"a prompt is a text of at most {MAX_PROMPT} characters; it stays “{now}”"
        self.session.ask(one_line(prompt), self._overtaken(viewer, message))
        self._wake()  # the prompt waits
        return ""

    def _cond_scale(self, viewer: Viewer, message: dict[str, Any]) -> str:
        scale = message.get("value")
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= MAX_SCALE:
            now = self.session.view.prompt.cond_scale
            return f"the guidance scale is a number from 0 (off) to {MAX_SCALE:g}; it stays {now:g}"
        self.session.set_cond_scale(float(scale), self._overtaken(viewer, message))
        return ""

    def _pause(self, viewer: Viewer, message: dict[str, Any]) -> str:
        self.session.pause(message.get("paused") is True, self._overtaken(viewer, message))
        return ""

    def _reset_agent(self, viewer: Viewer, message: dict[str, Any]) -> str:
        self.session.reset_agent(self._overtaken(viewer, message))
        return ""

    def _reset_world(self, viewer: Viewer, message: dict[str, Any]) -> str:
        seed = message.get("seed")
        if seed is not None and not _is_whole(seed, 0, MAX_SEED):
            return f"a seed is a whole number from 0 to {MAX_SEED}; it stays {self.session.view.prompt.seed}"
        self.session.reset_world(seed, self._overtaken(viewer, message))
        return ""

    def _save(self, viewer: Viewer, message: dict[str, Any]) -> str:
        self.session.save(self._overtaken(viewer, message))
        return ""


def one_line(text: str) -> str:
    """A text that was typed, as one line: what can't be printed is a space, and of several one is left."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _file(path: Path) -> web.FileResponse:
    return web.FileResponse(
        path, headers={**_SECURITY, "Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8"}
    )


def _log() -> logging.Logger:
    """aiohttp's log without what strangers can fill it with: requests that could not be read, which got their 400."""
    log = logging.getLogger("aiohttp.server.live")
    log.filters = [lambda record: not isinstance((record.exc_info or [None] * 2)[1], HttpProcessingError)]
    return log


async def serve(
    session: Session,
    listener: socket.socket,
    access: Access,
    ready: Callable[[], object],
    parts: Sequence[Callable[[LiveServer], object]] = (),
) -> None:
    """Play and serve until SIGINT, SIGTERM or an error that ends the session, which is raised.

    ``ready`` is called once pages can be opened. A second signal leaves at once. ``parts``: called with the server
    before anything is served, each hangs itself on it and on its session.
    """
    server, loop = LiveServer(session, access), asyncio.get_running_loop()
    for part in parts:
        part(server)
    runner = web.AppRunner(server.app(), access_log=None, logger=_log(), shutdown_timeout=2.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    for number in signals:
        loop.add_signal_handler(number, server.ended.set)
    session.start()
    ready()
    try:
        await server.ended.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        session.stop()
        await server.close()
        while not session.ended:
            await asyncio.sleep(0.02)
        await runner.cleanup()
    if session.failure is not None:
        raise session.failure
