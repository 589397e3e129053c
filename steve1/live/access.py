"""The address of a live session, and who may reach it."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from steve1.cli import UserError


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
