"""The driver of all converters: what is tried again, what is whose fault, and any number of processes."""

import argparse
import errno
import json
import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
from contractor_site import tree
from tiny_recordings import contractor_line, make_mineclip, make_video, write_lines

from data.action_lines import BINARY_KEYS
from data.EpisodeStorage import find_episodes
from data.generation import convert_custom_data
from data.generation.conversion_flags import add_driver_flags
from data.generation.convert import convert_all
from data.generation.sources import Broken, Entry, Missing, Source, Told, blamed, blamed_frames
from steve1.cli import UserError

N = 40


@dataclass(frozen=True)
class Drawn(Entry):
    """An entry that ends as ``fate`` says."""

    fate: str = ""
    at: int = 0  # changes when the user mends it

    def state(self):
        return self.at


class Stretch:
    def __init__(self, entry):
        self.name, self.fate, self.expected = entry.name, entry.fate, N

    def frames(self):
        return blamed_frames(self._frames())

    def _frames(self):
        rng = np.random.default_rng(len(self.name))
        for i in range(10 if self.fate == "short" else N):
            if i == 20 and self.fate == "torn":
                raise UserError(f"{self.name}: frame 20 can't be decoded")
            if i == 20 and self.fate == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            yield rng.integers(0, 256, (36, 64, 3), dtype=np.uint8)

    def finish(self, n):
        if self.fate == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", "frames.mp4")
        if self.fate == "no memory":
            raise MemoryError
        if self.fate == "no encoder":
            raise UserError("this PyAV has no H.264 encoder")
        return {**{key: np.ones(n, np.int64) for key in BINARY_KEYS}, "camera": np.zeros((n, 2))}, {}

    def told(self, n):
        return Told(warnings=("its end is missing",) if self.fate == "shortened" else ())


class Stretches(Source):
    """Entries of given fates."""

    def __init__(self, fates, at=0):
        self.fates, self.at = fates, at
        self.opened = []

    def entries(self):
        return [Drawn(name, fate == "gone far away", "", fate, self.at) for name, fate in self.fates.items()]

    def fetch(self, entry, stop=None):
        raise Missing(f"{entry.name} does not exist")

    def pieces(self, entry, stored):
        self.opened.append(entry.name)
        with blamed():
            if entry.fate == "not allowed":
                raise PermissionError(errno.EACCES, "Permission denied", entry.name)
            if entry.fate == "many files":
                raise OSError(errno.EMFILE, "Too many open files", entry.name)
        if entry.fate == "broken":
            raise Broken(f"{entry.name} is no video")
        yield Stretch(entry)


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


@pytest.fixture
def convert(tmp_path, mineclip):
    def run(fates, *flags, at=0, out="out"):
        parser = argparse.ArgumentParser()
        parser.add_argument("--output_dir")
        parser.add_argument("--cache_dir", default=str(tmp_path / "cache"))
        add_driver_flags(parser, 20)
        files = ["--output_dir", str(tmp_path / out), "--mineclip_weights", str(mineclip)]
        args = parser.parse_args([*files, *flags])
        source = Stretches(fates, at)
        try:
            convert_all(source, args)
        finally:
            run.opened = source.opened
        return [path.name for path in find_episodes(tmp_path / out)]

    return run


def report(tmp_path, out="out"):
    path = tmp_path / out / "report.json"
    return json.loads(path.read_text()) if path.exists() else None


FATES = {
    **{f"a{i}": "" for i in range(4)},
    "b": "broken",
    "c": "short",
    "d": "torn",
    "e": "not allowed",
    "f": "shortened",
    "g": "gone far away",
}


def test_any_number_of_processes_makes_the_same(tmp_path, convert):
    for workers, out in (("1", "one"), ("2", "two")):
        with pytest.raises(
            UserError, match=r"b: b is no video\n.*d: d: frame 20 can't be decoded\n.*e: e can't be read"
        ):
            convert(FATES, "--workers", workers, out=out)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    kinds = {name: entry["kind"] for name, entry in report(tmp_path, "two")["passed_over"].items()}
    assert kinds == {"b": "broken", "c": "too short", "d": "broken", "e": "broken", "g": "not found"}
    assert report(tmp_path, "two")["shortened"] == {"f": ["its end is missing"]}
    assert convert(FATES, "--skip_broken", out="two") == ["a0", "a1", "a2", "a3", "f"]


def test_what_failed_is_tried_again_when_it_could_come_out_otherwise(tmp_path, convert, capsys):
    convert(FATES, "--skip_broken")
    convert(FATES, "--skip_broken")
    assert convert.opened == []
    assert "recordings passed over: 3, broken (known from before)" in capsys.readouterr().out
    convert(FATES, "--skip_broken", "--min_timesteps", "11")
    assert convert.opened == []
    assert "c" in convert(FATES, "--skip_broken", "--min_timesteps", "10")
    assert convert.opened == ["c"]
    # Something of theirs was mended.
    assert "d" in convert({**FATES, "d": ""}, "--skip_broken", at=1)
    assert convert.opened == ["b", "d", "e"]
    assert set(report(tmp_path)["passed_over"]) == {"b", "e", "g"}


def test_a_known_mistake_is_one_until_it_is_mended(convert):
    for _ in range(2):
        with pytest.raises(UserError, match="b is no video"):
            convert({"a": "", "b": "broken"})
    assert convert({"a": "", "b": ""}, at=1) == ["a", "b"]


@pytest.mark.parametrize(
    ("fate", "error", "says"),
    [
        ("full disk", OSError, "No space left"),
        ("many files", OSError, "Too many open files"),
        ("no memory", UserError, "not memory enough to convert b; .*fewer --workers"),
        ("no encoder", UserError, "no H.264 encoder"),
        ("killed", UserError, "a process was killed.*fewer --workers"),
    ],
)
def test_the_machine_s_trouble_is_not_the_recording_s(tmp_path, convert, fate, error, says):
    fates = {"a": "", "b": fate, "c": ""}
    with pytest.raises(error, match=says):
        convert(fates, "--workers", "2" if fate == "killed" else "1")
    assert report(tmp_path) is None
    assert convert({**fates, "b": ""}) == ["a", "b", "c"]


def test_what_is_no_episode_of_ours_is_left_and_said(tmp_path, convert):
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "thesis.txt").touch()
    with pytest.raises(UserError, match="b exists and is no episode of ours"):
        convert({"a": "", "b": "", "c": ""})
    assert (tmp_path / "out" / "b" / "thesis.txt").exists()
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["a", "c"]
    (tmp_path / "out" / "b" / "thesis.txt").unlink()
    assert convert({"a": "", "b": "", "c": ""}) == ["a", "b", "c"]


def test_a_slice_needs_both_its_flags(tmp_path, mineclip, capsys):
    files = [
        "--input_dir",
        str(tmp_path),
        "--output_dir",
        str(tmp_path / "x"),
        "--mineclip_weights",
        str(mineclip),
    ]
    for flags, says in (
        (["--num_workers", "2"], "--num_workers 2 needs --worker_id"),
        (["--worker_id", "1"], "--worker_id 1 needs --num_workers"),
    ):
        with pytest.raises(SystemExit) as leave:
            convert_custom_data.main([*files, *flags])
        assert leave.value.code == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(("each", "expected"), [(0, 64), (10**18, 1)])
def test_a_process_a_core_but_no_more_than_memory_allows(tmp_path, monkeypatch, each, expected):
    from data.generation import convert as driver

    (tmp_path / "m.pth").touch()
    monkeypatch.setattr(driver, "cores", lambda: 64)
    monkeypatch.setattr(driver, "MEMORY_BYTES", each + 1)
    assert driver._all_cores(str(tmp_path / "m.pth")) == expected


# ---- an episode and the recording that it was made of ----


def record(folder, n=N, key="w"):
    make_video(folder / "video.mp4", range(n))
    write_lines(folder / "actions.jsonl", [contractor_line([key])] * n)


@pytest.fixture
def custom(tmp_path, mineclip):
    def run(*flags, source="in"):
        folders = ["--input_dir", str(tmp_path / source), "--output_dir", str(tmp_path / "out")]
        convert_custom_data.main([*folders, "--mineclip_weights", str(mineclip), *flags])
        return [path.name for path in find_episodes(tmp_path / "out")]

    return run


def test_a_recording_that_has_changed_is_converted_again(tmp_path, custom):
    from data.EpisodeStorage import EpisodeStorage

    record(tmp_path / "in" / "a")
    custom()
    assert EpisodeStorage(tmp_path / "out" / "a").load_actions()["forward"].all()
    record(tmp_path / "in" / "a", key="left.shift")
    custom()
    assert EpisodeStorage(tmp_path / "out" / "a").load_actions()["sneak"].all()


def test_another_recording_of_the_same_name_does_not_count_as_there(tmp_path, custom, capsys):
    record(tmp_path / "in" / "a")
    custom()
    before = tree(tmp_path / "out" / "a")
    record(tmp_path / "monday" / "a", key="s")
    with pytest.raises(SystemExit) as leave:
        custom(source="monday")
    assert leave.value.code == 1
    assert f"was made of {tmp_path}/in/a/video.mp4, not of {tmp_path}/monday/a" in capsys.readouterr().err
    assert tree(tmp_path / "out" / "a") == before
    # A folder that was moved is the same recording.
    (tmp_path / "in").rename(tmp_path / "moved")
    assert custom(source="moved") == ["a"]


def test_a_flag_that_reads_otherwise_is_not_without_effect(tmp_path, custom, capsys):
    record(tmp_path / "in" / "a")
    custom()
    with pytest.raises(SystemExit) as leave:
        custom("--degrees_per_pixel", "0.1")
    assert leave.value.code == 1
    assert "was made with --degrees_per_pixel None; remove it" in capsys.readouterr().err
