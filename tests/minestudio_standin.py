"""The stand-ins for MineStudio as tests use them: the light one, and the engine under MineStudio's real package."""

import os
import sys
from pathlib import Path

from minerl_standin import STANDIN, StandIn, use_standin

ENVS = Path(__file__).parent / "steve1" / "envs"
JAR = Path("engine") / "build" / "libs" / "mcprec-6.13.jar"


def make_home(folder: Path) -> Path:
    """A folder that holds an engine, as far as it is looked at."""
    (folder / JAR).parent.mkdir(parents=True)
    (folder / JAR).touch()
    return folder


def use_light(monkeypatch, folder: Path) -> StandIn:
    """Make the light stand-in what a worker imports as ``minestudio``; all that worlds write goes below ``folder``."""
    standin = use_standin(monkeypatch, folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ENVS / "standin_minestudio"), str(STANDIN)]))
    monkeypatch.setenv("STEVE1_MINESTUDIO_PYTHON", sys.executable)
    monkeypatch.setenv("MINESTUDIO_GPU_RENDER", "1")  # on $DISPLAY, not on an Xvfb of its own
    _own_folders(monkeypatch, folder)
    return standin


def use_engine(monkeypatch, folder: Path, python: str) -> StandIn:
    """Make the stand-in engine the ``java`` that MineStudio's real package, in ``python``, starts."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "java").write_text(
        f'#!/bin/sh\nexec env PYTHONPATH={ENVS.parents[2]} {sys.executable} {ENVS / "engine" / "java.py"} "$@"\n'
    )
    (tools / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_FOLDER", str(folder))
    monkeypatch.setenv("STEVE1_MINESTUDIO_PYTHON", python)
    _own_folders(monkeypatch, folder)
    return StandIn(folder)


def _own_folders(monkeypatch, folder: Path) -> None:
    monkeypatch.setenv("MINESTUDIO_DIR", str(make_home(folder / "home")))
    (folder / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "temporary"))
