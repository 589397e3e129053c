"""The documentation, and comments in code, name tests, files and modules that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "blockworld" / "README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    for path, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"


def test_every_function_on_the_walk_exists():
    named = re.findall(r"`([\w/]+\.py)::([\w.]+)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 30
    for path, dotted in named:
        scope = ast.parse((ROOT / path).read_text())
        for part in dotted.split("."):
            kinds = (ast.FunctionDef, ast.ClassDef)
            found = [node for node in scope.body if isinstance(node, kinds) and node.name == part]
            assert found, f"{path}::{dotted}"
            scope = found[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_fidelity_names_a_test_for_every_detail():
    rows = re.findall(r"^\| (\d+) \|.*\|$", (ROOT / "docs" / "fidelity.md").read_text(), re.MULTILINE)
    assert [int(n) for n in rows] == list(range(1, len(rows) + 1))
    for line in (ROOT / "docs" / "fidelity.md").read_text().splitlines():
        if re.match(r"\| \d+ \|", line):
            assert re.search(r"`tests/[\w/]+\.py::\w+` \|$", line), line


ROOMS = ("steve1", "blockworld", "data", "training", "benchmarks", "scripts", "tests", "docs", "configs")
SOURCES = [
    path
    for room in (*ROOMS, ".")
    for path in sorted((ROOT / room).rglob("*") if room != "." else ROOT.glob("*"))
    if path.suffix in (".py", ".md", ".sh", ".yaml", ".sbatch", ".txt", ".toml")
    and "__pycache__" not in path.parts
    # what a user makes below data/ is no source
    and not (path.parts[len(ROOT.parts)] == "data" and not (path.parent / "__init__.py").exists())
]
FILE = re.compile(r"(?<![\w/.{}<>*$~…-])((?:[\w-]+/)*\w[\w.-]*\.(?:py|md|yaml|sbatch))(?![\w*{])")
MODULE = re.compile(r"(?<![\w./-])((?:steve1|blockworld|data|training)(?:\.[A-Za-z]\w*)+)")
MADE_UP = (
    "my_task.sbatch",
    "setup.py",
    "run_agent/programmatic_eval.py",
)  # a user's, MineRL's, the published code's


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_module_that_is_cited_exists(path):
    """Files by their place or their bare name in pages and comments; modules in dots and backticks."""
    names = {source.name for source in SOURCES} | {
        source.name for source in (ROOT / "steve1").rglob("*.html")
    }
    text = path.read_text()
    # the tree is tests/test_architecture.py's
    text = re.sub(r"<!-- tree:.*?<!-- end of tree -->", "", text, flags=re.S)
    if path.suffix == ".py":
        prose = re.findall(r'""".*?"""|#[^\n]*', text, re.S)
        text = "\n".join(prose)
    for cited in FILE.findall(re.sub(r"\[[^\]]*\]\(https?:[^)]*\)|https?://\S+", "", text)):
        found = (ROOT / cited).exists() or (path.parent / cited).exists() or cited in names
        assert found or cited in MADE_UP, f"{path}: {cited}"
    for cited in MODULE.findall(" ".join(re.findall(r"`+([^`\n]+)`+", text))):
        room, part = cited.split(".")[:2]
        init = ROOT / room / "__init__.py"
        found = (ROOT / room / part).exists() or (ROOT / room / f"{part}.py").exists()
        assert found or re.search(rf"\b{part}\b", init.read_text()) or part == "weights", f"{path}: {cited}"
    assert not re.findall(r"\b[A-Z]{4,}(?:\.md)?,? sections? \d", text), path


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them: letters, digits, hyphens; blanks become hyphens."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.+)$", text, re.M)]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_heading_finds_it(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def fenced(page):
    """The fenced blocks of a page, with whether they are run; without comments, which are translated."""
    blocks = re.findall(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [(run, kind, re.sub(r"[ \t]*# .*$", "", body, flags=re.M)) for run, kind, body in blocks]


@pytest.mark.parametrize("name", ["README.md", "docs/finetuning.md"])
def test_both_languages_have_the_same_commands_tables_and_headings(name):
    english, chinese = ROOT / name, ROOT / name.replace(".md", ".zh-CN.md")
    assert fenced(english) == fenced(chinese)
    for what in (r"^(#+) ", r"^\|", r"^!\["):
        counts = [re.findall(what, page.read_text(), re.M) for page in (english, chinese)]
        assert counts[0] == counts[1], what
    code = [spans(page) for page in (english, chinese)]
    assert code[0] == code[1]


def spans(page):
    """What stands between single backticks, wherever lines end."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    return {re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", text)}


def test_troubleshooting_quotes_sentences_that_the_code_says():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    table = page.split("## It ends with a sentence")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    source = "".join(
        p.read_text() for top in ("steve1", "data", "training") for p in (ROOT / top).rglob("*.py")
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # sentences run over several literals
    source = re.sub(r"\{[^{}]*\}", "…", source)
    assert len(rows) > 15
    for sentence in (s for row in rows for s in re.findall(r"`([^`]+)`", row)):
        assert sentence in source, sentence
