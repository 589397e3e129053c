"""The stand-in for MineRL (tests/steve1/envs/standin) as tests use it: told what to do, and asked what it did."""

import json
import os
import select
import sys
from pathlib import Path

STANDIN = Path(__file__).parent / "steve1" / "envs" / "standin"


class StandIn:
    """The folder through which the stand-in's processes, numbered from 0, are told what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tell(self, number: int, **script) -> None:
        """What the ``number``-th process does: ``step={"3": "exit"}``, for example."""
        (self.folder / f"{number}.json").write_text(json.dumps(script))

    def started(self) -> list[int]:
        """The ids of all processes that made a world, in order."""
        files = sorted(self.folder.glob("*.started"), key=lambda path: int(path.stem))
        return [int(path.read_text()) for path in files]

    def java(self) -> int:
        """The id of the process that stands for Java."""
        return int((self.folder / "java.pid").read_text())

    def closed_in_peace(self, number: int) -> bool:
        return (self.folder / f"{number}.closed").exists()


def use_standin(monkeypatch, folder: Path) -> StandIn:
    """Make the stand-in what a worker imports as ``minerl``."""
    monkeypatch.setenv("PYTHONPATH", str(STANDIN))
    monkeypatch.setenv("STANDIN_FOLDER", str(folder))
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("STEVE1_MINERL_PYTHON", sys.executable)
    return StandIn(folder)


def is_gone(process: int, within: float = 30.0) -> bool:
    """Whether a process ends within so many seconds; it is waited for, not asked over and over."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within)[0])
    finally:
        os.close(handle)
