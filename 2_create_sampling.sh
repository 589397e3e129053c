#!/usr/bin/env bash
# Episodes -> train/val lists. usage: bash 2_create_sampling.sh [flags that overrule those below]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

SAMPLING_NAME=neurips                           # of the lists that are written
SAMPLING_TYPE=neurips                           # neurips, custom or mixed
DATASET_DIRS="$DATA/dataset_contractor"         # folders of episodes, comma between them
DATASET_WEIGHTS=""                              # mixed: share of each folder among the drawn items, as 0.8,0.2; "": not mixed
TRAIN_FRAMES=-1                                 # frames to train on; -1: the rest
VAL_FRAMES=""                                   # frames to validate on; "": 10 % of all

exec python "$ROOT/data/sampling/generate_sampling.py" \
    --type "$SAMPLING_TYPE" \
    --name "$SAMPLING_NAME" \
    --dataset_dirs "$DATASET_DIRS" \
    ${DATASET_WEIGHTS:+--dataset_weights "$DATASET_WEIGHTS"} \
    --output_dir "$DATA/samplings" \
    --train_frames "$TRAIN_FRAMES" \
    ${VAL_FRAMES:+--val_frames "$VAL_FRAMES"} \
    --seed 0 \
    "$@"
