"""The live session's web server: one page, one WebSocket a viewer, the saved films.

To a viewer go, over the socket, a JSON ``status`` and right behind it the newest picture as binary JPEG, and a JSON
``news`` (prompts so far, films) when these have changed. A viewer says ``{"type": "shown"}`` for every picture that it
has drawn, and no more than two are ever on their way: a slow one sees fewer pictures, never old ones.

Pages of other sites may not reach it through the viewer's browser: requests must name the host that is bound
(against DNS rebinding), and a socket's Origin must be this very page.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from steve1.cli import UserError
from steve1.config import FPS
from steve1.live.session import Session, View

PAGE = Path(__file__).with_name("page.html")
MAX_PROMPT = 500  # characters; the tokenizer reads 75 tokens
MAX_SCALE = 100.0
MAX_SEED = 2**31 - 1
_AHEAD = 2  # pictures on their way to a viewer
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises UserError where host or port can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port} can't be listened on ({error.strerror}); give another port, or 0 for any "
            "free one"
        ) from None


def url(listener: socket.socket) -> str:
    """The address of the page."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def host_is_ours(header: str | None, bound: str) -> bool:
    """Whether a Host header names the bound address.

    A name that an attacker made point here is none of: an IP address, "localhost", the bound name itself, and
    (where other machines may come) this machine's name. The port is left out, for behind ``ssh -L`` it is another.
    """
    name = urlsplit(f"//{header or ''}").hostname or ""
    if name in ("localhost", bound.lower()) or (
        not _is_loopback(bound) and name == socket.gethostname().lower()
    ):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not _is_loopback(bound)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_is_ours(origin: str | None, host_header: str | None) -> bool:
    """Whether a socket was opened by our own page; a program that is no browser sends no Origin."""
    return origin is None or urlsplit(origin).netloc == host_header


class Viewer:
    """One page: its socket, the news and picture that it has, and whether there is room for another picture."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self.ws, self.news = ws, -1
        self.picture: bytes | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._on_way = 0

    def sent(self, picture: bytes) -> None:
        """A picture is on its way to it."""
        self.picture = picture
        self._on_way += 1
        if self._on_way >= _AHEAD:
            self.room.clear()

    def shown(self) -> None:
        """It has drawn a picture."""
        self._on_way = max(self._on_way - 1, 0)
        self.room.set()


class LiveServer:
    """The web side of a :class:`~steve1.live.session.Session`, bound to ``host``. Lives in one event loop."""

    def __init__(self, session: Session, host: str) -> None:
        self._session, self._host = session, host
        self._sockets: set[web.WebSocketResponse] = set()
        self._changed = asyncio.Event()
        self.ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_change() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(self._wake)

        session.on_change = on_change

    def app(self) -> web.Application:
        """What aiohttp serves."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/live", self._live)
        app.router.add_get("/films/{name}", self._film)
        return app

    async def close(self) -> None:
        """Say goodbye to the pages."""
        for ws in list(self._sockets):
            await ws.close(code=WSCloseCode.GOING_AWAY, message=b"the session has ended")

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self._session.ended:
            self.ended.set()

    # Requests

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not host_is_ours(request.headers.get("Host"), self._host):
            raise web.HTTPForbidden(text="this server is not known under that name; open the printed address")
        return await handler(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE, headers=_SECURITY)

    async def _film(self, request: web.Request) -> web.StreamResponse:
        # Only names that this session has saved lead to files; the request's text never becomes a path.
        files = {path.name: path for film in self._session.films for path in (film.video, film.json)}
        path = files.get(request.match_info["name"])
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="this session has saved no such film")
        kind = "video/mp4" if path.suffix == ".mp4" else "application/json"
        return web.FileResponse(path, headers={"Content-Type": kind, "X-Content-Type-Options": "nosniff"})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not origin_is_ours(request.headers.get("Origin"), request.headers.get("Host")):
            raise web.HTTPForbidden(text="only the session's own page may play")
        # Pictures are compressed already.
        ws = web.WebSocketResponse(heartbeat=30, compress=False, max_msg_size=16 * 1024)
        await ws.prepare(request)
        viewer = Viewer(ws)
        self._sockets.add(ws)
        self._session.watch(1)
        sender = asyncio.create_task(self._send(viewer))
        try:
            async for message in ws:
                problem = (
                    "send text" if message.type is not WSMsgType.TEXT else self._obey(viewer, message.data)
                )
                if problem:
                    await ws.send_json({"type": "refused", "text": problem})
        finally:
            self._session.watch(-1)
            self._sockets.discard(ws)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
        return ws

    # What goes to a viewer

    async def _send(self, viewer: Viewer) -> None:
        while not viewer.ws.closed:
            await viewer.room.wait()
            # The event first, so that nothing that happens from here on is missed; the newest view after it.
            changed, view = self._changed, self._session.view
            if viewer.news != view.news:
                viewer.news = view.news
                await viewer.ws.send_json(self._news())
            await viewer.ws.send_json(self._status(view))
            if view.picture is not None and view.picture is not viewer.picture:
                viewer.sent(view.picture)
                await viewer.ws.send_bytes(view.picture)
            await changed.wait()

    @staticmethod
    def _status(view: View) -> dict[str, Any]:
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
            }
            for asked in list(self._session.history)
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
            for film in list(self._session.films)
        ]
        return {"type": "news", "prompts": prompts, "films": films}

    # What comes from a viewer

    def _obey(self, viewer: Viewer, text: str) -> str:
        """Do what a message asks; why it can't be done, or ""."""
        try:
            message = json.loads(text)
            kind = message["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return 'a message is JSON with a "type"'
        session = self._session
        if kind == "shown":
            viewer.shown()
        elif kind == "prompt":
            prompt = message.get("text")
            if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT:
                return f"a prompt is a text of at most {MAX_PROMPT} characters"
            session.ask(" ".join("".join(c if c.isprintable() else " " for c in prompt).split()))
        elif kind == "cond_scale":
            scale = message.get("value")
            if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= MAX_SCALE:
                return f"the guidance scale is a number from 0 (off) to {MAX_SCALE:g}"
            session.set_cond_scale(float(scale))
        elif kind == "pause":
            session.pause(message.get("paused") is True)
        elif kind == "reset_agent":
            session.reset_agent()
        elif kind == "reset_world":
            seed = message.get("seed")
            if seed is not None and (
                isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED
            ):
                return f"a seed is a whole number from 0 to {MAX_SEED}"
            session.reset_world(seed)
        elif kind == "save":
            session.save()
        else:
            return f"there is nothing called {str(kind)[:40]!r} to do"
        return ""


async def serve(session: Session, listener: socket.socket, host: str, ready: Callable[[], object]) -> None:
    """Play and serve until SIGINT, SIGTERM or an error that ends the session, which is raised.

    ``ready`` is called once pages can be opened. A second signal leaves at once.
    """
    server, loop = LiveServer(session, host), asyncio.get_running_loop()
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=2.0)
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
