"""A real HTTP server on the loopback that can cut, lie, refuse, ignore and be slow, a file at a time."""

import contextlib
import http.server
import threading
from pathlib import Path


class Served:
    """What the server does with one file. Each request for it is noted as (path, its Range header)."""

    def __init__(self, body, address=""):
        self.body = body  # bytes, or the path of a file
        self.address = address
        self.etag = '"one"'
        self.ranges = True
        self.cut_after = []  # bytes of the body to send before the connection is cut, a number per request
        self.statuses = []  # statuses to answer before anything else
        self.claimed = None  # a Content-Length that is not the truth
        self.content_type = "application/octet-stream"
        self.requests = []
        self.asked = threading.Event()  # set by the first request

    def content(self):
        return self.body if isinstance(self.body, bytes) else Path(self.body).read_bytes()


class Loopback:
    """The server's address, its files by their paths, and all requests in order."""

    def __init__(self):
        self.url = ""
        self.files = {}
        self.requests = []

    def add(self, path, body):
        self.files[path] = Served(body, f"{self.url}{path}")
        return self.files[path]

    def add_folder(self, folder):
        """Serve every file that is below ``folder`` now, read anew at each request."""
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.add(f"/{path.relative_to(folder)}", path)


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Loopback

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.site.requests.append((self.path, wanted))
        served = self.site.files.get(self.path.partition("?")[0])
        if served is None:
            self.send_error(404)
            return
        served.requests.append((self.path, wanted))
        served.asked.set()
        if served.statuses:
            self.send_error(served.statuses.pop(0))
            return
        content, start = served.content(), 0
        if wanted and served.ranges and self.headers.get("If-Range", served.etag) == served.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if served.etag:
            self.send_header("ETag", served.etag)
        self.send_header("Content-Type", served.content_type)
        self.send_header("Content-Length", str(served.claimed or len(body)))
        self.end_headers()
        # A client that was killed takes nothing more.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: served.cut_after.pop(0)] if served.cut_after else body)


@contextlib.contextmanager
def serving(answers, site):
    """Run a server for the length of a ``with`` block; its handler ``answers`` finds ``site`` in ``self.site``."""
    handler = type("Bound", (answers,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def loopback():
    """The server of this file for the length of a ``with`` block."""
    return serving(_Handler, Loopback())
