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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.generation.episodes import (
    EpisodeMaker,
    Summary,
    TooShort,
    add_episode_flags,
    flag_problems,
    load_maker,
    slice_problems,
)
from data.generation.mixed_agents import PERFORM_SPIN_PROB, SWITCH_AGENT_PROB
from steve1.cli import UserError, count, entry_point, number, report_all
from steve1.config import data_root, weights_dir
from steve1.flags import add_world_flags, missing_files, missing_python

if TYPE_CHECKING:
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

MAX_LOST_IN_A_ROW = 5  # worlds; then it is not the world's bad luck
_MODELS = ("in_model", "in_weights_a", "in_weights_b")


def load_agent(model: str | Path, weights: str | Path) -> MinecraftAgentPolicy:
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
        print(f"{weights} has a goal layer; it plays without a goal (zeros)")
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


class Generator:
    """Plays episodes in one world after the other, and replaces a world that is lost."""

    def __init__(
        self,
        settings: Settings,
        policies: Sequence[MinecraftAgentPolicy],
        maker: EpisodeMaker,
        world: World,
    ) -> None:
        self.settings, self.policies, self.maker, self.world = settings, policies, maker, world
        self.summary = Summary("episodes")
        self._lost_in_a_row = 0

    def generate(self, output: Path, indices: Sequence[int]) -> None:
        """Play those of the episodes that are not there. Raises UserError where one was played otherwise."""
        for index in indices:
            dirpath = output / self.settings.name(index)
            if self._exists(dirpath):
                self.summary.existing += 1
            else:
                self._play(dirpath, index)

    def _exists(self, dirpath: Path) -> bool:
        from data.EpisodeStorage import EpisodeStorage

        if not self.maker.exists(dirpath):
            return False
        theirs, ours = EpisodeStorage(dirpath).metadata.get("settings", {}), self.settings.note()
        other = [key for key in ours if theirs.get(key) != ours[key]]
        if other:
            raise UserError(
                f"{dirpath} was played with other settings ({', '.join(other)}); remove it, or choose another "
                "--output_dir or --seed"
            )
        return True

    def _play(self, dirpath: Path, index: int) -> None:

        from data.generation.mixed_agents import Played, draw_plan, play
        from steve1.MineRLConditionalAgent import AgentBatch
        from steve1.streams import numpy_stream, torch_stream

        its = self.settings
        plan = draw_plan(
            numpy_stream(its.seed, its.env_seed, index, padded=True),
            its.max_timesteps,
            its.switch_agent_prob,
            its.perform_spin_prob,
            [agent["tuned"] for agent in its.agents],
        )
        # One stream of sampling noise for both agents, as they never act at once.
        noise = torch_stream("mixed agents", its.env_seed, index, its.seed)
        agents = [AgentBatch(policy, [noise]) for policy in self.policies]
        world_seed, played = its.env_seed + index, Played()

        def finish(n: int) -> tuple[dict, dict]:
            return played.arrays(n), {
                "source": "mixed agents",
                "settings": its.note(),
                "index": index,
                "world_seed": world_seed,
                "session": f"{its.env} {world_seed}",  # episodes of one start belong on one side of a split
                "first_agent": int(plan.agent[0]),
                "switches": plan.switches(n),
                "spins": plan.spins(n),
                "ended": played.ended,
            }

        frames = play(self.world.env, world_seed, agents, plan, played)
        try:
            n = self.maker.store(dirpath, frames, finish, its.max_timesteps)
            self.summary.add_actions(played.arrays(n))
            print(
                f"{dirpath.name}: {n:,} frames, {len(plan.switches(n))} switches, {len(plan.spins(n))} spins"
                f"{'' if played.ended == 'max_timesteps' else f'; {played.ended}'}"
            )
        except TooShort as short:
            self.summary.passed_over[f"under {short.needed:,} frames (--min_timesteps)"] += 1
            print(f"{dirpath.name}: no episode, for {short}; {played.ended}")
        self._lost_in_a_row = self._lost_in_a_row + 1 if played.lost else 0
        if played.lost:
            self.world.close()
        if self._lost_in_a_row == MAX_LOST_IN_A_ROW:
            print(self.summary.text())
            raise UserError(
                f"{MAX_LOST_IN_A_ROW} worlds in a row were lost, the last one so: {played.ended}; see to the "
                "world and run the same command again, which goes on from here"
            )


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, load the models, play what is missing, say what there is."""
    args = _parser().parse_args(argv)
    report_all(_problems(args))

    from steve1.envs import make_env

    with contextlib.closing(World(lambda: make_env(args.env, minerl_python=args.minerl_python))) as world:
        summary = _generate(args, world)
    print(summary.text())
    if sum(summary.passed_over.values()):
        print("the same command plays those that were passed over again")
    if summary.episodes + summary.existing == 0 and args.num_workers == 1:
        raise UserError("no episode was long enough; the reasons are printed above")


def _generate(args: argparse.Namespace, world: World) -> Summary:
    from data.generation.mixed_agents import is_tuned
    from steve1.checkpoints import tensors_hash

    # The world is made first: where it can't be had, nothing else need load.
    env_name = type(world.env).__name__.removesuffix("Env").lower()
    files = (args.in_weights_a, args.in_weights_b)
    policies = [load_agent(args.in_model, path) for path in files]
    agents = tuple(
        {"weights": path.name, "hash": tensors_hash(policy), "tuned": is_tuned(path.name)}
        for path, policy in zip(files, policies, strict=True)
    )
    settings = Settings(
        args.seed,
        args.env_seed,
        env_name,
        args.max_timesteps,
        args.switch_agent_prob,
        args.perform_spin_prob,
        agents,
    )
    generator = Generator(settings, policies, load_maker(args), world)
    generator.generate(Path(args.output_dir), range(args.worker_id, args.num_episodes, args.num_workers))
    return generator.summary


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
    group = parser.add_argument_group("folders and processes")
    group.add_argument(
        "--output_dir",
        default=str(data_root() / "dataset_mixed_agents"),
        help="folder of episodes (default: data/dataset_mixed_agents)",
    )
    group.add_argument(
        "--num_workers",
        type=count,
        default=1,
        help="processes that share the episodes, started by you (default: 1)",
    )
    group.add_argument(
        "--worker_id", type=count, default=0, help="which of them this one is, from 0 (default: 0)"
    )
    add_episode_flags(parser, 1000)
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
    problems = flag_problems(args) + missing_files(args, _MODELS) + missing_python(args)
    for name in ("num_episodes", "max_timesteps"):
        if getattr(args, name) < 1:
            problems.append(f"--{name} {getattr(args, name)} is below 1")
    for name in ("seed", "env_seed"):
        if getattr(args, name) < 0:
            problems.append(f"--{name} {getattr(args, name)} is below 0")
    for name in ("switch_agent_prob", "perform_spin_prob"):
        if not 0 <= getattr(args, name) <= 1:
            problems.append(f"--{name} {getattr(args, name)} is no probability; give 0 to 1")
    if args.max_timesteps < args.min_timesteps:
        problems.append(
            f"--min_timesteps {args.min_timesteps} is above --max_timesteps {args.max_timesteps}, so no episode "
            "would be kept"
        )
    problems += slice_problems(args)
    return problems


if __name__ == "__main__":
    main()
