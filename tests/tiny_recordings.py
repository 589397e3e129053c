"""Small recordings made on the spot: videos whose frames say their number, and lines of actions."""

import json
from pathlib import Path

import av
import numpy as np
import torch

from steve1.checkpoints import save_mineclip
from steve1.mineclip import MineCLIP

TINY_MINECLIP = {
    "resolution": [32, 64],
    "patch_size": 32,
    "vision_width": 16,
    "vision_layers": 1,
    "vision_heads": 1,
    "embed_dim": 8,
    "context_length": 8,
    "vocab_size": 32,
    "text_width": 8,
    "text_layers": 1,
    "text_heads": 1,
    "temporal_layers": 2,
    "temporal_heads": 1,
    "temporal_head_dim": 8,
    "max_frames": 32,
    "window": 16,
}


def make_mineclip(path, seed=0) -> Path:
    torch.manual_seed(seed)
    save_mineclip(MineCLIP(TINY_MINECLIP).eval(), path)
    return Path(path)


def numbered_frame(number, height=128, width=128) -> np.ndarray:
    """A frame with ``number`` in black and white blocks, 12 bits from the left, readable after compression."""
    frame = np.full((height, width, 3), 96, dtype=np.uint8)
    bits = np.array([number >> bit & 1 for bit in range(12)], dtype=np.uint8)
    columns = np.minimum(np.arange(width) * 12 // width, 11)
    frame[: height // 2] = (bits[columns] * 255)[None, :, None]
    return frame


def number_of(frame) -> int:
    """The inverse of :func:`numbered_frame`, for a frame of any size."""
    height, width = frame.shape[:2]
    centres = ((np.arange(12) + 0.5) * width / 12).astype(int)
    return int(((frame[height // 4, centres].mean(axis=-1) > 127) << np.arange(12)).sum())


def make_video(
    path,
    numbers,
    fps=20,
    size=(128, 128),
    codec="libx264",
    keyframes=None,
    pix_fmt="yuv420p",
    container_options=None,
    **options,
) -> Path:
    """Write a video of numbered frames; ``size`` is (width, height), ``keyframes`` the places of forced ones."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.options = options
        if keyframes is not None:
            stream.codec_context.gop_size = 10_000
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size[1], size[0]), format="rgb24")
            if keyframes is not None and place in keyframes:
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


def contractor_line(
    keys=(), buttons=(), new=None, dx=0.0, dy=0.0, hotbar=0, gui=False, x=640.0, y=360.0
) -> dict:
    """A contractor line; ``keys`` without the prefix ``key.keyboard.``."""
    names = [f"key.keyboard.{key}" for key in keys]
    buttons = list(buttons)
    mouse = {"x": x, "y": y, "dx": dx, "dy": dy, "buttons": buttons, "newButtons": list(new or [])}
    line = {"mouse": mouse, "keyboard": {"keys": names, "newKeys": [], "chars": ""}, "isGuiOpen": gui}
    return line if hotbar is None else {**line, "hotbar": hotbar}


def write_lines(path, lines) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Path(path)
