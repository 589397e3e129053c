"""The check of an installation of a game: does it start, is it the one that is known, do seeds take effect?"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steve1.cli import count, out_of_range, report_all
from steve1.envs.game_python import Game, add_python_flags, missing_python

if TYPE_CHECKING:
    import numpy as np

    from steve1.envs.worker_env import WorkerEnv

_SPAWN_BLOCKS = 30.0  # Minecraft spreads the starts in one world about so far


def parse(game: Game, doc: str | None, argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags of a check."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_python_flags(parser, (game,))
    parser.add_argument(
        "--steps", type=count, default=10, help="steps to take in the first world (default 10)"
    )
    parser.add_argument(
        "--worlds",
        type=count,
        default=3,
        help="worlds to make, 1 to 3: the third's seed is another than the first two's (default 3)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=None,
        metavar="PATH.png",
        help="save the last picture there (default: none)",
    )
    args = parser.parse_args(argv)
    report_all(
        [
            *out_of_range(args, "steps", least=1),
            *out_of_range(args, "worlds", least=1, most=3),
            *missing_python(args),
        ]
    )
    return args


def check_installation(make: Callable[[], WorkerEnv], args: argparse.Namespace) -> None:
    """Make the game's world, play it as :func:`parse` says, and print how it went."""
    # ---- start: settings and spaces are compared with the record ----
    begun = time.monotonic()
    env = make()
    title = env.game.title
    print(f"started in {time.monotonic() - begun:.1f} s: {title} {env.version}, Python {env.python_version}")
    print(f"settings: {', '.join(f'{name} {value}' for name, value in vars(env.task).items())}")
    for name, space in (("actions", env.action_space), ("observations", env.observation_space)):
        print(f"{name} are as recorded: {', '.join(space.spaces)}")

    # ---- worlds: two of one seed, one of another ----
    starts = []
    try:
        for number, seed in enumerate((1, 1, 2)[: args.worlds]):
            begun = time.monotonic()
            env.seed(seed)
            place = env.reset()["location_stats"]
            starts.append((float(place["xpos"]), float(place["zpos"])))
            print(
                f"seed {seed}: reset in {time.monotonic() - begun:.1f} s, start at x {starts[-1][0]:.1f}, "
                f"z {starts[-1][1]:.1f}, biome {int(place['biome_id'])}"
            )
            if number == 0:
                begun = time.monotonic()
                for _ in range(args.steps):
                    pov = env.step({"forward": 1})[0]["pov"]
                print(f"{args.steps} steps: {args.steps / (time.monotonic() - begun):.1f} frames/s")
                if args.picture is not None:
                    _save(args.picture, pov)
    finally:
        env.close()

    # ---- do seeds take effect? ----
    if len(starts) == 3:
        same, other = math.dist(starts[0], starts[1]), math.dist(starts[0], starts[2])
        effect = (
            "seeds take effect" if same <= _SPAWN_BLOCKS < other else "that is no sign that seeds take effect"
        )
        print(f"starts lie {same:.0f} blocks apart with one seed, {other:.0f} with two: {effect}")
    print(f"{title} can be used")


def _save(path: Path, pov: np.ndarray) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pov[:, :, ::-1])
    print(f"what was seen last: {path}")
