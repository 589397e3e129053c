"""Our quick PNG reader: the same pixels as OpenCV's, and False for whatever it does not know."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import png
from data.episode_files import png_path, read_png
from data.EpisodeStorage import EpisodeStorage
from steve1.cli import UserError


def coded(frame, *parameters):
    """As OpenCV writes it; ``parameters`` are its flags and values."""
    done, content = cv2.imencode(".png", frame[:, :, ::-1], parameters)
    assert done
    return content.tobytes()


def picture(seed=0, height=128, width=128, smooth=8):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // smooth or 1, width // smooth or 1, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height))


@pytest.mark.parametrize("smooth", [1, 2, 16])
def test_what_we_write_is_read_as_it_was(smooth):
    frame = picture(smooth=smooth)
    out = np.zeros_like(frame)
    assert png.decode_into(coded(frame), out)
    np.testing.assert_array_equal(out, frame)


def test_a_stored_episode_is_read_this_way(tmp_path):
    frames = [picture(seed) for seed in range(3)]
    still = {"camera": np.zeros((3, 2))}
    EpisodeStorage.write(tmp_path / "e", frames, still, np.zeros((3, 2)), {})
    for index, frame in enumerate(frames):
        with open(png_path(tmp_path / "e", index), "rb") as file:
            out = np.zeros_like(frame)
            assert png.decode_into(file.read(), out)
            np.testing.assert_array_equal(out, frame)


@pytest.mark.parametrize(
    "foreign",
    [
        coded(
            picture(), cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH
        ),
        cv2.imencode(".png", picture()[:, :, 0])[1].tobytes(),
        cv2.imencode(".png", np.dstack((picture()[:, :, ::-1], picture()[:, :, :1])))[1].tobytes(),
        coded(picture(height=64)),
        b"",
        b"not a picture",
    ],
    ids=["filter", "grey", "alpha", "size", "empty", "text"],
)
def test_other_files_are_left_to_opencv(foreign):
    out = np.full((128, 128, 3), 7, dtype=np.uint8)
    assert not png.decode_into(foreign, out)
    assert (out == 7).all()


def test_pngs_with_other_filters_are_read_all_the_same(tmp_path):
    frame = picture()
    (tmp_path / "a.png").write_bytes(
        coded(frame, cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH)
    )
    out = np.zeros_like(frame)
    read_png(str(tmp_path / "a.png"), out)
    np.testing.assert_array_equal(out, frame)


def with_chunk(content, kind, payload):
    """The file with one more chunk after its header."""
    chunk = struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
    return content[:33] + chunk + content[33:]


def test_chunks_that_change_nothing_are_passed_over_and_others_are_not():
    frame = picture()
    out = np.zeros_like(frame)
    assert png.decode_into(with_chunk(coded(frame), b"tEXt", b"who\0me"), out)
    np.testing.assert_array_equal(out, frame)
    assert not png.decode_into(with_chunk(coded(frame), b"PLTE", bytes(6)), out)


@given(st.integers(0, 2**31), st.integers(1, 255), st.booleans())
def test_damage_is_never_read_as_a_picture(place, change, cut):
    frame = picture(3)
    content = coded(frame)
    place %= len(content)
    damaged = (
        content[:place] if cut else content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
    )
    out = np.full_like(frame, 7)
    # Where it is read at all, the damage hit what holds no pixels: checksums of chunks, or the end.
    if png.decode_into(damaged, out):
        np.testing.assert_array_equal(out, frame)
    else:
        assert (out == 7).all()


def test_a_damaged_frame_is_named(tmp_path):
    content = coded(picture())
    (tmp_path / "00007.png").write_bytes(content[:200] + b"\0" * 50 + content[250:])
    with pytest.raises(UserError, match=r"00007\.png is not a readable PNG"):
        read_png(str(tmp_path / "00007.png"), np.zeros((128, 128, 3), np.uint8))
