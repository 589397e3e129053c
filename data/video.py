"""Coding and decoding video files with PyAV: encoding small frames, decoding in order, and exact seeking.

Knows nothing of episodes or recordings. Everything runs on one thread unless said otherwise: many loaders
work side by side, and a thread each would only take turns.
"""

from __future__ import annotations

import bisect
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

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
_FULL_RANGE, _BT601 = 2, 5


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
        context.color_range, context.colorspace = _FULL_RANGE, _BT601
        self._stream = stream

    def add(self, frame: np.ndarray) -> None:
        """Append one frame."""
        # OpenCV's YCrCb is BT.601 at full range, and faster than libswscale.
        y, cr, cb = cv2.split(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YCrCb))
        picture = av.VideoFrame.from_ndarray(np.stack((y, cb, cr)), format="yuv444p")
        picture.color_range, picture.colorspace = _FULL_RANGE, _BT601
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


def decode(path: str | os.PathLike, content: bytes | None = None) -> Iterator[np.ndarray]:
    """Yield a video's frames in order as uint8 [H, W, 3] RGB, one at a time, up to the first undecodable one.

    ``content``: the video itself, where it does not lie in a file of its own; ``path`` is then its name in errors.
    Raises :class:`Undecodable` there (it says how many frames were good), :class:`UserError` when the file
    is no video at all.
    """
    return (image for _, image in _decode_timed(path, content))


def decode_resampled(path: str | os.PathLike, fps: int = FPS) -> Iterator[np.ndarray]:
    """As :func:`decode`, at another frame rate: at each tick of ``1/fps`` s the frame that is shown then."""
    rate = video_info(path).fps
    shown = None
    tick, end = 0, 0.0
    for seconds, image in _decode_timed(path):
        while shown is not None and tick / fps < seconds - 1e-6:
            yield shown.copy()
            tick += 1
        shown, end = image, seconds + 1 / rate
    while shown is not None and tick / fps < end - 1e-6:
        yield shown.copy()
        tick += 1


def _decode_timed(
    path: str | os.PathLike, content: bytes | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Pairs of seconds since the first frame, and frame."""
    with _opened(path, content) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        convert = VideoReformatter()
        first = None
        for good, frame in enumerate(_frames(container, stream)):
            if frame is None:
                raise Undecodable(path, good)
            first = frame.time if first is None else first
            yield (frame.time or 0.0) - (first or 0.0), _rgb(frame, convert)


class Undecodable(UserError):
    """A frame can't be decoded; ``.good`` frames before it can."""

    def __init__(self, path: str | os.PathLike, good: int) -> None:
        super().__init__(f"{path}: frame {good} can't be decoded; the file is damaged or truncated")
        self.good = good


@dataclass
class VideoInfo:
    """What a video's header says; ``frames`` is 0 where it says nothing."""

    fps: float
    frames: int
    width: int
    height: int


def video_info(path: str | os.PathLike) -> VideoInfo:
    """Read a video's header. Raises :class:`UserError` when the file is no video."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.base_rate or stream.guessed_rate
        return VideoInfo(float(rate or 0), stream.frames, stream.width, stream.height)


def frame_times(path: str | os.PathLike) -> np.ndarray:
    """The times of all frames in seconds, in order, counted from the first one: float64 [n]."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        times = sorted(p.pts for p in _packets(container, stream))
        if not times:
            return np.zeros(0)
        return (np.array(times, dtype=np.float64) - times[0]) * float(stream.time_base)


class FrameIndex:
    """Where the frames of a seekable video lie, for reading any slice exactly, whatever its keyframes."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        with _opened(path) as container:
            stream = container.streams.video[0]
            entries = _index_entries(stream)
            if entries is None:
                entries = [(p.pts, p.is_keyframe) for p in _packets(container, stream)]
        self._pts = sorted(pts for pts, _ in entries)
        self._keys = sorted(pts for pts, key in entries if key)

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
        wanted = self._pts[start:stop]
        before = bisect.bisect_right(self._keys, wanted[0]) - 1
        done = 0
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            container.seek(self._keys[before] if before >= 0 else self._pts[0], stream=stream)
            convert = VideoReformatter()
            for frame in _frames(container, stream):
                if frame is not None and (frame.pts is None or frame.pts < wanted[done]):
                    continue
                if frame is None or frame.pts > wanted[done]:
                    break
                _rgb_into(frame, out[done], convert)
                done += 1
                if done == len(wanted):
                    return
        raise Undecodable(self.path, start + done)


def _opened(path: str | os.PathLike, content: bytes | None = None):
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


def _packets(container, stream) -> Iterator:
    try:
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and not packet.is_discard:
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


def _rgb(frame: av.VideoFrame, convert: VideoReformatter) -> np.ndarray:
    image = np.empty((frame.height, frame.width, 3), dtype=np.uint8)
    _rgb_into(frame, image, convert)
    return image


def _rgb_into(frame: av.VideoFrame, out: np.ndarray, convert: VideoReformatter) -> None:
    if out.shape[:2] != (frame.height, frame.width):
        size = (out.shape[1], out.shape[0])
        cv2.resize(_rgb(frame, convert), size, dst=out, interpolation=cv2.INTER_LINEAR)
        return
    full_444 = frame.format.name in ("yuv444p", "yuvj444p") and frame.color_range == _FULL_RANGE
    if full_444 and frame.colorspace == _BT601:
        y, cb, cr = (_plane(plane, frame.width) for plane in frame.planes)
        cv2.cvtColor(cv2.merge((y, cr, cb)), cv2.COLOR_YCrCb2RGB, dst=out)
    else:
        # One converter for all frames: making a new one costs more than converting.
        plane = convert.reformat(frame, format="rgb24").planes[0]
        out[:] = _plane(plane, 3 * frame.width).reshape(out.shape)


def _plane(plane, width: int) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
