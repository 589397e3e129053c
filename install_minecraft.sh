#!/usr/bin/env bash
# Minecraft itself: MineStudio's (default), or MineRL 1.0 with --minerl, each in a Python environment of its own, here in
# .minestudio/ or .minerl/. Makes the environment, looks for Java 8, fetches the engine, plays 20 steps and saves a
# picture of the last. What is there already is not fetched again. Afterwards --env minestudio (or minerl) plays in it,
# and --env auto too.
#
# usage: bash install_minecraft.sh [--minerl]
#   PYTHON          makes the environment: 3.10 or 3.11 (default: the first of python3.10, python3.11, python3)
#   MINESTUDIO_DIR  holds the engine, engine/build/libs/mcprec-6.13.jar (default: .minestudio/minestudio)
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then OUR_PYTHON="$ROOT/.venv/bin/python"; else OUR_PYTHON=python; fi

GAME=minestudio
for argument in "$@"; do
    case "$argument" in
        --minerl) GAME=minerl ;;
        *) echo "usage: bash install_minecraft.sh [--minerl]" >&2; exit 2 ;;
    esac
done
ENVIRONMENT="${STEVE1_MINECRAFT_DIR:-$ROOT/.$GAME}"
STEPS=20                              # that are played to see whether it works
PICTURE="${STEVE1_DATA_ROOT:-$ROOT/data}/generated_videos/$GAME.png"

say() { echo "install_minecraft.sh: $*" >&2; }

# ---- Java 8: looked for first, because the rest takes long ----
java_is="$(java -version 2>&1 || true)"
case "$java_is" in
    *'version "1.8'*) ;;
    *)
        if command -v java > /dev/null && [ -n "$java_is" ]; then
            found="java here is $(printf '%s\n' "$java_is" | sed -n '1s/.*version "\([^"]*\)".*/\1/p')"
        else
            found="there is no java here"
        fi
        without_root="without root: conda create -y -p $ENVIRONMENT-java -c conda-forge openjdk=8 && export PATH=$ENVIRONMENT-java/bin:\$PATH"
        system="$(. /etc/os-release 2> /dev/null && echo "${ID:-} ${ID_LIKE:-}" || uname)"
        codename="$(. /etc/os-release 2> /dev/null && echo "${VERSION_CODENAME:-bookworm}" || true)"
        machine="$(dpkg --print-architecture 2> /dev/null || echo amd64)"
        case "$(uname) $system" in
            Darwin*) how="brew install --cask temurin@8 && export JAVA_HOME=\$(/usr/libexec/java_home -v 1.8)" ;;
            *ubuntu*) how="sudo apt-get install -y openjdk-8-jdk xvfb && export PATH=/usr/lib/jvm/java-8-openjdk-$machine/bin:\$PATH" ;;
            *debian*) how="sudo apt-get install -y wget gpg xvfb && wget -qO- https://packages.adoptium.net/artifactory/api/gpg/key/public | sudo gpg --dearmor -o /usr/share/keyrings/adoptium.gpg && echo 'deb [signed-by=/usr/share/keyrings/adoptium.gpg] https://packages.adoptium.net/artifactory/deb $codename main' | sudo tee /etc/apt/sources.list.d/adoptium.list && sudo apt-get update && sudo apt-get install -y temurin-8-jdk && export PATH=/usr/lib/jvm/temurin-8-jdk-$machine/bin:\$PATH" ;;
            *) how="" ;;
        esac
        if [ -z "$how" ]; then how="$without_root"; else how="$how (or $without_root)"; fi
        say "Minecraft needs Java 8, the JDK, and $found; install it and run this again: $how"
        exit 1
        ;;
esac
if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}" ] && ! command -v xvfb-run > /dev/null; then
    say "this machine has no display and no xvfb-run; install it and run this again: sudo apt-get install -y xvfb (or, without root: conda install -y -c conda-forge xorg-x11-server-xvfb-cos7-x86_64)"
    exit 1
fi

# ---- the environment ----
if [ ! -x "$ENVIRONMENT/bin/python" ]; then
    PYTHON="${PYTHON:-}"
    for candidate in python3.10 python3.11 python3; do
        [ -n "$PYTHON" ] || PYTHON="$(command -v "$candidate" || true)"
    done
    version="$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null || true)"
    case "$version" in
        3.10 | 3.11) ;;
        *)
            say "MineStudio and MineRL want Python 3.10 or 3.11, and ${PYTHON:-python3} is ${version:-not there}; run PYTHON=/path/to/python3.10 bash install_minecraft.sh (without root: conda create -y -p $ENVIRONMENT-python python=3.10)"
            exit 1
            ;;
    esac
    "$PYTHON" -m venv "$ENVIRONMENT"
fi
if ! cmp -s "$ROOT/requirements-$GAME.txt" "$ENVIRONMENT/installed.txt"; then
    echo "installing requirements-$GAME.txt into $ENVIRONMENT (some minutes)"
    if ! "$ENVIRONMENT/bin/python" -m pip install -q --disable-pip-version-check -r "$ROOT/requirements-$GAME.txt"; then
        say "requirements-$GAME.txt can't be installed into $ENVIRONMENT (pip says why above); run this again when it can"
        exit 1
    fi
    cp "$ROOT/requirements-$GAME.txt" "$ENVIRONMENT/installed.txt"
fi

# ---- the engine, a built Minecraft 1.16.5 ----
if [ "$GAME" = minestudio ]; then
    export MINESTUDIO_DIR="${MINESTUDIO_DIR:-$ENVIRONMENT/minestudio}"
    if [ ! -f "$MINESTUDIO_DIR/engine/build/libs/mcprec-6.13.jar" ]; then
        mkdir -p "$MINESTUDIO_DIR"
        echo "fetching MineStudio's engine to $MINESTUDIO_DIR"
        if ! "$ENVIRONMENT/bin/python" -c 'from minestudio.simulator.entry import download_engine; download_engine()' \
            > "$MINESTUDIO_DIR/fetching.log" 2>&1; then
            say "the engine can't be fetched from huggingface.co/CraftJarvis/SimulatorEngine ($(grep -v '^ *$' "$MINESTUDIO_DIR/fetching.log" | tail -1)); run this again when it can be reached, or unpack its engine.zip into $MINESTUDIO_DIR by hand"
            exit 1
        fi
        rm "$MINESTUDIO_DIR/fetching.log"
    fi
fi

# ---- does it play? ----
"$OUR_PYTHON" "$ROOT/steve1/envs/$GAME.py" "--${GAME}_python" "$ENVIRONMENT/bin/python" \
    --steps "$STEPS" --worlds 1 --picture "$PICTURE"
