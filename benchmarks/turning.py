"""Does a policy see where to go? Whither it turns first, before trunks and lakes that lie at known angles.

Real (after ./quickstart.sh; a minute on one core):  python benchmarks/turning.py --quickstart data/quickstart
Tiny:  python benchmarks/turning.py --quickstart data/quickstart --places 6

The players who chop and swim are put where their recordings put them, 3 to 7 blocks from a trunk or a few from a
lake, in worlds from 2,000,000 on, and the view is turned so that it lies anywhere from 45 degrees left to 45 right,
in the picture. Of that one picture, without memory, the policy's mean turn to the side is taken,
with the sentence (by the prior, without guidance) and without a goal. An agent that sees its way turns left where the
trunk is left: a correlation near 1 between where it lies and the mean turn. One that sees nothing has 0.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.bench import Quickstart
from steve1.cli import count, entry_point, out_of_range, report_all
from steve1.files import write_json

if TYPE_CHECKING:
    import numpy as np
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy
    from steve1.playing.goals import TextGoals

FIRST_WORLD = 2_000_000
GOING = ("tree", "swim")  # behaviours that go to something
WIDEST = 45.0  # degrees to the side; the picture reaches 51
A_WORLD = 3  # places in each
EDGES = (-45, -30, -15, 15, 30, 45)


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quickstart", type=Path, required=True, help="STEVE1_DATA_ROOT of a finished quickstart"
    )
    parser.add_argument(
        "--in_weights", type=Path, default=None, help="the policy (default: the quickstart's)"
    )
    parser.add_argument("--places", type=count, default=180, help="of each behaviour (default 180)")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here as well")
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "places", least=3, note="fewer have no correlation"))

    from steve1.flags import add_model_flags
    from steve1.MineRLConditionalAgent import load_policy
    from steve1.playing.goals import load_text_goals

    quick = Quickstart(args.quickstart)
    weights = args.in_weights or quick.policy
    policy, _ = load_policy(quick.model, weights, "cpu")
    models = argparse.ArgumentParser()
    add_model_flags(models)
    flags = ["--in_model", quick.model, "--in_weights", weights]
    flags += ["--mineclip_weights", quick.mineclip, "--prior_weights", quick.prior]
    goals = load_text_goals(models.parse_args(map(str, flags)), {weights: policy.net.mineclip_embed_dim})
    found = {name: summary(turns(policy, goals, name, args.places)) for name in GOING}
    print(text(found))
    if args.json is not None:
        write_json(args.json, {"weights": str(weights), "places": args.places, **found})


def places(behaviour: str, wanted: int) -> Iterator[tuple[float, int, np.ndarray]]:
    """Where what a behaviour goes to lies, degrees to the right of the view; the world; and the picture [H, W, 3]."""
    import numpy as np

    from blockworld.players.behaviours import PLAYERS
    from steve1.envs import make_env
    from steve1.streams import numpy_stream

    env, world, given = make_env("blockworld"), FIRST_WORLD, 0
    while given < wanted:
        rng = numpy_stream(behaviour, world)
        env.seed(world)
        env.reset()
        for _ in range(A_WORLD):
            env.player.on_ground = False  # so that the player goes to a place of its own
            player = PLAYERS[behaviour](env, rng)
            player.begin()
            if player.bearing is None or given == wanted:
                continue
            aside = float(rng.uniform(-WIDEST, WIDEST))
            env.set_view(player.bearing - aside, 8.0)
            yield aside, world, np.array(env.render_pov(cursor=False))
            given += 1
        world += 1
    env.close()


def turns(
    policy: MinecraftAgentPolicy, goals: TextGoals, behaviour: str, wanted: int
) -> list[tuple[float, float, float]]:
    """For each place: where to turn, the policy's mean turn with the sentence, and without a goal; degrees."""
    import torch

    from steve1.MineRLConditionalAgent import agent_frame
    from steve1.playing.prompts import BEHAVIOURS

    found = []
    for aside, world, picture in places(behaviour, wanted):
        goal = goals.goal(BEHAVIOURS[behaviour], world).detach()
        img = torch.from_numpy(agent_frame(picture, policy.net.img_shape))
        obs = {
            "img": img.expand(2, *img.shape),
            "mineclip_embed": torch.stack([goal, torch.zeros_like(goal)]),
        }
        with torch.no_grad():
            log_probs, _, _ = policy.consider(obs, torch.ones(2, dtype=torch.bool), policy.initial_state(2))
        found.append((aside, *mean_turn(log_probs["camera"]).tolist()))
    return found


def mean_turn(log_probs: torch.Tensor) -> torch.Tensor:
    """The mean turn to the right in degrees, [N], of a camera head's log-probs [N, 121]."""
    import numpy as np
    import torch

    from steve1.vpt.actions import BIN_ANGLES, camera_bins

    _, yaw = camera_bins(np.arange(log_probs.shape[-1])).T
    return log_probs.exp().double() @ torch.from_numpy(BIN_ANGLES[yaw])


def summary(found: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """The mean turns by where to turn, and the correlations with their 95 % intervals (Fisher's z)."""
    import numpy as np
    from scipy.stats import pearsonr

    aside, sentence, none = np.array(found).T
    rows = []
    for low, high in itertools.pairwise(EDGES):
        here = (aside >= low) & (aside < high)
        if here.any():
            means = (float(turned[here].mean()) for turned in (sentence, none))
            rows.append([low, high, int(here.sum()), *means])
    correlations = {}
    for name, turned in (("sentence", sentence), ("no goal", none)):
        measured = pearsonr(aside, turned)
        span = measured.confidence_interval() if len(aside) > 3 else (-1.0, 1.0)
        correlations[name] = [float(measured.statistic), *map(float, span)]
    return {"rows": rows, "correlation": correlations}


def text(found: dict[str, dict[str, Any]]) -> str:
    """The figures in lines."""
    lines = []
    for behaviour, figures in found.items():
        lines.append(f"{behaviour}: mean turn to the right, degrees, by where it lies")
        for low, high, n, sentence, none in figures["rows"]:
            lines.append(
                f"  {low:4d} to {high:3d} ({n:3d} places): sentence {sentence:5.2f}, no goal {none:5.2f}"
            )
        for name, (value, low, high) in figures["correlation"].items():
            lines.append(f"  correlation, {name}: {value:.2f} [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
