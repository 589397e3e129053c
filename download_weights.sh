#!/usr/bin/env bash
# The published VPT, MineCLIP and STEVE-1 weights, to data/weights/{vpt,mineclip,steve1}/ (about 6 GB).
# Stopped half-way, the same command goes on. usage: bash download_weights.sh [--only vpt,idm,mineclip,steve1]
#   MineCLIP's and STEVE-1's files are on Google Drive; give the addresses their repositories name, e.g.
#   bash download_weights.sh --only mineclip --url attn.pth=https://drive.google.com/file/d/ID/view
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi

OUTPUT_DIR="${STEVE1_DATA_ROOT:-$ROOT/data}/weights"

python "$ROOT/steve1/download_weights.py" \
    --output_dir "$OUTPUT_DIR" \
    "$@"
