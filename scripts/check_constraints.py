#!/usr/bin/env python3
"""Does every supported Python have a wheel for every version in constraints.txt, and is nothing left unpinned?

    python scripts/check_constraints.py                                        # Linux on x86-64, Python 3.10 to 3.14
    python scripts/check_constraints.py --platform macosx_14_0_arm64 --python 3.13

Asks pip, which downloads descriptions and no packages (``--dry-run --only-binary=:all: --python-version``); takes
about 20 seconds a Python. gym alone has no wheel: it is built from source. Exits 1 when anything is missing.
Needs ``packaging`` (``.venv`` has it) and makes a temporary environment with the newest pip: older ones hold a
package's Requires-Python against the Python that runs them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
FROM_SOURCE = ("gym",)
PLATFORMS = {  # pip's name -> sys.platform, platform.machine(), platform.system()
    "manylinux_2_28_x86_64": ("linux", "x86_64", "Linux"),
    "manylinux_2_28_aarch64": ("linux", "aarch64", "Linux"),
    "macosx_14_0_arm64": ("darwin", "arm64", "Darwin"),
}
# pip takes a platform by its name: the older ones whose wheels run there too stand beside it.
MANYLINUX = ("_2_28", "_2_27", "_2_26", "_2_24", "2014", "_2_17", "2010", "_2_12", "1", "_2_5")


def environment(python: str, platform: str = "manylinux_2_28_x86_64") -> dict[str, str]:
    """What a requirement's marker sees there."""
    sys_platform, machine, system = PLATFORMS[platform]
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "posix",
        "extra": "",
    }


def pins(marker_environment: dict[str, str]) -> dict[str, str]:
    """Name -> version of constraints.txt in one environment. Raises ValueError for two versions of one package."""
    found: dict[str, str] = {}
    for line in CONSTRAINTS.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(marker_environment):
            name = canonicalize_name(requirement.name)
            (specifier,) = requirement.specifier
            if specifier.operator != "==" or found.get(name, specifier.version) != specifier.version:
                raise ValueError(f"constraints.txt does not name one version of {name}: {line}")
            found[name] = specifier.version
    return found


def unpinned(report: dict, pinned: dict[str, str], marker_environment: dict[str, str]) -> list[str]:
    """What the packages of pip's report ask for there and constraints.txt lacks (torch's own CUDA pins apart)."""
    missing = set()
    for item in report["install"]:
        metadata = item["metadata"]
        for line in metadata.get("requires_dist", []):
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate(marker_environment):
                continue
            name = canonicalize_name(requirement.name)
            if name in pinned:
                if not requirement.specifier.contains(pinned[name], prereleases=True):
                    missing.add(f"{metadata['name']} wants {line}, not {pinned[name]}")
            elif metadata["name"] != "torch":
                missing.add(f"{metadata['name']} asks for {line}, which has no version")
    return sorted(missing)


def check(pip: Path, python: str, platform: str) -> list[str]:
    """The faults of one Python on one platform, in words."""
    marker_environment = environment(python, platform)
    pinned = pins(marker_environment)
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        wheels = {name: version for name, version in pinned.items() if name not in FROM_SOURCE}
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in wheels.items()))
        _, _, machine = platform.partition("manylinux_2_28_")
        platforms = [f"manylinux{age}_{machine}" for age in MANYLINUX] if machine else [platform]
        command = [str(pip), "install", "--dry-run", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", python, "--target", str(Path(folder, "target"))]
        command += [part for name in platforms for part in ("--platform", name)]
        done = subprocess.run(
            [*command, "--report", str(report), "-r", str(wanted)], capture_output=True, text=True
        )
        if done.returncode:
            lines = done.stderr.splitlines()
            return [
                line for line in lines if line.startswith("ERROR") and "Ignored the following" not in line
            ]
        return unpinned(json.loads(report.read_text()), pinned, marker_environment)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Does every supported Python have a wheel for every version?"
    )
    parser.add_argument("--python", nargs="+", default=PYTHONS, help="versions of Python (default: all)")
    parser.add_argument("--platform", choices=PLATFORMS, default="manylinux_2_28_x86_64", help="pip's name")
    args = parser.parse_args(argv)

    failed = False
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = Path(folder, "bin", "pip")
        subprocess.run([pip, "install", "-q", "--upgrade", "pip"], check=True, stderr=subprocess.DEVNULL)
        for python in args.python:
            faults = check(pip, python, args.platform)
            n = len(pins(environment(python, args.platform)))
            print(f"Python {python}, {args.platform}: {n} versions,", "; ".join(faults) or "a wheel for each")
            failed = failed or bool(faults)
    print(f"{', '.join(FROM_SOURCE)}: from source")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
