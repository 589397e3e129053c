"""Coding and decoding video files with PyAV: encoding small frames, decoding in order, and exact seeking.

Knows nothing of episodes or recordings. Everything runs on one thread unless said otherwise: many loaders
work side by side, and a thread each would only take turns.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from data.pictures import BT601, FULL_RANGE, PictureReader
from steve1.cli import UserError
from steve1.config import FPS

# H.264 of stored frames. Measured on 128x128 real footage (docs/fidelity.md): more than 42 dB at 8 KB a
# frame. CAVLC decodes faster than CABAC, and adaptive quantisation spends bits where the eye looks, which
# costs 1.2 dB. A fixed keyframe distance keeps seeking cheap.
KEYFRAME_EVERY = 16
_X264 = {
    "crf": "8.5",
    "preset": "veryfast",
    "bf": "0",
    "sc_threshold": "0",
    "x264-params": "cabac=0:aq-mode=0:8x8dct=0",
}
_REORDERED = 8  # pictures that a damaged one may spoil before it is shown; H.264 allows 16, encoders use 4


def decoder_name() -> str:
    """What decodes videos here: the libraries and their versions."""
    libraries = (
        f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec", "libswscale")
    )
    return f"PyAV {av.__version__} ({', '.join(libraries)})"


class VideoWriter:
    """Writes uint8 [H, W, 3] RGB frames to an mp4: H.264, yuv444p, no B-frames, a keyframe every 16."""

    def __init__(self, path: str | os.PathLike, width: int, height: int, fps: int = FPS) -> None:
        self._container = av.open(str(path), "w", format="mp4")
        try:
            stream = self._container.add_stream("libx264", rate=fps)
        except Exception:
            self._container.close()
            raise UserError(
                "this PyAV has no H.264 encoder (libx264); install it with pip install --force-reinstall av, "
                "or use --frame_format png"
            ) from None
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.options = dict(_X264)
        context = stream.codec_context
        context.thread_count, context.gop_size = 1, KEYFRAME_EVERY
        context.color_range, context.colorspace = FULL_RANGE, BT601
        self._stream = stream

    def add(self, frame: np.ndarray) -> None:
        """Append one frame."""
        # OpenCV's YCrCb is BT.601 at full range, and faster than libswscale.
        y, cr, cb = cv2.split(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YCrCb))
        picture = av.VideoFrame.from_ndarray(np.stack((y, cb, cr)), format="yuv444p")
        picture.color_range, picture.colorspace = FULL_RANGE, BT601
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder holds back and the file's index."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._container.close()


class Picture:
    """A decoded picture of a video, which is converted when it is asked for."""

    def __init__(self, frame: av.VideoFrame, reader: PictureReader) -> None:
        self._frame, self._reader = frame, reader

    def seconds(self, moment: str) -> float | None:
        """Its time in the file by ``moment``, "pts" or "dts"; None where it has none."""
        time, base = getattr(self._frame, moment), self._frame.time_base
        return None if time is None or base is None else float(time * base)

    def rgb(self) -> np.ndarray:
        """The picture as a person sees it, uint8 [H, W, 3] RGB, a new array each time. Raises UserError."""
        return self._reader.rgb(self._frame)


def decode(path: str | os.PathLike, content: bytes | None = None) -> Iterator[np.ndarray]:
    """Yield a video's pictures in order as uint8 [H, W, 3] RGB, one at a time, up to the first undecodable one.

    ``content``: the video itself, where it does not lie in a file of its own; ``path`` is then its name in errors.
    Raises :class:`Undecodable` there (it says how many were good), :class:`UserError` when the file is no video at
    all, or holds pictures that can't be converted rightly.
    """
    return (picture.rgb() for picture in pictures(path, content))


def pictures(path: str | os.PathLike, content: bytes | None = None) -> Iterator[Picture]:
    """As :func:`decode`, but for converting them to RGB."""
    with opened(path, content) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        reader = PictureReader(stream, path)
        # Where pictures are decoded in another order than they are shown in, some that come before a damaged one
        # were made from it, so they are held back until it is known to be sound.
        held: deque[av.VideoFrame] = deque()
        good = 0
        for frame in _frames(container, stream):
            if frame is None:
                raise Undecodable(path, good)
            held.append(frame)
            if len(held) > (_REORDERED if stream.codec_context.has_b_frames else 0):
                good += 1
                yield Picture(held.popleft(), reader)
        for frame in held:
            yield Picture(frame, reader)


class Undecodable(UserError):
    """A frame can't be decoded; ``.good`` frames before it can."""

    def __init__(self, path: str | os.PathLike, good: int) -> None:
        super().__init__(f"{path}: frame {good} can't be decoded; the file is damaged or truncated")
        self.path, self.good = path, good

    def __reduce__(self) -> tuple:  # from a worker process
        return type(self), (self.path, self.good)


@dataclass
class VideoInfo:
    """What a video's header says; ``frames`` is 0 where it says nothing."""

    fps: float
    frames: int
    width: int
    height: int


def video_info(path: str | os.PathLike) -> VideoInfo:
    """Read a video's header. Raises :class:`UserError` when the file is no video."""
    with opened(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.base_rate or stream.guessed_rate
        return VideoInfo(float(rate or 0), stream.frames, stream.width, stream.height)


class FrameIndex:
    """Where the frames of a seekable video lie, for reading any slice exactly, whatever its keyframes.

    ``size``: (width, height) by the header. 8 bytes a frame are kept.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        with opened(path) as container:
            stream = container.streams.video[0]
            self.size = (stream.width, stream.height)
            entries = _index_entries(stream)
            if entries is None:
                entries = [(p.pts, p.is_keyframe) for p in packets(container, stream) if p.pts is not None]
        self._pts = np.sort(np.array([pts for pts, _ in entries], dtype=np.int64))
        self._keys = np.sort(np.array([pts for pts, key in entries if key], dtype=np.int64))

    def __len__(self) -> int:
        return len(self._pts)

    def read(self, start: int, stop: int, out: np.ndarray) -> None:
        """Decode frames ``start .. stop-1`` into ``out`` (uint8 [stop-start, H, W, 3]).

        Frames of another size than ``out``'s are resized (INTER_LINEAR). Raises :class:`Undecodable`.
        """
        if start == stop:
            return
        if stop > len(self._pts):
            raise Undecodable(self.path, len(self._pts))
        wanted = self._pts[start:stop].tolist()
        before = int(np.searchsorted(self._keys, wanted[0], side="right")) - 1
        done = 0
        with opened(self.path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            container.seek(int(self._keys[before] if before >= 0 else self._pts[0]), stream=stream)
            reader = PictureReader(stream, self.path)
            for frame in _frames(container, stream):
                if frame is not None and (frame.pts is None or frame.pts < wanted[done]):
                    continue
                if frame is None or frame.pts > wanted[done]:
                    break
                image = reader.rgb(frame)
                if image.shape == out.shape[1:]:
                    out[done] = image
                else:
                    cv2.resize(image, out.shape[2:0:-1], dst=out[done], interpolation=cv2.INTER_LINEAR)
                done += 1
                if done == len(wanted):
                    return
        raise Undecodable(self.path, start + done)


def opened(path: str | os.PathLike, content: bytes | None = None):
    """The container of a video, to be closed by the caller. Raises UserError when the file is no video."""
    if content is None and not os.path.exists(path):
        raise FileNotFoundError(2, "no such file", str(path))
    try:
        # By default a byte of the file's title that isn't UTF-8 is an error.
        container = av.open(str(path) if content is None else io.BytesIO(content), metadata_errors="replace")
    except av.FFmpegError as error:
        raise UserError(
            f"{path} is not a readable video ({error.strerror}); it is truncated or of another kind, so "
            "fetch or record it again"
        ) from None
    streams = container.streams.video
    if not streams or streams[0].codec_context is None:
        container.close()
        what = "no video" if not streams else "a video of an unknown or damaged kind"
        raise UserError(f"{path} holds {what}; give a file with a video stream, or fetch it again")
    return container


def _frames(container, stream) -> Iterator[av.VideoFrame | None]:
    """Decoded frames in order; a None at the end where one can't be decoded, though more was to come."""
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                yield from stream.codec_context.decode(None)
                yield None
                return
            for frame in packet.decode():
                if frame.is_corrupt:
                    yield None
                    return
                yield frame
    except av.FFmpegError:
        yield None


def packets(container, stream) -> Iterator:
    """The packets of the pictures that are shown, in the order of decoding, up to a torn end."""
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                yield packet
    except av.FFmpegError:
        return  # what is missing at a torn end shows as a shorter video


def _index_entries(stream) -> list[tuple[int, bool]] | None:
    """(pts, is a keyframe) of each frame from the container's own table, where that holds pts; else None.

    The table spares reading the whole file. It holds decoding times, which are the frames' times only
    where no frame is shown later than it is decoded.
    """
    if getattr(stream.codec_context, "has_b_frames", True) or stream.start_time not in (0, None):
        return None
    entries = getattr(stream, "index_entries", None)
    if not entries:
        return None
    return [(entry.timestamp, entry.is_keyframe) for entry in entries if not entry.is_discard]
