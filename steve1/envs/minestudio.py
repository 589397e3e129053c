"""MineStudio's Minecraft, with MineRL 1.0's interface, played by a worker in a Python of its own; and a check of it.

Check an installation (three worlds, twenty steps, a picture; a few minutes, nearly all of it Minecraft's own start):
    python steve1/envs/minestudio.py --minestudio_python .minestudio/bin/python --steps 20 --picture seen.png

The same, tiny (one world, one step):
    python steve1/envs/minestudio.py --steps 1 --worlds 1

This module never imports minestudio; ``minestudio_worker.py`` does. How to install it: docs/minecraft.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steve1.cli import entry_point
from steve1.envs.checking import check_installation, parse
from steve1.envs.game_python import MINESTUDIO, find_python
from steve1.envs.telling import say_once
from steve1.envs.worker_env import WorkerEnv, differing_settings, not_as_known

JAR = Path("engine") / "build" / "libs" / "mcprec-6.13.jar"
# MineStudio's launch script runs this for every world; the display is the worker's, and so goes with it.
_XVFB_RUN = '#!/bin/sh\n[ "$1" = -a ] && shift\nexec "$@"\n'


class MineStudioEnv(WorkerEnv):
    """A player in MineStudio's Minecraft. ``minestudio_python``, as all else: see :class:`WorkerEnv`.

    Of MineRL's keys, ESC, drop and swapHands do nothing here, which is said once when one is pressed. An info holds
    ``health``, ``food_level`` and ``location_stats`` besides MineRL's; a player who has died has no ``is_alive``.
    All that the game writes (its database, logs and worlds) stands in a temporary folder that goes with the world.
    """

    game = MINESTUDIO

    def __init__(
        self, seed: int | None = None, minestudio_python: str | os.PathLike | None = None, **timeouts: Any
    ) -> None:
        super().__init__(seed, minestudio_python, **timeouts)

    def execute_cmd(self, command: str) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """A tick in which the player says ``command`` ("/give @s oak_log 3"); returns and raises as :meth:`step`."""
        self._check_playing()
        self._ask({"do": "command", "command": command})
        return self.receive_step()

    def _prepare(self, folder: Path) -> dict[str, str]:
        # MineStudio keeps one database for all its worlds, where what a killed world left locks out the next.
        home = engine_home(self._python)
        for name in ("engine", "runtime"):
            if (home / name).exists():
                (folder / name).symlink_to(home / name)
        tools, temporary = folder / "bin", folder / "tmp"
        tools.mkdir()
        temporary.mkdir()
        (tools / "xvfb-run").write_text(_XVFB_RUN)
        (tools / "xvfb-run").chmod(0o755)
        return {
            "MINESTUDIO_DIR": str(folder),
            "MALMO_MINECRAFT_OUTPUT_LOGDIR": str(folder),
            "TMPDIR": str(temporary),
            "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def _display(self) -> list[str]:
        from steve1.envs.world_process import display_of

        return display_of(MINESTUDIO, rather_own=os.environ.get("MINESTUDIO_GPU_RENDER") != "1")

    def _check(self, about: dict[str, Any]) -> None:
        from steve1.envs.minestudio_face import RECORD
        from steve1.envs.spaces import differences

        problems = differing_settings(about["settings"])
        for kind in ("action_space", "observation_space"):
            problems += differences(RECORD[kind], about["spaces"][kind], kind)
        if problems:
            remedy = "Install the version in requirements-minestudio.txt (docs/minecraft.md)"
            raise not_as_known(MINESTUDIO, about["version"], problems, remedy)

    def _take_spaces(self, told: dict[str, Any]) -> None:
        from steve1.envs import minestudio_face, spaces

        self.action_space = spaces.action_space()
        self.observation_space = minestudio_face.observation_space(told["observation_space"])
        self._observations = minestudio_face.Observations(self.observation_space)

    def _hint(self) -> str:
        jar = engine_home(self._python) / JAR
        return "" if jar.exists() else f"; there is no engine {jar}, fetch it with install_minecraft.sh"

    def _action(self, keys: dict[str, int], pitch: float, yaw: float) -> dict[str, Any]:
        from steve1.envs.minestudio_face import WITHOUT_EFFECT

        for name in WITHOUT_EFFECT:
            if keys.get(name):
                say_once(f"MineStudio has no key {name}: pressing it does nothing there")
        return {**{name: v for name, v in keys.items() if name not in WITHOUT_EFFECT}, "camera": [pitch, yaw]}

    def _adapted(self, obs: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
        info.setdefault("isGuiOpen", bool(obs.get("is_gui_open", False)))
        return self._observations.of(obs, info)


def engine_home(python: str) -> Path:
    """The folder that holds MineStudio's ``engine``: ``$MINESTUDIO_DIR``, else that in the Python's environment, where
    ``install_minecraft.sh`` puts it, else MineStudio's own default."""
    given = os.environ.get("MINESTUDIO_DIR")
    if given:
        return Path(given).absolute()
    ours = Path(python).parents[1] / "minestudio"
    return ours if (ours / JAR).exists() else Path(tempfile.gettempdir()) / "MineStudio"


def has_engine(python: str | os.PathLike | None) -> bool:
    """Whether the engine of the MineStudio that :func:`find_python` finds was fetched."""
    return (engine_home(find_python(MINESTUDIO, python)) / JAR).exists()


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(MINESTUDIO, __doc__, argv)
    check_installation(lambda: MineStudioEnv(minestudio_python=args.minestudio_python), args)


if __name__ == "__main__":
    main()
