"""The moments of a sampling's training episodes that goals are looked up in (``steve1/playing/goal_strip.py``)."""

from __future__ import annotations

import cv2
import numpy as np

from data.EpisodeStorage import EpisodeStorage
from data.minecraft_dataset import read_list
from steve1.cli import UserError
from steve1.config import FIRST_EMBED
from steve1.flags import sampling_list
from steve1.playing.goal_strip import GoalIndex

MEGABYTES = 100  # of embeddings that are kept
EPISODES = 256  # that are read, evenly spread over the list
_QUALITY = 80  # of the pictures, JPEG


def load_moments(given: str, width: int, megabytes: float = MEGABYTES) -> GoalIndex:
    """The index of a sampling's training moments, in at most ``megabytes`` of memory.

    ``width``: of the goals that will be looked up; raises UserError where an episode's embeddings have another. Moments
    are taken evenly: of at most :data:`EPISODES` episodes, every so many-th frame.
    """
    path = sampling_list(given)
    folders = read_list(path)
    if not folders:
        raise UserError(f"--goal_strip {given}: {path} lists no episode; create the sampling again")
    picked = np.unique(np.linspace(0, len(folders) - 1, EPISODES).round().astype(int))
    episodes = [EpisodeStorage(folders[i]) for i in picked]
    moments = sum(max(len(episode) - FIRST_EMBED, 0) for episode in episodes)
    every = max(1, int(np.ceil(moments * width * 4 / (megabytes * 1e6))))
    embeds, owners, frames = [], [], []
    made_by: dict[str, str] = {}
    for place, episode in enumerate(episodes):
        if episode.metadata.get("mineclip_hash") is not None:
            made_by.setdefault(episode.metadata["mineclip_hash"], str(episode.dirpath))
        goals = episode.load_goals()
        if goals.shape[1] != width:
            raise UserError(
                f"--goal_strip {given}: the embeddings of {episode.dirpath} have {goals.shape[1]} numbers, the goals "
                f"{width}; give the sampling that the policy was trained on"
            )
        known = np.flatnonzero(np.isfinite(goals[:, 0]))[::every]
        embeds.append(goals[known])
        owners.append(np.full(len(known), place))
        frames.append(known)
    if not any(map(len, embeds)):
        raise UserError(f"--goal_strip {given}: no episode of {path} has an embedding; give another sampling")

    def picture(episode: int, frame: int) -> bytes:
        pixels = cv2.cvtColor(episodes[episode].load_frames(frame, frame + 1)[0], cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()

    names = [episode.dirpath.name for episode in episodes]
    index = GoalIndex(np.concatenate(embeds), np.concatenate(owners), np.concatenate(frames), names, picture)
    index.made_by = made_by
    index.about = (
        f"goal strip: {len(index):,} moments of {len(episodes):,} of the {len(folders):,} episodes of {path}"
    )
    return index
