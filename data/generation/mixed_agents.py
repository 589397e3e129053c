"""Mixed-agent play: which of two agents acts when, and when the player spins (STEVE-1, section 4.1).

The plan of an episode depends on its random stream alone, not on the world, so it is drawn before the episode
begins. :func:`play` then follows it in a world. Loading models and writing episodes is gen_mixed_agents.py's work.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from steve1.cli import UserError

if TYPE_CHECKING:
    from steve1.MineRLConditionalAgent import AgentBatch

SWITCH_AGENT_PROB = 1 / 1000
PERFORM_SPIN_PROB = 1 / 750
TOWARDS_TUNED = 1 / 3  # a switch to the one tuned agent is so many times as likely as one from it
SPIN_DEGREES = (90.0, 360.0)  # of a whole spin
SPIN_STEP = (20.0, 30.0)  # degrees a frame


def is_tuned(weights_name: str) -> bool:
    """Whether a weights file's name says that reinforcement learning tuned it: ``rl-from`` or ``rl_from`` in it."""
    return re.search("rl[-_]from", weights_name) is not None


def switch_probs(switch_agent_prob: float, tuned: Sequence[bool]) -> tuple[float, float]:
    """The probability, a step, of leaving agent 0 and of leaving agent 1.

    ``switch_agent_prob`` for both, except where exactly one is tuned: to it a third of that (1/3000 for 1/1000).
    """
    if tuned[0] == tuned[1]:
        return switch_agent_prob, switch_agent_prob
    towards = switch_agent_prob * TOWARDS_TUNED
    return (towards, switch_agent_prob) if tuned[1] else (switch_agent_prob, towards)


def draw_spin(rng: np.random.Generator) -> np.ndarray:
    """The yaw of each frame of a spin, degrees, float64 [n]: one direction and one step, repeated as published.

    Total and step are drawn within their limits, and the step is then the one nearest to it that n frames make up
    the total with.
    """
    total, step = rng.uniform(*SPIN_DEGREES), rng.uniform(*SPIN_STEP)
    least, most = SPIN_STEP
    n = min(max(round(total / step), math.ceil(total / most)), math.floor(total / least))
    return np.full(n, total / n if rng.random() < 0.5 else -total / n)


@dataclass(frozen=True)
class Plan:
    """An episode's schedule.

    ``agent`` int [n]: 0 or 1. ``fresh`` bool [n]: the acting agent's memory is wiped before this frame. ``spin``
    float [n]: degrees of yaw where the player spins instead of the agent's acting; 0 elsewhere.
    """

    agent: np.ndarray
    fresh: np.ndarray
    spin: np.ndarray

    def switches(self, n: int) -> list[dict[str, int]]:
        """The switches within the first ``n`` frames: the frame, and who acts from there on."""
        frames = np.flatnonzero(np.diff(self.agent[:n])) + 1
        return [{"frame": int(t), "to": int(self.agent[t])} for t in frames]

    def spins(self, n: int) -> list[dict[str, float]]:
        """The spins within the first ``n`` frames: the first frame, how many frames, and degrees of yaw in all."""
        spinning = np.concatenate(([False], self.spin[:n] != 0, [False]))
        edges = np.flatnonzero(np.diff(spinning)).reshape(-1, 2)
        # Fresh memory begins after a spin, so two spins on end are told apart by it.
        found = []
        for start, stop in edges.tolist():
            cuts = [start, *(start + 1 + np.flatnonzero(self.fresh[start + 1 : stop])).tolist(), stop]
            found += [
                {"frame": a, "frames": b - a, "degrees": float(self.spin[a:b].sum())}
                for a, b in itertools.pairwise(cuts)
            ]
        return found


def draw_plan(
    rng: np.random.Generator,
    n: int,
    switch_agent_prob: float = SWITCH_AGENT_PROB,
    perform_spin_prob: float = PERFORM_SPIN_PROB,
    tuned: Sequence[bool] = (False, False),
) -> Plan:
    """Draw the schedule of ``n`` frames.

    Either agent begins, evenly. At each frame that is no part of a spin there is first a switch (see
    :func:`switch_probs`), then a spin begins, each with its probability; a spin is played to its end.
    """
    leave = switch_probs(switch_agent_prob, tuned)
    agent, fresh, spin = np.zeros(n, np.int64), np.zeros(n, bool), np.zeros(n)
    acting = int(rng.integers(2))
    t, wipe = 0, True
    while t < n:
        if t and rng.random() < leave[acting]:
            acting, wipe = 1 - acting, True
        yaws = draw_spin(rng)[: n - t] if rng.random() < perform_spin_prob else np.zeros(0)
        stop = t + max(len(yaws), 1)
        agent[t:stop], fresh[t] = acting, wipe
        spin[t : t + len(yaws)] = yaws
        wipe = len(yaws) > 0
        t = stop
    return Plan(agent, fresh, spin)


class _Lost(Exception):
    """The world failed: an exception from it, or its own word that it is broken."""


@dataclass
class Played:
    """What :func:`play` notes: an action a frame, why it ended, and whether the world was lost."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    ended: str = "max_timesteps"
    lost: bool = False

    def arrays(self, n: int) -> dict[str, np.ndarray]:
        """The first ``n`` actions as arrays [n], ``camera`` [n, 2]."""
        return {key: np.array([action[key] for action in self.actions[:n]]) for key in self.actions[0]}


def play(
    env: Any, world_seed: int, agents: Sequence[AgentBatch], plan: Plan, played: Played
) -> Iterator[np.ndarray]:
    """Play one episode; yield the picture of each frame, uint8 [H, W, 3], having noted its action in ``played``.

    ``agents``: two batches of one row. The episode ends with the plan, with the world's ``done``, or where the
    world is lost: then all frames before that stay.
    """
    from steve1.vpt.actions import ENV_KEYS

    noop = {**dict.fromkeys(ENV_KEYS, 0), "camera": np.zeros(2, np.float32)}
    goals = [np.zeros((1, agent.policy.net.mineclip_embed_dim), np.float32) for agent in agents]
    try:
        _ask(env.seed, world_seed)
        obs = _ask(env.reset)
        for t in range(len(plan.agent)):
            row = int(plan.agent[t])
            if plan.fresh[t]:
                agents[row].reset(0)
            if plan.spin[t]:
                action = {**noop, "camera": np.array([0, plan.spin[t]], np.float32)}
            else:
                action = agents[row].act([obs["pov"]], goals[row])[0]
            before = obs["pov"].copy()
            obs, _, done, info = _ask(env.step, action)
            if info.get("error"):
                raise _Lost(str(info["error"]))
            played.actions.append(action)
            yield before
            if done:
                played.ended = "the world ended it"
                return
    except _Lost as error:
        played.ended, played.lost = f"the world was lost: {error}", True


def _ask(call: Any, *args: Any) -> Any:
    """Call the world. Whatever it raises, it is lost, save what the user must mend: no other world would be better."""
    from steve1.envs import WorldLost

    try:
        return call(*args)
    except WorldLost as error:
        raise _Lost(str(error)) from error
    except UserError:
        raise
    except Exception as error:
        raise _Lost(f"{type(error).__name__}: {error}") from error
