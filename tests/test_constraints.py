"""constraints.txt: one fitting version of everything that is asked for, on every supported Python."""

import re
import sys

import pytest
from checkout import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(ROOT / "scripts"))
from check_constraints import PYTHONS, environment, pins, unpinned


def asked_for():
    """The lines of requirements.txt and of every extra in pyproject.toml."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    extras = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    lines += re.findall(r'"([^"]+)"', re.sub(r"#.*", "", extras))
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["manylinux_2_28_x86_64", "macosx_14_0_arm64"])
def test_everything_that_is_asked_for_has_one_fitting_version(python, platform):
    pinned = pins(environment(python, platform))
    asked = asked_for()
    assert {"torch", "numpy", "ruff", "ray"} <= {requirement.name for requirement in asked}
    for requirement in asked:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement}: run scripts/write_constraints.sh"
        assert requirement.specifier.contains(version), f"{requirement}: {version}"


def test_what_a_package_asks_for_and_constraints_lack_is_found():
    here = environment("3.12")
    report = {
        "install": [
            {"metadata": {"name": "a", "requires_dist": ["b>=2", "c", 'd; python_version < "3.11"']}},
            {"metadata": {"name": "torch", "requires_dist": ["nvidia-cublas==13", "numpy"]}},
            {"metadata": {"name": "leaf"}},
        ]
    }
    pinned = {"a": "1", "b": "1.9", "numpy": "2.0"}
    assert unpinned(report, pinned, here) == ["a asks for c, which has no version", "a wants b>=2, not 1.9"]
    assert "a asks for d" in str(unpinned(report, pinned, environment("3.10")))


def test_two_versions_of_one_package_are_refused(tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text('a==1\na==2 ; python_full_version >= "3.12"\n')
    monkeypatch.setattr("check_constraints.CONSTRAINTS", tmp_path / "constraints.txt")
    assert pins(environment("3.11")) == {"a": "1"}
    with pytest.raises(ValueError, match="one version of a"):
        pins(environment("3.12"))
