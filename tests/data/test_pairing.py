"""Pictures and lines paired by time: each picture carries its number, each line its own, and pairs are read back."""

import itertools
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_recordings import contractor_line, number_of, numbered_frame, write_lines

from data.contractor import MISSING, Recording
from data.line_cuts import JUMP
from data.pairing import ClockField, own_clock
from data.recording_options import RecordingOptions
from steve1.cli import UserError

SIZE = 96, 64
CONTAINERS = {  # suffix -> (codec, options)
    "mkv": ("libx264", {}),
    "flv": ("libx264", {}),
    "mp4": ("libx264", {}),
    "mov": ("libx264", {"bf": "0"}),
    "avi": ("mpeg4", {}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "ts": ("libx264", {}),
    "wmv": ("wmv2", {}),
    "h264.avi": ("libx264", {"preset": "medium"}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}),
}


def film(path, times, codec="libx264", options=None, header_rate=20, step=Fraction(1, 1000), numbers=None):
    """A video of numbered pictures at ``times`` in seconds, whatever ``header_rate`` says."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=header_rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "ultrafast", **(options or {})} if codec == "libx264" else options or {}
        stream.codec_context.time_base = stream.time_base = step
        stream.codec_context.thread_count = 1
        stream.codec_context.bit_rate = 2_000_000
        for number, time in zip(numbers or itertools.count(), times, strict=False):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, SIZE[1], SIZE[0]), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / step), step
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def own_lines(n):
    """Lines whose yaw is their number, and none of which is null."""
    return [{"camera": [0.0, line / 100], "buttons": {"forward": 1}} for line in range(n)]


def pairs_of(video, lines, **options):
    """(picture, line) of each frame, and the recording."""
    actions = write_lines(video.with_suffix(".jsonl"), lines)
    recording = Recording.read(video, actions, RecordingOptions(**options))
    pictures = [number_of(frame) for frame in recording.frames()]
    told = np.round(recording.actions.env_actions["camera"][:, 1] * 100).astype(int)
    assert len(pictures) == len(told)
    return list(zip(pictures, told.tolist(), strict=True)), recording


@st.composite
def recordings(draw):
    """(seconds of each picture that was not lost, from any start, and their rate)."""
    rate = draw(st.sampled_from([19.9, 20, 20.05, 24, 25, 30, 59.94, 60, 144]))
    seconds = draw(st.sampled_from([1.5, 2.5]))
    n = round(seconds * rate)
    lost = draw(st.sets(st.integers(1, n - 2), max_size=n // 4))
    start = draw(st.sampled_from([0, 0.5, 3.2]))
    return [(i, start + i / rate) for i in range(n) if i not in lost], rate


@pytest.mark.parametrize("suffix", CONTAINERS)
@settings(max_examples=20, deadline=None)
@given(recordings(), st.integers(0, 20))
def test_no_pair_is_off_by_more_than_a_picture(tmp_path_factory, suffix, made, max_hole):
    pictures, rate = made
    codec, options = CONTAINERS[suffix]
    if suffix.endswith("avi"):  # has no start: its first picture is at 0
        pictures = [(number, number / rate) for number, _ in pictures]
    if "." in suffix:  # an AVI with reordered pictures doesn't say when its first and last few are shown
        n = pictures[-1][0] + 1
        ends = [(i, i / rate) for i in (*range(5), *range(n - 5, n))]
        pictures = sorted({*pictures, *ends})
    step = Fraction(1, 90_000) if suffix == "ts" else Fraction(1, 1000)
    path = tmp_path_factory.mktemp("film") / f"v.{suffix}"
    numbers, times = zip(*pictures, strict=True)
    film(path, times, codec, options, step=step, numbers=numbers)
    n_lines = round((times[-1] - times[0] + 1 / rate) * 20)
    pairs, recording = pairs_of(path, own_lines(n_lines), max_hole_ticks=max_hole)
    there = np.array(numbers) / rate
    assert [line for _, line in pairs] == sorted({line for _, line in pairs})
    for picture, line in pairs:
        before = there[there <= line / 20 + 0.002]
        # Off by at most one picture of the source from the one on the screen when the tick began.
        assert abs(picture - before[-1] * rate) < 1.01 + 0.002 * rate or picture == round(
            there[np.searchsorted(there, line / 20)] * rate
        )
        assert picture / rate < line / 20 + 0.05
        assert line / 20 - picture / rate <= (max_hole + 1) / 20 + 1 / rate + 0.003
    # What is left out is in holes that are too long.
    missing = set(range(n_lines)) - {line for _, line in pairs}
    gaps = [
        (a, b) for a, b in itertools.pairwise([*there, n_lines / 20]) if round((b - a) * 20) - 1 > max_hole
    ]
    assert all(any(a < line / 20 < b for a, b in gaps) for line in missing)
    assert len(recording.cuts) <= len(gaps)
    assert not missing or "holes" in " ".join(recording.warnings) or "ends" in " ".join(recording.warnings)


@pytest.mark.parametrize("suffix", ["mkv", "flv", "mp4"])
def test_pictures_that_were_dropped_shift_no_action(tmp_path, suffix):
    there = [*range(40), 41, 42, *range(45, 80)]
    video = film(tmp_path / f"v.{suffix}", [n / 20 for n in there], numbers=there)
    pairs, recording = pairs_of(video, own_lines(80))
    shown = [max(n for n in there if n <= line) for line in range(80)]
    assert pairs == [(picture, line) for line, picture in enumerate(shown)]
    assert recording.pairing["frames_shown_again"] == 3
    assert recording.warnings == []
    assert recording.cuts == []


def test_a_hole_of_many_ticks_is_cut_out_and_said(tmp_path):
    there = [*range(20), *range(40, 60)]
    video = film(tmp_path / "v.mkv", [n / 20 for n in there], numbers=there)
    pairs, recording = pairs_of(video, own_lines(60))
    assert pairs == [(n, n) for n in there]
    assert recording.cuts == [20]
    assert recording.dropped["the video has a hole there"] == 20
    assert "holes of more than 10 ticks" in recording.warnings[0]
    assert "20 lines" in recording.warnings[0]
    pairs, recording = pairs_of(video, own_lines(60), max_hole_ticks=20)
    assert pairs == [(n if n in there else 19, n) for n in range(60)]
    assert recording.cuts == []


def test_a_jump_within_a_hole_is_the_same_cut(tmp_path):
    there = [*range(20), *range(40, 60)]
    lines = [
        {**line, "xpos": 0.2 * i + 40 * (i >= 30), "ypos": 64, "zpos": 0}
        for i, line in enumerate(own_lines(60))
    ]
    video = film(tmp_path / "v.mkv", [n / 20 for n in there], numbers=there)
    _, recording = pairs_of(video, lines)
    assert recording.cuts_by == {MISSING: [20], JUMP: [20]}
    assert recording.cuts == [20]


def test_null_lines_make_no_cuts(tmp_path):
    video = film(tmp_path / "v.mkv", [n / 20 for n in range(60)])
    lines = own_lines(60)
    lines[10:40] = [{"camera": [0, 0], "buttons": {}}] * 30
    pairs, recording = pairs_of(video, lines)
    assert pairs == [(n, n) for n in (*range(10), *range(40, 60))]
    assert recording.cuts == []
    assert recording.dropped["null actions"] == 30


@pytest.mark.parametrize(("rate", "per_tick"), [(60, 3), (30, 1.5), (10, 0.5)])
def test_other_rates_give_each_tick_the_picture_on_the_screen(tmp_path, rate, per_tick):
    video = film(tmp_path / "v.mp4", [Fraction(n, rate) for n in range(2 * rate)], step=Fraction(1, 600))
    pairs, recording = pairs_of(video, own_lines(40))
    assert pairs == [(int(line * per_tick), line) for line in range(40)]
    assert recording.pairing["pictures_a_second"] == rate
    assert recording.pairing["resampled"]


def test_pictures_that_tremble_are_still_their_ticks(tmp_path):
    rng = np.random.default_rng(0)
    times = [0, *(n / 20 + rng.uniform(-0.02, 0.02) for n in range(1, 60))]
    pairs, _ = pairs_of(film(tmp_path / "v.mkv", times), own_lines(60))
    assert pairs == [(n, n) for n in range(60)]


def test_a_file_without_times_goes_by_the_headers_rate_and_says_so(tmp_path):
    video = film(tmp_path / "v.h264", [n / 25 for n in range(50)], header_rate=25, step=Fraction(1, 25))
    pairs, recording = pairs_of(video, own_lines(40))
    assert [line for _, line in pairs] == list(range(40))
    assert all(abs(picture - line * 1.25) <= 1 for picture, line in pairs)
    assert "no timestamps, so its pictures are taken to be 25 a second" in recording.warnings[0]
    assert recording.pairing["by"] == "index at the header's rate"


def block_number(frame):
    """The number that a picture of tests/cases carries: 4 x 3 blocks, a Gray code from the top left."""
    height, width = frame.shape[:2]
    white = [
        frame[(2 * row + 1) * height // 6, (2 * column + 1) * width // 8].mean() > 127
        for row in range(3)
        for column in range(4)
    ]
    gray = sum(int(bit) << place for place, bit in enumerate(white))
    return int(np.bitwise_xor.reduce([gray >> shift for shift in range(12)]))


def case(name, **options):
    """(picture, line) of each frame of a recording in tests/cases; its lines turn by 0.01 degrees more each."""
    (video,) = (CASES / name).glob("video.*")
    recording = Recording.read(video, CASES / name / "actions.jsonl", RecordingOptions(**options))
    pictures = [block_number(frame) for frame in recording.frames()]
    return list(zip(pictures, recording.actions.kept.tolist(), strict=True)), recording


def test_a_recording_of_obs_that_dropped_two_seconds():
    pairs, recording = case("dropped_mkv")
    assert pairs == [(n, n) for n in (*range(200), *range(240, 600))]
    assert recording.cuts == [200]
    assert "40 lines in them are left out" in recording.warnings[0]


def test_pictures_before_an_edit_list_count_for_nothing():
    """ffmpeg -ss 2 -c copy keeps the pictures from the keyframe before, which no player shows."""
    pairs, recording = case("trimmed_edit_list")
    assert pairs == [(line + 40, line) for line in range(160)]
    assert recording.warnings == []


def test_contractor_lines_beside_a_video_of_sixty_pictures_a_second():
    pairs, recording = case("sixty_fps")
    assert pairs == [(3 * line, line) for line in range(40)]
    assert recording.warnings == []


@pytest.mark.parametrize(("name", "figures"), [("lines_third", (240, 80)), ("lines_triple", (80, 240))])
def test_a_third_or_three_times_the_lines(name, figures):
    with pytest.raises(UserError, match="{} frames .* has {} lines; give --fps_as_ticks".format(*figures)):
        case(name)
    pairs, _ = case(name, fps_as_ticks=True)
    assert pairs == [(n, n) for n in range(80)]


def lines_at(ticks, **more):
    return [{**contractor_line(["w"], dx=i / 100 / 0.15), "tick": 7 + t, **more} for i, t in enumerate(ticks)]


@pytest.mark.parametrize(
    "ticks",
    [
        [*range(30), *range(36, 80)],
        [*range(30), *[30] * 6, *range(31, 80)],
    ],
    ids=["left out", "repeated"],
)
@pytest.mark.parametrize("rate", [20, 60])
def test_lines_that_say_which_ticks_they_are_get_those_ticks_pictures(tmp_path, ticks, rate):
    video = film(tmp_path / "v.mp4", [Fraction(n, rate) for n in range(4 * rate)], step=Fraction(1, 600))
    pairs, recording = pairs_of(video, lines_at(ticks))
    assert pairs == [(tick * rate // 20, line) for line, tick in enumerate(ticks)]
    assert recording.pairing["ticks_by"] == "tick"
    assert "by its lines' tick" in recording.warnings[0]


def test_a_picture_for_each_line_goes_by_the_lines_whatever_their_clock_says(tmp_path):
    """OpenAI's recorder writes a picture with each line, also where its game stood still."""
    ticks = [*range(30), *range(32, 50), *[49] * 2, *range(50, 60)]
    video = film(tmp_path / "v.mp4", [Fraction(n, 20) for n in range(60)], step=Fraction(1, 20))
    pairs, recording = pairs_of(video, lines_at(ticks))
    assert pairs == [(n, n) for n in range(60)]
    assert recording.warnings == []


def test_a_clock_must_be_one_of_ticks():
    tick, milli = ClockField("tick", 1, True), ClockField("milli", 50, False)
    assert own_clock(tick, np.arange(5.0)) is None  # nothing else than a tick a line
    assert own_clock(tick, np.array([0, 1, np.nan, 3, 5])) is None
    assert own_clock(tick, np.array([0, 1, 2, 0, 1.0])) is None  # begins anew
    assert own_clock(tick, np.arange(0, 10, 2.0)) is None  # a line every other tick: another rate
    assert own_clock(tick, np.array([3, 4, 6, 7.0])).ticks.tolist() == [0, 1, 3, 4]
    assert own_clock(milli, np.array([0, 60, 95, 160, 195.0])) is None  # a wall clock trembles
    assert own_clock(milli, np.array([0, 50, 100, 400, 450.0])).ticks.tolist() == [0, 1, 2, 8, 9]


@pytest.mark.parametrize("factor", [1 / 3, 3, 0.97, 1.03])
@pytest.mark.parametrize("rate", [20, 60])
def test_lines_of_another_length_are_refused_with_both_figures(tmp_path, factor, rate):
    video = film(tmp_path / "v.mp4", [Fraction(n, rate) for n in range(6 * rate)], step=Fraction(1, 600))
    n = round(120 * factor)
    says = rf"{6 * rate} frames at {rate} a second \(120 ticks .* has {n} lines; give --fps_as_ticks"
    with pytest.raises(UserError, match=says):
        pairs_of(video, own_lines(n))


def test_a_video_without_lines_is_labelled_tick_by_tick(tmp_path):
    there = [n for n in range(180) if not 60 <= n < 120]
    video = film(tmp_path / "v.mkv", [n / 60 for n in there], numbers=there)

    def label(images):
        numbers = [number_of(image) for image in images]
        from data.action_lines import BINARY_KEYS

        nothing = np.zeros(len(numbers), np.int64)
        return {**dict.fromkeys(BINARY_KEYS, nothing), "camera": np.array([[0, n / 100] for n in numbers])}

    recording = Recording.label(video, label)
    pictures = [number_of(frame) for frame in recording.frames()]
    told = np.round(recording.actions.env_actions["camera"][:, 1] * 100).astype(int).tolist()
    assert pictures == told == [*range(3, 60, 3), 59, *range(120, 180, 3)]  # the label of picture 0 is null
    assert recording.cuts == [20]


def test_exact_recordings_make_no_remark(tmp_path):
    video = film(tmp_path / "v.mp4", [Fraction(n, 20) for n in range(60)], step=Fraction(1, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs, recording = pairs_of(video, own_lines(60))
    assert pairs == [(n, n) for n in range(60)]
    assert recording.warnings == []
    assert not recording.pairing["resampled"]
    assert recording.decoder.startswith("PyAV ")
