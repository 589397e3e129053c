"""MineRL 1.0, Minecraft itself, played by a worker in a Python of its own; and a check of an installation.

Check an installation (three worlds, ten steps; a few minutes, nearly all of it Minecraft's own start):
    python steve1/envs/minerl.py --minerl_python ~/minerl/bin/python

The same, tiny (one world, one step):
    python steve1/envs/minerl.py --minerl_python ~/minerl/bin/python --steps 1 --worlds 1

This module never imports minerl; ``minerl_worker.py`` does. How to install it: docs/minerl.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from steve1.cli import UserError, count, entry_point, out_of_range, report_all
from steve1.config import MINERL_SETTINGS, POV_SHAPE
from steve1.envs.minerl_python import add_minerl_flag, find_python, missing_python
from steve1.envs.telling import WorldLost

START_S, RESET_S, STEP_S = 300.0, 300.0, 60.0
_SPAWN_BLOCKS = 30.0  # Minecraft spreads the starts in one world about so far


class MineRLEnv:
    """A player in Minecraft, with MineRL 1.0's interface: HumanSurvival as the policies know it.

    ``seed``: makes the world; None takes a new one at every reset. ``minerl_python``: see
    :func:`steve1.envs.make_env`. ``start_timeout``, ``reset_timeout``, ``step_timeout``: seconds that MineRL gets;
    None means $STEVE1_MINERL_START_TIMEOUT (default 300), $STEVE1_MINERL_RESET_TIMEOUT (300; Minecraft is launched
    in the first reset) and $STEVE1_MINERL_STEP_TIMEOUT (60).

    ``reset`` and ``step`` raise :class:`~steve1.envs.WorldLost` when Minecraft crashes or hangs; nothing of it is
    then left running, and the next ``reset`` starts a fresh one. ``world_seed``: of the present episode, also in
    every info. ``version``: MineRL's, as its worker says; ``python_version``: its Python's. ``task``: the
    settings that MineRL says it has.
    Raises UserError where MineRL can't be started, or is not as the policies know it.
    """

    name = "minerl"

    def __init__(
        self,
        seed: int | None = None,
        minerl_python: str | os.PathLike | None = None,
        start_timeout: float | None = None,
        reset_timeout: float | None = None,
        step_timeout: float | None = None,
    ) -> None:
        from steve1.envs import spaces

        self._seed = seed
        self._start_s = _seconds("START", start_timeout, START_S)
        self._reset_s = _seconds("RESET", reset_timeout, RESET_S)
        self._step_s = _seconds("STEP", step_timeout, STEP_S)
        self._python = find_python(minerl_python)
        self.world_seed: int | None = None
        self._playing = False
        self._obs: dict[str, Any] = {}
        try:
            about = self._start()
        except ModuleNotFoundError as error:
            raise UserError(
                f"{self._python} has no MineRL 1.0 ({error}); docs/minerl.md tells how to install it"
            ) from None
        except WorldLost as error:
            raise UserError(
                f"MineRL can't be started with {self._python}: {error}; see docs/minerl.md"
            ) from None
        try:
            _check(about)
        except UserError:
            self._process.kill()
            raise
        self.version, self.python_version = about["version"], about["python"]
        self.task = SimpleNamespace(**about["settings"])
        self.action_space = spaces.space(about["spaces"]["action_space"])
        self.observation_space = spaces.space(about["spaces"]["observation_space"])

    def seed(self, seed: int | None = None) -> list[int | None]:
        """The world of the coming resets."""
        self._seed = seed
        return [seed]

    def reset(self) -> dict[str, Any]:
        """A new episode in the seed's world; the first one launches Minecraft, which takes a minute or two.

        A process that fails in this is replaced once. Raises WorldLost when the fresh one fails too.
        """
        self.world_seed = int.from_bytes(os.urandom(4), "big") if self._seed is None else int(self._seed)
        if self._process.alive:
            try:
                return self._begin()
            except WorldLost as error:
                print(f"{error}; trying again with a fresh process", file=sys.stderr)
        self._start()
        return self._begin()

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """One tick. ``action``: MineRL's keys, those left out doing nothing.

        Returns (observation, reward, done, info); info is MineRL's and ``world_seed``. Raises ValueError for an
        action outside of the action space, and WorldLost.
        """
        if not self._playing:
            raise ValueError("there is no world; call reset() first")
        from steve1.envs.spaces import checked_action

        keys, pitch, yaw = checked_action(action)
        self._playing = False  # unless it answers
        answer = self._process.ask({"do": "step", "action": {**keys, "camera": [pitch, yaw]}}, self._step_s)
        self._playing = True
        info = {**answer["info"], "world_seed": self.world_seed}
        return self._observe(answer), answer["reward"], answer["done"], info

    def close(self) -> None:
        """End Minecraft and its process. ``reset`` starts them again."""
        self._playing = False
        self._process.close()

    def _start(self) -> dict[str, Any]:
        from steve1.envs.minerl_process import WorldProcess

        self._process = WorldProcess(self._python, math.prod(POV_SHAPE))
        settings = {**MINERL_SETTINGS, "frameskip": 1}
        return self._process.ask({"do": "start", "settings": settings}, self._start_s)

    def _begin(self) -> dict[str, Any]:
        self._playing = False
        answer = self._process.ask({"do": "reset", "seed": self.world_seed}, self._reset_s)
        self._playing = True
        return self._observe(answer)

    def _observe(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The observation of an answer. It shares with the one before what has not changed; both may be kept."""
        import numpy as np

        obs: dict[str, Any] = {}
        if "leaves" in answer:
            self._leaves = [(path, kind) for path, _, kind in answer["leaves"]]
            changed = list(enumerate(plain for _, plain, _ in answer["leaves"]))
        else:
            obs.update(self._obs)
            changed = answer["changed"]
        ours: set[tuple[str, ...]] = set()
        for place, plain in changed:
            path, kind = self._leaves[place]
            inner = obs
            for depth, key in enumerate(path[:-1]):
                here = tuple(path[: depth + 1])
                if here not in ours:
                    inner[key] = dict(inner.get(key, {}))
                    ours.add(here)
                inner = inner[key]
            inner[path[-1]] = plain if kind is None else np.array(plain, kind)
        self._obs = obs
        picture = np.frombuffer(self._process.picture, np.uint8)
        return {**obs, "pov": picture.reshape(POV_SHAPE).copy()}


def _seconds(name: str, given: float | None, default: float) -> float:
    variable = f"STEVE1_MINERL_{name}_TIMEOUT"
    text = os.environ.get(variable)
    try:
        seconds = given if given is not None else float(text) if text else default
    except ValueError:
        raise UserError(f"${variable} is {text!r}; give a number of seconds") from None
    if not 0 < seconds < 1e7:
        raise UserError(f"{seconds} s is no time-out for MineRL; give seconds above 0 (${variable})")
    return seconds


def _check(about: dict[str, Any]) -> None:
    """Raise UserError where a started MineRL is not the one that the policies know."""
    from steve1.envs.spaces import differences

    found = about["settings"]
    problems = [
        f"its {name} is {found[name]}, not {wanted}"
        for name, wanted in MINERL_SETTINGS.items()
        if found[name] is None or list(found[name]) != wanted
    ]
    recorded = json.loads(Path(__file__).with_suffix("").with_name("minerl_spaces.json").read_text())
    for kind in ("action_space", "observation_space"):
        problems += differences(recorded[kind], about["spaces"][kind], kind)
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise UserError(
            f"this MineRL ({about['version']}) is not the 1.0 that the policies know: {'; '.join(problems[:4])}{more}. "
            "Install the version in requirements-minerl.txt (docs/minerl.md)"
        )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_minerl_flag(parser)
    parser.add_argument(
        "--steps", type=count, default=10, help="steps to take in the first world (default 10)"
    )
    parser.add_argument(
        "--worlds",
        type=count,
        default=3,
        help="worlds to make, 1 to 3: the third's seed is another than the first two's (default 3)",
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


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = _parse(argv)

    # ---- start: settings and spaces are compared with the record ----
    begun = time.monotonic()
    env = MineRLEnv(minerl_python=args.minerl_python)
    print(f"started in {time.monotonic() - begun:.1f} s: MineRL {env.version}, Python {env.python_version}")
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
                    env.step({})
                print(f"{args.steps} steps: {args.steps / (time.monotonic() - begun):.1f} frames/s")
    finally:
        env.close()

    # ---- do seeds take effect? ----
    if len(starts) == 3:
        same, other = math.dist(starts[0], starts[1]), math.dist(starts[0], starts[2])
        effect = (
            "seeds take effect" if same <= _SPAWN_BLOCKS < other else "that is no sign that seeds take effect"
        )
        print(f"starts lie {same:.0f} blocks apart with one seed, {other:.0f} with two: {effect}")
    print("MineRL can be used")


if __name__ == "__main__":
    main()
