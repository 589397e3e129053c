"""MineRL 1.0, Minecraft itself, played by a worker in a Python of its own; and a check of an installation.

Check an installation (three worlds, ten steps; a few minutes, nearly all of it Minecraft's own start):
    python steve1/envs/minerl.py --minerl_python ~/minerl/bin/python

The same, tiny (one world, one step):
    python steve1/envs/minerl.py --minerl_python ~/minerl/bin/python --steps 1 --worlds 1

This module never imports minerl; ``minerl_worker.py`` does. How to install it: docs/minecraft.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.cli import entry_point
from steve1.envs.checking import check_installation, parse
from steve1.envs.game_python import MINERL
from steve1.envs.worker_env import WorkerEnv, differing_settings, not_as_known


class MineRLEnv(WorkerEnv):
    """A player in MineRL 1.0. ``minerl_python``, as all else: see :class:`WorkerEnv`."""

    game = MINERL

    def __init__(
        self, seed: int | None = None, minerl_python: str | os.PathLike | None = None, **timeouts: Any
    ) -> None:
        super().__init__(seed, minerl_python, **timeouts)

    def _display(self) -> list[str]:
        from steve1.envs.world_process import display_of

        return display_of(MINERL, rather_own=False, options=("-s", "-screen 0 1024x768x24"))

    def _check(self, about: dict[str, Any]) -> None:
        from steve1.envs.spaces import differences

        problems = differing_settings(about["settings"])
        recorded = json.loads(Path(__file__).with_name("minerl_spaces.json").read_text())
        for kind in ("action_space", "observation_space"):
            problems += differences(recorded[kind], about["spaces"][kind], kind)
        if problems:
            remedy = "Install the version in requirements-minerl.txt (docs/minecraft.md)"
            raise not_as_known(MINERL, about["version"], problems, remedy)

    def _take_spaces(self, told: dict[str, Any]) -> None:
        from steve1.envs import spaces

        self.action_space = spaces.space(told["action_space"])
        self.observation_space = spaces.space(told["observation_space"])


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(MINERL, __doc__, argv)
    check_installation(lambda: MineRLEnv(minerl_python=args.minerl_python), args)


if __name__ == "__main__":
    main()
