"""Playing episodes: one policy in N worlds side by side, each measured from its own observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from steve1.embed_conditioned_policy import MinecraftAgentPolicy
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

    Returns the N episodes' measures. A world that ends its episode early is left alone from then on.
    """
    observations = []
    for env, seed in zip(envs, seeds, strict=True):
        env.seed(seed)
        observations.append(env.reset())
    measures = [EpisodeMeasures(obs) for obs in observations]
    agent = AgentBatch(policy, [row_generator(seed) for seed in seeds], cond_scale, deterministic)
    playing = [True] * len(envs)
    for _ in range(steps):
        # A finished row stays in the batch with its last picture, so that the others' rows stay where they are.
        actions = agent.act([obs["pov"] for obs in observations], goals)
        for row, env in enumerate(envs):
            if not playing[row]:
                continue
            if watch is not None:
                watch(row, observations[row]["pov"])
            observations[row], _, done, info = env.step(actions[row])
            measures[row].add(actions[row], observations[row], info)
            playing[row] = not done
        if tick is not None:
            tick()
        if not any(playing):
            break
    return measures
