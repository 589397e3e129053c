"""The documentation names tests and files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    for path, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"


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
