"""Google Drive on the loopback: pages to confirm, by form or by cookie, the quota page, files that can be resumed."""

import http.server
import itertools
from urllib.parse import parse_qs, urlparse

from loopback import serving

FORM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<a href="/login">Sign in</a><form id="search" action="/search"><input name="q" value="no"></form>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="/download" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="{code}"></form>
<form action="/feedback"><input type="hidden" name="id" value="another"></form></body></html>"""
LINK = """<html><body><a id="uc-download-link" href="/uc?export=download&amp;confirm={code}&amp;id={id}">Download
anyway</a></body></html>"""
BARE = "<html><body>Google Drive can't scan this file for viruses.</body></html>"
QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p>Sorry, you can't view or
download this file at this time.</p><p>Too many users have viewed or downloaded this file recently.</p></body></html>"""
PRIVATE = "<html><head><title>Google Drive - Sign in</title></head><body>You need access. Request access.</body></html>"


class DriveSite:
    """``files``: id -> (content, how it is offered). ``asked``: (path, Range) in order."""

    def __init__(self):
        self.url, self.files, self.asked = "", {}, []
        self.codes = itertools.count(1)
        self.cut_after = None  # bytes of a file after which the connection is cut, once
        self.ranges = True

    def add(self, name, content, how="form"):
        """``how``: direct, form, link, cookie, quota, quota403, private."""
        self.files[name] = (content, how)


class _Handler(http.server.BaseHTTPRequestHandler):
    site: DriveSite

    def log_message(self, *args):
        pass

    def do_GET(self):
        site, parts = self.site, urlparse(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        site.asked.append((self.path, self.headers.get("Range")))
        content, how = site.files.get(given.get("id", ""), (b"", "missing"))
        confirmed = given.get("confirm", "")
        if how == "missing":
            self.send_error(404)
        elif how == "quota403":
            self._page(QUOTA, status=403)
        elif how in ("quota", "private"):
            self._page(QUOTA if how == "quota" else PRIVATE)
        elif how == "form" and parts.path == "/uc":
            self.send_response(303)
            self.send_header("Location", f"/download?{parts.query}")
            self.end_headers()
        elif how == "form" and not (confirmed == "t" and given.get("uuid", "").startswith("code")):
            self._page(FORM.format(id=given["id"], code=f"code{next(site.codes)}"))
        elif how in ("link", "cookie") and (not confirmed or confirmed not in self.headers.get("Cookie", "")):
            code = f"c{next(site.codes)}"
            page = LINK.format(id=given["id"], code=code) if how == "link" else BARE
            self._page(page, cookie=f"download_warning_130_{given['id']}={code}")
        else:
            self._file(content)

    def _page(self, text, status=200, cookie=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", f"{cookie}; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def _file(self, content):
        wanted = self.headers.get("Range") if self.site.ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", 'attachment; filename="file"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = content[start:]
        if self.site.cut_after is not None:
            sent, self.site.cut_after = sent[: self.site.cut_after], None
        self.wfile.write(sent)


def drive_site():
    """Run the server for the length of a ``with`` block."""
    return serving(_Handler, DriveSite())
