"""How much memory converting one long contractor recording takes: ours against the limit of 1.2 GB. Linux only.

    python benchmarks/conversion_memory.py                                   # 6,000 frames of 640x360, a tiny MineCLIP
    python benchmarks/conversion_memory.py --full_mineclip --frames 200      # the published sizes, random weights

The recording is made on the spot (cheap pictures: memory does not depend on them) and converted by
data/generation/convert_from_contractor.py in a process of its own, whose largest resident memory is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steve1.cli import UserError, count, entry_point, out_of_range, report_all
from steve1.config import MINECLIP_CONFIG

LIMIT_GB = 1.2
WIDTH, HEIGHT = 640, 360
TINY = {
    "patch_size": 32,
    "vision_width": 64,
    "vision_layers": 1,
    "vision_heads": 1,
    "vocab_size": 64,
    "text_layers": 1,
}
# Not resource.getrusage: that begins at the memory of the process that started this one.
CONVERT = """
import sys
from data.generation.convert_from_contractor import main
main(sys.argv[1:])
status = open("/proc/self/status").read()
print("VmHWM", status.partition("VmHWM:")[2].split()[0])
"""


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=count, default=6000, help="frames of the recording (default: 6000, 5 minutes)"
    )
    parser.add_argument(
        "--frame_format", choices=("png", "mp4"), default="png", help="of the episode (default: png)"
    )
    parser.add_argument(
        "--full_mineclip", action="store_true", help="a MineCLIP of the published sizes (default: a tiny one)"
    )
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "frames", least=16))

    import torch

    from steve1.checkpoints import save_mineclip
    from steve1.mineclip import MineCLIP

    # ---- a recording and a MineCLIP
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recordings").mkdir()
        _record(folder / "recordings" / "long.mp4", args.frames)
        torch.manual_seed(0)
        mineclip = MineCLIP(MINECLIP_CONFIG if args.full_mineclip else {**MINECLIP_CONFIG, **TINY})
        save_mineclip(mineclip, folder / "mineclip.pth")
        size = sum(p.numel() for p in mineclip.parameters())

        # ---- the conversion
        start = time.perf_counter()
        done = subprocess.run(
            [
                *(sys.executable, "-c", CONVERT, "--local_dir", str(folder / "recordings")),
                *("--output_dir", str(folder / "episodes"), "--cache_dir", str(folder / "cache")),
                *("--mineclip_weights", str(folder / "mineclip.pth"), "--min_timesteps", "16"),
                *("--frame_format", args.frame_format),
            ],
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise UserError(f"the conversion failed: {done.stderr[-500:]}")
    gb = int(done.stdout.rpartition("VmHWM")[2]) * 1024 / 1e9

    # ---- what is printed
    print(
        f"{args.frames:,} frames of {WIDTH}x{HEIGHT} to {args.frame_format}, MineCLIP of {size:,} parameters, CPU, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {seconds:.0f} s"
    )
    print(f"largest resident memory: {gb:6.2f} GB")
    print(f"the limit:               {LIMIT_GB:6.2f} GB  (ratio {gb / LIMIT_GB:.2f})")


def _record(path: Path, n_frames: int) -> None:
    """A recording of a moving edge, with a step forward in each line."""
    import av
    import numpy as np

    line = {
        "mouse": {"x": 640.0, "y": 360.0, "dx": 1.0, "dy": 0.0, "buttons": [], "newButtons": []},
        "keyboard": {"keys": ["key.keyboard.w"], "newKeys": [], "chars": ""},
        "isGuiOpen": False,
        "hotbar": 0,
    }
    path.with_suffix(".jsonl").write_text((json.dumps(line) + "\n") * n_frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        for i in range(n_frames):
            picture[:, i % WIDTH] = i % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
