# Sourced by quickstart.sh and run_tests.sh: a virtual environment in .venv with this repository in it, in the versions
# that constraints.txt names.
# usage: . scripts/venv.sh EXTRA      dev for the tests' tools, "" for none (left out, it would be the script's own $1)
# STEVE1_PYTHON        the interpreter to use; otherwise the first Python from 3.10 to 3.14 found
# STEVE1_TORCH         cpu or cuda: which build of PyTorch; otherwise cuda where an NVIDIA card answers, else cpu
# STEVE1_TORCH_INDEX   where CPU builds are, if not at https://download.pytorch.org/whl/cpu (a mirror, say)

_extra="${1:-}"
_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
_venv="$_root/.venv"
_lock="$_root/.venv-installing"    # there while something is installed; left behind by what was killed
_torch_index="${STEVE1_TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
_torch_pin="$(sed -n 's/^torch==//p' "$_root/requirements.txt")"

_fail() { echo "error: $1" >&2; exit "${2:-1}"; }

case "${STEVE1_TORCH:-}" in
    "" | cpu | cuda) ;;
    *) _fail "STEVE1_TORCH is '$STEVE1_TORCH': set it to cpu or cuda, or leave it unset" 2 ;;
esac
if [ "${STEVE1_TORCH:-}" = cuda ] && [ "$(uname -s)" = Darwin ]; then
    _fail "STEVE1_TORCH is 'cuda', and macOS has no CUDA: leave it unset" 2
fi

# Another Python than that of a .venv which is there would be without effect.
_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
if [ -n "${STEVE1_PYTHON:-}" ] && [ -x "$_venv/bin/python" ]; then
    _named="$(_version "$STEVE1_PYTHON")" _its="$(_version "$_venv/bin/python")"
    if [ -n "$_its" ] && [ "$_named" != "$_its" ]; then
        _fail "STEVE1_PYTHON is $STEVE1_PYTHON (${_named:-no Python}), and .venv has Python $_its: rm -r $_venv, or unset it" 2
    fi
fi

_find_python() {
    local candidate
    for candidate in ${STEVE1_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14 python}; do
        if "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    _fail "no Python from 3.10 to 3.14 with venv found; install one or set STEVE1_PYTHON to it"
}

# ---- one installation at a time, and none that was broken off is taken for finished ---------------

_take_lock() {
    local owner said=false
    until (set -C; echo "$$" > "$_lock") 2>/dev/null; do
        [ -e "$_lock" ] || [ -w "$_root" ] || _fail "$_venv is not complete, and $_root can't be written to"
        owner="$(cat "$_lock" 2>/dev/null)" || continue
        if [ -z "$owner" ]; then    # its owner is about to write into it
            sleep 1
            owner="$(cat "$_lock" 2>/dev/null)" || continue
        fi
        if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null; then
            $said || echo "Waiting for process $owner, which installs into .venv (if it doesn't: rm $_lock) ..."
            said=true
            sleep 1
        else
            if [ -d "$_venv" ]; then touch "$_venv/broken-off"; fi
            rm -f "$_lock"
        fi
    done
    if [ -e "$_venv/broken-off" ]; then
        echo "An installation was broken off: .venv is made anew."
        rm -rf "$_venv"
    fi
}

_pip() {  # pip install; where it fails before it has changed anything, .venv stays as it is
    touch "$_lock"
    "$_venv/bin/python" -m pip install --disable-pip-version-check -c "$_root/constraints.txt" "$@" && return
    local packages=("$_venv"/lib/python3.*/site-packages)
    if ! [ "${packages[0]}" -nt "$_lock" ]; then rm -f "$_lock"; fi
    return 1
}

# ---- which PyTorch ------------------------------------------------------------------------------

_nvidia_card() {
    local smi
    for smi in nvidia-smi /usr/lib/wsl/lib/nvidia-smi; do
        if [[ "$("$smi" -L 2>/dev/null)" == GPU* ]]; then return 0; fi
    done
    return 1
}

_index_offers() {  # has the CPU index this torch for this Python? Answered within seconds, whatever the network does
    "$_venv/bin/python" - "$_torch_index" "$1" <<'PYTHON'
import os, sys, threading, urllib.parse
from pip._vendor import requests

def ask():
    page = requests.get(f"{sys.argv[1].rstrip('/')}/torch/", timeout=4, verify=os.environ.get("PIP_CERT") or True)
    wheel = f"torch-{sys.argv[2]}-cp{sys.version_info[0]}{sys.version_info[1]}-"
    found.append(page.ok and wheel in urllib.parse.unquote(page.text))

found = []
threading.excepthook = lambda _: None
thread = threading.Thread(target=ask, daemon=True)
thread.start()
thread.join(8)  # looking up a server's name has no time-out of its own
os._exit(0 if found and found[0] else 1)
PYTHON
}

# Prints what pip fetches of more than a megabyte, with pip's own sizes, before it is fetched.
_pip_torch() (
    set -o pipefail
    _pip "$@" | sed -nE 's/^ *((Downloading|Using cached) .* \([0-9.]+ [MG]B\)).*/  \1/p'
)

_install_torch() {
    local chosen why installed
    if [ "$(uname -s)" = Darwin ]; then chosen=only why="macOS has no CUDA"
    elif [ -n "${STEVE1_TORCH:-}" ]; then chosen="$STEVE1_TORCH" why="STEVE1_TORCH says so"
    elif _nvidia_card; then chosen=cuda why="an NVIDIA card is here; STEVE1_TORCH=cpu decides otherwise"
    else chosen=cpu why="no NVIDIA card is here; STEVE1_TORCH=cuda decides otherwise"
    fi
    installed="${chosen/only/cpu}"
    echo "PyTorch $_torch_pin, the $chosen build ($why)"

    local again="run the same command again, it goes on with what was fetched"
    if [ "$chosen" = cpu ] && _index_offers "$_torch_pin+cpu"; then
        echo "  from $_torch_index"
        _pip_torch --no-deps --force-reinstall --index-url "$_torch_index" "torch==$_torch_pin+cpu" ||
            _fail "PyTorch could not be fetched from $_torch_index: $again"
    elif [ "$chosen" = cpu ] && [ -n "${STEVE1_TORCH:-}" ]; then
        echo "  $_torch_index can't be reached or has none for this Python; asking pip's own index for a CPU build"
        _pip_torch --no-deps --force-reinstall "torch==$_torch_pin+cpu" ||
            _fail "no CPU build of PyTorch $_torch_pin found; without STEVE1_TORCH=cpu the one with CUDA is taken"
    else
        if [ "$chosen" = cpu ]; then
            installed=whatever
            echo "  $_torch_index can't be reached or has none for this Python; taking what pip's own index has," \
                "which may bring CUDA with it (gigabytes)"
        fi
        _pip_torch --no-deps --force-reinstall "torch==$_torch_pin" || _fail "PyTorch could not be installed: $again"
        _pip_torch "torch==$_torch_pin" || _fail "PyTorch's packages could not be installed: $again"
    fi

    "$_venv/bin/python" - "$chosen" <<'PYTHON'
import sys, sysconfig
from pathlib import Path

packages = Path(sysconfig.get_path("purelib"))
files = [path for name in ("torch", "nvidia", "triton") for path in (packages / name).rglob("*") if path.is_file()]
(version,) = (p.name[len("torch-") : -len(".dist-info")] for p in packages.glob("torch-*.dist-info"))
print(f"  torch {version} takes {sum(path.stat().st_size for path in files) / 1e6:,.0f} MB on the disk")
if sys.argv[1] == "cuda" and version.endswith("+cpu"):
    print("  warning: pip's index gave a CPU build, though CUDA was asked for", file=sys.stderr)
PYTHON
    echo "$_torch_pin $installed" > "$_venv/torch-build"
}

_torch_ready() {  # where STEVE1_TORCH says nothing, the build that is there will do
    if [ -n "${STEVE1_TORCH:-}" ]; then
        [ "$(cat "$_venv/torch-build" 2>/dev/null)" = "$_torch_pin $STEVE1_TORCH" ]
    else
        compgen -G "$_venv/lib/python3.*/site-packages/torch-$_torch_pin*.dist-info" > /dev/null
    fi
}

# ---- install, when what is wanted has changed -----------------------------------------------------

_stamp="$_venv/installed${_extra:+-$_extra}"
_wanted="$(cat "$_root/requirements.txt" "$_root/pyproject.toml" "$_root/constraints.txt" | cksum) $_root"
_ready() { [ "$(cat "$_stamp" 2>/dev/null)" = "$_wanted" ] && _torch_ready; }

if [ -e "$_lock" ] || ! _ready; then
    _take_lock
    trap 'exit 130' INT TERM HUP    # pip itself ends a Ctrl-C with an ordinary error
    if ! _ready; then    # whoever held the lock may have done it
        if ! [ -x "$_venv/bin/pip" ]; then
            _python="$(_find_python)" || { rm -f "$_lock"; exit 1; }
            "$_python" -m venv "$_venv"
        fi
        echo "Installing into .venv (a few minutes the first time) ..."
        rm -f "$_stamp"
        _torch_ready || _install_torch
        _pip -qq -e "$_root${_extra:+[$_extra]}" || _fail "the packages could not be installed; run the same command again"
        echo "$_wanted" > "$_stamp"
    fi
    trap - INT TERM HUP
    rm -f "$_lock"
fi
PATH="$_venv/bin:$PATH"
