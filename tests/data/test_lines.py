"""Lines as editors, recorders and MineRL's users write them: read exactly, or refused in one sentence."""

import json

import numpy as np
import pytest
from tiny_recordings import contractor_line, make_video, number_of, write_lines

from data.action_lines import BINARY_KEYS, parse_action_lines
from data.contractor import Recording, read_lines
from data.recording_options import RecordingOptions
from steve1.cli import UserError

OURS = [{"camera": [0.5, -0.25 * i], "buttons": {"forward": 1, "jump": i % 2}} for i in range(6)]
CONTRACTORS = [contractor_line(["w"], dx=float(i)) for i in range(6)]


@pytest.mark.parametrize("lines", [OURS, CONTRACTORS], ids=["ours", "contractor"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n"])
def test_lines_are_read_as_any_editor_saves_them(tmp_path, lines, coding, end):
    path = tmp_path / "r.jsonl"
    path.write_bytes("".join(json.dumps(line) + end for line in lines).encode(coding))
    assert list(read_lines(path)) == lines
    path.write_bytes("".join(json.dumps(line) + end for line in lines).rstrip().encode(coding))
    assert list(read_lines(path)) == lines


def test_another_coding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "r.jsonl"
    content = [
        json.dumps({**line, "note": "树" if i == 2 else ""}, ensure_ascii=False)
        for i, line in enumerate(OURS)
    ]
    path.write_bytes("\n".join(content).encode("gbk"))
    with pytest.raises(
        UserError, match=r"r\.jsonl, line 3: it is no UTF-8 text \(byte 0x\w\w\).*save the file as UTF-8"
    ):
        list(read_lines(path))
    path.write_bytes("\n".join(content).encode("utf-16")[:-1])
    with pytest.raises(UserError, match=r"r\.jsonl, after line \d: it is no text in UTF-16"):
        list(read_lines(path))


def flat(i, camera=None, number=int):
    action = dict.fromkeys(BINARY_KEYS, number(0))
    return {**action, "attack": number(i % 2), "hotbar.3": number(1), "camera": camera or [1.5, 0.5 * i]}


@pytest.mark.parametrize(
    "write",
    [
        lambda i: flat(i),
        lambda i: flat(i, number=float),
        lambda i: flat(i, number=bool),
        lambda i: flat(i, camera=[[1.5, 0.5 * i]]),
        lambda i: flat(i, number=lambda value: [value]),
        lambda i: {"action": flat(i)},
        lambda i: {**flat(i), "chat": ""},
        lambda i: {"camera": [1.5, 0.5 * i], "buttons": {"attack": float(i % 2), "hotbar.3": True}},
        lambda i: {"attack": i % 2, "hotbar.3": 1, "camera": [1.5, 0.5 * i]},
    ],
    ids=[
        "flat",
        "floats",
        "bools",
        "nested camera",
        "arrays",
        "nested action",
        "chat",
        "own floats",
        "few keys",
    ],
)
def test_minerl_actions_are_read_as_json_makes_them(tmp_path, write):
    video = make_video(tmp_path / "v.mp4", range(30))
    recording = Recording.read(video, write_lines(tmp_path / "v.jsonl", [write(i) for i in range(30)]))
    assert [number_of(frame) for frame in recording.frames()] == list(range(30))
    actions = recording.actions.env_actions
    assert actions["camera"].tolist() == [[1.5, 0.5 * i] for i in range(30)]
    assert actions["attack"].tolist() == [i % 2 for i in range(30)]
    assert actions["hotbar.3"].tolist() == [1] * 30
    assert not any(actions[key].any() for key in BINARY_KEYS if key not in ("attack", "hotbar.3"))
    assert all(actions[key].dtype == np.int64 for key in BINARY_KEYS)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"camera": [0, 1], "buttons": ["attack"]}, "buttons must be an object"),
        ({"camera": [0, 1], "buttons": {"attack": "yes"}}, r"buttons\.attack must be 0 or 1, not yes"),
        ({"camera": [0, 1], "buttons": {"attack": 0.5}}, r"buttons\.attack must be 0 or 1, not 0\.5"),
        ({"camera": [0, 1], "attack": 2}, "attack must be 0 or 1, not 2"),
        ({"camera": [0, 1], "attack": 0, "fly": 1}, "the action has the unknown name 'fly'"),
        ({"camera": [0, 1], "attack": 0, "chat": "hi"}, "the action has the unknown name 'chat'"),
        ({"camera": "none", "attack": 0}, "camera must be two finite numbers"),
        ({"camera": [[0, 1], [2, 3]], "attack": 0}, "camera must be two finite numbers"),
        ({"attack": 1}, "camera or buttons is missing"),
        ({"camera": [0, 1]}, "camera or buttons is missing"),
    ],
)
def test_other_lines_are_refused_with_the_line_that_is_wanted(line, says):
    good = {"camera": [0.0, 1.0], "buttons": {}}
    with pytest.raises(
        UserError, match=rf'r\.jsonl, line 2: {says}.*a line should be {{"camera": \[0\.0, 1\.5\]'
    ):
        parse_action_lines([good, line], "r.jsonl")


def notes(tmp_path, lines, **options):
    video = make_video(tmp_path / "v.mp4", range(len(lines)), size=(256, 144))
    recording = Recording.read(video, write_lines(tmp_path / "v.jsonl", lines), RecordingOptions(**options))
    return recording, recording.warnings


@pytest.mark.parametrize("late", [0, 1])
def test_another_mouse_scale_is_measured_and_settable(tmp_path, late):
    rng = np.random.default_rng(1)
    dx = np.round(rng.normal(0, 30, 61))
    yaw = 170 + np.concatenate([[0], np.cumsum(dx * 0.06)])
    yaw = (yaw + 180) % 360 - 180  # as the game writes it
    lines = [{**contractor_line(["w"], dx=dx[i]), "yaw": yaw[i + late]} for i in range(60)]
    recording, (note,) = notes(tmp_path, lines)
    assert "by its own yaw the view turns 0.06 degrees for a pixel, and 0.15 are taken" in note
    assert "--degrees_per_pixel 0.06" in note
    np.testing.assert_allclose(recording.actions.env_actions["camera"][:, 1], dx[:60] * 0.15)
    recording, none = notes(tmp_path, lines, degrees_per_pixel=0.06)
    assert none == []
    np.testing.assert_allclose(recording.actions.env_actions["camera"][:, 1], dx[:60] * 0.06)


def test_lines_that_turn_as_openais_or_tell_nothing_make_no_remark(tmp_path):
    dx = np.round(np.random.default_rng(1).normal(0, 30, 60))
    yaw = np.cumsum(dx * 0.15)
    for told in (yaw, np.zeros(60), np.random.default_rng(2).normal(0, 90, 60)):
        lines = [{**contractor_line(["w"], dx=dx[i]), "yaw": told[i]} for i in range(60)]
        assert notes(tmp_path, lines)[1] == []
    assert notes(tmp_path, [contractor_line(["w"], dx=x) for x in dx])[1] == []


def test_a_cursor_beyond_the_window_is_said_and_the_window_settable(tmp_path):
    lines = [contractor_line(["w"], gui=True, x=1900.0 - i, y=1000.0) for i in range(20)]
    _, (note,) = notes(tmp_path, lines)
    assert "its cursor reaches (1900, 1000), beyond a window of 1280x720" in note
    assert "--window WxH" in note
    lines = [contractor_line(["w"], gui=True, x=960.0, y=540.0)] * 20
    recording, none = notes(tmp_path, lines, window=(1920, 1080))
    assert none == []
    *_, frame = recording.frames()
    # The middle of the window is the middle of the picture; the arrow's inside is white.
    assert (frame[72 + 3, 128 + 1] == 255).all()
