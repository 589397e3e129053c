"""How well a MineCLIP tells behaviours apart: does a clip lie nearest to its own behaviour's text?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from steve1.mineclip import MineCLIP
    from training.mineclip_contrast import Clips, Segment

STRIDE = 4  # frames between two clips that are judged


@dataclass
class Retrieval:
    """``accuracy``: the share of clips whose nearest text is their own, ``by_meaning`` likewise.

    Every text list is gone through one wording a meaning at a time (the shorter lists repeating), and the
    shares are averaged over that.
    """

    accuracy: float
    by_meaning: dict[str, float]
    clips: int


def embed_segments(
    mineclip: MineCLIP, clips: Clips, segments: Sequence[Segment], stride: int = STRIDE
) -> tuple[Tensor, Tensor]:
    """Embeddings [N, E] of every ``stride``-th window of the segments, and their meanings int [N]."""
    window = mineclip.config["window"]
    embeds, meanings = [], []
    mineclip.eval()
    with torch.inference_mode():
        for segment in segments:
            frames = clips.frames[segment.first : segment.first + segment.length].permute(0, 3, 1, 2)
            features = torch.cat([mineclip.forward_image_features(part) for part in frames.split(256)])
            windows = features.unfold(0, window, stride).transpose(1, 2)  # [n, window, E]
            embeds.append(mineclip.forward_video_features(windows))
            meanings += [segment.meaning] * len(windows)
    return torch.cat(embeds), torch.tensor(meanings)


def retrieve(
    mineclip: MineCLIP, video: Tensor, meanings: Tensor, texts: Mapping[str, Sequence[str]]
) -> Retrieval:
    """Judge embeddings [N, E] of clips; meaning i is the i-th of ``texts``. Similarity is the cosine."""
    video = F.normalize(video, dim=-1)
    hits = []
    for turn in range(max(len(some) for some in texts.values())):
        with torch.inference_mode():
            text = mineclip.encode_text([some[turn % len(some)] for some in texts.values()])
        nearest = (video @ F.normalize(text, dim=-1).T).argmax(dim=1).cpu()
        hits.append((nearest == meanings).numpy())
    share = np.mean(hits, axis=0)  # [N]
    numbers = meanings.numpy()
    by_meaning = {
        name: float(share[numbers == number].mean())
        for number, name in enumerate(texts)
        if (numbers == number).any()
    }
    return Retrieval(float(share.mean()), by_meaning, len(video))
