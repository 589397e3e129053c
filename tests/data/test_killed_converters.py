"""SIGKILL at any moment of a converter: whole episodes alone are there, and the next run makes the same set."""

import time

import numpy as np
import pytest
from contractor_site import address, fill, hidden, tree
from killing import finish, kill, kill_when, start
from loopback import loopback
from tiny_recordings import contractor_line, make_mineclip, make_video, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation.recordings import INDICES

NAMES = {"a": 90, "b": 70, "c": 110, "d": 40}
RANDOM_KILLS = 5


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


@pytest.fixture
def contractor(tmp_path, mineclip):
    """The flags of a contractor conversion, and its cache with the files that may lie there whole."""
    root = tmp_path / "remote"
    with loopback() as server:
        fill(root, server.url, {"gone": 10, **NAMES}, size=(320, 180))
        (root / "data/gone.mp4").unlink()
        server.add_folder(root)
        cache = tmp_path / "cache"
        flags = [*address(server), "--num_episodes", "0", "--cache_dir", str(cache), "--downloads", "2"]
        whole = {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        yield "data.generation.convert_from_contractor", flags, cache, whole


@pytest.fixture
def custom(tmp_path):
    """The same recordings as one's own."""
    for name, n in NAMES.items():
        make_video(tmp_path / f"in/{name}/video.mp4", range(n), size=(320, 180))
        lines = [contractor_line(["w"] if i % 4 else []) for i in range(n)]
        write_lines(tmp_path / f"in/{name}/actions.jsonl", lines)
    return "data.generation.convert_custom_data", ["--input_dir", str(tmp_path / "in")], tmp_path / "none", {}


def check_after_a_kill(out, cache, whole):
    if out.is_dir():
        for path in find_episodes(out):
            assert EpisodeStorage(path).validate(deep=True) == []
        visible = {path.name for path in out.iterdir()} - set(hidden(out))
        assert visible <= NAMES.keys() | {"report.json"}
    if cache.is_dir():
        for path in cache.iterdir():
            assert path.name.startswith(".") or path.read_bytes() == whole[path.name]


@pytest.mark.parametrize(
    ("kind", "frame_format", "workers"),
    [("contractor", "png", 1), ("custom", "mp4", 1), ("contractor", "png", 2)],
)
def test_kills_at_any_moment_cost_nothing_but_time(tmp_path, request, mineclip, kind, frame_format, workers):
    module, flags, cache, whole = request.getfixturevalue(kind)
    flags = [
        *flags,
        "--mineclip_weights",
        str(mineclip),
        "--min_timesteps",
        "20",
        "--frame_format",
        frame_format,
    ]
    # One process made what any number of them, killed and begun again, must end with.
    shared = ["--workers", str(workers)]
    out, smooth, log = tmp_path / "out", tmp_path / "smooth", tmp_path / "log.txt"
    begun = time.perf_counter()
    assert finish(start(module, [*flags, "--output_dir", str(smooth)], log)) == 0, log.read_text()
    seconds = time.perf_counter() - begun
    assert sorted(path.name for path in find_episodes(smooth)) == sorted(NAMES)

    def run():
        return start(module, [*flags, *shared, "--output_dir", str(out)], log, parent=workers > 1)

    def half_written():
        return out.is_dir() and any(".b." in name for name in hidden(out))

    # In the middle of an episode, then anywhere, each time further on.
    assert kill_when(run(), half_written)
    assert half_written()
    check_after_a_kill(out, cache, whole)
    for moment in np.random.default_rng(0).uniform(0, seconds, RANDOM_KILLS) if workers == 1 else [seconds]:
        process = run()
        process.join(moment)
        kill(process)
        check_after_a_kill(out, cache, whole)
    assert finish(run()) == 0, log.read_text()
    assert tree(out) == tree(smooth)
    assert hidden(out) == []
    if whole:
        assert [path.name for path in cache.iterdir()] == [INDICES["7.x"]]
