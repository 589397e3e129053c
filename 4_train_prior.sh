#!/usr/bin/env bash
# Text/video pairs -> prior weights. Stopped half-way, the same command goes on.
# usage: bash 4_train_prior.sh [flags that overrule those below]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

DATA_PATH="$DATA/prior_dataset/data.pkl"                 # from data/text_alignment/make_prior_dataset.py
OUTPUT_PATH="$DATA/weights/steve1/trained_prior.pt"      # the published prior is steve1_prior.pt
BATCH_SIZE=256                                           # pairs a step
LEARNING_RATE=1e-4
N_EPOCHS=50
N_VALIDATION=200                                         # pairs held out; lower it for small data

exec python "$ROOT/training/train_prior.py" \
    --data_path "$DATA_PATH" \
    --output_path "$OUTPUT_PATH" \
    --hidden_dim 512 \
    --latent_dim 512 \
    --batch_size "$BATCH_SIZE" \
    --learning_rate "$LEARNING_RATE" \
    --n_epochs "$N_EPOCHS" \
    --n_validation "$N_VALIDATION" \
    --seed 0 \
    "$@"
