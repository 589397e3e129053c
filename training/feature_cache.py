"""Picture features of frozen picture networks, computed once and kept on disk (``--freeze img_process``).

What the picture network makes of a frame depends on nothing but its weights and the frame; where it is frozen, that
is nearly all of a step's work done again and again. A file holds the features of one whole episode, float32
[n, hidsize], and is called by all that decides them: weights, precision, picture size, and the episode's files with
their sizes and times. So it is found again by whoever needs the same, and never taken for another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import MinecraftDataset
from steve1.checkpoints import check_finite, tensors_hash
from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.files import remove_partials, whole_file

_FRAMES_AT_ONCE = 64
_RESERVE = 1_000_000_000  # bytes of the disk that are left to checkpoints and whatever else


class FeatureCache:
    """The features of a run's episodes.

    Args:
        policy: its picture network is frozen. precision: in which it computes ("no", "bf16", ...).
        folder: where the files are.
    """

    def __init__(self, policy: MinecraftAgentPolicy, precision: str, folder: Path):
        self.width = policy.net.hidsize
        self._see = policy.net.see
        self._device = policy.net.final_ln.weight.device
        decides = f"{tensors_hash(policy.net.img_process)} {precision} {policy.net.img_shape}"
        self.folder = folder / hashlib.sha256(decides.encode()).hexdigest()[:16]

    def path(self, episode_dir: str) -> Path:
        """The file of an episode's features, there or not."""
        name = f"{os.path.abspath(episode_dir)} {EpisodeStorage(episode_dir).fingerprint()}"
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npy"

    def missing(self, datasets: Iterable[MinecraftDataset]) -> list[tuple[MinecraftDataset, str]]:
        """The episodes whose features are still to be computed, each once, with a dataset that has its frames."""
        found: dict[str, MinecraftDataset] = {}
        for dataset in datasets:
            for episode_dir in dataset.used_dirs:
                shape = len(EpisodeStorage(episode_dir)), self.width
                if episode_dir not in found and not _is_whole(self.path(episode_dir), shape):
                    found[episode_dir] = dataset
        return [(dataset, episode_dir) for episode_dir, dataset in found.items()]

    def check_room(self, missing: Iterable[tuple[MinecraftDataset, str]]) -> int:
        """The bytes that the missing features take; raises UserError where the disk has less."""
        needed = sum(4 * self.width * len(EpisodeStorage(episode_dir)) for _, episode_dir in missing)
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed and needed + _RESERVE > free:
            raise UserError(
                f"picture features of {needed / 1e9:.1f} GB do not fit into {self.folder} ({free / 1e9:.1f} GB are "
                "free); make room, or give --cache_features False to compute them anew in every step"
            )
        return needed

    @torch.no_grad()
    def compute(self, dataset: MinecraftDataset, episode_dir: str) -> None:
        """Compute and keep an episode's features; raises UserError where they are not finite."""
        n = len(EpisodeStorage(episode_dir))
        features = np.empty((n, self.width), dtype=np.float32)
        for start in range(0, n, _FRAMES_AT_ONCE):
            stop = min(start + _FRAMES_AT_ONCE, n)
            img = torch.from_numpy(dataset.load_frames(episode_dir, start, stop)).to(self._device)
            features[start:stop] = self._see(img[None])[0].float().cpu().numpy()
        check_finite({"features": torch.from_numpy(features)}, episode_dir, "the picture network is damaged")
        path = self.path(episode_dir)
        remove_partials(path)
        with whole_file(path) as partial, open(partial, "wb") as file:
            np.save(file, features)

    def serve(self, datasets: Iterable[MinecraftDataset]) -> None:
        """From here on the datasets' items have features in place of pictures."""
        for dataset in datasets:
            dataset.use_features({name: self.path(name) for name in dataset.used_dirs}, self.width)


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    try:
        kept = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return kept.shape == shape and kept.dtype == np.float32


def why_not(policy: MinecraftAgentPolicy, augment: bool, sharded: bool) -> str | None:
    """Why features can't be kept though the picture network is frozen; None where they can, "" where it is trained."""
    if any(p.requires_grad for p in policy.net.img_process.parameters()):
        return ""
    if augment:
        return "--augment changes the pictures every time"
    if sharded:
        return "FSDP has the picture network in parts"
    return None
