"""The worlds that an agent acts in. Only this package imports gym, and only it knows that there is more than one.

Nothing is imported until :func:`make_env` is called.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from steve1.cli import UserError

ENV_NAMES = ("minerl", "blockworld", "auto")


def make_env(name: str = "auto", seed: int | None = None) -> Any:
    """A world with MineRL 1.0's interface (``reset() -> obs``, ``step(action) -> (obs, reward, done, info)``).

    ``name``: "minerl" (Minecraft itself), "blockworld" (the embedded stand-in) or "auto" (minerl where it is
    installed, else blockworld). ``seed`` makes the world; None takes a new one at every reset.
    Raises UserError for an unknown name and where MineRL is asked for and can't be had.
    """
    if name not in ENV_NAMES:
        raise UserError(f"there is no world called {name!r}; choose one of {', '.join(ENV_NAMES)}")
    if name == "auto":
        name = "minerl" if _minerl_can_be_used() else "blockworld"
    if name == "blockworld":
        from steve1.envs.blockworld.env import BlockWorldEnv

        return BlockWorldEnv(seed=seed)
    if not _minerl_can_be_used():
        raise UserError(
            "MineRL 1.0 can't be used here: it wants a Python environment with `minerl` (https://github.com/"
            "minerllabs/minerl) and Java 8; use --env blockworld for the embedded world"
        )
    from steve1.envs.minerl import MineRLEnv  # type: ignore[import-not-found]

    return MineRLEnv(seed=seed)


def _minerl_can_be_used() -> bool:
    return all(importlib.util.find_spec(module) for module in ("minerl", "steve1.envs.minerl"))
