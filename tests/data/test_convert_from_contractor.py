import http.server
import json
import os
import threading
from pathlib import Path

import pytest
from tiny_recordings import contractor_line, make_mineclip, make_video, number_of, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation.convert_from_contractor import INDICES, in_folder, main, read_index
from steve1.cli import UserError

N = 40


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path in self.server.failing:
            self.send_error(403)
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of ``remote``: index, whole, missing, broken and short recordings."""
    root = tmp_path / "remote"

    def handler(*args):
        return Handler(*args, directory=str(root))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked, running.failing, running.root = [], set(), root
        running.url = f"http://127.0.0.1:{running.server_port}"
        fill(root, running.url)
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


NAMES = ["gone", "a", "broken", "b", "no_lines", "short", "torn", "c"]


def fill(root, url):
    lines = [contractor_line(["w"] if i % 4 else []) for i in range(N)]
    for name in NAMES:
        if name != "gone":
            n = 10 if name == "short" else N
            make_video(root / f"data/{name}.mp4", range(n))
            write_lines(root / f"data/{name}.jsonl", lines[:n])
    (root / "data/no_lines.jsonl").unlink()
    broken = root / "data/broken.mp4"
    broken.write_bytes(broken.read_bytes()[:900])
    torn = root / "data/torn.jsonl"
    torn.write_text(torn.read_text().replace('"mouse"', "mouse", 1))
    (root / "snapshots").mkdir()
    index = {"basedir": f"{url}/", "relpaths": [f"data/{name}.mp4" for name in NAMES]}
    (root / "snapshots" / INDICES["7.x"]).write_text(json.dumps(index))


@pytest.fixture
def convert(tmp_path, mineclip):
    def run(*flags):
        folders = ["--output_dir", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "cache")]
        main([*folders, "--mineclip_weights", str(mineclip), "--min_timesteps", "20", *flags])
        return [path.name for path in find_episodes(tmp_path / "out")]

    return run


def address(server):
    return "--index", "7.x", "--base_url", f"{server.url}/snapshots/"


def report(tmp_path, name="report.json"):
    return json.loads((tmp_path / "out" / name).read_text())["passed_over"]


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
    assert not any("/b." in path for path in server.asked)
    before = len(server.asked)
    assert convert(*address(server), "--num_episodes", "2") == ["a", "b"]
    asked = server.asked[before:]
    assert not any(name in path for path in asked for name in ("gone", "/a."))
    before = len(server.asked)
    assert convert(*address(server), "--num_episodes", "2") == ["a", "b"]
    assert server.asked[before:] == []


def test_slices_by_worker_make_the_same_set(tmp_path, convert, server):
    for worker in range(3):
        convert(*address(server), "--num_episodes", "0", "--num_workers", "3", "--worker_id", str(worker))
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["a", "b", "c"]
    passed = set()
    for worker in range(3):
        passed |= set(report(tmp_path, f"report_{worker}_of_3.json"))
    assert passed == set(NAMES) - {"a", "b", "c"}


def test_a_failure_that_may_pass_is_tried_again(tmp_path, convert, server, capsys):
    server.failing.add("/data/a.mp4")
    assert convert(*address(server), "--num_episodes", "0") == ["b", "c"]
    assert "a" not in report(tmp_path)
    assert "not reachable now" in capsys.readouterr().out
    server.failing.clear()
    assert convert(*address(server), "--num_episodes", "0") == ["a", "b", "c"]


def test_a_network_that_is_down_ends_the_run(tmp_path, convert, server, capsys):
    server.failing |= {f"/data/{name}.jsonl" for name in NAMES}
    with pytest.raises(SystemExit) as leave:
        convert(*address(server))
    assert leave.value.code == 1
    assert "5 downloads in a row failed" in capsys.readouterr().err
    assert not (tmp_path / "out/a").exists()
    server.failing.clear()
    assert convert(*address(server)) == ["a", "b", "c"]


def test_recordings_of_a_local_folder(tmp_path, convert, server):
    flags = ("--local_dir", str(server.root / "data"), "--num_episodes", "0")
    assert convert(*flags) == ["a", "b", "c"]
    assert server.asked == []
    assert (server.root / "data/a.mp4").exists()
    assert set(report(tmp_path)) == {"broken", "no_lines", "short", "torn"}


def test_an_index_in_a_local_file(tmp_path, convert, server):
    path = server.root / "snapshots" / INDICES["7.x"]
    assert convert("--index_file", str(path), "--num_episodes", "1") == ["a"]
    path.write_text(json.dumps({"basedir": str(server.root), "relpaths": ["data/c.mp4", "data/gone.mp4"]}))
    assert convert("--index_file", str(path), "--num_episodes", "0") == ["a", "c"]
    assert (server.root / "data/c.mp4").exists()
    flags = ("--index_file", str(path), "--local_dir", str(server.root), "--num_episodes", "0")
    assert convert(*flags) == ["a", "c"]


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
