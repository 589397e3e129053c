"""Goals that stand in what was recorded: in an episode's frame, or in the last pictures of a film."""

from __future__ import annotations

import argparse
from collections import deque
from pathlib import Path

import numpy as np
import torch

from data.EpisodeStorage import EpisodeStorage
from data.video import decode
from steve1.cli import UserError
from steve1.config import FIRST_EMBED
from steve1.playing.goals import check_made_by, fitting_goal


def last_pictures(path: Path, n: int) -> np.ndarray:
    """The last ``n`` pictures of a film, or all where it has fewer, uint8 [n, H, W, 3] RGB."""
    return np.stack(deque(decode(path), maxlen=n))


def episode_goal(args: argparse.Namespace, folder: Path, frame: int, width: int) -> torch.Tensor:
    """The stored embedding [E] of the 16 frames of an episode that end at ``frame``; ``args``: run_agent's flags.

    Raises UserError where there is none, or where it belongs to another MineCLIP than the weights.
    """
    episode, source = EpisodeStorage(folder), f"--visual_prompt {folder}:{frame}"
    if frame >= len(episode):
        raise UserError(f"{source}: the episode has frames 0 to {len(episode) - 1}")
    goals = episode.load_goals()
    for cut in episode.cuts:
        if cut <= frame < cut + FIRST_EMBED:
            raise UserError(
                f"{source}: its 16 frames reach over the episode's cut at {cut}; name one from {cut + FIRST_EMBED} on"
            )
    goal = fitting_goal(goals[frame], source, width)
    weights = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    check_made_by(episode.metadata.get("mineclip_hash"), str(folder), weights, args.allow_other_mineclip)
    return goal
