"""BlockWorld knows nothing of the rest: it can be taken out of this repository, but for its players' action bins."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "blockworld"
FILES = sorted(PACKAGE.rglob("*.py"))
REST = ("steve1", "data", "training", "run_agent", "run_interactive", "benchmarks", "tests")
ALLOWED = "steve1.vpt.actions"


def foreign(source: str) -> list[str]:
    """The modules of the rest that a source imports, wherever in it it does."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import relative to the package could lead anywhere; write it out"
            names += [str(node.module)]
            if node.module in ("steve1", "steve1.vpt"):
                names[-1:] = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names += [ast.literal_eval(node.args[0])]
    return [name for name in names if name.split(".")[0] in REST]


def test_what_is_looked_for_is_found():
    source = "import data.video\ndef f():\n    from steve1 import cli\n    import numpy, training.train as t"
    assert sorted(foreign(source)) == ["data.video", "steve1.cli", "training.train"]
    assert foreign("from steve1.vpt import actions") == [ALLOWED]
    assert foreign("importlib.import_module('steve1.config')") == ["steve1.config"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_players_import_and_only_the_actions(path):
    allowed = [ALLOWED] if path.parent == PACKAGE / "players" else []
    assert set(foreign(path.read_text())) <= set(allowed)


def test_the_players_know_how_a_policy_acts():
    assert ALLOWED in {
        name for path in (PACKAGE / "players").glob("*.py") for name in foreign(path.read_text())
    }


def test_the_game_is_played_and_drawn_where_the_rest_does_not_exist(tmp_path):
    modules = [
        ".".join(("blockworld", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if path.parent != PACKAGE / "players" and path.stem != "__main__"
    ]
    code = f"""
import importlib, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {REST!r}:
            raise ModuleNotFoundError(f"{{name}} is hidden")
sys.meta_path.insert(0, Hidden())
sys.path.insert(0, {str(PACKAGE.parent)!r})
for name in {modules!r}:
    importlib.import_module(name)
from blockworld.env import BlockWorldEnv
env = BlockWorldEnv(seed=1)
env.reset()
for action in ({{"attack": 1}}, {{"inventory": 1}}):
    obs = env.step(action)[0]
print(obs["pov"].shape, sorted({{name.split(".")[0] for name in sys.modules}} & set({REST!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("(360, 640, 3) []\n", "")


def test_the_package_itself_and_its_drawings_load_neither_gym_nor_numba():
    heavy = {"gym", "gymnasium", "numba", "cv2", "av", "torch"}
    code = f"import sys, blockworld, blockworld.drawing.cursor; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
