"""Files on Google Drive, which answers with pages before it answers with bytes.

A large file's first answer is a page that asks to be confirmed, by a form with hidden fields (``confirm``, ``uuid``)
or, as it was before, by a link or a cookie that carries a code. A file that too many have fetched, or that is not
shared, is a page too. Knows nothing of weights.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlparse

from steve1.cli import UsageError, UserError

DRIVE = "https://drive.google.com"
_HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
_PAGES = 3  # that may come before the file


def address_of(file_id: str) -> str:
    """Where Drive offers the file of this id."""
    return f"{DRIVE}/uc?{urlencode({'id': file_id, 'export': 'download'})}"


def plain_address(url: str) -> str:
    """Turn any link to a Google Drive file into the address that offers its bytes; other addresses are kept."""
    parts = urlparse(url)
    if parts.hostname not in _HOSTS:
        return url
    match = re.search(r"/file/d/([\w-]+)", parts.path)
    name = match[1] if match else parse_qs(parts.query).get("id", [""])[0]
    if not name:
        raise UsageError(f"{url} names no Google Drive file; give https://drive.google.com/file/d/ID/view")
    return address_of(name)


class _Form(HTMLParser):
    """Collects the action and the hidden fields of a page's first download form."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        about = values.get("id", "") + values.get("action", "")
        if tag == "form" and self.action is None and "download" in about:
            self.action, self._inside = values.get("action", ""), True
        elif tag == "input" and self._inside and values.get("name"):
            self.fields.setdefault(values["name"], values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def confirmed_address(page: str, url: str, cookies: dict[str, str]) -> str | None:
    """The address behind a page's "Download anyway", or None where the page has nothing to confirm.

    ``url``: the page's own address, which relative ones go on from. ``cookies``: what was set with it.
    """
    form = _Form()
    form.feed(page)
    if form.action is not None:
        target = urljoin(url, form.action)
        return f"{target}{'&' if '?' in target else '?'}{urlencode(form.fields)}" if form.fields else target
    link = re.search(r"""href=["']([^"']*[?&;]confirm=[^"']*)["']""", page)
    if link:
        return urljoin(url, unescape(link[1]))
    code = next((value for name, value in cookies.items() if name.startswith("download_warning")), None)
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'confirm': code})}" if code else None


def quota_said_by(page: str) -> str | None:
    """What the page of a used-up quota means, and what to do; None for other pages."""
    text = _text(page)
    if "quota exceeded" in text or "too many users have viewed or downloaded" in text:
        return (
            "too many have downloaded it today (Google Drive's quota); try again in 24 hours, or sign in to Google in "
            "a browser, copy the file to your own Drive and download that"
        )
    return None


def access_said_by(page: str) -> str | None:
    """What the page of a file that is not shared means, and what to do; None for other pages."""
    text = _text(page)
    if "sign in" in text or "request access" in text or "you need access" in text:
        return "it is not shared with everybody; ask its owner, or give another address"
    return None


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).lower()


def fetch_file(url: str, path: Path, what: str, remedy: str, **settings: Any) -> Path:
    """Fetch ``url`` to ``path`` by way of the pages that come before it; ``settings``: those of ``download.fetch``.

    A page is never saved. What has arrived is gone on with, though the confirmed address is another each time.
    ``what``: the file's name; ``remedy``: what else a user can do. Raises :class:`~steve1.cli.UserError`.
    """
    import requests

    from steve1.download import HtmlInstead, fetch

    address, asked = url, set()
    with requests.Session() as session:
        while True:
            asked.add(address)
            try:
                return fetch(address, path, what=url, session=session, refuse_html=True, **settings)
            except HtmlInstead as answer:
                known = quota_said_by(answer.page)
                following = confirmed_address(answer.page, answer.url, dict(session.cookies.items()))
                if (
                    known is None
                    and following is not None
                    and following not in asked
                    and len(asked) <= _PAGES
                ):
                    address = following
                    continue
                known = known or access_said_by(answer.page)  # the page to confirm may ask to sign in as well
                raise UserError(
                    f"{what} was not fetched from {url}: {known or 'a web page came instead of the file'}; nothing was "
                    f"saved. {remedy}"
                ) from None
