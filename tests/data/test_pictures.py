"""Pictures as a person sees them: known colours and shapes, written in every way, come back."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import CASES
from tiny_recordings import contractor_line, make_video, write_lines

from data.contractor import Recording
from data.pictures import REFERENCE_WHITE, display_turn, tone_mapped, turn
from data.video import decode
from steve1.cli import UserError

COLOURS = np.array(
    [
        [200, 30, 40],
        [30, 180, 60],
        [40, 60, 220],
        [240, 240, 240],
        [10, 10, 10],
        [120, 120, 120],
        [220, 200, 40],
        [90, 40, 140],
    ]
)
KR_KB = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
NAMES = {1: "bt709", 2: "undef", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}


def ycbcr(rgb, matrix, full, bits):
    """Signals of R'G'B' in 0..1, by the definition of each matrix (ITU-T H.273)."""
    kr, kb = KR_KB[matrix]
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    cb, cr = (rgb[..., 2] - y) / (2 * (1 - kb)), (rgb[..., 0] - y) / (2 * (1 - kr))
    scale = 1 << (bits - 8)
    if full:
        top = 256 * scale - 1
        planes = y * top, cb * top + 128 * scale, cr * top + 128 * scale
    else:
        planes = (16 + 219 * y) * scale, (128 + 224 * cb) * scale, (128 + 224 * cr) * scale
    return [
        np.clip(np.round(plane), 0, 256 * scale - 1).astype(np.uint16 if bits > 8 else np.uint8)
        for plane in planes
    ]


def patches(colours):
    """Squares of 16 pixels side by side, float [64, 128, 3]."""
    return np.repeat(np.repeat(np.asarray(colours, float)[None], 64, 0), 16, 1)


def write_signal(path, rgb, matrix=1, full=False, pix_fmt="yuv420p", bits=8, params=""):
    """A film of one picture, R'G'B' in 0..1 float [H, W, 3], coded as said and saying so."""
    height, width = rgb.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        tags = f"colormatrix={NAMES[matrix]}:range={'pc' if full else 'tv'}{params}"
        stream.options = {"crf": "2", "x264-params": tags}
        stream.codec_context.color_range, stream.codec_context.colorspace = 2 if full else 1, matrix
        frame = av.VideoFrame(width, height, pix_fmt)
        for i, (plane, values) in enumerate(zip(frame.planes, ycbcr(rgb, matrix, full, bits), strict=False)):
            small = values if i == 0 or "444" in pix_fmt else values[::2, ::2]
            rows = np.ascontiguousarray(small).view(np.uint8)
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : rows.shape[1]] = rows
            plane.update(padded.tobytes())
        frame.color_range, frame.colorspace = 2 if full else 1, matrix
        for _ in range(2):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def seen(path):
    """The colours of the patches."""
    return next(decode(path))[32, 8::16].astype(int)


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("pix_fmt", "bits"), [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 10), ("yuv444p10le", 10)]
)
def test_colours_come_back_from_every_matrix_and_range(tmp_path, matrix, full, pix_fmt, bits):
    path = write_signal(tmp_path / "v.mp4", patches(COLOURS / 255), matrix, full, pix_fmt, bits)
    assert np.abs(seen(path) - COLOURS).max() <= 4


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mkv", "ffv1", "bgr0"),
        ("mov", "qtrle", "rgb24"),
        ("mov", "png", "rgba"),
        ("mkv", "ffv1", "gbrp10le"),
        ("avi", "rawvideo", "bgr24"),
        ("mov", "qtrle", "argb"),
        ("mp4", "libx264rgb", "rgb24"),
    ],
)
def test_colours_come_back_from_films_in_rgb(tmp_path, suffix, codec, pix_fmt):
    path = tmp_path / f"v.{suffix}"
    image = patches(COLOURS).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=20)
        stream.width, stream.height, stream.pix_fmt = 128, 64, pix_fmt
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert np.abs(seen(path) - COLOURS).max() <= 2


def test_grey_and_palette_come_back(tmp_path):
    greys = np.array([16, 48, 80, 112, 144, 176, 208, 235])
    for name, codec, pix_fmt in (
        ("g.mkv", "ffv1", "gray"),
        ("g10.mkv", "ffv1", "gray10le"),
        ("p.mov", "png", "pal8"),
    ):
        image = patches(np.repeat(greys[:, None], 3, 1)).astype(np.uint8)
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=20)
            stream.width, stream.height, stream.pix_fmt = 128, 64, pix_fmt
            if pix_fmt == "pal8":
                frame = _paletted(image[..., 0])
            else:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                    format=pix_fmt, dst_color_range=2
                )
            container.mux([*stream.encode(frame), *stream.encode(None)])
        assert np.abs(seen(tmp_path / name) - greys[:, None]).max() <= 2, name


def _paletted(indices):
    palette = np.stack([np.full(256, 255), *[np.arange(256)] * 3], axis=1).astype(np.uint8)
    return av.VideoFrame.from_ndarray((np.ascontiguousarray(indices), palette), format="pal8")


def pq(nits):
    """The PQ signal of light in nits (SMPTE ST 2084's inverse EOTF)."""
    y = (np.asarray(nits, float) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg(scene):
    """The HLG signal of scene light 0..1 (BT.2100's OETF)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.asarray(scene, float)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)  # BT.2087


def hdr_film(path, colours, transfer):
    """A film of sRGB colours shown at the reference white's 203 nits, in BT.2020 with PQ or HLG."""
    light = linear(np.asarray(colours) / 255) @ TO_BT2020.T * REFERENCE_WHITE
    if transfer == "smpte2084":
        signal = pq(light)
    else:  # the inverse of the display's system gamma of 1.2 at 1,000 nits
        y = light @ np.array([0.2627, 0.6780, 0.0593])
        signal = hlg(light / 1000 * (y[:, None] / 1000) ** (1 / 1.2 - 1))
    tags = f":transfer={transfer}:colorprim=bt2020"
    return write_signal(path, patches(signal), 9, False, "yuv420p10le", 10, tags)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_looks_as_it_was_shown(tmp_path, transfer):
    colours = np.array(
        [
            [255, 255, 255],
            [200, 30, 40],
            [30, 180, 60],
            [40, 60, 220],
            [120, 120, 120],
            [60, 60, 60],
            [220, 200, 40],
            [10, 10, 10],
        ]
    )
    found = seen(hdr_film(tmp_path / "v.mp4", colours, transfer))
    assert (found[0] >= 240).all()
    assert np.ptp(found[0]) <= 3
    assert np.abs(found[1:] - colours[1:]).max() <= 10
    hues = [
        cv2.cvtColor(np.float32(rows)[None] / 255, cv2.COLOR_RGB2HSV)[0, :, 0] for rows in (found, colours)
    ]
    vivid = [1, 2, 3, 6]
    assert np.abs((hues[0] - hues[1] + 180) % 360 - 180)[vivid].max() < 5


def test_brighter_than_white_is_compressed_and_keeps_its_hue():
    light = np.array(
        [[203, 203, 203], [1000, 1000, 1000], [4000, 4000, 4000], [1000, 500, 100], [2000, 1000, 200]]
    )
    signal = np.round(pq(light) * 65535).astype(np.uint16)[None]
    white, bright, brightest, orange, brighter = tone_mapped(signal, hlg=False)[0].astype(int)
    assert 240 <= white[0] < bright[0] <= brightest[0] <= 255
    assert orange[0] > orange[1] > orange[2]
    assert np.abs(orange - brighter).max() <= 8


@pytest.mark.parametrize(("transfer", "says"), [("linear", "linear light"), ("log100", "logarithmic")])
def test_other_transfer_functions_are_refused_by_name(tmp_path, transfer, says):
    path = write_signal(tmp_path / "v.mp4", patches(COLOURS / 255), params=f":transfer={transfer}")
    with pytest.raises(UserError, match=rf"v\.mp4 has the transfer function {says}"):
        next(decode(path))


def test_other_matrices_are_refused_by_name(tmp_path):
    path = tmp_path / "w.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv444p"
        stream.codec_context.colorspace = 8
        frame = av.VideoFrame(128, 64, "yuv444p")
        frame.colorspace = 8
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(UserError, match=r"w\.mkv has the colour matrix YCgCo"):
        next(decode(path))


CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48] = 255, 0, 0
CORNERS[:32, 48:] = 0, 255, 0
CORNERS[32:, :48] = 0, 0, 255
CORNERS[32:, 48:] = 255, 255, 255
MATRICES = {  # a b c d of the display matrix -> the picture as it is to be seen
    (1, 0, 0, 1): CORNERS,
    (0, 1, -1, 0): np.rot90(CORNERS, -1),
    (-1, 0, 0, -1): np.rot90(CORNERS, 2),
    (0, -1, 1, 0): np.rot90(CORNERS, 1),
    (-1, 0, 0, 1): CORNERS[:, ::-1],
    (1, 0, 0, -1): CORNERS[::-1],
    (0, 1, 1, 0): CORNERS.transpose(1, 0, 2),
    (0, -1, -1, 0): np.rot90(CORNERS, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_turn_and_flip_is_undone(tmp_path, matrix):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(CORNERS, format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    content = path.read_bytes()
    a, b, c, d = (value << 16 for value in matrix)
    place = content.index(b"tkhd") + 44  # the matrix in the track's header
    path.write_bytes(
        content[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + content[place + 36 :]
    )
    found = next(decode(path))
    wanted = MATRICES[matrix]
    assert found.shape == wanted.shape
    height, width = wanted.shape[:2]
    for y, x in ((height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4)):
        assert np.abs(found[y, x].astype(int) - wanted[y, x]).max() < 12


def test_a_filmed_turn_is_undone_as_opencv_does():
    path = CASES / "rotated_cw90" / "video.mp4"
    film = cv2.VideoCapture(str(path))
    for number, found in enumerate(decode(path)):
        _, theirs = film.read()
        if number % 20 == 0:
            np.testing.assert_array_equal(found, theirs[..., ::-1])


def test_other_angles_are_none():
    assert display_turn(46341, 46341, -46341, 46341) is None
    assert display_turn(65536, 300, -300, 65536) == (False, False, False)
    image = np.arange(6).reshape(1, 2, 3)
    assert turn(image, True, False, True).tolist() == [[[3, 4, 5]], [[0, 1, 2]]]


@pytest.mark.parametrize(
    ("pixel", "shape"), [("4/3", (64, 128)), ("3/4", (85, 96)), ("1/1", (64, 96)), ("8/9", (72, 96))]
)
def test_pixels_become_square(tmp_path, pixel, shape):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(pixel)
        frame = av.VideoFrame.from_ndarray(CORNERS, format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    found = next(decode(path))
    assert found.shape[:2] == shape
    assert found[2, 2, 0] > 240
    assert found[-3, 2, 2] > 240
    assert found[2, -3, 1] > 240


@pytest.mark.parametrize(
    ("size", "says"), [((64, 128), "portrait"), ((320, 128), "very wide"), ((128, 128), ""), ((224, 128), "")]
)
def test_portrait_and_very_wide_pictures_are_remarked_on(tmp_path, size, says):
    video = make_video(tmp_path / "v.mp4", range(20), size=size)
    recording = Recording.read(video, write_lines(tmp_path / "v.jsonl", [contractor_line(["w"])] * 20))
    assert len(list(recording.frames())) == 20
    assert [says in warning for warning in recording.warnings] == [True] * bool(says)
