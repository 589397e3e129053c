"""Where training data comes from: what is noted beside weights, so that goals and policies can be matched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.EpisodeStorage import EpisodeStorage
from steve1.checkpoints import read_metadata
from steve1.cli import UserError


def dataset_provenance(episode_dirs: Sequence[str], allow_mixed_mineclip: bool = False) -> dict[str, Any]:
    """The number of episodes and frames, a hash of their names and lengths, and the MineCLIPs that embedded them.

    Raises:
        UserError: where two MineCLIPs, or embeddings of two widths, made the episodes' goals; the first is
            accepted with ``allow_mixed_mineclip``.
    """
    digest = hashlib.sha256()
    frames = 0
    mineclips: dict[str, str] = {}  # hash or width -> an episode that has it
    widths: dict[int, str] = {}
    for path in episode_dirs:
        episode = EpisodeStorage(path)
        digest.update(f"{Path(path).name} {len(episode)}\n".encode())
        frames += len(episode)
        if episode.metadata.get("mineclip_hash"):
            mineclips.setdefault(episode.metadata["mineclip_hash"], path)
        if episode.metadata.get("embed_dim"):
            widths.setdefault(int(episode.metadata["embed_dim"]), path)
    if len(widths) > 1:
        found = ", ".join(f"{width} in {path}" for width, path in sorted(widths.items()))
        raise UserError(
            f"the episodes' embeddings have {len(widths)} widths ({found}); make a sampling of one kind"
        )
    if len(mineclips) > 1 and not allow_mixed_mineclip:
        found = ", ".join(f"{hash_[:12]} in {path}" for hash_, path in sorted(mineclips.items()))
        raise UserError(
            f"the episodes' embeddings were made by {len(mineclips)} different MineCLIPs ({found}), and goals of one "
            "mean nothing to the other; convert them with one, or give --allow_mixed_mineclip"
        )
    return {
        "episodes": len(episode_dirs),
        "frames": frames,
        "episodes_hash": digest.hexdigest(),
        "mineclip_hashes": sorted(mineclips),
    }


def check_same_mineclip(provenance: dict[str, Any], in_weights: str | os.PathLike) -> None:
    """Refuse to fine-tune weights with goals of another MineCLIP than they were trained with, as far as is known.

    Raises:
        UserError: with both names.
    """
    before = read_metadata(in_weights).get("data", {}).get("mineclip_hashes") or []
    other = [hash_ for hash_ in provenance["mineclip_hashes"] if hash_ not in before]
    if before and other:
        raise UserError(
            f"{in_weights} was trained with goals of MineCLIP {before[0][:12]}, and the episodes' embeddings are of "
            f"MineCLIP {other[0][:12]}; convert the episodes with the first, or give --allow_mixed_mineclip to let "
            "the policy learn the new goals"
        )
