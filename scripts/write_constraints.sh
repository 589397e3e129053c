#!/usr/bin/env bash
# Write constraints.txt: one exact version of everything that requirements.txt and pyproject.toml's extras ask for, and
# of what those ask for in turn, on each supported Python. Resolved by uv, which is installed for it in a temporary
# folder. torch names its CUDA packages exactly itself, so they are not repeated.
#
# usage: scripts/write_constraints.sh              what is new gets a version, everything else keeps its own
#        scripts/write_constraints.sh --upgrade    the newest of everything
# Afterwards: scripts/check_constraints.py, then ./run_tests.sh in a fresh clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"${STEVE1_PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check uv
grep -v '^#' constraints.txt > "$work/constraints.txt" || true
"$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.10 --all-extras --no-header --no-annotate \
    "$@" pyproject.toml -o "$work/constraints.txt" > /dev/null
{
    sed -n '/^#/p;/^[^#]/q' constraints.txt
    grep -vE "^(nvidia-|cuda-|triton==)|== 'emscripten'" "$work/constraints.txt"
} > "$work/written"
mv "$work/written" constraints.txt
