"""Playing prepared episodes, batch by batch, in this process or in others; each becomes a record.

A batch is up to ``num_envs`` worlds of one guidance scale, stepped together. Which episodes share a batch does not
depend on who plays it, so results don't depend on the number of processes. What is shown of the play (films) is the
caller's affair: pictures are handed to a :class:`Watcher`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from steve1 import envs
from steve1.flags import pythons
from steve1.mineclip import MineCLIP
from steve1.MineRLConditionalAgent import check_env
from steve1.playing.agents import Agent, PreparedEpisode, load_agents
from steve1.playing.episode import PlayedEpisode, write_episodes
from steve1.playing.insight import Look
from steve1.playing.measures import OWN_MEASURES
from steve1.playing.rollout import Rollout
from steve1.playing.scoring import EpisodeScore
from steve1.playing.timeline import Timeline

# A batch's pictures at one moment: an agent each, a row each; None where an episode has ended.
Moments = Sequence[Sequence["np.ndarray | None"]]


class Watcher(Protocol):
    """Sees all pictures of a batch while it is entered."""

    def add(self, moments: Moments, minds: Sequence[Mind]) -> None:
        """Take the pictures of one moment; ``minds``, an agent each, tell what was done after them and why."""


class Mind(Protocol):
    """Tells what an agent thought, if it is asked."""

    def look(self, row: int) -> Look:
        """What is behind the newest step of a row."""


# Makes what watches a batch, of its episodes and of the agents' labels; of a module's top level.
MakeWatcher = Callable[[Sequence[PreparedEpisode], Sequence[str]], AbstractContextManager[Watcher]]


def batches(prepared: Sequence[PreparedEpisode], num_envs: int) -> list[list[PreparedEpisode]]:
    """The episodes in batches of one guidance scale each, those without a goal by themselves.

    World by world, because a world that was just made needs not be made again for the next prompt.
    """
    groups: dict[tuple, list[PreparedEpisode]] = {}
    for episode in prepared:
        groups.setdefault((episode.plan.cond_scale, episode.plan.kind == "no_goal"), []).append(episode)
    found = []
    for rows in groups.values():
        seeds = list(dict.fromkeys((row.plan.world_seed, row.plan.sampling_seed) for row in rows))
        order = sorted(rows, key=lambda row: seeds.index((row.plan.world_seed, row.plan.sampling_seed)))
        found += [order[first : first + num_envs] for first in range(0, len(order), num_envs)]
    return found


class Player:
    """Agents with worlds of their own, who play one batch after another.

    Args:
        args: flags of run_agent. mineclip: what scores the episodes, or None. make_watcher: see
        :data:`MakeWatcher`; None watches nothing. on_step: called after every step with how many episodes took it.

    Worlds are made when they are needed, and closed by :meth:`close`.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        agents: Sequence[Agent],
        mineclip: MineCLIP | None,
        make_watcher: MakeWatcher | None = None,
        on_step: Callable[[int], Any] = lambda rows: None,
    ) -> None:
        self._args, self._agents, self._mineclip = args, agents, mineclip
        self._make_watcher, self._on_step = make_watcher, on_step
        self._worlds: list[list[Any]] = [[] for _ in agents]

    def close(self) -> None:
        """Close all worlds."""
        with ExitStack() as closing:
            for world in [world for mine in self._worlds for world in mine]:
                closing.callback(world.close)
        self._worlds = [[] for _ in self._agents]

    def play(self, batch: Sequence[PreparedEpisode]) -> list[list[PlayedEpisode]]:
        """Play a batch; the records of each episode, an agent each, which are also kept beside their films.

        An episode whose world was lost before any agent saw a picture has records and no files.
        """
        args, rows = self._args, range(len(batch))
        goals = torch.from_numpy(np.stack([episode.goal for episode in batch]))  # [N, E]
        scores = [[self._score(episode) for episode in batch] for _ in self._agents]
        timelines = [[self._timeline(episode) for episode in batch] for _ in self._agents]
        frames = np.zeros((len(self._agents), len(batch)), int)
        with ExitStack() as stack:
            watcher = None
            if self._make_watcher is not None:
                labels = [agent.label for agent in self._agents]
                watcher = stack.enter_context(self._make_watcher(batch, labels))
            rollouts = [
                Rollout(
                    agent.policy,
                    worlds,
                    [episode.plan.world_seed for episode in batch],
                    goals,
                    args.gameplay_length,
                    batch[0].plan.cond_scale,
                    args.deterministic,
                    [episode.plan.sampling_seed for episode in batch],
                    [episode.plan.commands for episode in batch],
                )
                for agent, worlds in zip(self._agents, self._first_worlds(batch), strict=True)
            ]
            while not all(rollout.over for rollout in rollouts):
                moments = [[None] * len(batch) if rollout.over else rollout.step() for rollout in rollouts]
                if watcher is not None:
                    watcher.add(moments, rollouts)
                for side, seen in enumerate(moments):
                    for row, picture in enumerate(seen):
                        if picture is None:
                            continue
                        frames[side, row] += 1
                        timelines[side][row].add(rollouts[side].measures[row])
                        score = scores[side][row]
                        if score is not None:
                            score.add(picture)
                self._on_step(len(batch))
            played = []
            for row in rows:
                measured = [
                    {
                        **_measured(rollout, row, int(frames[side, row]), scores[side][row]),
                        "timeline": timelines[side][row].plain(),
                    }
                    for side, rollout in enumerate(rollouts)
                ]
                played.append(self._keep(batch[row], measured, watcher is not None))
            # Leaving puts the films in place, after the JSON: a film that is there always has its record.
            return played

    def _first_worlds(self, batch: Sequence[PreparedEpisode]) -> list[list[Any]]:
        recorded = tuple(batch[0].decides[0][name] for name in ("world", "world_version"))
        for mine in self._worlds:
            while len(mine) < len(batch):
                mine.append(envs.make_env(self._args.env, **pythons(self._args)))
                check_env(mine[-1])
                made = mine[-1].name, mine[-1].version
                assert made == recorded, f"the world calls itself {made}, the records {recorded}"
        return [mine[: len(batch)] for mine in self._worlds]

    def _timeline(self, episode: PreparedEpisode) -> Timeline:
        named = episode.plan.own_measure
        judged = (named,) if named else OWN_MEASURES.get(episode.plan.behaviour, ())
        return Timeline(self._args.gameplay_length, judged)

    def _score(self, episode: PreparedEpisode) -> EpisodeScore | None:
        if self._mineclip is None or episode.wanted is None:
            return None
        return EpisodeScore(self._mineclip, torch.from_numpy(episode.wanted), self._args.score_every)

    def _keep(
        self, episode: PreparedEpisode, measured: Sequence[dict[str, Any]], filmed: bool
    ) -> list[PlayedEpisode]:
        seen = any(part["frames"] for part in measured)
        film = episode.plan.video if filmed and seen else None
        parts = zip(episode.decides, episode.about, measured, strict=True)
        records = [PlayedEpisode(*part, film) for part in parts]
        if seen:
            write_episodes(episode.plan.json, records)
        return records


def _measured(rollout: Rollout, row: int, frames: int, score: EpisodeScore | None) -> dict[str, Any]:
    measures, scores = rollout.measures[row], None
    if score is not None:
        series = score.finish()
        measures.cosines = series.cosines
        scores = {"frames": series.frames, "cosines": series.cosines}
    return {
        "frames": frames,
        "lost": measures.lost,
        "died": measures.died,
        "measures": measures.result(),
        "scores": scores,
        "actions_hash": rollout.actions_hash(row),
    }


@dataclass(frozen=True)
class Setup:
    """What another process needs to make a :class:`Player` of its own."""

    args: argparse.Namespace
    make_watcher: MakeWatcher | None


_player: Player | None = None


def play_elsewhere(setup: Setup, batch: Sequence[PreparedEpisode]) -> list[list[PlayedEpisode]]:
    """As :meth:`Player.play`, in a process that serves one run of run_agent and has one thread to compute with."""
    global _player
    if _player is None:
        from multiprocessing.util import Finalize

        from steve1.checkpoints import load_mineclip

        torch.set_num_threads(1)
        args, agents, mineclip = setup.args, load_agents(setup.args), None
        if args.score_every:
            device = agents[0].policy.net.final_ln.weight.device
            mineclip = load_mineclip(args.mineclip_weights, args.mineclip_config).to(device)
        _player = Player(args, agents, mineclip, setup.make_watcher)
        Finalize(_player, _player.close, exitpriority=10)
    return _player.play(batch)
