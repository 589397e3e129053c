"""The worlds that an agent acts in; only this package knows that there is more than one.

Nothing heavy is imported until :func:`make_env` is called.
"""

from __future__ import annotations

from typing import Any

from steve1.cli import UserError
from steve1.envs.game_python import (
    GAMES,
    MINERL,
    MINESTUDIO,
    Game,
    Python,
    find_python,
    game_version,
    has_game,
)
from steve1.envs.telling import WorldLost, say_once
from steve1.envs.together import reset_all, step_all

__all__ = [
    "ENV_NAMES",
    "TAKES_COMMANDS",
    "WorldLost",
    "identify",
    "make_env",
    "reset_all",
    "say_once",
    "step_all",
]

ENV_NAMES = ("minestudio", "minerl", "blockworld", "auto")
TAKES_COMMANDS = ("minestudio",)  # worlds with execute_cmd


def make_env(
    name: str = "auto",
    seed: int | None = None,
    minerl_python: Python = None,
    minestudio_python: Python = None,
) -> Any:
    """A world with MineRL 1.0's interface (``reset() -> obs``, ``step(action) -> (obs, reward, done, info)``).

    ``name``: "minestudio" or "minerl" (Minecraft itself), "blockworld" (the embedded stand-in) or "auto" (minestudio
    where it is installed with its engine, else minerl where that is installed, else blockworld; says which on
    stderr). ``seed`` makes the world; None takes a new one at every reset. ``minerl_python``, ``minestudio_python``:
    the Pythons that have them; None means ``$STEVE1_<GAME>_PYTHON``, else that of ``install_minecraft.sh``, else the
    running one.
    Every world says its ``name`` (as above) and ``version``: with the same seeds and actions, what is seen in two
    worlds is the same only where both are. Those in :data:`TAKES_COMMANDS` have ``execute_cmd(command)``.
    Raises UserError for an unknown name and where a game is asked for and can't be had. The ``reset`` and ``step`` of
    a game raise :class:`WorldLost`.
    """
    if name not in ENV_NAMES:
        raise UserError(f"there is no world called {name!r}; choose one of {', '.join(ENV_NAMES)}")
    pythons = {MINERL: minerl_python, MINESTUDIO: minestudio_python}
    if name == "auto":
        name = _choose(pythons)
    if name == "blockworld":
        from blockworld.env import BlockWorldEnv

        return BlockWorldEnv(seed=seed)
    game = next(game for game in GAMES if game.name == name)
    if not has_game(game, pythons[game]):
        raise UserError(
            f"{game.wanted} can't be used: {find_python(game, pythons[game])} has no module {game.name}; install it "
            f"by `{_INSTALL[game]}` or give the python of an environment that has it by {game.flag} "
            "(docs/minecraft.md), or use --env blockworld for the embedded world"
        )
    if game is MINERL:
        from steve1.envs.minerl import MineRLEnv

        return MineRLEnv(seed, minerl_python)
    from steve1.envs.minestudio import MineStudioEnv

    return MineStudioEnv(seed, minestudio_python)


def identify(
    name: str = "auto", minerl_python: Python = None, minestudio_python: Python = None
) -> tuple[str, str]:
    """The ``name`` and ``version`` of the world that :func:`make_env` makes by this name, without making it."""
    pythons = {MINERL: minerl_python, MINESTUDIO: minestudio_python}
    if name == "auto":
        name = _choose(pythons)
    if name == "blockworld":
        from blockworld import VERSION

        return name, VERSION
    game = next(game for game in GAMES if game.name == name)
    return name, game_version(game, pythons[game])


_INSTALL = {MINESTUDIO: "bash install_minecraft.sh", MINERL: "bash install_minecraft.sh --minerl"}


def _choose(pythons: dict[Game, Python]) -> str:
    """What "auto" means with these Pythons."""
    from steve1.envs.minestudio import has_engine

    why = "neither MineStudio nor MineRL is installed"
    for game in GAMES:
        if has_game(game, pythons[game]):
            if game is not MINESTUDIO or has_engine(pythons[game]):
                say_once(f"world: {game.title}")
                return game.name
            why = "MineStudio's engine was not fetched, and MineRL is not installed"
    say_once(f"world: BlockWorld, the stand-in, because {why} (see docs/minecraft.md)")
    return "blockworld"
