"""Episodes laid down as the published code lays them, by the facts of docs/formats.md; nothing of ours writes here."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
from tiny_recordings import numbered_frame

from data.action_lines import BINARY_KEYS

WIDTH = 8
CONTRACTOR = {"contractor_version": "8.x", "contractor_index": 17}
MIXED_AGENTS = {
    "output_dir": "/data/dataset_mixed_agents",
    "max_timesteps": 7200,
    "min_timesteps": 1000,
    "switch_agent_prob": 0.001,
    "perform_spin_prob": 0.00133,
    "agent1_name": "bc-house-3x",
    "agent1_in_model": "data/weights/vpt/3x.model",
    "agent1_in_weights": "data/weights/vpt/bc-house-3x.weights",
    "agent2_name": "rl-from-foundation-2x",
    "agent2_in_model": "data/weights/vpt/2x.model",
    "agent2_in_weights": "data/weights/vpt/rl-from-foundation-2x.weights",
    "seed": 4,
    "switch_to_agent1_prob": 0.001,
    "switch_to_agent2_prob": 0.00033,
    "switches": [[31, "agent2"]],
    "spins": [[12, 20]],
    "total_minutes": 0.05,
    "error_msg": "the connection to the world was lost",
}


def actions(n, seed=0):
    """MineRL actions of n frames, arrays."""
    rng = np.random.default_rng(seed)
    return {**{key: rng.integers(0, 2, n) for key in BINARY_KEYS}, "camera": rng.normal(0, 5, (n, 2))}


def embeds(n, seed=1, width=WIDTH):
    """float32 [n, width]."""
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def lay_down(folder, n=60, metadata=CONTRACTOR, lists=False, seed=0, width=WIDTH) -> Path:
    """An episode of n numbered frames. ``metadata`` None: no metadata.json. ``lists``: of floats, not arrays (1, E)."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    video = cv2.VideoWriter(str(folder / "frames.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 20, (128, 128))
    for number in range(n):
        video.write(numbered_frame(number))
    video.release()
    listed, rows = [], [None] * min(n, 15)
    for t in range(n):
        taken = {key: values[t] for key, values in actions(n, seed).items()}
        # As an agent's are, and as a recording's are.
        one = {"camera": taken.pop("camera")[None] if seed % 2 else taken.pop("camera")}
        listed.append({**one, **{key: np.array([v]) if seed % 2 else int(v) for key, v in taken.items()}})
    rows += [row.tolist() if lists else row[None] for row in embeds(n, seed + 1, width)[15:]]
    (folder / "actions.pkl").write_bytes(pickle.dumps(listed))
    (folder / "embeds_attn.pkl").write_bytes(pickle.dumps(rows))
    (folder / "len.txt").write_text(str(n))
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=4))
    return folder
