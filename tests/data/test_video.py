import contextlib
import itertools

import av
import cv2
import numpy as np
import pytest
from conftest import MEDIA
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_recordings import make_video, number_of, numbered_frame

from data.video import FrameIndex, Undecodable, VideoWriter, decode, video_info
from steve1.cli import UserError


def read(index, start, stop):
    out = np.empty((stop - start, 128, 128, 3), np.uint8)
    index.read(start, stop, out)
    return [number_of(frame) for frame in out]


def write(path, n):
    writer = VideoWriter(path, 128, 128)
    for number in range(n):
        writer.add(numbered_frame(number))
    writer.close()
    return path


def test_our_video_has_a_keyframe_every_16_and_no_b_frames(tmp_path):
    with av.open(str(write(tmp_path / "v.mp4", 40))) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 20
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [0, 16, 32]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]


@pytest.mark.parametrize(
    "video",
    [
        {},
        {"codec": "mpeg4", "keyframes": {0, 3, 4, 37}},
        {"bf": "0", "keyframes": {0, 5, 6, 41}},
        {"bf": "3", "keyframes": {0, 29}},
        {"bf": "3", "g": "12", "x264-params": "open-gop=1"},
    ],
    ids=["ours", "mp4v", "irregular", "b-frames", "open-gop"],
)
def test_seeking_is_exact_whatever_the_keyframes(tmp_path, video):
    path = tmp_path / "v.mp4"
    if video:
        make_video(path, range(60), **video)
    else:
        write(path, 60)
    index = FrameIndex(path)
    assert len(index) == 60
    for start, stop in [(0, 60), (0, 1), (59, 60), (15, 17), (36, 38), (5, 6), (4, 30), (28, 31), (7, 7)]:
        assert read(index, start, stop) == list(range(start, stop))
    for start in range(60):
        assert read(index, start, start + 1) == [start]


irregular = st.lists(st.integers(1, 25), max_size=12).map(lambda gaps: {0, *np.cumsum(gaps).tolist()})
SLICES = st.tuples(st.integers(0, 90), st.integers(0, 90)).map(lambda pair: (min(pair), max(pair)))


@settings(max_examples=25)
@given(keyframes=irregular, bf=st.integers(0, 3), slices=st.lists(SLICES, min_size=1, max_size=6))
def test_any_slice_equals_the_sequential_decode(tmp_path_factory, keyframes, bf, slices):
    """Keyframes anywhere, B-frames or none: the very pixels that decoding from the beginning gives."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    make_video(path, range(90), keyframes=keyframes, bf=str(bf), sc_threshold="0")
    with av.open(str(path)) as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    assert {place for place, key in enumerate(keys) if key} == {k for k in keyframes if k < 90}
    every = np.stack(list(decode(path)))
    index = FrameIndex(path)
    assert len(index) == len(every) == 90
    for start, stop in slices:
        out = np.empty((stop - start, 128, 128, 3), np.uint8)
        index.read(start, stop, out)
        np.testing.assert_array_equal(out, every[start:stop])


def test_frames_of_another_size_are_resized(tmp_path):
    index = FrameIndex(make_video(tmp_path / "v.mp4", range(5), size=(320, 192)))
    assert read(index, 1, 4) == [1, 2, 3]


def test_reading_beyond_the_end_says_where_it_ends(tmp_path):
    index = FrameIndex(write(tmp_path / "v.mp4", 5))
    with pytest.raises(Undecodable) as error:
        read(index, 3, 6)
    assert error.value.good == 5


def test_files_that_are_no_video_are_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(decode(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError, match=r"text\.mp4 is not a readable video"):
        video_info(tmp_path / "text.mp4")


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path):
    content = write(tmp_path / "v.mp4", 5).read_bytes()
    (tmp_path / "t.mp4").write_bytes(content.replace(b"isom", b"\x97som"))
    assert len(list(decode(tmp_path / "t.mp4"))) == 5


def test_a_video_of_an_unknown_kind_is_named(tmp_path):
    content = write(tmp_path / "v.mp4", 5).read_bytes()
    assert content.count(b"avc1") >= 1
    (tmp_path / "u.mp4").write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(UserError, match=r"u\.mp4 holds a video of an unknown or damaged kind"):
        FrameIndex(tmp_path / "u.mp4")


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the real clips are only beside a developer's checkout")
@pytest.mark.parametrize("clip", ["build_gate_5", "build_pillar_0"])
def test_real_footage_is_kept_at_40_db_in_9_kb_a_frame(tmp_path, clip):
    footage = itertools.islice(decode(MEDIA / f"{clip}.mp4"), 300)
    frames = np.stack([cv2.resize(frame, (128, 128)) for frame in footage])
    writer = VideoWriter(tmp_path / "v.mp4", 128, 128)
    for frame in frames:
        writer.add(frame)
    writer.close()
    out = np.empty_like(frames)
    FrameIndex(tmp_path / "v.mp4").read(0, len(frames), out)
    error = np.mean((out.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) >= 42
    assert (tmp_path / "v.mp4").stat().st_size / len(frames) <= 9000


def moving(n, size=(320, 176)):
    """Noise that moves, so that every picture is made from those before it."""
    noise = np.random.default_rng(3).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return [np.roll(np.kron(noise, np.ones((8, 8, 1), np.uint8)), 3 * i, 1) for i in range(n)]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mkv", "libx264", {"g": "30"}),
        ("v.mp4", "libx264", {"g": "30", "bf": "0"}),
        ("v.avi", "mpeg4", {}),
    ],
)
def test_no_picture_is_kept_that_damage_has_spoilt(tmp_path, name, codec, options):
    """Neither the damaged one, as the decoder makes it up, nor those before it that were made from it."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=20)
        stream.width, stream.height, stream.pix_fmt, stream.options = 320, 176, "yuv420p", options
        for image in moving(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    sound = list(decode(path))
    assert len(sound) == 50
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    noise = np.random.default_rng(0)
    for number in range(12, 45, 4):
        place, size = places[number]
        if size < 200:
            continue  # too small to be damaged in a way that shows
        damaged = bytearray(content)
        damaged[place + size // 3 : place + size] = noise.bytes(size - size // 3)
        path.write_bytes(damaged)
        kept = sound_of(path)
        assert number - 12 <= len(kept) <= number + 3
        for image, wanted in zip(kept, sound, strict=False):
            np.testing.assert_array_equal(image, wanted)


def sound_of(path):
    """The pictures of a film up to its first damage, all of them where none is noticed."""
    kept = []
    with contextlib.suppress(Undecodable):
        for image in decode(path):
            kept.append(image)
    return kept
