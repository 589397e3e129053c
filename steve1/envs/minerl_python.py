"""The Python that has MineRL: the flag that names it, where it is found, and whether MineRL is there."""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from steve1.cli import UserError


def add_minerl_flag(group: argparse._ActionsContainer) -> None:
    """Add ``--minerl_python``."""
    group.add_argument(
        "--minerl_python",
        default=None,
        metavar="PATH",
        help="the python of MineRL's own environment (default: $STEVE1_MINERL_PYTHON, else this one)",
    )


def missing_python(args: argparse.Namespace) -> list[str]:
    """A sentence where ``--minerl_python`` names no program."""
    try:
        if args.minerl_python is not None:
            find_python(args.minerl_python)
    except UserError as error:
        return [str(error)]
    return []


def find_python(python: str | os.PathLike | None) -> str:
    """MineRL's interpreter: what is given, else ``$STEVE1_MINERL_PYTHON``, else the running one.

    Raises UserError where there is no such program.
    """
    named = os.fspath(python) if python is not None else os.environ.get("STEVE1_MINERL_PYTHON")
    if named is None or (python is None and not named):
        return sys.executable
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        flag = "--minerl_python" if python is not None else "$STEVE1_MINERL_PYTHON"
        raise UserError(
            f"{flag} {named} is no program; give the python of MineRL's environment, .../bin/python"
        )
    return str(Path(found).absolute())


def has_minerl(python: str | os.PathLike | None) -> bool:
    """Whether the interpreter that :func:`find_python` finds can import minerl; asked of itself, not by import."""
    return _ask(find_python(python), os.environ.get("PYTHONPATH"))[0]


def minerl_version(python: str | os.PathLike | None) -> str:
    """The version of the MineRL that :func:`has_minerl` asks for, or "unknown", as its worker says it too."""
    return _ask(find_python(python), os.environ.get("PYTHONPATH"))[1]


@functools.cache
def _ask(python: str, pythonpath: str | None) -> tuple[bool, str]:
    """Whether minerl is there, and its version."""
    code = (
        # Without the working directory, where a folder named minerl would pass for the package.
        "import sys; sys.path.pop(0); import importlib.util as u; import importlib.metadata as m\n"
        "print(bool(u.find_spec('minerl')))\n"
        "print(m.version('minerl'))"
    )
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    found, _, version = asked.stdout.partition("\n")
    return found.strip() == "True", version.strip() or "unknown"
