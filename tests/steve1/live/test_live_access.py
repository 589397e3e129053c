"""Which names, origins and tokens a live session lets in, without sockets."""

import socket

import pytest

from steve1.cli import UsageError, UserError
from steve1.live.access import Access, below, listen, make_token, not_host_names, split_host, url

TOKEN = "a-token-of-the-tests"


def access(bound="127.0.0.1", *names):
    return Access(bound, TOKEN, names)


@pytest.mark.parametrize(
    ("header", "bound", "ours"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost:9000", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("[::1]:8000", "::1", True),
        ("[::1]", "127.0.0.1", True),
        ("[2001:db8::1]:8000", "127.0.0.1", False),
        ("[2001:db8::1]:8000", "::", True),
        ("192.168.0.7:8000", "127.0.0.1", False),
        ("192.168.0.7:8000", "0.0.0.0", True),
        ("gpu01:8000", "gpu01", True),
        ("gpu02:8000", "gpu01", False),
        (f"{socket.gethostname()}:8000", "0.0.0.0", True),
        (socket.gethostname(), "127.0.0.1", False),
        ("evil.example", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
    ],
)
def test_the_names_under_which_it_answers(header, bound, ours):
    refusal = access(bound).refusal([header], [])
    assert refusal is None if ours else refusal[0] == 403


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ":8000",
        "[",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[:::]",
        "[1.2.3.4]:80x",
        "[fe80::1%25eth0]",
        "localhost:",
        "localhost:0",
        "localhost:99999",
        "localhost:８０００",
        "localhost:-1",
        "user@localhost",
        "localhost/../x",
        "local host",
        "localhost,evil.example",
        "höst",
        "h\udcf6st",
        "a" * 64,
        "a." * 4000,
        "\x00",
    ],
)
def test_a_host_that_can_not_be_read_is_a_bad_request(header):
    assert split_host(header) is None
    assert access().refusal([header], [])[0] == 400
    if header:
        assert access().refusal(["localhost"], [f"http://{header}"])[0] == 400


def test_no_host_and_two_hosts_are_bad_requests():
    assert access().refusal([], [])[0] == 400
    assert access().refusal(["localhost", "localhost"], [])[0] == 400


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:9000", "http://localhost:9000", None),
        ("localhost:9000", "http://LOCALHOST:9000", None),
        ("localhost", "http://localhost:80", None),
        ("localhost:443", "https://localhost", None),
        ("localhost:9000", "http://localhost:9001", 403),
        ("localhost:9000", "http://localhost", 403),
        ("localhost:9000", "http://127.0.0.1:9000", 403),
        ("localhost:9000", "http://evil.example:9000", 403),
        ("localhost:9000", "null", 403),
        ("localhost:9000", "", 400),
        ("localhost:9000", "localhost:9000", 400),
        ("localhost:9000", "file:///tmp/x", 400),
        ("localhost:9000", "http://localhost:9000/", 400),
        ("localhost:9000", "http://[", 400),
    ],
)
def test_the_origin_must_be_the_page_itself(host, origin, status):
    refusal = access().refusal([host], [origin])
    assert refusal is None if status is None else refusal[0] == status


def test_two_origins_are_a_bad_request():
    assert access().refusal(["localhost"], ["http://localhost"] * 2)[0] == 400


def test_a_proxy_is_known_by_the_names_that_are_given():
    proxied = access("127.0.0.1", "Play.Example.org")
    # A proxy that hands on the browser's Host, and one that says its own.
    assert proxied.refusal(["play.example.org"], ["https://play.example.org"]) is None
    assert proxied.refusal(["127.0.0.1:8000"], ["https://play.example.org"]) is None
    assert proxied.refusal(["127.0.0.1:8000"], ["https://evil.example"])[0] == 403
    assert proxied.refusal(["x.play.example.org"], [])[0] == 403
    assert "--allow_host" in access().refusal(["play.example.org"], [])[1]


def test_a_name_that_is_none_is_said():
    assert not_host_names(["play.example.org", "10.0.0.7", "::1"]) == []
    wrong = ["http://play.example.org", "play.example.org:80", "*", "a/b", ""]
    assert len(not_host_names(wrong)) == len(wrong)


@pytest.mark.parametrize(
    "token", [None, "", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "ü", "\udcff", "x" * 10_000]
)
def test_a_token_that_is_not_the_session_s(token):
    assert not access().admits(token)
    assert access().admits(TOKEN)


def test_tokens_are_made_anew_or_taken_from_the_environment():
    made = {make_token({}) for _ in range(3)}
    assert len(made) == 3
    assert min(map(len, made)) >= 32
    assert make_token({"STEVE1_TOKEN": TOKEN}) == TOKEN
    for wrong in ("short", "with space in it, long", "x" * 129, "ü" * 20):
        with pytest.raises(UsageError, match="STEVE1_TOKEN is not 16 to 128 letters") as refused:
            make_token({"STEVE1_TOKEN": wrong})
        assert wrong not in str(refused.value)


def test_the_link_has_the_token():
    with listen("127.0.0.1", 0) as listener:
        link = url(listener, TOKEN)
        assert link == f"http://127.0.0.1:{listener.getsockname()[1]}/?token={TOKEN}"
    assert below(link, "live") == link.replace("/?", "/live?")


def test_a_port_that_is_taken_is_said():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port} can't be listened on"):
            listen("127.0.0.1", port)


def test_a_host_that_is_none_is_said():
    with pytest.raises(UserError, match="can't be listened on"):
        listen("a" * 70, 0)
