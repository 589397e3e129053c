"""The address of a live session, and who may reach it: who knows its token, under a name that is its own.

The token keeps other accounts of the machine out, as Jupyter's does. It stands in the link, not in a cookie, which a
browser would hand to every other server on the same host. The names keep out pages of other sites that have their own
name point here (DNS rebinding), and a browser's Origin those that open a socket from elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from steve1.cli import UsageError, UserError

TOKEN_VARIABLE = "STEVE1_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,20}")
_HOST = re.compile(
    rf"(?:\[(?P<v6>[0-9A-Fa-f:.]{{2,45}})\]|(?P<name>{_NAME.pattern})\.?)(?::(?P<port>[0-9]{{1,5}}))?"
)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises UserError where host or port can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host {host} --port {port} can't be listened on ({reason}); give another port, or 0 for any free one"
        ) from None


def url(listener: socket.socket, token: str) -> str:
    """The link to the page."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={quote(token)}"


def below(link: str, path: str) -> str:
    """The address of ``path``, such as "live", of the session whose page is at ``link``; the token goes with it."""
    return urlunsplit(urlsplit(link)._replace(path=f"/{path}"))


def make_token(environ: Mapping[str, str] = os.environ) -> str:
    """``$STEVE1_TOKEN``, or a new one; raises UsageError for a token that is short or would not fit in a link.

    There is no flag for it: what is in a command line is seen by every account of the machine.
    """
    given = environ.get(TOKEN_VARIABLE, "")
    if not given:
        return secrets.token_urlsafe(24)
    if not _TOKEN.fullmatch(given):
        raise UsageError(
            f"{TOKEN_VARIABLE} is not 16 to 128 letters, digits, - or _; unset it to have a token made, or make one by "
            "`openssl rand -hex 16`"
        )
    return given


def not_host_names(names: list[str]) -> list[str]:
    """A sentence for each of ``--allow_host`` that is no name or IP address."""
    return [
        f"--allow_host {name} is no name or IP address of a host; give it as it stands in the browser's address, "
        "without http:// and port"
        for name in names
        if not (_NAME.fullmatch(name) or _address(name))
    ]


@dataclass(frozen=True)
class Access:
    """Who may come in to a session that is bound to ``bound``; ``names``: a proxy's names besides its own."""

    bound: str
    token: str
    names: tuple[str, ...] = ()

    def refusal(self, hosts: list[str], origins: list[str]) -> tuple[int, str] | None:
        """The status and sentence that a request with these Host and Origin headers is refused with, if it is.

        What is malformed is refused by 400, what is another's by 403.
        """
        host = split_host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return 400, "this request has no Host header that can be read"
        if not self.knows(host[0]):
            return 403, (
                "this session is not known under that name; open the printed link, or name a proxy by --allow_host"
            )
        if not origins:
            return None  # a program that is no browser
        if len(origins) > 1 or not (origins[0] == "null" or _split_origin(origins[0])):
            return 400, "this request has no Origin header that can be read"
        if not self._is_own(origins[0], host):
            return 403, "only the session's own page may do this; open the printed link"
        return None

    def knows(self, name: str) -> bool:
        """Whether the name in a Host header is the session's own.

        A name that an attacker made point here is not: its own are an IP address, "localhost", the bound name itself,
        (where other machines may come) this machine's name, and those of a proxy. The port doesn't matter, for behind
        ``ssh -L`` it is another.
        """
        own = {"localhost", self.bound.lower(), *(given.lower() for given in self.names)}
        address, local = _address(name), _is_loopback(self.bound)
        if address is not None:
            return address.is_loopback or not local or name in own
        return name in own or (not local and name == socket.gethostname().lower())

    def admits(self, token: str | None) -> bool:
        """Whether a request's token is the session's; takes the same time for every wrong one."""
        return hmac.compare_digest((token or "").encode("utf-8", "surrogateescape"), self.token.encode())

    def _is_own(self, origin: str, host: tuple[str, int | None]) -> bool:
        split = _split_origin(origin)
        if split is None:
            return False
        scheme, name, port = split
        usual = 443 if scheme == "https" else 80
        if (name, port or usual) == (host[0], host[1] or usual):
            return True
        return name in {given.lower() for given in self.names}  # a proxy that says its own Host


def split_host(header: str) -> tuple[str, int | None] | None:
    """The name, in small letters, and the port of a Host header; None where it is malformed."""
    match = _HOST.fullmatch(header)
    if match is None or int(match["port"] or 1) not in range(1, 65536):
        return None
    if match["v6"] is not None and _address(match["v6"]) is None:
        return None
    return (match["v6"] or match["name"]).lower(), int(match["port"]) if match["port"] else None


def _split_origin(header: str) -> tuple[str, str, int | None] | None:
    scheme, separator, rest = header.partition("://")
    host = split_host(rest) if separator and scheme in ("http", "https") else None
    return None if host is None else (scheme, *host)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback
