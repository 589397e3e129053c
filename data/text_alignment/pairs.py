"""Pairs of a text's and a video's embedding: what the prior is trained on. Reading, writing, and what makers share.

The file is a pickle ``{"text_embeddings": [N rows], "visual_embeddings": [N rows]}``; ours holds ``texts``,
``episodes``, ``frames`` (a list each, of N) and ``mineclip_hash`` too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError

if TYPE_CHECKING:
    import numpy as np

    from data.EpisodeStorage import EpisodeStorage
    from steve1.mineclip import MineCLIP

_NOTES: dict[str, Any] = {"texts": "", "episodes": "", "frames": -1}  # and what stands where they are unknown


def embed_texts(mineclip: MineCLIP, texts: Sequence[str]) -> np.ndarray:
    """MineCLIP's embeddings of texts, float32 [N, E]; says on stderr what it does not read of them."""
    import torch

    from steve1.mineclip.tokenizer import warn_of_misread

    warn_of_misread(dict.fromkeys(texts), mineclip.config["context_length"])
    with torch.inference_mode():
        parts = [mineclip.encode_text(list(texts[i : i + 256])) for i in range(0, len(texts), 256)]
    return torch.cat(parts).float().cpu().numpy()


def check_mineclip(
    episode: EpisodeStorage, mineclip_hash: str, weights: str | os.PathLike, allow_other: bool = False
) -> None:
    """Raise UserError, naming both, where an episode was embedded by another MineCLIP than the texts are."""
    theirs = episode.metadata.get("mineclip_hash")
    if theirs is None and not allow_other:
        raise UserError(
            f"{episode.dirpath} does not say which MineCLIP embedded it (published episodes don't); if it was "
            f"{weights}, give --allow_other_mineclip"
        )
    if theirs != mineclip_hash and not allow_other:
        raise UserError(
            f"{episode.dirpath} was embedded by the MineCLIP with the hash {theirs}, but {weights} has "
            f"{mineclip_hash}; give the weights that made the episodes, or make the episodes again"
        )


def load_pairs(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Read (text, visual, MineCLIP's hash or None) with both float32 [N, D]; the extra key is ours."""
    content = _load(path)
    return content["text_embeddings"], content["visual_embeddings"], content.get("mineclip_hash")


def merged(path: str | os.PathLike, more: dict[str, list], mineclip_hash: str) -> dict[str, list]:
    """The pairs of a file, then those of ``more`` that are not among them (by text, episode and frame).

    Raises UserError where the file was made with another MineCLIP.
    """
    content = _load(path)
    theirs = content.get("mineclip_hash")
    if theirs != mineclip_hash:
        raise UserError(
            f"{path} was made with the MineCLIP with the hash {theirs}, the new pairs with {mineclip_hash}; "
            "make it again with the same MineCLIP"
        )
    n = len(content["text_embeddings"])
    both: dict[str, list] = {key: list(content[key]) for key in ("text_embeddings", "visual_embeddings")}
    for key, unknown in _NOTES.items():
        both[key] = list(content[key]) if len(content.get(key, ())) == n else [unknown] * n
    seen = set(_identities(both))
    for i, identity in enumerate(_identities(more)):
        if identity not in seen:
            for key in both:
                both[key].append(more[key][i])
    return both


def _identities(pairs: dict[str, list]) -> Iterable[tuple]:
    return zip(pairs["texts"], pairs["episodes"], pairs["frames"], strict=True)


def _load(path: str | os.PathLike) -> dict[str, Any]:
    """A file's content, with both embeddings as float32 [N, D]."""
    import numpy as np

    from steve1.safe_pickle import load_pickle

    content = load_pickle(Path(path))
    try:
        text, visual = (
            np.stack([np.asarray(row, dtype=np.float32).reshape(-1) for row in content[key]])
            for key in ("text_embeddings", "visual_embeddings")
        )
    except (KeyError, TypeError, ValueError, IndexError):
        raise UserError(
            f"{path} must hold a dict of the lists text_embeddings and visual_embeddings, rows of one width; "
            "make it with data/text_alignment/make_prior_dataset.py"
        ) from None
    if text.shape != visual.shape:
        raise UserError(
            f"{path} pairs {len(text)} text embeddings of width {text.shape[1]} with {len(visual)} video "
            f"embeddings of width {visual.shape[1]}; both must be equal: make it again"
        )
    broken = np.flatnonzero(~np.isfinite(text).all(axis=1) | ~np.isfinite(visual).all(axis=1))
    if len(broken):
        raise UserError(
            f"{path}: {len(broken)} pairs are not finite, the first is pair {broken[0]}; make it again"
        )
    return {**content, "text_embeddings": text, "visual_embeddings": visual}
