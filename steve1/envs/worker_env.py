"""A world that a worker plays in the game's own Python: what MineRL and MineStudio have in common."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from steve1.cli import UserError
from steve1.config import MINERL_SETTINGS, POV_SHAPE
from steve1.envs.game_python import Game, find_python
from steve1.envs.telling import WorldLost

START_S, RESET_S, STEP_S = 300.0, 300.0, 60.0


class WorkerEnv:
    """A player in Minecraft, with MineRL 1.0's interface: HumanSurvival as the policies know it.

    ``seed``: makes the world; None takes a new one at every reset. ``python``: see
    :func:`steve1.envs.make_env`. ``start_timeout``, ``reset_timeout``, ``step_timeout``: seconds that the game gets;
    None means $STEVE1_<GAME>_START_TIMEOUT (default 300), ..._RESET_TIMEOUT (300; Minecraft is launched in the first
    reset) and ..._STEP_TIMEOUT (60).

    ``reset`` and ``step`` raise :class:`~steve1.envs.WorldLost` when Minecraft crashes or hangs; nothing of it is
    then left running, and the next ``reset`` starts a fresh one. ``reset`` is ``send_reset`` and ``receive_reset``,
    ``step`` is ``send_step`` and ``receive_step``: between the two, other worlds may be asked. ``world_seed``: of the
    present episode, also in every info. ``version``: the game's, as its worker says; ``python_version``: its Python's.
    ``task``: the settings that the game says it has.
    Raises UserError where the game can't be started, or is not as the policies know it.
    """

    game: ClassVar[Game]
    action_space: Any
    observation_space: Any

    def __init__(
        self,
        seed: int | None = None,
        python: str | os.PathLike | None = None,
        start_timeout: float | None = None,
        reset_timeout: float | None = None,
        step_timeout: float | None = None,
    ) -> None:
        from steve1.envs.world_process import check_platform

        check_platform(self.game)
        self._seed = seed
        self._start_s = _seconds(self.game, "START", start_timeout, START_S)
        self._reset_s = _seconds(self.game, "RESET", reset_timeout, RESET_S)
        self._step_s = _seconds(self.game, "STEP", step_timeout, STEP_S)
        self._python = find_python(self.game, python)
        self.world_seed: int | None = None
        self._playing = False
        self._resetting: Iterator[None] | None = None
        self._obs: dict[str, Any] = {}
        try:
            self._launch()
            about = self._process.receive()
        except ModuleNotFoundError as error:
            raise UserError(
                f"{self._python} has no {self.game.wanted} ({error}); docs/minecraft.md tells how to install it"
            ) from None
        except WorldLost as error:
            raise UserError(
                f"{self.game.title} can't be started with {self._python}: {error}{self._hint()}; see docs/minecraft.md"
            ) from None
        try:
            self._check(about)
        except UserError:
            self._process.kill()
            raise
        self.version, self.python_version = about["version"], about["python"]
        self.task = SimpleNamespace(**about["settings"])
        self._take_spaces(about["spaces"])

    @property
    def name(self) -> str:
        """The world's name, as ``--env`` takes it."""
        return self.game.name

    def seed(self, seed: int | None = None) -> list[int | None]:
        """The world of the coming resets."""
        self._seed = seed
        return [seed]

    def reset(self) -> dict[str, Any]:
        """A new episode in the seed's world; the first one launches Minecraft, which takes a minute or two.

        A process that fails in this is replaced once. Raises WorldLost when the fresh one fails too.
        """
        self.send_reset()
        return self.receive_reset()

    def send_reset(self) -> None:
        """Begin :meth:`reset`; :meth:`receive_reset` ends it."""
        if self._process.alive and self._process.waited_for:
            self._process.kill()  # its answer would be taken for the reset's
        self.world_seed = int.from_bytes(os.urandom(4), "big") if self._seed is None else int(self._seed)
        self._resetting = self._reset()
        next(self._resetting)

    def receive_reset(self) -> dict[str, Any]:
        """The observation of the episode that :meth:`send_reset` has begun; see :meth:`reset`."""
        assert self._resetting is not None, "call send_reset() first"
        resetting, self._resetting = self._resetting, None
        for _ in resetting:
            pass
        return self._first

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """One tick. ``action``: MineRL's keys, those left out doing nothing.

        Returns (observation, reward, done, info); info is the game's and ``world_seed``. Raises ValueError for an
        action outside of the action space, and WorldLost.
        """
        self.send_step(action)
        return self.receive_step()

    def send_step(self, action: Mapping[str, Any]) -> None:
        """Begin :meth:`step`; :meth:`receive_step` ends it."""
        from steve1.envs.spaces import checked_action

        self._check_playing()
        keys, pitch, yaw = checked_action(action)
        self._ask({"do": "step", "action": self._action(keys, pitch, yaw)})

    def receive_step(self) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """What the step that :meth:`send_step` has begun led to; see :meth:`step`."""
        answer = self._process.receive()
        self._playing = True
        info = {**answer["info"], "world_seed": self.world_seed}
        obs = self._adapted(self._observe(answer), info)
        return obs, answer["reward"], answer["done"], info

    def close(self) -> None:
        """End Minecraft and its process. ``reset`` starts them again."""
        self._playing = False
        self._process.close()

    # ---- what games differ in ----

    def _prepare(self, folder: Path) -> dict[str, str]:
        """The worker's environment variables. ``folder``: the world's own, which goes with it."""
        return {}

    def _display(self) -> list[str]:
        """The command that gives the worker a display."""
        raise NotImplementedError

    def _check(self, about: dict[str, Any]) -> None:
        """Raise UserError where a started game is not the one that the policies know."""
        raise NotImplementedError

    def _take_spaces(self, told: dict[str, Any]) -> None:
        """Set ``action_space`` and ``observation_space`` by what the worker tells."""
        raise NotImplementedError

    def _hint(self) -> str:
        """What a start that failed may come from, as words that follow."""
        return ""

    def _action(self, keys: dict[str, int], pitch: float, yaw: float) -> dict[str, Any]:
        """The game's action as JSON."""
        return {**keys, "camera": [pitch, yaw]}

    def _adapted(self, obs: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
        """MineRL's observation of the game's; what is wanting in ``info`` may be put there."""
        return obs

    # ---- the talk ----

    def _check_playing(self) -> None:
        if not self._playing:
            raise ValueError("there is no world; call reset() first")

    def _ask(self, request: dict[str, Any]) -> None:
        self._playing = False  # unless it answers
        self._process.send(request, self._step_s)

    def _launch(self) -> None:
        """Start a process; its answer tells what it is."""
        from steve1.envs.world_process import WorldProcess

        self._process = WorldProcess(
            self.game, self._python, math.prod(POV_SHAPE), self._prepare, self._display()
        )
        settings = {**MINERL_SETTINGS, "frameskip": 1}
        self._process.send({"do": "start", "settings": settings}, self._start_s)

    def _reset(self) -> Iterator[None]:
        """A reset, which pauses after everything that it asks."""
        if self._process.alive:
            try:
                yield from self._begin()
                return
            except WorldLost as error:
                print(f"{error}; trying again with a fresh process", file=sys.stderr)
        self._launch()
        yield
        self._process.receive()
        try:
            yield from self._begin()
        except WorldLost as error:
            raise WorldLost(f"{error}{self._hint()}") from None

    def _begin(self) -> Iterator[None]:
        self._playing = False
        self._process.send({"do": "reset", "seed": self.world_seed}, self._reset_s)
        yield
        answer = self._process.receive()
        self._playing = True
        self._first = self._adapted(self._observe(answer), answer["info"])

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


def differing_settings(found: Mapping[str, Any]) -> list[str]:
    """By which settings a started game differs from what the policies know, a clause each."""
    return [
        f"its {name} is {found[name]}, not {wanted}"
        for name, wanted in MINERL_SETTINGS.items()
        if found[name] is None or list(found[name]) != wanted
    ]


def not_as_known(game: Game, version: str, problems: list[str], remedy: str) -> UserError:
    """The error of a game that is not the one that the policies know."""
    more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
    return UserError(
        f"this {game.title} ({version}) is not the {game.wanted.split()[-1]} that the policies know: "
        f"{'; '.join(problems[:4])}{more}. {remedy}"
    )


def _seconds(game: Game, name: str, given: float | None, default: float) -> float:
    variable = f"{game.prefix}_{name}_TIMEOUT"
    text = os.environ.get(variable)
    try:
        seconds = given if given is not None else float(text) if text else default
    except ValueError:
        raise UserError(f"${variable} is {text!r}; give a number of seconds") from None
    if not 0 < seconds < 1e7:
        raise UserError(f"{seconds} s is no time-out for {game.title}; give seconds above 0 (${variable})")
    return seconds
