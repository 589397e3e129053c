# Sourced by quickstart.sh and run_tests.sh: a virtual environment in .venv with this repository in it.
# usage: . scripts/venv.sh EXTRA      dev for the tests' tools, "" for none (left out, it would be the script's own $1)
# STEVE1_PYTHON names the interpreter to use; otherwise the first Python >= 3.10 found.

_extra="${1:-}"
_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

_usable() { "$1" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; }

if [ ! -x "$_root/.venv/bin/python" ]; then
    _python=""
    for _candidate in ${STEVE1_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14 python}; do
        if _usable "$_candidate"; then _python="$_candidate"; break; fi
    done
    if [ -z "$_python" ]; then
        echo "error: no Python from 3.10 to 3.14 with venv found; install one or set STEVE1_PYTHON to it" >&2
        exit 1
    fi
    "$_python" -m venv "$_root/.venv"
fi
PATH="$_root/.venv/bin:$PATH"

# Install again only when the lists of requirements have changed.
_stamp="$_root/.venv/installed${_extra:+-$_extra}"
_wanted="$(cat "$_root/requirements.txt" "$_root/pyproject.toml" | cksum) $_root"
if [ "$(cat "$_stamp" 2>/dev/null)" != "$_wanted" ]; then
    echo "Installing into .venv (a few minutes the first time) ..."
    python -m pip install -qq --disable-pip-version-check -e "$_root${_extra:+[$_extra]}"
    echo "$_wanted" > "$_stamp"
fi
