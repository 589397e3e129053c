"""How long embedding a recording takes: each frame once (ours) against every window whole (the baseline).

    python benchmarks/embed.py                                    # the published size, 400 frames
    python benchmarks/embed.py --mineclip_config tiny.json --frames 60   # any size, described in JSON

Weights and frames are random: neither changes the time. The baseline encodes all 16 frames of a window anew,
as the published dataset code does; it is timed on a few windows and extrapolated to all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from steve1.cli import UserError, count, entry_point, out_of_range, report_all
from steve1.config import MINECLIP_CONFIG


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mineclip_config",
        type=Path,
        help="JSON file with a MineCLIP configuration (default: the published sizes)",
    )
    parser.add_argument(
        "--frames", type=count, default=400, help="frames in the recording, at least 16 (default 400)"
    )
    parser.add_argument("--batch_size", type=count, default=32, help="frames encoded at a time (default 32)")
    parser.add_argument(
        "--windows",
        type=count,
        default=12,
        help="windows that the baseline is timed on (default 12; at most frames - 15)",
    )
    parser.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda (default cpu)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and frames (default 0)")
    args = parser.parse_args(argv)
    problems = out_of_range(args, "frames", least=16) + out_of_range(args, "batch_size", "windows", least=1)
    report_all(problems)
    return args


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)

    import cv2
    import numpy as np
    import torch

    from steve1.mineclip import MineCLIP, embed_frames

    # ---- the model and the recording
    config = MINECLIP_CONFIG
    if args.mineclip_config:
        try:
            content = json.loads(args.mineclip_config.read_text(encoding="utf-8"))
            config = content.get("config", content)
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"{args.mineclip_config} is not a MineCLIP configuration in JSON ({error})"
            ) from None
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda was asked for and torch finds no GPU; use --device cpu")
    torch.manual_seed(args.seed)
    mineclip = MineCLIP(config).eval().to(args.device)
    height, width = config["resolution"]
    rng = np.random.default_rng(args.seed)
    frames = rng.integers(0, 256, (args.frames, 360, 640, 3), dtype=np.uint8)

    def small(pictures: np.ndarray) -> torch.Tensor:
        resized = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in pictures]
        return torch.from_numpy(np.stack(resized)).to(args.device).permute(0, 3, 1, 2)

    # ---- ours
    embed_frames(mineclip, frames[:16], args.batch_size)  # warm up
    start = time.perf_counter()
    ours = embed_frames(mineclip, frames, args.batch_size)
    ours_seconds = time.perf_counter() - start

    # ---- the baseline, on some of the windows
    n_windows = args.frames - config["window"] + 1
    timed = min(args.windows, n_windows)
    # As many windows at a time as fill one of our batches.
    at_once = max(1, args.batch_size // config["window"])
    baseline = []
    start = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, timed, at_once):
            starts = range(first, min(first + at_once, timed))
            videos = torch.stack([small(frames[t : t + config["window"]]) for t in starts])
            baseline.append(mineclip.encode_video(videos).float().cpu().numpy())
    baseline_seconds = (time.perf_counter() - start) * n_windows / timed

    # ---- what is printed
    windows_ours = ours[config["window"] - 1 :][:timed]
    windows_theirs = np.concatenate(baseline)
    difference = np.abs(windows_ours - windows_theirs).max() / np.abs(windows_theirs).max()
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    n_parameters = sum(p.numel() for p in mineclip.image_encoder.parameters())
    print(
        f"{args.frames} frames of 640x360, image encoder of {n_parameters:,} parameters at {width}x{height}, "
        f"{device}, {torch.get_num_threads()} threads, batches of {args.batch_size}"
    )
    print(f"each frame once:     {ours_seconds:8.2f} s  {args.frames / ours_seconds:8.1f} frames/s")
    print(
        f"every window whole:  {baseline_seconds:8.2f} s  {args.frames / baseline_seconds:8.1f} frames/s  "
        f"(from {timed} of {n_windows} windows)"
    )
    print(f"ratio: {baseline_seconds / ours_seconds:.1f}; largest relative difference {difference:.1e}")


if __name__ == "__main__":
    main()
