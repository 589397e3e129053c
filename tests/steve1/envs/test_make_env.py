"""One way to a world, whichever it is, and a name and a version of each."""

import ast
from pathlib import Path

import pytest

import blockworld
from blockworld.env import BlockWorldEnv
from steve1 import envs
from steve1.cli import UserError
from steve1.envs import identify, make_env


def test_the_world_that_is_named_is_made_and_says_what_it_is():
    env = make_env("blockworld", seed=1)
    assert isinstance(env, BlockWorldEnv)
    assert identify("blockworld") == (env.name, env.version) == ("blockworld", blockworld.VERSION)
    with pytest.raises(UserError, match="minecraft"):
        make_env("minecraft")
    with pytest.raises(ValueError, match="reset"):
        _ = make_env("blockworld").world


def test_worlds_know_nothing_of_what_plays_in_them():
    """Of steve1, envs imports the plain parts only: flags, agents and what is filmed know it, not the other way."""
    known = {
        node.module
        for path in Path(envs.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.split(".")[0] in ("steve1", "data", "training")
    }
    assert "steve1.cli" in known
    assert {name for name in known if not name.startswith("steve1.envs")} <= {"steve1.cli", "steve1.config"}


def test_minerl_that_is_missing_says_what_to_do(monkeypatch):
    monkeypatch.setattr("steve1.envs.has_game", lambda *_: False)
    with pytest.raises(UserError, match="--env blockworld"):
        make_env("minerl")
    assert make_env("auto").name == "blockworld"
