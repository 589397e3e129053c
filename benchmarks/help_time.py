"""Seconds that each entry point takes to answer --help, the best of three, against the budget of one second.

python benchmarks/help_time.py
python benchmarks/help_time.py training/train.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from steve1.cli import entry_point

ROOT = Path(__file__).resolve().parents[1]
BUDGET = 1.0  # seconds


def seconds(script: str) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, script, "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - began)
    return best


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scripts", nargs="*", help="entry points (default: all)")
    args = parser.parse_args(argv)
    found = [
        ROOT / "run_agent.py",
        ROOT / "run_interactive.py",
        *(p for top in ("steve1", "data", "training") for p in (ROOT / top).rglob("*.py")),
    ]
    ours = [str(p.relative_to(ROOT)) for p in found if 'if __name__ == "__main__"' in p.read_text()]
    for script in args.scripts or sorted(ours):
        took = seconds(script)
        print(f"{script:<48} {took:5.2f} s, {took / BUDGET:4.0%} of the budget")


if __name__ == "__main__":
    main()
