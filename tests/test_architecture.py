"""Who may know what (docs/architecture.md), as imports show it; no circles, no long files, no file unmentioned."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import write_architecture

ROOMS = ("steve1", "blockworld", "data", "training")
PROGRAMS = ("run_agent", "run_interactive")
LONGEST = 440  # lines; a file has one job, which keeps it under about 400


def module_of(path):
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


@cache
def modules():
    """Name -> path of everything that is installed."""
    paths = [path for room in ROOMS for path in write_architecture.files(room) if path.suffix == ".py"]
    paths += [path for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    return {module_of(path): path for path in [*paths, *(ROOT / f"{name}.py" for name in PROGRAMS)]}


def _statements(node):
    """All import statements below ``node``, but for those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _statements(child)


def imported_by(source, package):
    """The dotted names that a source imports, at its top or within functions; ``package``: where it stands."""
    names = set()
    for statement in _statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        else:
            above = package[: len(package) - statement.level + 1] if statement.level else []
            base = ".".join([*above, *([statement.module] if statement.module else [])])
            names |= {f"{base}.{alias.name}" for alias in statement.names}
    return names


@cache
def imports():
    """Module -> the dotted names that it imports."""
    found = {}
    for name, path in modules().items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        found[name] = imported_by(path.read_text(encoding="utf-8"), package)
    return found


def room_of(name):
    return name.split(".")[0]


def uses(name, wanted):
    """Whether a module imports ``wanted`` or something in it."""
    return any(other == wanted or other.startswith(f"{wanted}.") for other in imports()[name])


def users(wanted):
    return {name for name in modules() if uses(name, wanted)}


def test_imports_are_found_wherever_they_stand():
    source = (
        "from typing import TYPE_CHECKING\nimport a.b\nif TYPE_CHECKING:\n    import not_this\n"
        "def f():\n    from c import d\n    from . import e\n    from ..g import h\n"
    )
    names = imported_by(source, ["x", "y"])
    assert names == {"typing.TYPE_CHECKING", "a.b", "c.d", "x.y.e", "x.g.h"}
    assert len(modules()) > 100
    assert uses("training.train", "training.schedule")


@pytest.mark.parametrize(
    ("room", "unknown"),
    [
        ("steve1", ("data", "training", *PROGRAMS)),
        ("data", ("training", *PROGRAMS)),
        ("training", PROGRAMS),
        ("blockworld", ("data", "training", *PROGRAMS)),
    ],
)
def test_a_room_knows_nothing_of_what_is_built_on_it(room, unknown):
    for name in (name for name in modules() if room_of(name) == room):
        assert not {other for other in imports()[name] if room_of(other) in unknown}, name


def test_only_the_worlds_package_knows_that_there_is_more_than_one():
    for name in modules():
        if room_of(name) in ("steve1", "training") and not name.startswith("steve1.envs"):
            assert not uses(name, "blockworld"), name
            assert not uses(name, "steve1.envs.minerl"), name
            assert not uses(name, "steve1.envs.minestudio"), name
    assert users("minerl") <= {"steve1.envs.minerl_worker"}
    assert users("minestudio") == {"steve1.envs.minestudio_worker"}


def test_only_their_keepers_touch_episodes_weights_pickles_and_pages():
    keepers = {
        f"data.{name}" for name in ("EpisodeStorage", "episode_checks", "episode_files", "episode_writer")
    }
    assert users("data.episode_files") <= keepers
    assert users("data.published_episodes") <= keepers
    assert users("jinja2") == {"steve1.pages.render"}
    assert "steve1.safe_pickle" in modules()
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        # a training's own checkpoints, which are no weights, are read where they are written
        if name not in ("steve1.checkpoints", "training.checkpointing", "training.small_training"):
            assert not re.search(r"\btorch\.load\(", text), name
        if name != "steve1.safe_pickle":
            assert not re.search(r"\bpickle\.(load\(|Unpickler)", text), name


def circles(graph):
    """The groups of nodes that reach each other (Tarjan's strongly connected components of two and more)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"d"}}
    assert circles(graph) == [["a", "b", "c"]]


def test_no_module_imports_itself_by_way_of_others():
    graph = {}
    for name, wanted in imports().items():
        targets = set()
        for other in wanted:
            # "package.module" or "module.name": the longest part that is a module
            while other and other not in modules():
                other = other.rpartition(".")[0]
            targets |= {other} if other else set()
        graph[name] = targets - {name}
    assert circles(graph) == []


def test_no_file_has_grown_beyond_one_job():
    code = [
        *modules().values(),
        *write_architecture.files("benchmarks"),
        *write_architecture.files("scripts"),
    ]
    long = {
        str(path.relative_to(ROOT)): n for path in code if (n := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long


def test_every_file_is_mentioned_once_and_nothing_else():
    page = write_architecture.PAGE.read_text(encoding="utf-8")
    shown = page.partition(write_architecture.BEGIN)[2].partition(write_architecture.END)[0]
    mentioned, folder = [], Path()
    for heading, file in re.findall(r"^### `?([\w/]+?)/?`?$|^\| `([\w.]+)` \|", shown, re.M):
        folder = folder if file else Path(heading if heading != "Programs" else "")
        mentioned += [str(folder / file)] if file else []
    rooms = [
        path.relative_to(ROOT) for room in write_architecture.ROOMS for path in write_architecture.files(room)
    ]
    expected = [*map(str, rooms), *write_architecture.PROGRAMS]
    assert sorted(mentioned) == sorted(expected), "run python scripts/write_architecture.py"
