"""Tasks of MCU, the benchmark that comes with MineStudio, read from its YAML files as they are.

A file holds ``text`` (the instruction), ``reference_video`` (a film that shows it), or both, and
``custom_init_commands``, which the world is given after its reset. ``defaults`` names other files beside it, whose
keys it takes over where it has none of its own (``_self_`` stands for the file; what comes later wins, as in Hydra).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steve1.cli import UserError
from steve1.files import read_text

_SUFFIXES = (".yaml", ".yml")
_KNOWN = ("text", "reference_video", "custom_init_commands", "defaults")


@dataclass(frozen=True)
class Task:
    """``name``: the file's, and as much of its path as tells it from the others. ``text``: "" where it has none.

    ``reference_video``: a film, or None. ``commands``: the world's, in order.
    """

    name: str
    path: Path
    text: str
    reference_video: Path | None
    commands: tuple[str, ...]


def read_tasks(sources: Sequence[Path]) -> list[Task]:
    """The tasks of files and of folders' files, in order of name within a folder; says what of them is not used.

    Raises :class:`~steve1.cli.UserError` for a source that is not there or is no task, and for a folder without any.
    """
    paths: dict[Path, Path] = {}
    bases: set[Path] = set()
    for source in sources:
        inside = (
            sorted(p for p in source.rglob("*") if p.suffix in _SUFFIXES) if source.is_dir() else [source]
        )
        if not inside:
            raise UserError(f"--tasks {source} holds no .yaml file; name a folder of tasks, or files")
        for path in inside:
            paths.setdefault(path.resolve(), path)
            bases |= {base.resolve() for base in _bases(path, _content(path)) if source.is_dir()}
    found = [path for real, path in paths.items() if real not in bases]
    return [_task(name, path) for name, path in zip(_names(found), found, strict=True)]


def check_commands(tasks: Sequence[Task], env: str, **python: Any) -> None:
    """Raise UserError where tasks have commands and the world ``env`` takes none. ``python``: of the games."""
    from steve1.envs import TAKES_COMMANDS, identify

    task = next((task for task in tasks if task.commands), None)
    if task is None:
        return
    world = identify(env, **python)[0]
    if world not in TAKES_COMMANDS:
        raise UserError(
            f"{task.path} has custom_init_commands, which the world {world} can't execute; play it with "
            "--env minestudio"
        )


def _task(name: str, path: Path) -> Task:
    told = _with_defaults(path, ())
    unused = [str(key) for key in told if key not in _KNOWN]
    if unused:
        print(f"{path}: not used here: {', '.join(unused)}", file=sys.stderr)
    text, video, commands = (told.get(key) for key in _KNOWN[:3])
    commands = [] if commands is None else commands
    if not isinstance(commands, list) or not all(isinstance(one, str) and one.strip() for one in commands):
        raise UserError(f"{path}: custom_init_commands must be a list of commands")
    for key, value in (("text", text), ("reference_video", video)):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise UserError(f"{path}: {key} is {value!r}, and must be a text")
    film = None if video is None else path.parent / Path(video).expanduser()
    if film is not None and not film.is_file():
        if text is None:
            raise UserError(f"{path}: its reference_video {film} does not exist, and it has no text")
        print(f"{path}: its reference_video {film} does not exist; played by its text alone", file=sys.stderr)
        film = None
    if text is None and film is None:
        raise UserError(f"{path} has neither text nor reference_video, so it is no task")
    return Task(name, path, (text or "").strip(), film, tuple(one.strip() for one in commands))


def _with_defaults(path: Path, within: tuple[Path, ...]) -> dict[str, Any]:
    """A file's keys, with those of its ``defaults``."""
    if path.resolve() in within:
        raise UserError(f"{path} stands among its own defaults; mend it")
    told = _content(path)
    layers: list[dict[str, Any]] = []
    for base in _bases(path, told, with_self=True):
        if base == path:
            layers.append(told)
        elif base.is_file():
            layers.append(_with_defaults(base, (*within, path.resolve())))
        else:
            print(
                f"{path}: its defaults name {base.name}, which is not there; played without", file=sys.stderr
            )
    return {key: value for layer in layers for key, value in layer.items()}


def _bases(path: Path, told: dict[str, Any], with_self: bool = False) -> list[Path]:
    """The files that ``defaults`` names, this file itself in its place among them or last."""
    names = told.get("defaults", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: defaults must be a list of names")
    files = [path if n == "_self_" else path.with_name(n.removesuffix(".yaml") + ".yaml") for n in names]
    files += [] if path in files else [path]
    return files if with_self else [file for file in files if file != path]


def _content(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise UserError(f"--tasks {path} does not exist; name a folder of MCU's YAML files, or files")
    try:
        told = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(told, dict):
        raise UserError(f"{path} holds no keys such as text and custom_init_commands, so it is no task")
    return told


def _names(paths: Sequence[Path]) -> list[str]:
    for depth in range(1, 20):
        names = ["/".join(path.absolute().with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
