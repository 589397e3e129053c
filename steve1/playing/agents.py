"""Who plays, with which goals, and everything that decides each episode before it is played."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steve1 import hub
from steve1.checkpoints import load_model_file
from steve1.cli import UserError
from steve1.config import version
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import identify
from steve1.flags import pythons
from steve1.mineclip import MineCLIP, embed_frames
from steve1.MineRLConditionalAgent import load_policy
from steve1.playing.goal_strip import GoalIndex
from steve1.playing.goals import TextGoals, fitting_goal, load_text_goals, visual_goal
from steve1.playing.plan import PlannedEpisode, labels, visual_source

# Reads the goal [E] of an episode's frame: (folder, frame, width) -> tensor.
ReadEmbed = Callable[[Path, int, int], torch.Tensor]
# Reads the last pictures of a film: (path, how many) -> uint8 [n, H, W, 3] RGB.
ReadFilm = Callable[[Path, int], np.ndarray]


@dataclass
class Agent:
    """Who plays. ``label``: what it is called. ``weights``: its file, and ``weights_hash`` what stands in it."""

    label: str
    policy: MinecraftAgentPolicy
    weights: Path
    weights_hash: str


@dataclass(frozen=True)
class PreparedEpisode:
    """A planned episode and all that decides it. ``decides`` and ``about``: see ``PlayedEpisode``, one an agent.

    ``goal``: float32 [E]. ``wanted``: float32 [E], what MineCLIP scores compare with, or None where there are none.
    """

    plan: PlannedEpisode
    goal: np.ndarray
    wanted: np.ndarray | None
    decides: tuple[dict[str, Any], ...]
    about: tuple[dict[str, Any], ...]


def load_agents(args: argparse.Namespace) -> list[Agent]:
    """The policies of ``--compare_weights`` and ``--in_weights``, in this order, which is that of the labels."""
    agents = []
    paths = [path for path in (args.compare_weights, args.in_weights) if path is not None]
    for label, path in zip(labels(args), paths, strict=True):
        policy, weights_hash = load_policy(args.in_model, path, args.device, args.precision)
        agents.append(Agent(label, policy, path, weights_hash))
    return agents


def prepare(
    args: argparse.Namespace,
    planned: Sequence[PlannedEpisode],
    agents: Sequence[Agent],
    seeds: str,
    read_embed: ReadEmbed,
    read_film: ReadFilm,
    index: GoalIndex | None = None,
) -> tuple[list[PreparedEpisode], MineCLIP | None]:
    """Every planned episode with its goal and all that decides it; and the MineCLIP, where scores are to be made.

    ``seeds``: the name of the seed list. ``read_embed``, ``read_film``: what visual goals are read by. ``index``:
    where goals are looked up for the goal strip, or None.
    """
    net = agents[0].policy.net
    width, device = net.mineclip_embed_dim, net.final_ln.weight.device
    texts: TextGoals | None = None
    hashes: dict[str, str | None] = dict.fromkeys(("prior_hash", "mineclip_hash"))
    if args.score_every or any(plan.kind == "text" or _film(args, plan) for plan in planned):
        texts = load_text_goals(args, {agent.weights: width for agent in agents})
        hashes = texts.hashes()
    if index is not None:
        index.check_made_by(None if args.allow_other_mineclip else hashes["mineclip_hash"])
    world, world_version = identify(args.env, **pythons(args))
    shared = {
        "architecture_hash": _hash(load_model_file(args.in_model)),
        "world": world,
        "world_version": world_version,
        "gameplay_length": args.gameplay_length,
        "deterministic": args.deterministic,
        "precision": args.precision,
        "device": device.type,
        "version": version(),
    }
    prepared = []
    for plan in planned:
        goal, wanted = _goal(args, plan, texts, width, read_embed, read_film)
        scored = wanted if args.score_every else None
        decides = {
            "kind": plan.kind,
            "prompt": plan.prompt,
            "goal_hash": _array_hash(goal),
            "prior_hash": hashes["prior_hash"] if plan.kind == "text" else None,
            "mineclip_hash": hashes["mineclip_hash"] if plan.kind == "text" or scored is not None else None,
            "world_seed": plan.world_seed,
            "sampling_seed": plan.sampling_seed,
            "cond_scale": plan.cond_scale,
            "score_every": 0 if scored is None else args.score_every,
            "score_hash": None
            if scored is None or texts is None
            else _hash([_array_hash(scored), dict(texts.mineclip.config)]),
            **shared,
        }
        if plan.commands:
            decides["commands"] = list(plan.commands)
        about: dict[str, Any] = {
            "name": plan.name,
            "file": plan.video.stem,
            "behaviour": plan.behaviour,
            "caption": plan.caption,
            "prior_weights": hub.shown(args.prior_weights)
            if args.prior_weights and plan.kind == "text"
            else None,
            "seeds": seeds,
        }
        if args.overlay:
            about["overlay"] = True
        if index is not None and plan.kind != "no_goal":
            # The text has a say of its own where the goal is what a prior made of it.
            text = wanted if plan.kind == "text" and args.prior_weights else None
            about["goal_strip"] = index.look(goal, text).plain()
        if plan.own_measure is not None:
            about["own_measure"] = plan.own_measure
        prepared.append(
            PreparedEpisode(
                plan,
                goal,
                scored,
                tuple({**decides, "weights_hash": agent.weights_hash} for agent in agents),
                tuple(
                    {**about, "label": agent.label, "in_weights": hub.shown(agent.weights)}
                    for agent in agents
                ),
            )
        )
    return prepared, texts.mineclip.to(device) if texts is not None and args.score_every else None


def _goal(
    args: argparse.Namespace,
    plan: PlannedEpisode,
    texts: TextGoals | None,
    width: int,
    read_embed: ReadEmbed,
    read_film: ReadFilm,
) -> tuple[np.ndarray, np.ndarray | None]:
    """An episode's goal, and the embedding that its pictures may be compared with, each float32 [E]."""
    if plan.kind == "text":
        assert texts is not None
        goal = texts.goal(plan.prompt, plan.sampling_seed, args.deterministic)
        return goal.detach().numpy(), texts.embed(plan.prompt).numpy()
    film = _film(args, plan)
    if film is not None:
        assert texts is not None
        window = texts.mineclip.config["window"]
        frames = read_film(film, window)
        if len(frames) < window:
            raise UserError(
                f"{film} has {len(frames)} pictures; a goal is made of the last {window}, so give a longer one"
            )
        found = fitting_goal(embed_frames(texts.mineclip, frames)[-1], film, width).numpy()
        return found, found
    if plan.kind == "visual":
        path, frame = visual_source(plan.prompt, args.visual_prompts_dir)
        found = (visual_goal(path, width) if frame is None else read_embed(path, frame, width)).numpy()
        return found, found
    return np.zeros(width, np.float32), None


def _film(args: argparse.Namespace, plan: PlannedEpisode) -> Path | None:
    """The film that an episode's goal is made of; None where the goal is made otherwise."""
    films = {str(task.reference_video): task.reference_video for task in args.tasks if task.reference_video}
    return films.get(plan.prompt) if plan.kind == "visual" else None


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()


def _array_hash(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()
