"""Playing episodes: one policy in N worlds side by side, each measured from its own observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from steve1.config import POV_SHAPE
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import WorldLost
from steve1.measures import EpisodeMeasures
from steve1.MineRLConditionalAgent import AgentBatch, row_generator

# Called with (row, pov) for every picture that the agent acts on, in order.
Watch = Callable[[int, np.ndarray], None]


def play(
    policy: MinecraftAgentPolicy,
    envs: Sequence[Any],
    seeds: Sequence[int],
    goals: torch.Tensor,
    steps: int,
    cond_scale: float | None = None,
    deterministic: bool = False,
    watch: Watch | None = None,
    tick: Callable[[], object] | None = None,
) -> list[EpisodeMeasures]:
    """Play one episode of up to ``steps`` steps in each of N worlds, in one batch.

    Args:
        envs: N worlds. seeds: of the worlds and of the sampling, one a row: a row is the same episode in a batch
            as alone. goals: float [N, E], fixed for the episode; zeros are no goal.
        watch: see :data:`Watch`. tick: called after every step of all worlds.

    Returns the N episodes' measures. A world that ends its episode early is left alone from then on; so is one that
    crashes or hangs, and its measures say so (``lost``). The caller may go on with the same worlds.
    """
    measures, povs = [], []
    for env, seed in zip(envs, seeds, strict=True):
        env.seed(seed)
        lost = None
        try:
            obs = env.reset()
        except WorldLost as error:
            obs, lost = {"pov": np.zeros(POV_SHAPE, np.uint8)}, f"lost before its first step: {error}"
        measures.append(EpisodeMeasures(obs))
        measures[-1].lost = lost
        povs.append(obs["pov"])
    playing = [measured.lost is None for measured in measures]
    agent = AgentBatch(policy, [row_generator(seed) for seed in seeds], cond_scale, deterministic)
    for step in range(1, steps + 1):
        if not any(playing):
            break
        # A finished row stays in the batch with its last picture, so that the others' rows stay where they are.
        actions = agent.act(povs, goals)
        for row, env in enumerate(envs):
            if not playing[row]:
                continue
            if watch is not None:
                watch(row, povs[row])
            try:
                obs, _, done, info = env.step(actions[row])
            except WorldLost as error:
                measures[row].lost = f"lost at step {step} of {steps}: {error}"
                playing[row] = False
                continue
            measures[row].add(actions[row], obs, info)
            povs[row], playing[row] = obs["pov"], not done
        if tick is not None:
            tick()
    return measures
