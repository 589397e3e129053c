import json
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from contractor_site import address, fill, hidden, list_recordings, tree
from loopback import loopback
from tiny_recordings import make_mineclip, make_video, number_of, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation.convert_from_contractor import INDICES, in_folder, main, read_index
from data.generation.episodes import EpisodeMaker
from steve1.cli import UserError

N = 40


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


@pytest.fixture
def server(tmp_path):
    """A server of ``remote``: index, whole, missing, broken and short recordings."""
    with loopback() as running:
        running.root = tmp_path / "remote"
        fill_with_faults(running.root, running.url)
        running.add_folder(running.root)
        yield running


def asked(server):
    return [path for path, _ in server.requests]


def refuse(server, names, suffix):
    for name in names:
        if f"/data/{name}{suffix}" in server.files:
            server.files[f"/data/{name}{suffix}"].statuses = [403] * 9


NAMES = ["gone", "a", "broken", "b", "no_lines", "short", "torn", "c"]


def fill_with_faults(root, url):
    fill(root, url, {name: 10 if name == "short" else N for name in NAMES if name != "gone"})
    list_recordings(root, url, NAMES)
    (root / "data/no_lines.jsonl").unlink()
    broken = root / "data/broken.mp4"
    broken.write_bytes(broken.read_bytes()[:900])
    torn = root / "data/torn.jsonl"
    torn.write_text(torn.read_text().replace('"mouse"', "mouse", 1))


@pytest.fixture
def convert(tmp_path, mineclip):
    def run(*flags, out="out"):
        folders = ["--output_dir", str(tmp_path / out), "--cache_dir", str(tmp_path / "cache")]
        main([*folders, "--mineclip_weights", str(mineclip), "--min_timesteps", "20", *flags])
        return [path.name for path in find_episodes(tmp_path / out)]

    return run


def report(tmp_path, part="passed_over", name="report.json"):
    return json.loads((tmp_path / "out" / name).read_text())[part]


def test_all_recordings_of_an_index(tmp_path, convert, server, capsys):
    assert convert(*address(server), "--num_episodes", "0") == ["a", "b", "c"]
    episode = EpisodeStorage(tmp_path / "out/b")
    assert [number_of(frame) for frame in episode.load_frames()] == [i for i in range(N) if i % 4]
    assert episode.metadata["source"] == f"{server.url}/data/b.mp4"
    assert episode.validate(deep=True) == []
    kinds = {name: entry["kind"] for name, entry in report(tmp_path).items()}
    assert kinds == {
        "gone": "not found",
        "broken": "broken",
        "no_lines": "not found",
        "short": "too short",
        "torn": "broken",
    }
    assert "torn.jsonl, line 1" in report(tmp_path)["torn"]["reason"]
    assert os.listdir(tmp_path / "cache") == [INDICES["7.x"]]
    said = capsys.readouterr().out
    assert "3 episodes made with 90 frames" in said
    assert "recordings passed over: 2, not found" in said


def test_the_same_command_goes_on_and_asks_for_nothing_twice(tmp_path, convert, server):
    assert convert(*address(server), "--num_episodes", "1") == ["a"]
    assert not any("/b." in path for path in asked(server))
    before = len(server.requests)
    assert convert(*address(server), "--num_episodes", "2") == ["a", "b"]
    assert not any(name in path for path in asked(server)[before:] for name in ("gone", "/a."))
    before = len(server.requests)
    assert convert(*address(server), "--num_episodes", "2") == ["a", "b"]
    assert server.requests[before:] == []


def test_slices_by_worker_make_the_set_of_one_process(tmp_path, convert, server):
    convert(*address(server), "--num_episodes", "0", out="one")
    there, passed = set(), set()
    for worker in range(3):
        flags = ("--num_episodes", "0", "--num_workers", "3", "--worker_id", str(worker))
        before, there = there, set(convert(*address(server), *flags))
        slice_of = set(NAMES[worker::3])
        assert there - before == {"a", "b", "c"} & slice_of
        passed_here = set(report(tmp_path, name=f"report_{worker}_of_3.json"))
        assert passed_here == slice_of - {"a", "b", "c"}
        passed |= passed_here
    assert passed == set(NAMES) - {"a", "b", "c"}
    episodes = {path: content for path, content in tree(tmp_path / "one").items() if "/" in path}
    assert {path: content for path, content in tree(tmp_path / "out").items() if "/" in path} == episodes


def test_a_failure_that_may_pass_is_tried_again(tmp_path, convert, server, capsys):
    refuse(server, ["a"], ".mp4")
    assert convert(*address(server), "--num_episodes", "0") == ["b", "c"]
    assert "a" not in report(tmp_path)
    assert "403" in report(tmp_path, "try_again")["a"]
    assert "not reachable now" in capsys.readouterr().out
    server.files["/data/a.mp4"].statuses.clear()
    assert convert(*address(server), "--num_episodes", "0") == ["a", "b", "c"]
    assert report(tmp_path, "try_again") == {}


def test_a_network_that_is_down_ends_the_run(tmp_path, convert, server, capsys):
    refuse(server, NAMES, ".jsonl")
    with pytest.raises(SystemExit) as leave:
        convert(*address(server))
    assert leave.value.code == 1
    assert "5 downloads in a row failed" in capsys.readouterr().err
    assert not (tmp_path / "out/a").exists()
    for served in server.files.values():
        served.statuses.clear()
    assert convert(*address(server)) == ["a", "b", "c"]


def test_a_respawn_is_a_cut_in_the_episode_and_counted(tmp_path, convert, capsys):
    root = tmp_path / "recordings"
    fill(root, "", {"a": N, "b": N})
    path = root / "data/a.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for i, line in enumerate(lines):
        line |= {"xpos": 0.2 * i + 90 * (i >= 24), "ypos": 64.0, "zpos": 0.0}  # line 24 is null
    write_lines(path, lines)
    assert convert("--local_dir", str(root)) == ["a", "b"]
    a, b = (EpisodeStorage(tmp_path / "out" / name) for name in "ab")
    assert a.cuts.tolist() == [18]
    assert a.metadata["cuts_by"] == {"a piece is missing": [], "the player was put elsewhere": [18]}
    assert b.metadata["cuts_by"] == {"a piece is missing": []}
    assert np.isnan(a.load_goals()[18:]).all()
    assert a.validate() == b.validate() == []
    said = capsys.readouterr().out
    assert "cuts that no goal crosses: 1, the player was put elsewhere" in said
    assert "episodes whose lines don't tell where the player was put elsewhere: 1" in said
    assert "episodes whose lines don't tell where the player died: 2" in said
    a.metadata["cuts_by"]["the player was put elsewhere"] = [17]
    (a.dirpath / "metadata.json").write_text(json.dumps(a.metadata))
    assert "cuts_by is no object" in EpisodeStorage(a.dirpath).validate()[0]


def test_recordings_of_a_local_folder(tmp_path, convert, server, capsys):
    flags = ("--local_dir", str(server.root / "data"), "--num_episodes", "0")
    with pytest.raises(SystemExit) as leave:  # what is one's own can be mended
        convert(*flags)
    assert leave.value.code == 1
    error = capsys.readouterr().err
    assert all(f"{name}: " in error for name in ("broken", "no_lines", "torn"))
    assert convert(*flags, "--skip_broken") == ["a", "b", "c"]
    assert server.requests == []
    assert (server.root / "data/a.mp4").exists()
    assert set(report(tmp_path)) == {"broken", "no_lines", "short", "torn"}


def test_an_index_in_a_local_file(tmp_path, convert, server):
    path = server.root / "snapshots" / INDICES["7.x"]
    assert convert("--index_file", str(path), "--num_episodes", "1") == ["a"]
    path.write_text(json.dumps({"basedir": str(server.root), "relpaths": ["data/c.mp4", "data/gone.mp4"]}))
    assert convert("--index_file", str(path), "--num_episodes", "0", "--skip_broken") == ["a", "c"]
    assert (server.root / "data/c.mp4").exists()
    flags = (
        "--index_file",
        str(path),
        "--local_dir",
        str(server.root),
        "--num_episodes",
        "0",
        "--skip_broken",
    )
    assert convert(*flags) == ["a", "c"]


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_an_index_as_editors_save_it(tmp_path, coding):
    index = {"basedir": "http://x/", "relpaths": ["data/a.mp4", "data/b"]}
    (tmp_path / "index.json").write_bytes(json.dumps(index).encode(coding))
    found = read_index(tmp_path / "index.json")
    assert [entry.video for entry in found] == ["http://x/data/a.mp4", "http://x/data/b.mp4"]


def test_a_name_at_two_addresses_is_one_recording_and_said(tmp_path):
    index = {"basedir": "http://x/", "relpaths": ["one/a.mp4", "two/a.mp4", "one/a.mp4"]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    first, second = read_index(tmp_path / "index.json")
    assert (first.video, first.problem) == ("http://x/one/a.mp4", "")
    assert "lists it at http://x/one/a.mp4 and at http://x/two/a.mp4; the first is taken" in second.problem


@pytest.mark.parametrize("content", ["", "[]", '{"basedir": 1, "relpaths": []}', '{"basedir": "x"}'])
def test_a_file_that_is_no_index_is_named(tmp_path, content):
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"index\.json is no index"):
        read_index(path)


def test_an_index_cannot_name_files_outside_of_the_folders(tmp_path):
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"basedir": "http://x/", "relpaths": ["../../evil.mp4"]}))
    assert [source.name for source in read_index(path)] == ["evil"]
    path.write_text(json.dumps({"basedir": "http://x/", "relpaths": ["a/..mp4"]}))
    with pytest.raises(UserError, match="no recording's name"):
        read_index(path)


def test_hidden_files_are_no_recordings(tmp_path):
    Path(tmp_path / ".x.mp4").touch()
    assert in_folder(tmp_path) == []


def test_mistakes_in_the_flags_are_listed_together(convert, capsys):
    with pytest.raises(SystemExit) as leave:
        convert("--worker_id", "2", "--num_workers", "2", "--local_dir", "nowhere", "--num_episodes", "-1")
    assert leave.value.code == 2
    error = capsys.readouterr().err
    for words in ("--worker_id 2", "nowhere does not exist", "--num_episodes -1"):
        assert words in error


@pytest.mark.parametrize("index", INDICES)
def test_every_collection_is_found_at_its_address(tmp_path, convert, index):
    hotbar = None if index == "6.x" else 2  # early recordings don't say which slot is selected
    with loopback() as running:
        fill(tmp_path / "remote", running.url, {"a": N}, index, hotbar)
        running.add_folder(tmp_path / "remote")
        assert convert(*address(running, index), "--num_episodes", "0") == ["a"]
        assert running.requests[0] == (f"/snapshots/{FILES[index]}.json", None)


FILES = {
    "6.x": "all_6xx_Jun_29",
    "7.x": "all_7xx_Apr_6",
    "8.x": "all_8xx_Jun_29",
    "9.x": "all_9xx_Jun_29",
    "10.x": "all_10xx_Jun_29",
    "FindCave": "find-cave-Jul-28",
    "MakeWaterfall": "waterfall-Jul-28",
    "MakeVillageAnimalPen": "pen-animals-Jul-28",
    "BuildVillageHouse": "build-house-Jul-28",
}


def test_the_next_recordings_are_downloaded_while_one_is_converted(tmp_path, convert, server, monkeypatch):
    make, seen = EpisodeMaker.make, []

    def waiting(self, dirpath, *args, **kwargs):
        if dirpath.name == "a":
            assert server.files["/data/broken.mp4"].asked.wait(30)
            assert server.files["/data/b.mp4"].asked.wait(30)
        seen.append((dirpath.name, {path for path in asked(server) if path.endswith(".jsonl")}))
        return make(self, dirpath, *args, **kwargs)

    monkeypatch.setattr(EpisodeMaker, "make", waiting)
    assert convert(*address(server), "--num_episodes", "0", "--downloads", "2") == ["a", "b", "c"]
    # "gone" was passed over before; no_lines is the third after a.
    assert seen[0] == ("a", {f"/data/{name}.jsonl" for name in ("gone", "a", "broken", "b")})


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
def test_the_number_of_downloads_changes_nothing(tmp_path, convert, server, wanted):
    made = []
    for downloads in (0, 1, 3, 20):
        before, out = len(server.requests), f"out{downloads}"
        convert(*address(server), "--num_episodes", str(wanted), "--downloads", str(downloads), out=out)
        made.append((tree(tmp_path / out), sorted(server.requests[before:])))
        assert hidden(tmp_path / out) == []
    episodes, requests = made[0]
    for others, asked_for in made[1:]:
        assert others == episodes
        # Nothing is asked for that one download at a time would not have asked for; the index is there already.
        assert asked_for == [request for request in requests if "snapshots" not in request[0]]


def test_downloads_that_are_cut_refused_or_without_ranges_make_the_same_episodes(
    tmp_path, convert, server, monkeypatch
):
    monkeypatch.setattr("data.generation.recordings.RETRY_SECONDS", 0)
    with open(
        server.root / "data/a.mp4", "ab"
    ) as video:  # longer than one read, by a box that says to skip it
        video.write(struct.pack(">I4s", 300_008, b"free") + bytes(300_000))
    convert(*address(server), "--num_episodes", "0", out="smooth")
    files = server.files
    files["/data/a.mp4"].cut_after = [150_000, 70_000]
    files["/data/b.mp4"].cut_after, files["/data/b.mp4"].ranges = [900], False
    files["/data/c.mp4"].statuses, files["/data/c.jsonl"].cut_after = [503, 429], [100, 0, 5000]
    convert(*address(server), "--num_episodes", "0")
    assert tree(tmp_path / "out") == tree(tmp_path / "smooth")
    assert any(wanted for _, wanted in files["/data/a.mp4"].requests)
    assert os.listdir(tmp_path / "cache") == [INDICES["7.x"]]


def test_lengths_that_are_not_the_truth_are_listed(tmp_path, convert, server, monkeypatch):
    monkeypatch.setattr("data.generation.recordings.RETRY_SECONDS", 0)
    files = server.files
    files["/data/a.mp4"].claimed = len(files["/data/a.mp4"].content()) + 10
    files["/data/b.mp4"].claimed = len(files["/data/b.mp4"].content()) - 2000
    assert convert(*address(server), "--num_episodes", "0") == ["c"]
    assert "a.mp4" in report(tmp_path, "try_again")["a"]
    assert report(tmp_path)["b"]["kind"] == "broken"
    files["/data/a.mp4"].claimed = None
    assert convert(*address(server), "--num_episodes", "0") == ["a", "c"]


def test_recordings_that_end_early_are_listed(tmp_path, convert, server):
    lines = server.root / "data/a.jsonl"
    lines.write_bytes(lines.read_bytes()[:-20])
    make_video(server.root / "data/b.mp4", range(N - 2))
    assert convert(*address(server), "--num_episodes", "0") == ["a", "b", "c"]
    shortened = report(tmp_path, "shortened")
    assert shortened.keys() == {"a", "b"}
    assert "its last line (40) is torn" in shortened["a"][0]
    assert "ends after 1.90 s" in shortened["b"][0]


def test_what_killed_runs_left_of_these_recordings_is_removed(tmp_path, convert, server):
    for name in ("short", "a", "report.json", "not_listed"):
        (tmp_path / f"out/.{name}.01234567.partial").mkdir(parents=True)
    convert(*address(server), "--num_episodes", "0")
    assert hidden(tmp_path / "out") == [".not_listed.01234567.partial"]


@pytest.mark.parametrize("content", ["[]", "{", '{"passed_over": {"a": 1}}', '{"passed_over": []}'])
def test_a_damaged_report_is_named(tmp_path, convert, server, capsys, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.json").write_text(content)
    with pytest.raises(SystemExit):
        convert(*address(server))
    assert "report.json is damaged; remove it" in capsys.readouterr().err


def test_too_small_a_disk_is_said_before_anything_is_downloaded(
    tmp_path, convert, server, capsys, monkeypatch
):
    free = 3_000_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(SystemExit):
        convert(*address(server), "--num_episodes", "0")
    error = capsys.readouterr().err
    for words in (
        "up to 1.9 GB for --output_dir and 0.5 GB for --cache_dir are needed",
        "3.0 GB are free",
        "1.0 GB are to stay free (--keep_free_gb)",
        "--frame_format mp4",
    ):
        assert words in error
    assert [path for path in asked(server) if "snapshots" not in path] == []
    # Fewer, or smaller, or none kept free, or no check.
    assert convert(*address(server), "--num_episodes", "1") == ["a"]
    assert convert(*address(server), "--num_episodes", "2", "--frame_format", "mp4") == ["a", "b"]
    assert convert(*address(server), "--num_episodes", "0", "--keep_free_gb", "-1") == ["a", "b", "c"]


def test_a_disk_that_fills_up_ends_the_run_and_the_next_goes_on(
    tmp_path, convert, server, capsys, monkeypatch
):
    free = iter([9_000_000_000] * 3 + [100_000_000] * 99)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=next(free)))
    with pytest.raises(SystemExit):
        convert(*address(server), "--downloads", "0")
    assert "are to stay free" in capsys.readouterr().err
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["a"]
    monkeypatch.undo()
    assert convert(*address(server)) == ["a", "b", "c"]
