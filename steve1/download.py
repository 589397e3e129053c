"""Fetching one file over HTTP so that it ends up whole or absent.

What has arrived waits in a partial file beside the target (``.NAME.download``, with what is known of it in
``.NAME.download.json``), is continued by a later attempt or a later run, and is renamed into place only after
its length (and its size and md5 where they are known) were checked. Knows nothing of weights or recordings.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import requests

from steve1.cli import UserError

CHUNK = 1 << 16
Progress = Callable[[int, "int | None"], None]


class NotFound(UserError):
    """The server says that there is no such file (404 or 410); trying again would not help."""


class HtmlInstead(UserError):
    """The server answered a web page where a file was asked for.

    ``.page``: its text (the first 64 KiB). ``.url``: its address, after redirections.
    """

    def __init__(self, message: str, page: str, url: str) -> None:
        super().__init__(message)
        self.page, self.url = page, url


class _Again(Exception):
    """A failure that another attempt may mend."""


def fetch(
    url: str,
    path: str | os.PathLike,
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    check: Callable[[Path], None] | None = None,
    what: str | None = None,
    session: requests.Session | None = None,
    retries: int = 5,
    timeout: float | tuple[float, float] = (15.0, 60.0),
    delay: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
    refuse_html: bool = False,
) -> Path:
    """Download ``url`` to ``path`` and return the path; a whole file that is already there is kept.

    Args:
        size: exact length in bytes; md5, sha256: hexadecimal digests; each where known. A file at ``path`` that
            contradicts them is replaced; without them any file at ``path`` counts as whole.
        check: looks at what has arrived before it takes its place, and raises UserError, after which it is removed.
        what: what the address stands for, where a later attempt may go on under another one (default: the address).
        session: keeps cookies from one call to the next (default: none are kept).
        retries: how many attempts *in a row that bring nothing new* may follow the first one.
        timeout: seconds to wait for a connection and between two pieces of data, or a pair of the two.
        delay: seconds before the first retry, doubled for each further one; ``sleep`` does the waiting.
        progress: called with (bytes there, bytes in all or None) whenever data has arrived.
        refuse_html: a web page is not an answer (file hosts send one where they want a click).

    Raises:
        NotFound: 404 or 410, at once. HtmlInstead: see ``refuse_html``.
        UserError: anything else that went wrong, naming the address and the remedy.
    """
    path = Path(path)
    if path.is_file() and _is_right(path, size, md5, sha256):
        return path
    what = what or url
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(path)
    best, failures, spoiled = partial.length, 0, False
    while True:
        try:
            _attempt(url, what, partial, size, timeout, progress, refuse_html, session or requests.Session())
            if not _is_right(partial.data, size, md5, sha256):
                partial.discard()
                if spoiled or retries == 0:
                    known = (("size", size), ("md5", md5), ("sha256", sha256))
                    expected = ", ".join(f"{name} {value}" for name, value in known if value is not None)
                    raise UserError(
                        f"{url} does not have the expected contents ({expected}); "
                        f"nothing was saved as {path}: check the address, or whether the file was replaced"
                    )
                spoiled = True
                raise _Again("its contents are not the expected ones (size, md5 or sha256)")
            if check is not None:
                try:
                    check(partial.data)
                except UserError:
                    partial.discard()
                    raise
            partial.finish(path)
            return path
        except _Again as reason:
            if partial.length > best:
                best, failures = partial.length, 0
            failures += 1
            if failures > retries:
                raise UserError(
                    f"could not download {url}: {reason} ({failures} attempts); check the network and run "
                    "the same command again, which goes on where this one stopped"
                ) from None
            sleep(delay * 2 ** (failures - 1))


class _Partial:
    """The bytes that have arrived, and what tells whether they belong to what the server offers now."""

    def __init__(self, path: Path) -> None:
        self.data = path.with_name(f".{path.name}.download")
        self.notes = path.with_name(f".{path.name}.download.json")

    @property
    def length(self) -> int:
        return self.data.stat().st_size if self.data.exists() else 0

    def conditions(self, what: str) -> dict[str, str]:
        """Return the headers that ask for the rest, or for everything where the rest would not fit."""
        if self.length == 0:
            return {}
        try:
            notes = json.loads(self.notes.read_text())
        except (OSError, ValueError):
            return {}
        headers = {"Range": f"bytes={self.length}-"}
        if notes.get("validator"):
            return {**headers, "If-Range": notes["validator"]}
        return headers if notes.get("url") == what else {}

    def note(self, what: str, response: requests.Response, total: int | None) -> None:
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # a weak tag may not be used in If-Range
            validator = response.headers.get("Last-Modified", "")
        self.notes.write_text(json.dumps({"url": what, "validator": validator, "total": total}))

    def noted_total(self) -> int | None:
        """The length of the whole file when the first of it arrived, where it was said."""
        try:
            return json.loads(self.notes.read_text()).get("total")
        except (OSError, ValueError):
            return None

    def discard(self) -> None:
        self.data.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        with open(self.data, "rb") as written:
            os.fsync(written.fileno())
        os.replace(self.data, path)
        self.notes.unlink(missing_ok=True)


def _attempt(
    url: str,
    what: str,
    partial: _Partial,
    size: int | None,
    timeout: float | tuple[float, float],
    progress: Progress | None,
    refuse_html: bool,
    session: requests.Session,
) -> None:
    """Bring ``partial`` to its full length or raise; what arrives before a failure is kept."""
    # Compressed transfers would make Content-Length and Range speak of other bytes than ours.
    headers = {"Accept-Encoding": "identity", **partial.conditions(what)}
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if refuse_html and response.status_code in (401, 403) and _is_page(response, b""):
                raise _page(url, response, next(response.iter_content(CHUNK), b""))
            start, total = _answer(url, response, partial)
            pieces = response.iter_content(CHUNK)
            first = next(pieces, b"")
            if refuse_html and start == 0 and _is_page(response, first):
                raise _page(url, response, first)
            if size is not None and total is not None and total != size:
                raise UserError(
                    f"{url} offers {total:,} bytes where {size:,} are expected; nothing was saved: "
                    "check the address, or whether the file was replaced"
                )
            if start == 0:
                partial.note(what, response, total)
            _receive(itertools.chain([first], pieces), partial, start, total, progress)
    except (
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
    ):
        raise UserError(f"{url!r} is not an address that can be downloaded; write https://...") from None
    except requests.RequestException as error:
        raise _Again(_brief(error)) from None
    if total is not None and partial.length != total:
        arrived = partial.length
        if arrived > total:
            partial.discard()
        raise _Again(f"{arrived:,} of {total:,} bytes arrived")


def _answer(url: str, response: requests.Response, partial: _Partial) -> tuple[int, int | None]:
    """Judge the status; return (first byte that the body holds, length of the whole file or None)."""
    status = response.status_code
    if status in (404, 410):
        raise NotFound(f"{url} does not exist (the server answered {status}); check the address")
    if status == 416:  # the partial file is as long as the real one, or longer: it can't be trusted
        partial.discard()
        raise _Again("the server refused to continue the partial file")
    if status in (408, 425, 429) or status >= 500:
        raise _Again(f"the server answered {status}")
    if status not in (200, 206):
        raise UserError(
            f"{url} can't be downloaded: the server answered {status}; check the address and your access"
        )
    length = response.headers.get("Content-Length", "")
    if status == 200:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return 0, None  # compressed although we asked not to: the length is that of other bytes
        return 0, int(length) if length.isdigit() else None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != partial.length:
        partial.discard()
        raise _Again("the server continued at another place than asked")
    total = int(match[3]) if match[3] != "*" else int(match[2]) + 1
    if partial.noted_total() not in (None, total):
        partial.discard()
        raise _Again("the file there has another length than when it was begun")
    return int(match[1]), total


def _is_page(response: requests.Response, first: bytes) -> bool:
    start = first[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    says_so = "html" in response.headers.get("Content-Type", "").lower()
    return says_so or start.startswith((b"<!doctype html", b"<html"))


def _page(url: str, response: requests.Response, first: bytes) -> HtmlInstead:
    return HtmlInstead(
        f"{url} answered a web page, not a file; nothing was saved: check the address",
        first.decode("utf-8", "replace"),
        response.url,
    )


def _receive(
    pieces: Iterable[bytes], partial: _Partial, start: int, total: int | None, progress: Progress | None
) -> None:
    have = start
    with open(partial.data, "ab" if start else "wb") as file:
        for piece in pieces:
            try:
                file.write(piece)
                file.flush()
            except OSError as error:
                error.filename = error.filename or str(partial.data)  # a failed write() names no file
                raise
            have += len(piece)
            if progress is not None:
                progress(have, total)


def _is_right(path: Path, size: int | None, md5: str | None, sha256: str | None) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    known = (("md5", md5), ("sha256", sha256))
    return all(digest is None or digest_of(path, name) == digest.lower() for name, digest in known)


def digest_of(path: str | os.PathLike, name: str = "sha256") -> str:
    """The hexadecimal digest of a file, ``sha256`` or ``md5``, read in pieces."""
    digest = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _brief(error: Exception) -> str:
    """Return the innermost reason of requests' nested messages."""
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
