import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import MEDIA, VECTORS
from tiny_recordings import contractor_line, make_mineclip, make_video, number_of, write_lines

from data.EpisodeStorage import EpisodeStorage, find_episodes
from data.generation.convert_custom_data import main
from data.generation.own_recordings import find_recordings
from steve1.checkpoints import load_mineclip, tensors_hash
from steve1.mineclip import embed_frames

N = 48


@pytest.fixture(scope="module")
def mineclip(tmp_path_factory):
    return make_mineclip(tmp_path_factory.mktemp("mineclip") / "tiny.pth")


@pytest.fixture
def convert(tmp_path, mineclip):
    """Run the converter from ``in`` to ``out``; return the episodes."""

    def run(*flags):
        folders = ["--input_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
        main([*folders, "--mineclip_weights", str(mineclip), "--batch_size", "7", *flags])
        return [EpisodeStorage(path) for path in find_episodes(tmp_path / "out")]

    return run


def lines(n=N):
    """Every fifth one is null."""
    return [contractor_line(["w"] if i % 5 else []) for i in range(n)]


KEPT = [i for i in range(N) if i % 5]


def fails(capsys, code, *says):
    def check(run, *flags):
        with pytest.raises(SystemExit) as leave:
            run(*flags)
        assert leave.value.code == code
        error = capsys.readouterr().err
        for words in says:
            assert words in error, error
        assert "Traceback" not in error

    return check


@pytest.mark.parametrize("frame_format", ["png", "mp4"])
def test_a_recording_becomes_an_episode_of_its_kept_lines(tmp_path, convert, mineclip, capsys, frame_format):
    video = make_video(tmp_path / "in/one/video.mp4", range(N), size=(160, 96))
    write_lines(tmp_path / "in/one/actions.jsonl", lines())
    (episode,) = convert("--frame_format", frame_format)
    assert episode.dirpath.name == "one"
    assert [number_of(frame) for frame in episode.load_frames()] == KEPT
    assert episode.load_actions()["forward"].all()
    assert episode.validate(deep=True) == []
    assert episode.metadata["source"] == str(video)
    model = load_mineclip(mineclip)
    assert episode.metadata["mineclip_hash"] == tensors_hash(model)
    from data.video import decode

    full = [frame for i, frame in enumerate(decode(video)) if i in KEPT]
    np.testing.assert_allclose(
        episode.load_embeds_attn(), embed_frames(model, full, 16), rtol=1e-4, atol=1e-5
    )
    said = capsys.readouterr().out
    assert "1 episodes made with 38 frames" in said
    assert "dropped frames: 10, null actions" in said
    assert "forward    100.0" in said


def test_the_same_command_converts_only_what_is_new(tmp_path, convert, capsys):
    for name in ("a", "b"):
        make_video(tmp_path / f"in/{name}/clip.mkv", range(N))
        write_lines(tmp_path / f"in/{name}/actions.jsonl", lines())
        convert()
        before = (tmp_path / "out/a/metadata.json").stat().st_mtime_ns
    assert (tmp_path / "out/a/metadata.json").stat().st_mtime_ns == before
    assert "1 were there already" in capsys.readouterr().out
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["a", "b"]


def test_episodes_of_another_mineclip_are_not_mixed_in(tmp_path, convert, capsys):
    make_video(tmp_path / "in/a/video.mp4", range(N))
    write_lines(tmp_path / "in/a/actions.jsonl", lines())
    convert()
    other = make_mineclip(tmp_path / "other.pth", seed=1)
    fails(capsys, 1, "was made with another MineCLIP")(convert, "--mineclip_weights", str(other))


def test_names_of_recordings(tmp_path):
    for path in ("a/video.mp4", "b/c/play.webm", "d/x.mp4", "d/y.MP4", ".hidden/video.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for path in ("a/actions.jsonl", "d/y.jsonl"):
        (tmp_path / path).touch()
    found = {recording.name: recording.actions for recording in find_recordings(tmp_path)}
    assert found == {
        "a": str(tmp_path / "a/actions.jsonl"),
        "b_c": None,
        "d_x": None,
        "d_y": str(tmp_path / "d/y.jsonl"),
    }
    assert [recording.name for recording in find_recordings(tmp_path / "a")] == ["a"]
    (tmp_path / "d/actions.jsonl").touch()
    problems = {recording.name: recording.problem for recording in find_recordings(tmp_path)}
    assert "has no x.jsonl, but actions.jsonl beside it, which belongs to no video" in problems.pop("d_x")
    assert not any(problems.values())


def test_another_frame_rate_is_resampled_or_refused(tmp_path, convert, capsys):
    make_video(tmp_path / "in/a/video.mp4", range(N), fps=30)
    actions = tmp_path / "in/a/actions.jsonl"
    write_lines(actions, [contractor_line(["w"])] * N)
    fails(capsys, 1, "48 frames at 30 a second (32 ticks", "has 48 lines", "--fps_as_ticks")(convert)
    assert not (tmp_path / "out/a").exists()
    (episode,) = convert("--fps_as_ticks")
    assert [number_of(frame) for frame in episode.load_frames()] == list(range(N))

    write_lines(actions, [contractor_line(["w"])] * 32)
    (tmp_path / "out").rename(tmp_path / "first")
    (episode,) = convert()
    assert [number_of(frame) for frame in episode.load_frames()] == [int(k * 1.5 + 1e-6) for k in range(32)]
    assert episode.metadata["resampled_to_20_hz"]


def test_short_recordings_make_no_episode_and_are_said(tmp_path, convert, capsys):
    for name, n in (("long", N), ("short", 20)):
        make_video(tmp_path / f"in/{name}/video.mp4", range(n))
        write_lines(tmp_path / f"in/{name}/actions.jsonl", lines(n))
    (episode,) = convert()
    assert episode.dirpath.name == "long"
    said = capsys.readouterr().out
    assert "short: passed over, too short: 16 frames are left of it, 31 are needed" in said
    assert "recordings passed over: 1, too short" in said
    assert len(convert("--min_timesteps", "0")) == 2


def test_one_bad_recording_does_not_stop_the_others(tmp_path, convert, capsys):
    for name in ("a_torn", "b_cut", "c_good", "d_none"):
        make_video(tmp_path / f"in/{name}/video.mp4", range(N))
        write_lines(tmp_path / f"in/{name}/actions.jsonl", lines())
    path = tmp_path / "in/a_torn/actions.jsonl"
    path.write_text(path.read_text().replace('"keys"', "", 1))
    video = tmp_path / "in/b_cut/video.mp4"
    video.write_bytes(video.read_bytes()[:1000])
    (tmp_path / "in/d_none/actions.jsonl").unlink()
    says = ("actions.jsonl, line 1: it is torn", "b_cut/video.mp4 is not a readable video", "--idm_model")
    fails(capsys, 1, *says)(convert)
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["c_good"]
    assert len(convert("--skip_broken")) == 1


def test_a_video_shorter_than_its_actions_is_said(tmp_path, convert, capsys):
    make_video(tmp_path / "in/a/video.mp4", range(N - 2))
    write_lines(tmp_path / "in/a/actions.jsonl", lines())
    (episode,) = convert()
    assert len(episode) == 36
    said = capsys.readouterr().out
    assert "its last 2 lines are left out" in said
    assert "dropped frames: 2, the video is shorter" in said


def test_videos_without_actions_are_labelled(tmp_path, convert, capsys, monkeypatch):
    make_video(tmp_path / "in/a/video.mp4", range(N))
    for name in ("idm.model", "idm.weights"):
        (tmp_path / name).touch()

    def label(idm, images):
        assert idm == "the model"
        n = len(list(images))
        from data.action_lines import BINARY_KEYS

        actions = {key: np.zeros(n, np.int64) for key in BINARY_KEYS}
        return {**actions, "camera": np.array([[0, i % 5] for i in range(n)], np.float64)}

    monkeypatch.setattr("data.generation.label_with_idm.load_idm", lambda *_: "the model")
    monkeypatch.setattr("data.generation.label_with_idm.label_frames", label)
    idm = ("--idm_model", str(tmp_path / "idm.model"), "--idm_weights", str(tmp_path / "idm.weights"))
    (episode,) = convert(*idm)
    assert [number_of(frame) for frame in episode.load_frames()] == KEPT
    assert episode.metadata["actions"] == "inverse dynamics model"
    fails(capsys, 2, "go together")(convert, *idm[:2])


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, convert, capsys, monkeypatch):
    make_video(tmp_path / "in/a/video.mp4", range(N))
    write_lines(tmp_path / "in/a/actions.jsonl", lines())

    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("data.episode_files.write_actions", full)
    fails(capsys, 1, "the disk is full")(convert)
    assert list((tmp_path / "out").iterdir()) == []


def test_mistakes_in_the_flags_are_listed_together(tmp_path, convert, capsys):
    flags = ("--batch_size", "0", "--mineclip_weights", "nowhere.pth")
    fails(capsys, 2, "in does not exist", "--batch_size 0", "nowhere.pth does not exist")(convert, *flags)
    (tmp_path / "in").mkdir()
    fails(capsys, 1, "no video was found")(convert)
    inside = ("--output_dir", str(tmp_path / "in" / "out"))
    fails(capsys, 2, "is within --input_dir")(convert, *inside)


def test_a_kill_leaves_whole_episodes_and_the_next_run_finishes(tmp_path, convert, mineclip):
    for name in ("a", "b"):
        make_video(tmp_path / f"in/{name}/video.mp4", range(N))
        write_lines(tmp_path / f"in/{name}/actions.jsonl", lines())
    code = f"""
import os, signal
from data import EpisodeStorage
finish = EpisodeStorage.EpisodeWriter.finish
def killed(self, *args):
    finish(self, *args)
    if self.dirpath.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
EpisodeStorage.EpisodeWriter.finish = killed
from data.generation.convert_custom_data import main
main(["--input_dir", {str(tmp_path / "in")!r}, "--output_dir", {str(tmp_path / "out")!r},
      "--mineclip_weights", {str(mineclip)!r}])
"""
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert run.returncode == -9, run.stderr
    assert [path.name for path in find_episodes(tmp_path / "out")] == ["a"]
    assert [episode.validate() for episode in convert()] == [[], []]
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b"]


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the real clips are only beside a developer's checkout")
def test_real_footage_with_recorded_lines(tmp_path, convert):
    (tmp_path / "in/gate").mkdir(parents=True)
    os.symlink(MEDIA / "build_gate_5.mp4", tmp_path / "in/gate/video.mp4")
    os.symlink(VECTORS / "contractor_recording.jsonl", tmp_path / "in/gate/actions.jsonl")
    (episode,) = convert("--fps_as_ticks", "--frame_format", "mp4")
    expected = np.load(VECTORS / "contractor_recording_expected.npz")
    assert len(episode) == len(expected["kept"])
    for key, values in episode.load_actions().items():
        np.testing.assert_array_equal(values, expected[key])
    assert episode.validate(deep=True) == []


def test_help_needs_nothing_heavy():
    code = """
import sys
from data.generation import convert_custom_data, convert_from_contractor
from data import EpisodeStorage
heavy = {"torch", "cv2", "av", "numba", "gym", "accelerate"} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_metadata_is_plain_json(tmp_path, convert):
    make_video(tmp_path / "in/a/video.mp4", range(N))
    write_lines(tmp_path / "in/a/actions.jsonl", lines())
    (episode,) = convert()
    metadata = json.loads((episode.dirpath / "metadata.json").read_text())
    assert metadata["recorded_frames"] == N
    assert Path(metadata["actions"]).name == "actions.jsonl"


def test_a_sentence_beside_a_recording_is_its_episodes_label(tmp_path, convert):
    make_video(tmp_path / "in/one/video.mp4", range(N))
    write_lines(tmp_path / "in/one/actions.jsonl", lines())
    about = tmp_path / "in/one/recording.json"
    about.write_text('{"label": "walk about"}')
    assert convert()[0].metadata["label"] == "walk about"
    about.write_text('{"label": "stand about"}')  # what has changed is converted again
    assert convert()[0].metadata["label"] == "stand about"
    about.unlink()
    assert "label" not in convert()[0].metadata


def test_only_one_players_ticks_where_the_lines_say_who_played(tmp_path, convert, capsys):
    for name in ("one", "two"):
        make_video(tmp_path / f"in/{name}/video.mp4", range(N))
    who = ["human" if i % 20 < 17 else "agent" for i in range(N)]
    write_lines(
        tmp_path / "in/one/actions.jsonl",
        [line | {"player": player} for line, player in zip(lines(), who, strict=True)],
    )
    write_lines(tmp_path / "in/two/actions.jsonl", lines())
    (episode,) = convert("--only", "human", "--min_timesteps", "20", "--skip_broken")
    wanted = [i for i in KEPT if who[i] == "human"]
    assert [number_of(frame) for frame in episode.load_frames()] == wanted
    assert episode.metadata["cuts"] == [wanted.index(21), wanted.index(41)]
    said = "".join(capsys.readouterr())
    assert "does not say who played" in said
    assert "of another player (--only)" in said
    fails(capsys, 1, "made with --only human")(convert, "--skip_broken")
