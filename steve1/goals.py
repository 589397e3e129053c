"""Goals to play by: from texts, through the prior, from visual prompts; and whether they suit the policy.

The prior is any module ``prior(text [1, E], deterministic, generator) -> [1, E]`` (``data.text_alignment.vae``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from steve1.checkpoints import load_pickle, read_metadata, tensors_hash
from steve1.cli import UserError
from steve1.mineclip import MineCLIP
from steve1.MineRLConditionalAgent import row_generator

Prior = Callable[..., torch.Tensor]


@torch.no_grad()
def text_embeds(mineclip: MineCLIP, texts: Sequence[str]) -> torch.Tensor:
    """Embeddings of texts, float32 [N, E] on the CPU."""
    return mineclip.encode_text(list(texts)).float().cpu()


@torch.no_grad()
def text_goal(
    embed: torch.Tensor, prior: Prior | None, seed: int, deterministic: bool = False
) -> torch.Tensor:
    """An episode's goal [E] for a text's embedding [E]: the prior's sample for the episode's ``seed``.

    Without a prior it is the text's embedding itself; ``deterministic`` takes the prior's latent 0.
    """
    if prior is None:
        return embed
    return prior(embed[None], deterministic=deterministic, generator=row_generator(seed, "prior"))[0]


def visual_goal(path: str | os.PathLike, width: int) -> torch.Tensor:
    """Read a visual prompt, a pickled float array (1, E) or (E,), as [E]; raises UserError for another width."""
    try:
        goal = np.asarray(load_pickle(path), dtype=np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} holds no array of numbers; a visual prompt is a pickled (1, E) array"
        ) from None
    if len(goal) != width or not np.isfinite(goal).all():
        raise UserError(
            f"{path} holds {len(goal)} numbers ({np.isfinite(goal).sum()} of them finite), and the policy takes "
            f"goals of width {width}; make it with the MineCLIP that the policy was trained with"
        )
    return torch.from_numpy(goal)


def check_goals_fit(
    mineclip: MineCLIP,
    mineclip_path: object,
    policy_width: int,
    policy_weights: str | os.PathLike,
    prior_width: int | None = None,
    prior_weights: str | os.PathLike | None = None,
    allow_other_mineclip: bool = False,
) -> None:
    """Raise :class:`~steve1.cli.UserError` where a MineCLIP's goals can't be, or should not be, those of a policy.

    MineCLIP, prior and policy must have embeddings of one width; and, unless ``allow_other_mineclip``, policy and
    prior must have been trained on this MineCLIP's embeddings. The JSON beside their weights says which it was;
    published weights have none, and pass.
    """
    width = mineclip.config["embed_dim"]
    problems = []
    if prior_width not in (None, width):
        problems.append(f"the prior {prior_weights} is for embeddings of width {prior_width}")
    if policy_width != width:
        problems.append(f"the policy {policy_weights} is for goals of width {policy_width}")
    if problems:
        raise UserError(
            f"{mineclip_path} makes embeddings of width {width}, but {' and '.join(problems)}; give the MineCLIP "
            "that they were trained with"
        )
    known = {policy_weights: read_metadata(policy_weights).get("data", {}).get("mineclip_hashes") or []}
    if prior_weights is not None:
        known[prior_weights] = [h for h in [read_metadata(prior_weights).get("mineclip_hash")] if h]
    if allow_other_mineclip or not any(known.values()):
        return
    ours = tensors_hash(mineclip)
    for path, hashes in known.items():
        if hashes and ours not in hashes:
            raise UserError(
                f"{path} was trained with another MineCLIP ({', '.join(h[:12] for h in hashes)}) than "
                f"{mineclip_path} ({ours[:12]}), whose goals mean something else; give the --mineclip_weights that "
                "it was trained with, or --allow_other_mineclip to play all the same"
            )
