#!/usr/bin/env python3
"""Write the tree in docs/architecture.md: every file of the packages with the first sentence that it says of itself.

python scripts/write_architecture.py            # after adding, renaming or removing a file
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ("steve1", "blockworld", "data", "training", "benchmarks", "scripts")
PROGRAMS = ("run_agent.py", "run_interactive.py")
BEGIN, END = "<!-- tree: scripts/write_architecture.py -->\n", "<!-- end of tree -->\n"


def sentence(path: Path) -> str:
    """The first sentence of a Python file's docstring or of a script's first comment, on one line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sh":
        comment = re.match(r"(?:#!.*\n)?((?:#.*\n)+)", text)
        first = " ".join(comment[1].replace("#", "").split()) if comment else ""
    else:
        first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    first = re.split(r"(?<=[a-z0-9)`])(?<! al)\. (?=[A-Z`]|usage)|:$", " ".join(first.split()))[0]
    return first.replace("``", "`").rstrip(".")


def files(room: str) -> list[Path]:
    """The code of a room, the folder's own files before those of the folders in it."""
    found = [
        path
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".sh")
        and (path.name != "__init__.py" or path.read_text().strip())
        # what a user makes below data/ is no code
        and (path.parent == ROOT / room or (path.parent / "__init__.py").exists())
    ]
    return sorted(found, key=lambda path: (path.parent != ROOT / room, path.parent, path.name))


def tree() -> str:
    """The tables, a heading a folder."""
    lines = []
    for room in ROOMS:
        folder = None
        for path in files(room):
            if path.parent != folder:
                folder = path.parent
                lines += ["", f"### `{folder.relative_to(ROOT)}/`", "", "| file | what for |", "|---|---|"]
            lines.append(f"| `{path.name}` | {sentence(path)} |")
    lines += ["", "### Programs", "", "| file | what for |", "|---|---|"]
    lines += [f"| `{name}` | {sentence(ROOT / name)} |" for name in PROGRAMS]
    return "\n".join(lines[1:]) + "\n"


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{tree()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
