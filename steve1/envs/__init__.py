"""The worlds that an agent acts in; only this package knows that there is more than one.

Nothing heavy is imported until :func:`make_env` is called.
"""

from __future__ import annotations

import os
from typing import Any

from steve1.cli import UserError
from steve1.envs.telling import WorldLost, say_once

__all__ = ["ENV_NAMES", "WorldLost", "identify", "make_env", "say_once"]

ENV_NAMES = ("minerl", "blockworld", "auto")


def make_env(
    name: str = "auto", seed: int | None = None, minerl_python: str | os.PathLike | None = None
) -> Any:
    """A world with MineRL 1.0's interface (``reset() -> obs``, ``step(action) -> (obs, reward, done, info)``).

    ``name``: "minerl" (Minecraft itself), "blockworld" (the embedded stand-in) or "auto" (minerl where it is
    installed, else blockworld; says which on stderr). ``seed`` makes the world; None takes a new one at every reset.
    ``minerl_python``: the Python that has MineRL; None means ``$STEVE1_MINERL_PYTHON`` or else the running one.
    Every world says its ``name`` (as above) and ``version``: with the same seeds and actions, what is seen in two
    worlds is the same only where both are.
    Raises UserError for an unknown name and where MineRL is asked for and can't be had. A MineRL world's ``reset``
    and ``step`` raise :class:`WorldLost`.
    """
    if name not in ENV_NAMES:
        raise UserError(f"there is no world called {name!r}; choose one of {', '.join(ENV_NAMES)}")
    if name == "auto":
        name = _choose(minerl_python)
    if name == "blockworld":
        from blockworld.env import BlockWorldEnv

        return BlockWorldEnv(seed=seed)
    from steve1.envs.minerl_python import find_python, has_minerl

    if not has_minerl(minerl_python):
        raise UserError(
            f"MineRL 1.0 can't be used: {find_python(minerl_python)} has no module minerl; give the python of an "
            "environment that has it by --minerl_python (docs/minerl.md tells how to make one), or use "
            "--env blockworld for the embedded world"
        )
    from steve1.envs.minerl import MineRLEnv

    return MineRLEnv(seed=seed, minerl_python=minerl_python)


def identify(name: str = "auto", minerl_python: str | os.PathLike | None = None) -> tuple[str, str]:
    """The ``name`` and ``version`` of the world that :func:`make_env` makes by this name, without making it."""
    if name == "auto":
        name = _choose(minerl_python)
    if name == "blockworld":
        from blockworld import VERSION

        return name, VERSION
    from steve1.envs.minerl_python import minerl_version

    return name, minerl_version(minerl_python)


def _choose(minerl_python: str | os.PathLike | None) -> str:
    """What "auto" means with this Python."""
    from steve1.envs.minerl_python import has_minerl

    if has_minerl(minerl_python):
        say_once("world: MineRL")
        return "minerl"
    say_once("world: BlockWorld, the stand-in, because MineRL is not installed (see docs/minerl.md)")
    return "blockworld"
