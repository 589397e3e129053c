"""Goals to play by: from texts, through the prior, from visual prompts; and whether they suit the policy."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from steve1.checkpoints import load_mineclip, load_pickle, read_metadata, tensors_hash
from steve1.cli import UserError
from steve1.mineclip import MineCLIP
from steve1.mineclip.tokenizer import warn_of_misread
from steve1.prior import TranslatorVAE, load_prior
from steve1.streams import torch_stream


@torch.no_grad()
def text_embeds(mineclip: MineCLIP, texts: Sequence[str]) -> torch.Tensor:
    """Embeddings of texts, float32 [N, E] on the CPU; says on stderr what MineCLIP does not read of them."""
    warn_of_misread(texts, mineclip.config["context_length"])
    return mineclip.encode_text(list(texts)).float().cpu()


@torch.no_grad()
def text_goal(
    embed: torch.Tensor, prior: TranslatorVAE | None, seed: int, deterministic: bool = False
) -> torch.Tensor:
    """An episode's goal [E] for a text's embedding [E]: the prior's sample for the episode's ``seed``.

    Without a prior it is the text's embedding itself; ``deterministic`` takes the prior's latent 0.
    """
    if prior is None:
        return embed
    return prior(embed[None], deterministic=deterministic, generator=torch_stream("prior", seed))[0]


class TextGoals:
    """Goals of texts, each text embedded once. Without a prior a text's embedding is the goal."""

    def __init__(self, mineclip: MineCLIP, prior: TranslatorVAE | None = None) -> None:
        self.mineclip, self.prior = mineclip, prior
        self._embeds: dict[str, torch.Tensor] = {}

    def embed(self, text: str) -> torch.Tensor:
        """A text's embedding, float32 [E] on the CPU."""
        if text not in self._embeds:
            self._embeds[text] = text_embeds(self.mineclip, [text])[0]
        return self._embeds[text]

    def goal(self, text: str, seed: int, deterministic: bool = False) -> torch.Tensor:
        """An episode's goal [E]; see :func:`text_goal`."""
        return text_goal(self.embed(text), self.prior, seed, deterministic)

    def hashes(self) -> dict[str, str | None]:
        """What made the goals, for the notes of what is made by them."""
        prior = None if self.prior is None else tensors_hash(self.prior)
        return {"prior_hash": prior, "mineclip_hash": tensors_hash(self.mineclip)}


def load_text_goals(args: argparse.Namespace, policies: Mapping[str | os.PathLike, int]) -> TextGoals:
    """MineCLIP and prior by the flags of :func:`steve1.flags.add_model_flags`, checked against the policies.

    ``policies``: the goal width of the policy of each weights file.
    """
    mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config)
    prior = None if args.prior_weights is None else load_prior(args.prior_weights)
    for weights, width in policies.items():
        check_goals_fit(
            mineclip,
            args.mineclip_weights,
            width,
            weights,
            None if prior is None else prior.input_dim,
            args.prior_weights,
            args.allow_other_mineclip,
        )
    return TextGoals(mineclip, prior)


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
    return fitting_goal(goal, path, width)


def fitting_goal(goal: np.ndarray, source: object, width: int) -> torch.Tensor:
    """A visual prompt's embedding as a goal [E]; raises UserError where it isn't ``width`` finite numbers."""
    finite = int(np.isfinite(goal).sum())
    if len(goal) == width == finite:
        return torch.from_numpy(np.ascontiguousarray(goal, dtype=np.float32))
    if len(goal) == width and not finite:
        raise UserError(
            f"{source} has no embedding; an episode's first is that of frame 15, name a later one"
        )
    raise UserError(
        f"{source} holds {len(goal)} numbers ({finite} of them finite), and the policy takes goals of width {width}; "
        "make it with the MineCLIP that the policy was trained with"
    )


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
    if not allow_other_mineclip and (_trained_on(policy_weights) or _trained_on(prior_weights, "prior")):
        mineclip_hash = tensors_hash(mineclip)
        check_made_by(mineclip_hash, str(mineclip_path), [policy_weights])
        if prior_weights is not None:
            check_made_by(mineclip_hash, str(mineclip_path), [prior_weights], part="prior")


def check_made_by(
    mineclip_hash: str | None,
    source: str,
    weights: Sequence[str | os.PathLike],
    allow_other_mineclip: bool = False,
    part: str = "policy",
) -> None:
    """Raise :class:`~steve1.cli.UserError` where ``weights`` say that another MineCLIP than ``source``'s made them.

    ``mineclip_hash``: that of the MineCLIP which ``source`` is, or which made it; None, unknown, passes. ``part``:
    which part of the hub's form ``weights`` are.
    """
    if mineclip_hash is None or allow_other_mineclip:
        return
    for path in weights:
        hashes = _trained_on(path, part)
        if hashes and mineclip_hash not in hashes:
            raise UserError(
                f"{path} was trained with another MineCLIP ({', '.join(h[:12] for h in hashes)}) than that of "
                f"{source} ({mineclip_hash[:12]}), whose goals mean something else; give what belongs to the MineCLIP "
                "that it was trained with, or --allow_other_mineclip to play all the same"
            )


def _trained_on(weights: str | os.PathLike | None, part: str = "policy") -> list[str]:
    """The hashes of the MineCLIPs whose embeddings a policy or prior was trained on; none where it isn't said."""
    known = {} if weights is None else read_metadata(weights, part)
    return known.get("data", {}).get("mineclip_hashes") or [h for h in [known.get("mineclip_hash")] if h]
