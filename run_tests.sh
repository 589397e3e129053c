#!/usr/bin/env bash
# Everything that must hold: format, lint, types, tests. Sets itself up; needs only Python >= 3.10.
# usage: ./run_tests.sh [pytest arguments]      e.g. ./run_tests.sh -k policy
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/venv.sh dev

ruff format --check .
ruff check .
mypy
if [ $# -gt 0 ]; then exec python -m pytest -n 2 "$@"; fi
python -m pytest -n 2 --ignore tests/test_quickstart.py
python -m pytest tests/test_quickstart.py    # by itself, because it uses both cores
