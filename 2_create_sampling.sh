#!/usr/bin/env bash
# Episodes -> train/val lists. usage: bash 2_create_sampling.sh [flags that overrule those below]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

SAMPLING_NAME=neurips                           # of the lists that are written
SAMPLING_TYPE=neurips                           # neurips, custom or mixed
DATASET_DIRS="$DATA/dataset_contractor"         # folders of episodes, comma between them
TRAIN_FRAMES=-1                                 # frames; -1: the rest. Validation is 10 % unless --val_frames is given

python "$ROOT/data/sampling/generate_sampling.py" \
    --type "$SAMPLING_TYPE" \
    --name "$SAMPLING_NAME" \
    --dataset_dirs "$DATASET_DIRS" \
    --output_dir "$DATA/samplings" \
    --train_frames "$TRAIN_FRAMES" \
    --seed 0 \
    "$@"
