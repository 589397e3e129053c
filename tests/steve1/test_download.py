"""Downloads against a real server on the loopback that cuts, lies, refuses and ignores."""

import hashlib
import json

import numpy as np
import pytest
from loopback import loopback

from steve1.cli import UserError
from steve1.download import HtmlInstead, NotFound, fetch

BODY = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def site():
    """The file that is asked for, as tests/loopback.py serves it."""
    with loopback() as server:
        yield server.add("/file.bin", BODY)


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(site, tmp_path, waits):
    def get(**kwargs):
        return fetch(site.address, tmp_path / "sub" / "file.bin", sleep=waits.append, **kwargs)

    return get


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "sub").iterdir())


def test_whole_file_arrives_and_is_kept(site, get, tmp_path):
    seen = []
    path = get(size=len(BODY), md5=MD5, progress=lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["file.bin"]
    assert seen[-1] == (len(BODY), len(BODY))
    assert get(size=len(BODY), md5=MD5.upper()) == path
    assert get() == path
    assert len(site.requests) == 1


def test_wrong_file_in_place_is_replaced(site, get, tmp_path):
    path = tmp_path / "sub" / "file.bin"
    path.parent.mkdir()
    path.write_bytes(b"x" * len(BODY))
    assert get(md5=MD5).read_bytes() == BODY


@pytest.mark.parametrize("status", [404, 410])
def test_missing_file_is_said_at_once(site, get, waits, tmp_path, status):
    site.statuses = [status] * 9
    with pytest.raises(NotFound, match=rf"file\.bin does not exist .*{status}"):
        get()
    assert len(site.requests) == 1
    assert waits == []
    assert names(tmp_path) == []


def test_refused_access_is_not_retried(site, get):
    site.statuses = [403] * 9
    with pytest.raises(UserError, match=r"403.*access"):
        get()
    assert len(site.requests) == 1


def test_busy_server_is_asked_again_with_growing_waits(site, get, waits):
    site.statuses = [503, 429, 500]
    assert get(md5=MD5, delay=2.0).read_bytes() == BODY
    assert waits == [2.0, 4.0, 8.0]


def test_gives_up_with_address_and_remedy(site, get, waits):
    site.statuses = [500] * 9
    with pytest.raises(UserError, match=r"file\.bin: the server answered 500 \(4 attempts\).*again"):
        get(retries=3)
    assert waits == [1.0, 2.0, 4.0]


def test_cut_connection_is_continued_where_it_broke(site, get):
    site.cut_after = [150_000, 70_000]
    assert get(md5=MD5).read_bytes() == BODY
    first, second, third = (wanted for _, wanted in site.requests)
    assert first is None
    assert 0 < int(second[6:-1]) <= 150_000
    assert int(second[6:-1]) < int(third[6:-1])


def test_progress_forgives_earlier_failures(site, get):
    site.cut_after = [70_000] * 4
    assert get(md5=MD5, retries=1).read_bytes() == BODY


def test_next_run_continues(site, get, tmp_path):
    site.cut_after = [150_000]
    with pytest.raises(UserError, match=r"bytes arrived|cut"):
        get(retries=0)
    assert "file.bin" not in names(tmp_path)
    assert get(md5=MD5).read_bytes() == BODY
    assert site.requests[-1][1].startswith("bytes=")
    assert names(tmp_path) == ["file.bin"]


def test_file_changed_between_runs_is_fetched_anew(site, get):
    site.cut_after = [150_000]
    with pytest.raises(UserError):
        get(retries=0)
    site.body, site.etag = BODY[::-1], '"two"'
    assert get().read_bytes() == BODY[::-1]


def test_server_that_ignores_ranges_starts_again(site, get):
    site.cut_after, site.ranges = [150_000], False
    assert get(md5=MD5).read_bytes() == BODY


def test_partial_file_of_another_address_is_not_continued(site, get, tmp_path):
    site.etag = None
    site.cut_after = [150_000]
    with pytest.raises(UserError):
        get(retries=0)
    notes = tmp_path / "sub" / ".file.bin.download.json"
    notes.write_text(json.dumps({"url": "http://elsewhere/", "validator": ""}))
    assert get(md5=MD5).read_bytes() == BODY
    assert site.requests[-1][1] is None


def test_partial_file_longer_than_the_real_one_is_discarded(site, get, tmp_path):
    site.etag = None
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".file.bin.download").write_bytes(BODY + b"more")
    notes = tmp_path / "sub" / ".file.bin.download.json"
    notes.write_text(json.dumps({"url": site.address, "validator": ""}))
    assert get(md5=MD5).read_bytes() == BODY


def test_too_little_is_never_a_whole_file(site, get, tmp_path):
    site.claimed, site.ranges = len(BODY) + 10, False
    with pytest.raises(UserError, match="could not download"):
        get(retries=2)
    assert "file.bin" not in names(tmp_path)


def test_too_little_by_a_short_claim_is_caught_by_size_and_md5(site, get, tmp_path):
    site.claimed = len(BODY) - 10
    with pytest.raises(UserError, match=r"offers 299,990 bytes where 300,000 are expected"):
        get(size=len(BODY))
    with pytest.raises(UserError, match="expected contents"):
        get(md5=MD5)
    assert "file.bin" not in names(tmp_path)


def test_wrong_contents_are_tried_once_more_and_then_refused(site, get, tmp_path):
    with pytest.raises(UserError, match="expected contents"):
        get(md5="0" * 32)
    assert len(site.requests) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_web_page_is_never_saved_where_a_file_is_wanted(site, get, tmp_path, content_type):
    site.body, site.content_type = b"\n<!DOCTYPE html><p>confirm", content_type
    with pytest.raises(HtmlInstead, match="web page") as caught:
        get(refuse_html=True)
    assert "confirm" in caught.value.page
    assert names(tmp_path) == []


def test_nobody_there(tmp_path, waits):
    with pytest.raises(UserError, match=r"no connection.*network"):
        fetch("http://127.0.0.1:9/x", tmp_path / "x", sleep=waits.append, retries=1)
    assert len(waits) == 1


def test_not_an_address(tmp_path):
    with pytest.raises(UserError, match="https://"):
        fetch("data/index.json", tmp_path / "x")
