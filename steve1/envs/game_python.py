"""The games that run in a Python of their own: what they are called, and where their Pythons are.

The flags that name the Pythons, how they are found, and whether the game is there. What is found is asked of the
Python itself, not by import.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steve1.cli import UserError

_HOME = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Game:
    """``name``: of its ``--env``, its module and its distribution. ``title``: as it is called in sentences.

    ``wanted``: the title with the version that the policies know.
    """

    name: str
    title: str
    wanted: str

    @property
    def flag(self) -> str:
        return f"--{self.name}_python"

    @property
    def prefix(self) -> str:
        """What the environment variables about it begin with."""
        return f"STEVE1_{self.name.upper()}"

    @property
    def installed(self) -> Path:
        """The Python of the environment that ``install_minecraft.sh`` makes."""
        return _HOME / f".{self.name}" / "bin" / "python"


MINERL = Game("minerl", "MineRL", "MineRL 1.0")
MINESTUDIO = Game("minestudio", "MineStudio", "MineStudio 1.1.6")
GAMES = (MINESTUDIO, MINERL)  # in the order in which "auto" looks for them
Python = str | os.PathLike | None


def add_python_flags(group: argparse._ActionsContainer, games: tuple[Game, ...] = GAMES) -> None:
    """Add ``--minestudio_python`` and ``--minerl_python``."""
    for game in games:
        group.add_argument(
            game.flag,
            default=None,
            metavar="PATH",
            help=f"the python of {game.title}'s own environment (default: ${game.prefix}_PYTHON, else that of "
            "install_minecraft.sh, else this one)",
        )


def pythons(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags of :func:`add_python_flags` name, as :func:`steve1.envs.make_env` takes it."""
    names = [f"{game.name}_python" for game in GAMES]
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def missing_python(args: argparse.Namespace) -> list[str]:
    """A sentence for each flag of :func:`add_python_flags` that names no program."""
    problems = []
    for game in GAMES:
        try:
            given = getattr(args, f"{game.name}_python", None)
            if given is not None:
                find_python(game, given)
        except UserError as error:
            problems.append(str(error))
    return problems


def find_python(game: Game, python: Python) -> str:
    """A game's interpreter: what is given, else ``$STEVE1_<GAME>_PYTHON``, else that of ``install_minecraft.sh``,
    else the running one.

    Raises UserError where there is no such program.
    """
    named = os.fspath(python) if python is not None else os.environ.get(f"{game.prefix}_PYTHON")
    if not named and python is None:
        return str(game.installed) if game.installed.exists() else sys.executable
    assert named is not None
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        flag = game.flag if python is not None else f"${game.prefix}_PYTHON"
        raise UserError(
            f"{flag} {named} is no program; give the python of {game.title}'s environment, .../bin/python"
        )
    return str(Path(found).absolute())


def has_game(game: Game, python: Python) -> bool:
    """Whether the interpreter that :func:`find_python` finds can import the game."""
    return _ask(game, find_python(game, python), os.environ.get("PYTHONPATH"))[0]


def game_version(game: Game, python: Python) -> str:
    """The version of the game that :func:`has_game` asks for, or "unknown", as its worker says it too."""
    return _ask(game, find_python(game, python), os.environ.get("PYTHONPATH"))[1]


@functools.cache
def _ask(game: Game, python: str, pythonpath: str | None) -> tuple[bool, str]:
    """Whether the game's module is there, and its version."""
    code = (
        # Without the working directory, where a folder of the module's name would pass for the package.
        "import sys; sys.path.pop(0); import importlib.util as u; import importlib.metadata as m\n"
        f"print(bool(u.find_spec({game.name!r})))\n"
        f"print(m.version({game.name!r}))"
    )
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    found, _, version = asked.stdout.partition("\n")
    return found.strip() == "True", version.strip() or "unknown"
