#!/usr/bin/env bash
# Everything that must hold: format, lint, types, tests. Sets itself up; needs only Python >= 3.10.
# usage: ./run_tests.sh [pytest arguments]      e.g. ./run_tests.sh -k policy
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/venv.sh dev

ruff format --check .
ruff check .
mypy
python -m pytest -n 2 "$@"
