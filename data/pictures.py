"""A decoded picture as a person sees it: upright, with square pixels, in RGB at standard range.

Every step says what it converts from, so that the result does not depend on the decoder's defaults: the matrix and
range of YCbCr, the display matrix (rotation and flips), the sample aspect ratio, and for HDR (PQ and HLG) the
transfer function. What can't be converted rightly is refused by name.
"""

from __future__ import annotations

import functools
import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from steve1.cli import UserError

FULL_RANGE, LIMITED_RANGE = 2, 1
BT709, BT601, BT2020 = 1, 5, 9
# ITU-T H.273's numbers (MatrixCoefficients): those that libswscale has coefficients for.
_MATRICES = {1, 2, 4, 5, 6, 7, 9}
_NO_MATRIX = {0: "RGB", 8: "YCgCo", 10: "BT.2020 with constant luminance", 14: "ICtCp", 15: "IPT-C2"}
# H.273 TransferCharacteristics
_PQ, _HLG = 16, 18
_NOT_SDR = {8: "linear light", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE ST 428"}
_BT2020_PRIMARIES, _P3_PRIMARIES = 9, {11, 12}

REFERENCE_WHITE = 203.0  # nits, ITU-R BT.2408
_KNEE = 0.9  # of the reference white: darker is kept as it is, brighter is compressed
_HLG_PEAK = 1000.0  # nits of the display that HLG's system gamma of 1.2 belongs to (BT.2100)

# Linear light of BT.2020's and P3's primaries in BT.709's (BT.2087; P3 with D65's white).
_TO_BT709 = {
    "bt2020": np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]),
    "p3": np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]),
}
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


class PictureReader:
    """Converts the decoded frames of one video stream. ``name``: what the video is called in errors."""

    def __init__(self, stream: av.VideoStream, name: str | os.PathLike) -> None:
        self._name = name
        aspect = stream.sample_aspect_ratio or getattr(stream.codec_context, "sample_aspect_ratio", None)
        self._pixel = Fraction(aspect) if aspect else Fraction(1)
        if not Fraction(1, 4) <= self._pixel <= 4:
            raise UserError(
                f"{name} says that its pixels are {self._pixel} as wide as high; mend that with ffmpeg -aspect, or "
                "encode it again"
            )
        self._convert = VideoReformatter()  # making a new one costs more than converting

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as uint8 [H, W, 3] RGB. Raises UserError for what can't be converted rightly."""
        turned = self._turned(frame)
        image = self._hdr(frame) if int(frame.color_trc) in (_PQ, _HLG) else self._sdr(frame)
        size = self._square(image)
        if size is not None:
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        return image if turned is None else turn(image, *turned)

    def _square(self, image: np.ndarray) -> tuple[int, int] | None:
        """Width and height with square pixels, enlarging one side; None where they are square."""
        height, width = image.shape[:2]
        if self._pixel > 1:
            size = round(width * self._pixel), height
        else:
            size = width, round(height / self._pixel)
        return None if size == (width, height) else size

    def _turned(self, frame: av.VideoFrame) -> tuple[bool, bool, bool] | None:
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return None
        a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
        turned = display_turn(a, b, c, d)
        if turned is None:
            raise UserError(
                f"{self._name} is to be shown turned by other than 90, 180 or 270 degrees; turn it with ffmpeg first"
            )
        return turned

    def _sdr(self, frame: av.VideoFrame) -> np.ndarray:
        transfer = int(frame.color_trc)
        if transfer in _NOT_SDR:
            raise UserError(
                f"{self._name} has the transfer function {_NOT_SDR[transfer]}, which can't be shown; convert it to "
                "SDR (BT.709) with ffmpeg's zscale and tonemap first"
            )
        width, height = frame.width, frame.height
        if frame.format.name in ("yuv444p", "yuvj444p") and _is_full(frame) and frame.colorspace == BT601:
            y, cb, cr = (plane_array(plane, width) for plane in frame.planes)
            return cv2.cvtColor(cv2.merge((y, cr, cb)), cv2.COLOR_YCrCb2RGB)
        (plane,) = self._reformat(frame, "rgb24").planes
        return plane_array(plane, 3 * width).reshape(height, width, 3).copy()

    def _hdr(self, frame: av.VideoFrame) -> np.ndarray:
        (plane,) = self._reformat(frame, "rgb48le").planes
        signal = plane_array(plane, 6 * frame.width).reshape(frame.height, -1).view("<u2")
        primaries = int(frame.color_primaries)
        gamut = "bt2020" if primaries == _BT2020_PRIMARIES else "p3" if primaries in _P3_PRIMARIES else ""
        return tone_mapped(signal.reshape(frame.height, frame.width, 3), int(frame.color_trc) == _HLG, gamut)

    def _reformat(self, frame: av.VideoFrame, form: str) -> av.VideoFrame:
        luma = frame.format.components[0].is_luma and len(frame.format.components) > 2
        if frame.format.is_rgb or frame.format.has_palette or not luma:
            return self._convert.reformat(frame, format=form)
        matrix = int(frame.colorspace)
        if matrix not in _MATRICES:
            its = _NO_MATRIX.get(matrix, f"number {matrix}")
            raise UserError(
                f"{self._name} has the colour matrix {its}, which can't be "
                "converted; encode it again with BT.709"
            )
        full = _is_full(frame)
        return self._convert.reformat(
            frame,
            format=form,
            src_colorspace=matrix,
            src_color_range=FULL_RANGE if full else LIMITED_RANGE,
            # RGB has neither, but where both sides are the same, older libraries skip the conversion of ranges.
            dst_colorspace=BT601 if matrix == BT709 else BT709,
            dst_color_range=FULL_RANGE,
        )


def _is_full(frame: av.VideoFrame) -> bool:
    return frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")


def plane_array(plane, n_bytes: int) -> np.ndarray:
    """A plane's bytes without the padding of its rows: uint8 [rows, n_bytes], a view."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, :n_bytes]


def display_turn(a: int, b: int, c: int, d: int) -> tuple[bool, bool, bool] | None:
    """(transposed, flipped left-right, flipped up-down, in this order) for a display matrix; None for other angles.

    The point (x, y) is shown at (a x + c y, b x + d y) (ISO/IEC 14496-12, 6.2.2), y pointing down.
    """
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) > 0.02 * max(straight, crossed) or straight == crossed:
        return None
    return (False, a < 0, d < 0) if straight > crossed else (True, c < 0, b < 0)


def turn(image: np.ndarray, transposed: bool, left_right: bool, up_down: bool) -> np.ndarray:
    """The picture [H, W, 3] turned as :func:`display_turn` says, contiguous."""
    image = image.transpose(1, 0, 2) if transposed else image
    return np.ascontiguousarray(image[:: -1 if up_down else 1, :: -1 if left_right else 1])


def tone_mapped(signal: np.ndarray, hlg: bool, gamut: str = "") -> np.ndarray:
    """An HDR picture as SDR: uint8 [H, W, 3] RGB (sRGB).

    ``signal``: uint16 [H, W, 3] RGB at full range, in PQ (SMPTE ST 2084) or HLG (BT.2100); ``gamut``: "bt2020" or
    "p3", else BT.709. The three channels are scaled together, so that a colour keeps its hue.
    """
    light = _hlg_light()[signal] if hlg else _pq_light()[signal]
    if hlg:  # the display's system gamma works on the luminance of the scene
        scene = light @ _LUMINANCE if not gamut else light @ _BT2020_LUMINANCE
        light *= (_HLG_PEAK / REFERENCE_WHITE) * np.maximum(scene, 1e-6)[..., None] ** np.float32(0.2)
    if gamut:
        light = light @ _TO_BT709[gamut].T.astype(np.float32)
        # A colour beyond the gamut goes towards the grey of its luminance until it is within.
        luminance = np.maximum(light @ _LUMINANCE, 0)
        least = np.minimum(light.min(axis=-1), 0)
        share = luminance / np.maximum(luminance - least, 1e-9)
        light = luminance[..., None] + share[..., None] * (light - luminance[..., None])
    peak = np.maximum(light.max(axis=-1), 1e-9)
    over = np.maximum(peak - _KNEE, 0)
    mapped = np.minimum(peak, _KNEE) + (1 - _KNEE) * over / (over + (1 - _KNEE))
    light *= (mapped / peak)[..., None]
    table = _srgb()
    return table[np.clip(light * (len(table) - 1) + 0.5, 0, len(table) - 1).astype(np.int32)]


@functools.cache
def _pq_light() -> np.ndarray:
    """Light of a 16-bit PQ signal as a share of the reference white: float32 [65536]."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.linspace(0, 1, 65536) ** (1 / m2)
    nits = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return (nits / REFERENCE_WHITE).astype(np.float32)


@functools.cache
def _hlg_light() -> np.ndarray:
    """Scene light, 0..1, of a 16-bit HLG signal: float32 [65536]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.linspace(0, 1, 65536)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@functools.cache
def _srgb() -> np.ndarray:
    """The sRGB code of linear light 0..1: uint8 [16384]."""
    light = np.linspace(0, 1, 16384)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * code).astype(np.uint8)
