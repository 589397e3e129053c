"""Where training data comes from: what is noted beside weights, so that goals and policies can be matched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.EpisodeStorage import EpisodeStorage


def dataset_provenance(episode_dirs: Sequence[str]) -> dict[str, Any]:
    """The number of episodes and frames, a hash of their names and lengths, and the MineCLIPs that embedded them."""
    digest = hashlib.sha256()
    frames, mineclips = 0, set()
    for path in episode_dirs:
        episode = EpisodeStorage(path)
        digest.update(f"{Path(path).name} {len(episode)}\n".encode())
        frames += len(episode)
        mineclips.add(episode.metadata.get("mineclip_hash"))
    return {
        "episodes": len(episode_dirs),
        "frames": frames,
        "episodes_hash": digest.hexdigest(),
        "mineclip_hashes": sorted(h for h in mineclips if h),
    }
