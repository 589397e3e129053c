"""The hub's addresses on the loopback: what huggingface_hub's own client asks for, answered from a folder."""

import hashlib
import http.server
import json
from pathlib import Path

from loopback import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubSite:
    """``url``: for HF_ENDPOINT. ``files``: name -> bytes of the one repository. ``asked``: (method, path) in order."""

    def __init__(self, repository, files):
        self.repository, self.files, self.url, self.asked = repository, files, "", []
        self.cut_after = None  # bytes of the largest file after which the connection is cut, once


class _Handler(http.server.BaseHTTPRequestHandler):
    site: HubSite
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        site = self.site
        path = self.path.partition("?")[0]
        site.asked.append((self.command, path, self.headers.get("Range")))
        for revision in ("main", COMMIT):
            if path == f"/api/models/{site.repository}/revision/{revision}":
                siblings = [{"rfilename": name} for name in site.files]
                return self._json({"id": site.repository, "sha": COMMIT, "siblings": siblings})
            if path == f"/api/models/{site.repository}/tree/{revision}":
                return self._json(
                    [
                        {
                            "type": "file",
                            "path": name,
                            "size": len(content),
                            "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                        }
                        for name, content in site.files.items()
                    ]
                )
            start = f"/{site.repository}/resolve/{revision}/"
            if path.startswith(start) and path.removeprefix(start) in site.files:
                return self._file(site.files[path.removeprefix(start)], body)
            if path.startswith(start):
                return self._error("EntryNotFound", "Entry not found")
        return self._error("RepoNotFound", "Repository not found")

    def _json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _error(self, code, message):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, content, body):
        wanted = self.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if not body:
            return
        sent = content[first:]
        if self.site.cut_after is not None and len(sent) > self.site.cut_after:
            sent, self.site.cut_after = sent[: self.site.cut_after], None
            self.close_connection = True
        self.wfile.write(sent)


def hub_site(repository, folder):
    """Serve the files of ``folder`` as ``repository`` for the length of a ``with`` block."""
    files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return serving(_Handler, HubSite(repository, files))
