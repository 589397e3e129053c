"""Playing episodes: one policy in N worlds side by side, each measured from its own observations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from steve1.config import POV_SHAPE
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import WorldLost, reset_all, step_all
from steve1.MineRLConditionalAgent import AgentBatch
from steve1.playing.insight import Look, insight
from steve1.playing.measures import EpisodeMeasures
from steve1.streams import torch_stream


class Rollout:
    """N episodes of up to ``steps`` steps, one in each of N worlds, played in one batch, a step at a time.

    Args:
        envs: N worlds. seeds: of the worlds. goals: float [N, E], fixed for the episode; zeros are no goal.
        sampling_seeds: of the sampling; None takes the worlds' seeds. A row is the same episode in a batch as alone.
        commands: that each world is given after its reset, before the first picture that is acted on; for worlds with
        ``execute_cmd``. None: none.

    Worlds that run in processes of their own are reset and stepped at once.

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
        commands: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.measures: list[EpisodeMeasures] = []
        self._envs, self._goals, self._steps, self._step = list(envs), goals, steps, 0
        self._povs: list[np.ndarray] = []
        for env, seed in zip(envs, seeds, strict=True):
            env.seed(seed)
        for row, (env, begun) in enumerate(zip(envs, reset_all(envs), strict=True)):
            obs: Mapping[str, Any] | WorldLost = begun
            if not isinstance(begun, WorldLost) and commands is not None:
                obs = _commanded(env, begun, commands[row])
            lost = f"lost before its first step: {obs}" if isinstance(obs, WorldLost) else None
            first = {"pov": np.zeros(POV_SHAPE, np.uint8)} if isinstance(obs, WorldLost) else obs
            self.measures.append(EpisodeMeasures(first))
            self.measures[-1].lost = lost
            self._povs.append(first["pov"])
        self._actions: list[dict[str, Any]] = []
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

    def look(self, row: int) -> Look:
        """What is behind the newest step of a world."""
        assert self._agent.thought is not None, "nothing was played yet"
        return Look(self._actions[row], insight(self._agent.thought, row))

    def step(self) -> list[np.ndarray | None]:
        """Act once in every world that plays; the pictures that were acted on, a row each, None for the others."""
        self._step += 1
        # A finished row stays in the batch with its last picture, so that the others' rows stay where they are.
        self._actions = actions = self._agent.act(self._povs, self._goals)
        seen: list[np.ndarray | None] = [None] * len(self._envs)
        steps = step_all(
            self._envs, [action if on else None for action, on in zip(actions, self._playing, strict=True)]
        )
        for row, step in enumerate(steps):
            if step is None:
                continue
            seen[row] = self._povs[row]
            if isinstance(step, WorldLost):
                self.measures[row].lost = f"lost at step {self._step} of {self._steps}: {step}"
                self._playing[row] = False
                continue
            obs, _, done, info = step
            self.measures[row].add(actions[row], obs, info)
            self._taken[row].update(action_bytes(actions[row]))
            self._povs[row], self._playing[row] = obs["pov"], not done
        return seen


def _commanded(env: Any, obs: Mapping[str, Any], commands: Sequence[str]) -> Mapping[str, Any] | WorldLost:
    """What is seen after a world's commands; ``obs``: what was seen before."""
    try:
        for command in commands:
            obs, _, done, _ = env.execute_cmd(command)
            if done:
                return WorldLost(f"the world ended at its command {command}")
    except WorldLost as error:
        return error
    return obs


def action_bytes(action: Mapping[str, Any]) -> bytes:
    """A MineRL action as bytes that don't depend on the machine: its keys in order, then the camera's degrees."""
    keys = bytes(int(action[name]) for name in sorted(action) if name != "camera")
    return keys + np.asarray(action["camera"], "<f8").tobytes()
