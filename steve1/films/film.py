"""Films of the agent: H.264 that browsers play, with the prompt on a strip below the untouched picture."""

from __future__ import annotations

import os
import textwrap
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from steve1.cli import UserError
from steve1.config import FPS
from steve1.files import remove_partials, whole_file

_FONT, _SCALE, _LINE, _MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 20, 10
_BT709 = 1
_LIMITED_RANGE = 1


def caption_strip(text: str, width: int, rows: int | None = None) -> np.ndarray:
    """White text on black, wrapped to ``width`` pixels: uint8 [H, width, 3], H even.

    ``rows``: lines of text that the strip has room for, whatever the text; a longer text is cut, with dots. None
    makes it as tall as the text.
    """
    per_character = cv2.getTextSize("n" * 20, _FONT, _SCALE, 1)[0][0] / 20
    letters = max(int((width - 2 * _MARGIN) / per_character), 4)
    lines = textwrap.wrap(text, letters, max_lines=rows, placeholder=" ...") or [""]
    strip = np.zeros((_LINE * (rows or len(lines)) + _MARGIN, width, 3), np.uint8)
    for number, line in enumerate(lines, start=1):
        place = (_MARGIN, _LINE * number - 1)
        cv2.putText(strip, line, place, _FONT, _SCALE, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


# With x264's mbtree the same pictures don't always give the same file, at widths that 128 doesn't divide.
FILM = {"crf": "23", "preset": "veryfast", "x264-params": "mbtree=0"}


class Encoder:
    """Pictures into an open container as H.264, yuv420p in BT.709, ``fps`` a second. ``options``: x264's.

    Raises UserError where PyAV has no H.264 encoder.
    """

    def __init__(
        self, container: av.container.OutputContainer, fps: int = FPS, options: dict[str, str] | None = None
    ) -> None:
        self.frames = 0
        self._container, self._fps, self._options = container, fps, options or FILM
        self._convert = VideoReformatter()

    def add(self, picture: np.ndarray) -> None:
        """Append a picture, uint8 [H, W, 3] RGB, H and W even and the same every time."""
        if self.frames == 0:
            self._begin(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = self._convert.reformat(
            frame, format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE
        )
        frame.pts, frame.time_base = self.frames, Fraction(1, self._fps)
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder has kept back; there was a picture."""
        self._container.mux(self._stream.encode(None))

    def _begin(self, height: int, width: int) -> None:
        try:
            stream = self._container.add_stream("libx264", rate=self._fps)
        except Exception:
            raise UserError(
                "this PyAV has no H.264 encoder (libx264); install it with pip install --force-reinstall av"
            ) from None
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = self._options
        context = stream.codec_context
        # Several films are written at once; a thread each is enough.
        context.thread_count = 1
        context.color_range, context.colorspace = _LIMITED_RANGE, _BT709
        context.color_primaries = context.color_trc = _BT709
        self._stream = stream


def middle_picture(path: str | os.PathLike, width: int) -> bytes:
    """The picture in the middle of a film, as JPEG, ``width`` pixels wide where it isn't narrower."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        middle = (stream.frames or 1) // 2
        rate = stream.average_rate or FPS
        assert stream.time_base is not None
        container.seek(int(middle / rate / stream.time_base), stream=stream)
        picture = None
        for frame in container.decode(stream):
            picture = frame
            if frame.pts is not None and round(frame.pts * stream.time_base * rate) >= middle:
                break
    if picture is None:
        raise UserError(f"{path} shows no picture; play it again")
    pixels = picture.to_ndarray(format="bgr24")
    if pixels.shape[1] > width:
        height = round(pixels.shape[0] * width / pixels.shape[1])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


class Film:
    """Writes one mp4 (H.264, yuv420p, index in front, 20 frames/s) as frames come; whole or absent.

    A context manager: leaving it in peace puts the file in place, leaving it by an error removes it.
    ``caption`` stands on a strip below the picture; None leaves the picture as it comes.
    """

    def __init__(self, path: str | os.PathLike, caption: str | None, fps: int = FPS) -> None:
        self.path = path
        self._caption, self._fps = caption, fps
        self._strip: np.ndarray | None = None
        self._encoder: Encoder | None = None

    @property
    def frames(self) -> int:
        """Pictures so far."""
        return self._encoder.frames if self._encoder else 0

    def __enter__(self) -> Film:
        remove_partials(self.path)
        self._stack = ExitStack()
        partial = self._stack.enter_context(whole_file(self.path))
        try:
            # The index goes in front of the pictures, so that a page can play before it has the whole file.
            self._container = av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"})
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        self._encoder = Encoder(self._container, self._fps)
        return self

    def add(self, picture: np.ndarray) -> None:
        """Append a picture, uint8 [H, W, 3] RGB, H and W even and the same every time."""
        if self._caption is not None:
            if self._strip is None:
                self._strip = caption_strip(self._caption, picture.shape[1])
            picture = np.vstack([picture, self._strip])
        assert self._encoder is not None
        self._encoder.add(picture)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self.frames == 0:
                raise UserError(f"{self.path}: there was no picture to film")
            if kind is None and self._encoder is not None:
                self._encoder.finish()
            self._container.close()
        except BaseException as failure:
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)
