"""Which recordings are begun, work ahead, room on disks: the parts of a conversion, each by itself."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.generation.disk_space import NoRoom, check_room, frames_of_lines
from data.generation.episodes import Summary
from data.generation.ledger import AGAIN, MADE, NOT_FOUND, Ledger, Outcome, Report
from data.generation.prefetch import Ahead
from data.generation.sources import Entry
from steve1.files import sweep

FATES = st.lists(st.sampled_from([MADE, "exists", NOT_FOUND, "broken", AGAIN]), max_size=12)


def ledger_of(tmp_path, fates, wanted):
    entries = [Entry(f"{i}") for i in range(len(fates))]
    report = Report(tmp_path / "none.json")
    report.add = lambda outcome, depends_on: None
    return Ledger(entries, wanted, report, lambda entry: fates[int(entry.name)] == "exists")


def one_by_one(fates, wanted):
    """The recordings that a process begins which has one under way."""
    begun, there = [], 0
    for i, fate in enumerate(fates):
        if wanted and there == wanted:
            break
        there += fate in (MADE, "exists")
        begun += [i] if fate != "exists" else []
    return begun


@given(FATES, st.integers(0, 5), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_number_under_way_begins_what_one_by_one_would(tmp_path_factory, fates, wanted, places, random):
    ledger = ledger_of(tmp_path_factory.getbasetemp(), fates, wanted)
    under_way, begun = [], []
    while True:
        while len(under_way) < places and (entry := ledger.next(len(under_way))):
            under_way.append(entry)
            begun.append(int(entry.name))
        if not under_way:
            break
        entry = under_way.pop(random.randrange(len(under_way)))
        kind = fates[int(entry.name)]
        ledger.note(entry, Outcome(entry.name, kind, summary=Summary(episodes=int(kind == MADE))))
    assert begun == one_by_one(fates, wanted)


def test_each_item_is_worked_on_from_the_moment_it_is_put_in():
    begun = threading.Barrier(3)
    with Ahead(lambda item, stop: begun.wait(30) * 0 + item) as ahead:
        assert [future.result() for future in [ahead.put(item) for item in range(3)]] == [0, 1, 2]


def test_errors_belong_to_their_item():
    with Ahead(lambda item, stop: 1 / item) as ahead:
        failed, one = ahead.put(0), ahead.put(1)
        assert isinstance(failed.exception(), ZeroDivisionError)
        assert one.result() == 1


def test_work_under_way_is_told_to_stop():
    told = []
    with Ahead(lambda item, stop: told.append(stop.wait(30))) as ahead:
        ahead.put(0)
    assert told == [True]


def test_folders_on_one_disk_add_up(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000_000_000))
    needs = [("--a", tmp_path / "not" / "yet", 5_000_000_000), ("--b", tmp_path, 4_000_000_000)]
    check_room(needs, 1_000_000_000)
    with pytest.raises(
        NoRoom, match=r"up to 5\.0 GB for --a and 4\.0 GB for --b are needed, 10\.0 GB are free"
    ):
        check_room(needs, 1_000_000_001)
    check_room([("--a", tmp_path, 10**15)], -1)


def test_frames_by_the_size_of_their_lines(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"x" * 300_000)
    (tmp_path / "b.jsonl").write_bytes(b"x" * 3_000_000)
    assert [frames_of_lines(tmp_path / f"{name}.jsonl", 6000) for name in "ab"] == [2001, 6000]
    (tmp_path / "d.jsonl").write_bytes(b"1234567\n" * 90_000)  # an hour and more
    assert 90_000 <= frames_of_lines(tmp_path / "d.jsonl") <= 90_001
    assert frames_of_lines(tmp_path / "c.jsonl") == 0


def test_leftovers_of_the_named_alone_are_swept(tmp_path):
    mine, others = ".a.0123abcd.partial", [".b.0123abcd.partial", ".a.partial", "a", ".a.x123abcd.partial"]
    for name in (mine, *others):
        (tmp_path / name).mkdir()
    (tmp_path / ".r.json.00000000.partial").touch()
    sweep(tmp_path, {"a", "r.json"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    sweep(tmp_path / "nowhere", {"a"})
