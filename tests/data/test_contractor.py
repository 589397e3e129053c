import json
import math
import warnings

import av
import numpy as np
import pytest
from conftest import VECTORS
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_recordings import contractor_line, make_video, number_of, write_lines

from data.contractor import RecordingWarning, parse_actions, read_lines, read_recording
from data.recording_options import RecordingOptions
from steve1.cli import UserError

RECORDING = VECTORS / "contractor_recording.jsonl"


def test_recorded_lines_give_the_recorded_actions():
    expected = np.load(VECTORS / "contractor_recording_expected.npz")
    kept, actions = parse_actions(read_lines(RECORDING))
    assert {"kept", *actions} == set(expected)
    for key, values in {"kept": kept, **actions}.items():
        assert values.dtype == expected[key].dtype
        np.testing.assert_array_equal(values, expected[key])


def test_small_moves_keep_their_fractions():
    _, actions = parse_actions([contractor_line(dx=1.0, dy=-2.0)])
    np.testing.assert_array_equal(actions["camera"], np.array([[-2.0, 1.0]]) * 0.15)


def test_the_published_mistake_can_be_had():
    lines = [contractor_line(dx=6.0), contractor_line(dx=-13.0, dy=7.0)]
    kept, actions = parse_actions(lines, legacy_int_camera=True)
    assert kept.tolist() == [1]
    assert actions["camera"].tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize(
    ("dx", "angle"),
    [(1200.0, 180.0), (1201.0, 0.0), (math.nan, 0.0), pytest.param(-(10**400), 0.0, id="huge")],
)
def test_glitches_become_zero_and_180_is_kept(dx, angle):
    _, actions = parse_actions([contractor_line(["w"], dx=dx, dy=10.0)])
    assert actions["camera"].tolist() == [[1.5, angle]]


def test_attack_that_is_stuck_is_dropped_until_it_is_pressed_anew():
    held = contractor_line(["w"], [0])
    lines = [contractor_line(["w"], [0], new=[0]), held, contractor_line(["w"], [0], new=[0]), held]
    assert parse_actions(lines)[1]["attack"].tolist() == [0, 0, 1, 1]
    lines[0] = contractor_line(["w"], [0], new=[])
    assert parse_actions(lines)[1]["attack"].tolist() == [1, 1, 1, 1]


def test_a_hotbar_change_is_a_press_that_saves_its_frame():
    slots = [6, 6, None, 6, 2, 2]
    kept, actions = parse_actions([contractor_line(hotbar=slot) for slot in slots])
    assert kept.tolist() == [4]
    assert actions["hotbar.3"].tolist() == [1]
    kept, _ = parse_actions([contractor_line(hotbar=slot) for slot in (None, 3, 3)])
    assert kept.tolist() == []


def test_unknown_keys_do_not_save_a_frame():
    lines = [contractor_line(["scancode.0"], [4]), contractor_line(["escape"])]
    kept, actions = parse_actions(lines)
    assert kept.tolist() == [1]
    assert actions["ESC"].tolist() == [1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda line: line.pop("mouse"), "mouse is missing"),
        (lambda line: line["mouse"].pop("dx"), "mouse.dx is missing"),
        (lambda line: line["mouse"].update(dy="far"), "mouse.dy should be a number"),
        (lambda line: line["mouse"].update(buttons=0), "mouse.buttons should be a list"),
        (lambda line: line["mouse"].update(buttons=["left"]), 'mouse.buttons holds "left"'),
        (lambda line: line["mouse"].pop("newButtons"), "mouse.newButtons is missing"),
        (lambda line: line["keyboard"].update(keys=[1]), "keyboard.keys holds 1"),
        (lambda line: line.update(hotbar=9), "hotbar should be 0 to 8"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(tmp_path, change, says):
    lines = [contractor_line(["w"]) for _ in range(3)]
    change(lines[1])
    path = write_lines(tmp_path / "r.jsonl", lines)
    with pytest.raises(UserError, match=rf"r\.jsonl, line 2: {says}"):
        parse_actions(read_lines(path), name=path)


def test_a_torn_last_line_ends_the_recording(tmp_path):
    path = write_lines(tmp_path / "r.jsonl", [contractor_line(["w"])] * 3)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.warns(RecordingWarning, match=r"last line \(3\) is torn"):
        assert len(list(read_lines(path))) == 2
    path.write_bytes(content + b"\n\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_lines(path))) == 3


@pytest.mark.parametrize("torn", [b'{"mouse": {"x"', b"", b"\xff\xfe", b"[]", b"\0" * 9, b"[" * 100_000])
def test_any_other_torn_line_is_named(tmp_path, torn):
    line = json.dumps(contractor_line()).encode()
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join([line, torn, line]) + b"\n")
    with pytest.raises(UserError, match=r"r\.jsonl, line 2"):
        list(read_lines(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["mouse", "keyboard", "hotbar", "isGuiOpen"]
PLACES = [*FIELDS, "mouse.dx", "mouse.dy", "mouse.buttons", "mouse.newButtons", "keyboard.keys"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values), max_size=4), json_values)
def test_odd_lines_are_understood_or_named(changes, extra):
    lines = [contractor_line(["w"], hotbar=1) for _ in range(3)]
    for i, (place, value) in enumerate(changes):
        holder, _, key = place.rpartition(".")
        target = lines[i % 3] if not holder else lines[i % 3][holder]
        if isinstance(target, dict):
            target[key] = value
    lines[0]["unknown"] = extra
    try:
        kept, actions = parse_actions(lines)
    except UserError as refusal:
        said = str(refusal)
    else:
        said = ""
        assert all(len(values) == len(kept) for values in actions.values())
        assert (np.abs(actions["camera"]) <= 180).all()
        pressed = np.stack([values for key, values in actions.items() if key != "camera"])
        assert (actions["camera"].any(axis=1) | pressed.any(axis=0)).all()
    assert said == "" or "the recording, line" in said


def test_no_lines_give_no_actions():
    kept, actions = parse_actions([])
    assert kept.shape == (0,)
    assert actions["camera"].shape == (0, 2)


def recording(tmp_path, lines, n_frames=None, **video):
    n_frames = len(lines) if n_frames is None else n_frames
    return (
        make_video(tmp_path / "r.mp4", range(n_frames), **video),
        write_lines(tmp_path / "r.jsonl", lines),
    )


def test_frames_and_actions_of_kept_lines_go_together(tmp_path):
    lines = [contractor_line(["w"] if i % 3 else [], dx=float(i if i % 3 else 0)) for i in range(30)]
    found = list(read_recording(*recording(tmp_path, lines, size=(160, 96))))
    assert [number_of(frame) for frame, _ in found] == [i for i in range(30) if i % 3]
    assert all(frame.shape == (96, 160, 3) and frame.dtype == np.uint8 for frame, _ in found)
    assert [action["camera"].tolist() for _, action in found] == [[0, i * 0.15] for i in range(30) if i % 3]
    assert all(action["forward"] == 1 and len(action) == 24 for _, action in found)


def test_the_cursor_is_drawn_where_a_screen_is_open(tmp_path):
    lines = [contractor_line(["w"], gui=gui, x=320.0, y=540.0) for gui in (False, True, False)]
    closed, opened, after = (
        frame for frame, _ in read_recording(*recording(tmp_path, lines, size=(256, 144)))
    )
    # mouse pixels of a window 720 high: x = 320 * 144 / 720 = 64, y = 108; the arrow's inside is white
    assert (opened[111, 65] == 255).all()
    assert (np.abs(closed[111, 65].astype(int) - 96) < 9).all()
    assert (np.abs(after[111, 65].astype(int) - 96) < 9).all()


@pytest.mark.parametrize("n_frames", [60, 58])
def test_a_video_that_ends_a_little_before_its_lines_ends_the_recording(tmp_path, n_frames):
    paths = recording(tmp_path, [contractor_line(["w"])] * 60, n_frames)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert len(list(read_recording(*paths))) == n_frames
    assert [str(one.message) for one in said] == [
        f"{paths[0]} ends after 2.90 s, but r.jsonl has 60 lines (3.00 s): its last 2 lines are left out"
    ][: 60 - n_frames]


def test_a_video_that_is_a_little_longer_is_said(tmp_path):
    paths = recording(tmp_path, [contractor_line(["w"])] * 60, n_frames=62)
    with pytest.warns(
        RecordingWarning, match=r"lasts 3\.10 s.*60 lines \(3\.00 s\): the video's last 0\.10 s"
    ):
        assert len(list(read_recording(*paths))) == 60


@pytest.mark.parametrize("n_frames", [57, 63, 20, 180])
def test_a_video_of_another_length_is_refused_with_both_figures_unless_told(tmp_path, n_frames):
    paths = recording(tmp_path, [contractor_line(["w"])] * 60, n_frames)
    says = (
        rf"{n_frames} frames at 20 a second \({n_frames} ticks .* r\.jsonl has 60 lines; give --fps_as_ticks"
    )
    with pytest.raises(UserError, match=says):
        next(read_recording(*paths))
    with pytest.warns(RecordingWarning, match="are left out"):
        found = list(read_recording(*paths, RecordingOptions(fps_as_ticks=True)))
    assert [number_of(frame) for frame, _ in found] == list(range(min(60, n_frames)))


def index_first(tmp_path):
    """A recording of 64 frames whose video has its index at the start, so that the end may be missing."""
    lines = [contractor_line(["w"])] * 64
    return recording(tmp_path, lines, container_options={"movflags": "faststart"}, bf="0", g="8")


def test_a_truncated_video_ends_the_recording(tmp_path):
    video, lines = index_first(tmp_path)
    content = video.read_bytes()
    video.write_bytes(content[: (content.index(b"mdat") + len(content)) // 2])
    with pytest.warns(RecordingWarning, match="can't be decoded.*are left out"):
        frames = [number_of(frame) for frame, _ in read_recording(video, lines)]
    assert frames == list(range(len(frames)))
    assert 8 < len(frames) < 56


def test_an_undecodable_frame_ends_the_recording(tmp_path):
    video, lines = index_first(tmp_path)
    with av.open(str(video)) as container:
        packet = next(p for i, p in enumerate(container.demux(video=0)) if i == 40)
        place, size = packet.pos, packet.size
    content = bytearray(video.read_bytes())
    content[place : place + size] = b"\xff" * size
    video.write_bytes(content)
    with pytest.warns(RecordingWarning, match="ends after 40 frames, where a frame can't be decoded"):
        frames = [number_of(frame) for frame, _ in read_recording(video, lines)]
    assert frames == list(range(40))


def test_a_truncated_mp4_without_its_index_is_named(tmp_path):
    video, lines = recording(tmp_path, [contractor_line(["w"])] * 30)
    video.write_bytes(video.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"r\.mp4 is not a readable video"):
        list(read_recording(video, lines))


def test_our_own_lines_are_read_under_the_same_rule(tmp_path):
    lines = [{"camera": [0.0, 0.1 * i], "buttons": {"attack": i % 2}} for i in range(4)]
    video, actions = recording(tmp_path, lines)
    found = list(read_recording(video, actions))
    assert [number_of(frame) for frame, _ in found] == [1, 2, 3]
    assert [int(action["attack"]) for _, action in found] == [1, 0, 1]
    lines[2]["buttons"]["jmup"] = 1
    with pytest.raises(UserError, match=r"r\.jsonl, line 3: buttons has the unknown name 'jmup'"):
        list(read_recording(video, write_lines(actions, lines)))
