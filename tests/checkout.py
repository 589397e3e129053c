"""A user's checkout in a test's own folder: the scripts copied, the code linked, and small data and weights in it."""

import itertools
import json
import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import torch
from tiny_mineclip import TINY_MINECLIP

from steve1.checkpoints import load_model_file, save_mineclip
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.mineclip import MineCLIP

ROOT = Path(__file__).resolve().parents[1]


def make_checkout(folder: Path) -> Path:
    """A folder in which the README's commands work: scripts are copies, to be edited, and code is linked."""
    (folder / "data").mkdir(parents=True)
    for script in ROOT.glob("*.sh"):
        shutil.copy(script, folder)
    for path in (ROOT / "data").glob("*"):
        if path.suffix == ".py" or (path / "__init__.py").exists():
            (folder / "data" / path.name).symlink_to(path)
    for name in ("training", "steve1", "configs", "benchmarks", "tests", "scripts", "run_agent.py"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def add_weights(checkout: Path, embed_dim: int = 8) -> None:
    """VPT's, STEVE-1's and MineCLIP's files under the names that the scripts use, in very small."""
    weights = checkout / "data" / "weights"
    for name in ("vpt", "steve1", "mineclip"):
        (weights / name).mkdir(parents=True)
    model = json.loads((ROOT / "tests" / "tiny_policy.json").read_text())
    with open(weights / "vpt" / "2x.model", "wb") as file:
        pickle.dump(model, file, protocol=4)
    torch.manual_seed(0)
    policy = MinecraftAgentPolicy(*load_model_file(weights / "vpt" / "2x.model"))
    state = policy.state_dict()
    torch.save(state, weights / "steve1" / "steve1.weights")
    vpt = {name: value for name, value in state.items() if "mineclip_embed_linear" not in name}
    torch.save(vpt, weights / "vpt" / "rl-from-foundation-2x.weights")
    config = {**TINY_MINECLIP, "vocab_size": 49408, "embed_dim": embed_dim}
    save_mineclip(MineCLIP(config), weights / "mineclip" / "attn.pth")


def add_recordings(folder: Path, n: int = 4, n_lines: int = 130) -> None:
    """``n`` folders of ``video.mp4`` and ``actions.jsonl`` (recorded contractor lines under made-up pictures)."""
    with open(ROOT / "tests" / "vectors" / "contractor_recording.jsonl") as file:
        lines = list(itertools.islice(file, n_lines))
    for i in range(n):
        (own := folder / f"{folder.name}_{i}").mkdir(parents=True)
        base = np.random.default_rng(i).integers(0, 256, (36, 64, 3), dtype=np.uint8)
        with av.open(str(own / "video.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=20)
            stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
            for t in range(n_lines):
                image = np.roll(base, t, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        (own / "actions.jsonl").write_text("".join(lines))


def edit(script: Path, **variables: object) -> None:
    """Give variables at the top of a script other values, as a user does in an editor."""
    text = script.read_text()
    for name, value in variables.items():
        text, n = re.subn(
            rf'^{name}=("[^"\n]*"|[^\s#]*)', lambda _, v=f'{name}="{value}"': v, text, flags=re.M
        )
        assert n == 1, f"{script.name} sets {name} {n} times"
    script.write_text(text)


def variables_of(script: Path) -> dict[str, str]:
    """The variables of a script that are set one a line, and their values."""
    found = re.findall(r'^([A-Z][A-Z0-9_]*)=("[^"\n]*"|[^\s#]*)', script.read_text(), flags=re.M)
    return {name: value.strip('"') for name, value in found}


def environment(checkout: Path, warm: Path) -> dict[str, str]:
    """What a shell in the checkout needs: the warm python first, products inside, no GPU."""
    return {
        **os.environ,
        "PATH": f"{warm}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STEVE1_DATA_ROOT": str(checkout / "data"),
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
