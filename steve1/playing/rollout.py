"""Playing episodes: one policy in N worlds side by side, each measured from its own observations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from steve1.config import POV_SHAPE
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import WorldLost
from steve1.MineRLConditionalAgent import AgentBatch
from steve1.playing.measures import EpisodeMeasures
from steve1.streams import torch_stream


class Rollout:
    """N episodes of up to ``steps`` steps, one in each of N worlds, played in one batch, a step at a time.

    Args:
        envs: N worlds. seeds: of the worlds. goals: float [N, E], fixed for the episode; zeros are no goal.
        sampling_seeds: of the sampling; None takes the worlds' seeds. A row is the same episode in a batch as alone.

    A world that ends its episode early is left alone from then on; so is one that crashes or hangs, and its measures
    say so (``lost``). The caller may go on with the same worlds afterwards.
    """

    def __init__(
        self,
        policy: MinecraftAgentPolicy,
        envs: Sequence[Any],
        seeds: Sequence[int],
        goals: torch.Tensor,
        steps: int,
        cond_scale: float | None = None,
        deterministic: bool = False,
        sampling_seeds: Sequence[int] | None = None,
    ) -> None:
        self.measures: list[EpisodeMeasures] = []
        self._envs, self._goals, self._steps, self._step = list(envs), goals, steps, 0
        self._povs: list[np.ndarray] = []
        for env, seed in zip(envs, seeds, strict=True):
            env.seed(seed)
            lost = None
            try:
                obs = env.reset()
            except WorldLost as error:
                obs, lost = {"pov": np.zeros(POV_SHAPE, np.uint8)}, f"lost before its first step: {error}"
            self.measures.append(EpisodeMeasures(obs))
            self.measures[-1].lost = lost
            self._povs.append(obs["pov"])
        self._playing = [measured.lost is None for measured in self.measures]
        self._taken = [hashlib.sha256() for _ in self._envs]
        streams = [
            torch_stream("actions", seed) for seed in (seeds if sampling_seeds is None else sampling_seeds)
        ]
        self._agent = AgentBatch(policy, streams, cond_scale, deterministic)

    @property
    def over(self) -> bool:
        """Whether no world plays on."""
        return self._step == self._steps or not any(self._playing)

    def actions_hash(self, row: int) -> str:
        """SHA-256 (hex) over the actions that were taken in a world, in order."""
        return self._taken[row].hexdigest()

    def step(self) -> list[np.ndarray | None]:
        """Act once in every world that plays; the pictures that were acted on, a row each, None for the others."""
        self._step += 1
        # A finished row stays in the batch with its last picture, so that the others' rows stay where they are.
        actions = self._agent.act(self._povs, self._goals)
        seen: list[np.ndarray | None] = [None] * len(self._envs)
        for row, env in enumerate(self._envs):
            if not self._playing[row]:
                continue
            seen[row] = self._povs[row]
            try:
                obs, _, done, info = env.step(actions[row])
            except WorldLost as error:
                self.measures[row].lost = f"lost at step {self._step} of {self._steps}: {error}"
                self._playing[row] = False
                continue
            self.measures[row].add(actions[row], obs, info)
            self._taken[row].update(action_bytes(actions[row]))
            self._povs[row], self._playing[row] = obs["pov"], not done
        return seen


def action_bytes(action: Mapping[str, Any]) -> bytes:
    """A MineRL action as bytes that don't depend on the machine: its keys in order, then the camera's degrees."""
    keys = bytes(int(action[name]) for name in sorted(action) if name != "camera")
    return keys + np.asarray(action["camera"], "<f8").tobytes()
