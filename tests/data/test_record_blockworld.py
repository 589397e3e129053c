"""Recordings of scripted players read back as the actions that were played; their labels fit; nothing is made twice."""

import json
import re
import signal

import numpy as np
import pytest
from killing import finish, start

from blockworld.players.behaviour import action
from blockworld.players.wordings import WORDINGS
from data.contractor import parse_actions, read_lines, read_recording
from data.generation import record_blockworld as recorder
from data.generation.blockworld_lines import LineWriter
from data.video import video_info
from steve1.envs import make_env
from steve1.vpt.actions import BIN_ANGLES, ENV_KEYS

FRAMES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("recordings")
    recorder.main(_flags(out, 2))
    return out


def _flags(out, recordings, *more):
    return [
        *(
            "--output_dir",
            str(out),
            "--num_recordings",
            str(recordings),
            "--frames_per_recording",
            str(FRAMES),
        ),
        *("--behaviours", "sky,inventory", "--workers", "1", *more),
    ]


def _contents(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def _recorded_names(out):
    return sorted(path.stem for path in out.glob("*.mp4"))


def test_ending_it_leaves_no_worker_and_nothing_half_written(tmp_path):
    process = start(
        "data.generation.record_blockworld",
        [*_flags(tmp_path / "out", 2, "--workers", "2"), "--frames_per_recording", "100000"],
        tmp_path / "log",
        parent=True,
    )
    while not any((tmp_path / "out").glob(".*.mp4.*.partial")):
        assert process.is_alive(), (tmp_path / "log").read_text()
    process.terminate()
    assert finish(process) == 128 + signal.SIGTERM
    said = (tmp_path / "log").read_text()
    assert "stopped by SIGTERM" in said
    assert "Traceback" not in said
    assert [path.name for path in (tmp_path / "out").rglob("*.partial")] == []
    assert _recorded_names(tmp_path / "out") == []


def test_any_action_reads_back_as_it_was_played():
    env = make_env("blockworld", 2)
    env.observe = dict
    env.reset()
    rng = np.random.default_rng(0)
    writer, lines, played = LineWriter(env), [], []
    for _ in range(400):
        pressed = [key for key in ENV_KEYS if rng.random() < 0.08]
        move = action(*pressed, pitch=rng.choice(BIN_ANGLES), yaw=rng.choice(BIN_ANGLES))
        if rng.random() < 0.3:
            move["camera"][:] = 0
        line = writer.before(move)
        env.step(move)
        writer.after(line)
        lines.append(json.loads(json.dumps(line)))
        played.append(move)
    kept, parsed = parse_actions(lines)
    null = [not any(m[key] for key in ENV_KEYS) and not m["camera"].any() for m in played]
    assert 0 < sum(null) < len(played)
    np.testing.assert_array_equal(kept, np.flatnonzero(~np.array(null)))
    for key in ENV_KEYS:
        np.testing.assert_array_equal(parsed[key], [played[i][key] for i in kept], err_msg=key)
    np.testing.assert_allclose(parsed["camera"], [played[i]["camera"] for i in kept], atol=1e-9, rtol=0)


def test_attack_in_the_first_line_is_not_read_as_stuck():
    env = make_env("blockworld", 2)
    env.observe = dict
    env.reset()
    writer = LineWriter(env)
    lines = [writer.before(action("attack")) for _ in range(3)]
    assert parse_actions(lines)[1]["attack"].tolist() == [1, 1, 1]


def test_lines_have_the_contractors_fields(folder, vectors):
    theirs = next(read_lines(vectors / "contractor_recording.jsonl"))

    def shape(value):
        if isinstance(value, dict):
            return {key: shape(part) for key, part in value.items() if key != "stats"}
        return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)

    for name in _recorded_names(folder):
        lines = list(read_lines(folder / f"{name}.jsonl"))
        assert len(lines) == FRAMES
        assert all(shape(line) == shape(theirs) for line in lines)
        assert [line["tick"] for line in lines] == sorted({line["tick"] for line in lines})


def test_a_recording_reads_as_the_converter_reads_it(folder):
    name = _recorded_names(folder)[0]
    assert re.fullmatch(r"[a-z]+-[a-z]+-[a-z]+-[0-9a-f]{12}-\d{8}-\d{6}", name)
    info = video_info(folder / f"{name}.mp4")
    assert (info.fps, info.frames, info.width, info.height) == (20, FRAMES, 640, 360)
    pairs = list(read_recording(folder / f"{name}.mp4", folder / f"{name}.jsonl"))
    kept, actions = parse_actions(read_lines(folder / f"{name}.jsonl"))
    assert len(pairs) == len(kept)
    assert all(frame.shape == (360, 640, 3) for frame, _ in pairs)
    assert [int(a["inventory"]) for _, a in pairs] == actions["inventory"].tolist()


def test_frames_are_those_that_the_agent_would_see(folder):
    """The first frame is the world's first picture, so frame and action are not one apart."""
    settings = recorder.Settings(0, FRAMES, ("sky", "inventory"))
    index = [recorder.recording_name(0, i) for i in range(2)].index(_recorded_names(folder)[0])
    name = recorder.recording_name(0, index)
    lines = list(read_lines(folder / f"{name}.jsonl"))
    env = make_env("blockworld", recorder.world_seed(settings.seed, index))
    env.reset()
    frames = [frame for frame, _ in read_recording(folder / f"{name}.mp4", folder / f"{name}.jsonl")]
    kept, _ = parse_actions(lines)
    for place in (0, len(kept) - 1):
        line = lines[kept[place]]
        env.teleport(line["xpos"], line["ypos"], line["zpos"])
        env.set_view(line["yaw"], line["pitch"])
        env.gui_open, env.mouse = line["isGuiOpen"], (line["mouse"]["x"], line["mouse"]["y"])
        env.ticks = line["tick"]
        error = np.abs(env.render_pov().astype(int) - frames[place]).mean()
        assert error < 12, f"frame {place} is off by {error:.1f}"


def test_labels_fit_the_episode(folder):
    labels = [
        json.loads(line)
        for path in sorted((folder / "labels").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert labels
    for label in labels:
        lines = list(read_lines(folder / f"{label['episode']}.jsonl"))
        kept, _ = parse_actions(lines)
        part = [lines[i] for i in kept[label["start"] : label["stop"]]]
        assert 0 <= label["start"] < label["stop"] <= len(kept)
        assert len(part) >= recorder.MIN_LABEL
        assert label["text"] in WORDINGS[label["behaviour"]]
        if label["behaviour"] == "sky":
            assert np.mean([line["pitch"] < -30 for line in part]) > 0.5
            assert not any(line["isGuiOpen"] for line in part)
        else:
            assert np.mean([line["isGuiOpen"] for line in part]) > 0.5


def test_wordings_are_written_for_mineclip(folder):
    words = json.loads((folder / "labels" / "wordings.json").read_text())
    assert list(words["wordings"]) == list(words["held_out"]) == ["sky", "inventory"]


def test_labels_are_runs_long_enough_to_be_embedded():
    sky, dig, again = ("sky", 1), ("dig", 2), ("sky", 3)
    shown = [None] * 5 + [sky] * 20 + [None] + [sky] * 15 + [dig] * 16 + [again] * 17
    labels = recorder.find_labels("e", shown, np.random.default_rng(0))
    found = [(label["behaviour"], label["start"], label["stop"]) for label in labels]
    assert found == [("sky", 5, 25), ("dig", 41, 57), ("sky", 57, 74)]
    assert list(recorder.find_labels("e", [], np.random.default_rng(0))) == []


def test_other_processes_make_the_same_and_what_is_there_is_left_alone(folder, tmp_path, capsys):
    recorder.main(_flags(tmp_path, 2, "--workers", "2"))
    assert _contents(tmp_path) == _contents(folder)

    first, second = (recorder.paths(tmp_path, recorder.recording_name(0, i)) for i in range(2))
    second[0].unlink()
    for path in first:
        path.write_bytes(b"kept")
    left_over = tmp_path / f".{second[0].name}.12345678.partial"
    left_over.write_bytes(b"torn")
    recorder.main(_flags(tmp_path, 2))
    assert "1 of 2 recordings are there already" in capsys.readouterr().out
    assert all(path.read_bytes() == b"kept" for path in first)
    assert second[0].read_bytes() == (folder / second[0].name).read_bytes()
    assert not left_over.exists()


def test_a_folder_holds_recordings_of_one_kind(folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        recorder.main(_flags(folder, 2, "--seed", "1"))
    assert stopped.value.code == 1
    assert "give another --output_dir" in capsys.readouterr().err


def test_all_mistakes_are_reported_together(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        recorder.main(["--output_dir", str(tmp_path), "--num_recordings", "0", "--behaviours", "sky,fly"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "--num_recordings 0" in error
    assert "--behaviours fly" in error
    assert not list(tmp_path.iterdir())


def test_worlds_and_sessions_are_one_to_one():
    names = [recorder.recording_name(0, i) for i in range(3000)]
    sessions = {re.fullmatch(r".*-([0-9a-f]{12})-\d{8}-\d{6}", name).group(1) for name in names}
    assert len(sessions) == len(set(names)) == len(names)
    assert "f153ac423f61" not in sessions
    worlds = {recorder.world_seed(3, i) for i in range(3000)}
    assert len(worlds) == 3000
    assert max(worlds) < recorder.WORLDS
