"""Two agents play, switching at random, with random spins: episodes without any recording.

    python data/generation/gen_mixed_agents.py --env minerl --num_episodes 100 --output_dir data/dataset_mixed_agents
    python data/generation/gen_mixed_agents.py --env blockworld --num_episodes 2 --max_timesteps 120 \
        --min_timesteps 60 --in_model tiny.json --in_weights_a a.weights --in_weights_b rl-from-a.weights \
        --mineclip_weights tiny_mineclip.pth --output_dir /tmp/episodes

The agents are VPT's: the same policy without goals. The first one is the foundation model, the second one was tuned
by reinforcement learning ("rl-from" in its name), which makes switches to it three times as rare. How agents switch
and spin is in data/generation/mixed_agents.py. They know Minecraft, not BlockWorld: --env blockworld is for trials.

Episode i plays in the world --env_seed + i, and depends on --seed, --env_seed, i and the models alone. All frames
that were played are kept, those with a null action too: they are the agents' own choice, unlike a contractor's pause.
Episodes that exist are kept, so the same command goes on where it stopped. A world that crashes ends its episode,
and a fresh one plays the next.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.generation.conversion_flags import add_driver_flags, driver_problems
from data.generation.convert import convert_all
from data.generation.mixed_agents import PERFORM_SPIN_PROB, SWITCH_AGENT_PROB
from data.generation.sources import Entry, Piece, Source, Told
from steve1.cli import UserError, count, entry_point, number, out_of_range, report_all
from steve1.config import data_root, weights_dir
from steve1.flags import add_world_flags, missing_files, missing_python, pythons

if TYPE_CHECKING:
    import numpy as np

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy
    from steve1.MineRLConditionalAgent import AgentBatch

MAX_LOST_IN_A_ROW = 5  # worlds; then it is not the world's bad luck
_MODELS = ("in_model", "in_weights_a", "in_weights_b")


def load_agent(
    model: str | Path, weights: str | Path, say: Callable[[str], None] = print
) -> MinecraftAgentPolicy:
    """A policy that plays without a goal, on the GPU where there is one.

    For weights without a goal layer (VPT's) none is built, so that it acts exactly as VPT does. Weights that have
    one (STEVE-1's, your own) keep it and are given zeros, which is what "no goal" was in their training.
    """
    import torch

    from steve1.checkpoints import load_model_file, load_weights, read_state_dict
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

    goal_layer = read_state_dict(weights).get("net.mineclip_embed_linear.weight")
    policy_kwargs, head_kwargs = load_model_file(model)
    width = 0 if goal_layer is None else goal_layer.shape[1]
    if width:
        say(f"{weights} has a goal layer; it plays without a goal (zeros)")
    policy = MinecraftAgentPolicy({**policy_kwargs, "mineclip_embed_dim": width}, head_kwargs)
    load_weights(policy, weights)
    return policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()


@dataclass(frozen=True)
class Settings:
    """What decides how episodes are played; a folder holds episodes of one of these for each name."""

    seed: int
    env_seed: int
    env: str
    max_timesteps: int
    switch_agent_prob: float
    perform_spin_prob: float
    agents: tuple[dict[str, Any], ...]  # {"weights", "hash", "tuned"} of each

    def name(self, index: int) -> str:
        """The folder of episode ``index``."""
        return f"mixed_s{self.seed}_w{self.env_seed}_{index:05d}"

    def note(self) -> dict[str, Any]:
        """For metadata.json."""
        return {**vars(self), "agents": list(self.agents)}


class World:
    """The world that is played in; made when it is asked for, and made anew after it was closed."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._env = make, None

    @property
    def env(self) -> Any:
        if self._env is None:
            self._env = self._make()
        return self._env

    def close(self) -> None:
        """Give the world up; one that is lost may well fail to close."""
        env, self._env = self._env, None
        if env is not None:
            try:
                env.close()
            except Exception as error:
                print(f"a world did not close: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Game(Entry):
    """Episode ``index``, of at most ``length`` frames."""

    index: int = 0
    length: int = 0

    def most_frames(self) -> int:
        return self.length


class Played(Piece):
    """A game being played; its frames can be had once."""

    def __init__(
        self, name: str, index: int, settings: Settings, agents: Sequence[AgentBatch], world: World
    ) -> None:
        from data.generation import mixed_agents
        from steve1.streams import numpy_stream

        self.name, self.expected = name, settings.max_timesteps
        self._index, self._settings, self._agents, self._world = index, settings, agents, world
        self._seed = settings.env_seed + index
        self._plan = mixed_agents.draw_plan(
            numpy_stream(settings.seed, settings.env_seed, index, padded=True),
            settings.max_timesteps,
            settings.switch_agent_prob,
            settings.perform_spin_prob,
            [agent["tuned"] for agent in settings.agents],
        )
        self.played = mixed_agents.Played()

    def frames(self) -> Iterator[np.ndarray]:
        from data.generation.mixed_agents import play

        return play(self._world.env, self._seed, self._agents, self._plan, self.played)

    def finish(self, n: int) -> tuple[dict, dict]:
        return (
            self.played.arrays(n),
            {
                "source": "mixed agents",
                "settings": self._settings.note(),
                "index": self._index,
                "world_seed": self._seed,
                "session": f"{self._settings.env} {self._seed}",  # episodes of one start belong on one side of a split
                "first_agent": int(self._plan.agent[0]),
                "switches": self._plan.switches(n),
                "spins": self._plan.spins(n),
                "ended": self.played.ended,
            },
        )

    def told(self, n: int | None) -> Told:
        ended = [] if self.played.ended == "max_timesteps" else [self.played.ended]
        plan = self._plan
        what = [] if n is None else [f"{len(plan.switches(n))} switches, {len(plan.spins(n))} spins"]
        return Told(said="; ".join(what + ended), outside=self.played.ended if self.played.lost else "")


class MixedAgents(Source):
    """Games of two agents in one world after the other; a world that is lost is replaced."""

    what = "episodes"
    repeats = False  # a world may fail at any moment
    most_outside_failures = MAX_LOST_IN_A_ROW

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._world: World | None = None
        self._policies: list[MinecraftAgentPolicy] = []
        self._settings: Settings | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_world": None, "_policies": []}  # each process has its own

    def entries(self) -> list[Entry]:
        # The world is made first: where it can't be had, nothing else need load.
        self.prepare()
        args, its = self._args, self._its()
        return [Game(its.name(i), index=i, length=args.max_timesteps) for i in range(args.num_episodes)]

    def check(self, entry: Entry, metadata: dict, path: Path) -> None:
        theirs, ours = metadata.get("settings", {}), self._its().note()
        other = [key for key in ours if theirs.get(key) != ours[key]]
        if other:
            raise UserError(
                f"{path} was played with other settings ({', '.join(other)}); remove it, or choose another "
                "--output_dir or --seed"
            )

    def gave_up(self, failures: int, last: str) -> str:
        return (
            f"{failures} worlds in a row were lost, the last one so: {last}; see to the world and run the same "
            "command again, which goes on from here"
        )

    def prepare(self) -> None:
        if self._world is not None:
            return
        from data.generation.mixed_agents import is_tuned
        from steve1.checkpoints import tensors_hash
        from steve1.envs import make_env

        args = self._args
        self._world = World(lambda: make_env(args.env, **pythons(args)))
        env_name = type(self._world.env).__name__.removesuffix("Env").lower()
        files = (args.in_weights_a, args.in_weights_b)
        self._policies = [load_agent(args.in_model, path) for path in files]
        if self._settings is not None:
            return
        agents = tuple(
            {"weights": path.name, "hash": tensors_hash(policy), "tuned": is_tuned(path.name)}
            for path, policy in zip(files, self._policies, strict=True)
        )
        self._settings = Settings(
            args.seed,
            args.env_seed,
            env_name,
            args.max_timesteps,
            args.switch_agent_prob,
            args.perform_spin_prob,
            agents,
        )

    def pieces(self, entry: Entry, stored: Callable[[str], dict | None]) -> Iterator[Piece]:
        from steve1.MineRLConditionalAgent import AgentBatch
        from steve1.streams import torch_stream

        assert isinstance(entry, Game)
        assert self._world is not None
        its = self._its()
        # One stream of sampling noise for both agents, as they never act at once.
        noise = torch_stream("mixed agents", its.env_seed, entry.index, its.seed)
        agents = [AgentBatch(policy, [noise]) for policy in self._policies]
        game = Played(entry.name, entry.index, its, agents, self._world)
        yield game
        if game.played.lost:
            self._world.close()

    def close(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world, self._policies = None, []

    def _its(self) -> Settings:
        assert self._settings is not None
        return self._settings


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Play the episodes that are missing."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))
    with contextlib.closing(MixedAgents(args)) as source:
        convert_all(source, args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("models")
    vpt = weights_dir() / "vpt"
    for flag, name, what in (
        ("in_model", "2x.model", "the architecture of both agents, .model or .json"),
        ("in_weights_a", "foundation-model-2x.weights", "the first agent's weights"),
        ("in_weights_b", "rl-from-foundation-2x.weights", "the second agent's weights"),
    ):
        group.add_argument(
            f"--{flag}", type=Path, default=vpt / name, help=f"{what} (default: data/weights/vpt/{name})"
        )
    group = parser.add_argument_group("play")
    group.add_argument("--num_episodes", type=count, default=5, help="episodes to play (default: 5)")
    group.add_argument(
        "--max_timesteps", type=count, default=7200, help="frames of an episode, 20 a second (default: 7200)"
    )
    group.add_argument(
        "--switch_agent_prob",
        type=_probability,
        default=SWITCH_AGENT_PROB,
        help="of a switch, a frame; a third of it towards the one agent that is tuned (default: 1/1000; 0: never)",
    )
    group.add_argument(
        "--perform_spin_prob",
        type=_probability,
        default=PERFORM_SPIN_PROB,
        help="of beginning a spin, a frame (default: 1/750; 0: never)",
    )
    group.add_argument("--seed", type=count, default=0, help="of switches, spins and sampling (default: 0)")
    group = parser.add_argument_group("world")
    add_world_flags(group)
    group.add_argument(
        "--env_seed",
        type=count,
        default=0,
        help="world of episode 0; episode i plays in env_seed + i (default: 0)",
    )
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--output_dir",
        default=str(data_root() / "dataset_mixed_agents"),
        help="folder of episodes (default: data/dataset_mixed_agents)",
    )
    add_driver_flags(parser, 1000, "episodes")
    return parser


def _probability(text: str) -> float:
    """A number, or a fraction as ``1/1000``."""
    above, slash, below = text.partition("/")
    if not slash:
        return number(text)
    divisor = number(below)
    if not divisor:
        raise argparse.ArgumentTypeError(f"{text!r} divides by zero")
    return number(above) / divisor


def _problems(args: argparse.Namespace) -> list[str]:
    problems = driver_problems(args) + missing_files(args, _MODELS) + missing_python(args)
    problems += out_of_range(args, "max_timesteps", least=1) + out_of_range(args, "seed", "env_seed", least=0)
    if args.num_episodes == 0:  # to all other sources it means all
        problems += out_of_range(args, "num_episodes", least=1)
    problems += out_of_range(args, "switch_agent_prob", "perform_spin_prob", least=0, most=1)
    if args.max_timesteps < args.min_timesteps:
        problems.append(
            f"--min_timesteps {args.min_timesteps} is above --max_timesteps {args.max_timesteps}, so no episode "
            "would be kept"
        )
    return problems


if __name__ == "__main__":
    main()
