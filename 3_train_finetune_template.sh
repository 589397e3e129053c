#!/usr/bin/env bash
# Step 3, fine-tuning: copy this file, edit the variables, run the copy.
#   cp 3_train_finetune_template.sh 3_train_my_task.sh
# Running the copy again goes on where it stopped; `--reset_checkpoint_dir` starts over.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"
[ -d "$ROOT/.venv/bin" ] && PATH="$ROOT/.venv/bin:$PATH"
cd "$ROOT"

# ---- edit from here -------------------------------------------------------------------------------
SAMPLING_NAME="my_finetune_task"       # the --name given to generate_sampling.py
IN_MODEL="$DATA/weights/vpt/2x.model"                        # architecture
IN_WEIGHTS="$DATA/weights/steve1/steve1.weights"             # what is fine-tuned
OUT_WEIGHTS="$DATA/weights/steve1/steve1_finetuned.weights"  # _best, _latest, _snapshot_N are written beside
CHECKPOINT_DIR="$DATA/finetuning_checkpoint"                 # one a task; logs/ in it is for TensorBoard

BATCH_SIZE=8                           # items per GPU; halve it when memory runs out
GRADIENT_ACCUM_STEPS=2                 # steps per update; double it when you halve the batch
T=320                                  # frames in an item; episodes need T + 15
TRUNC_T=64                             # frames between two cuts of the backpropagation; divides T
LEARNING_RATE=1e-5                     # peak
WARMUP_FRAMES=1_000_000                # frames
TOTAL_FRAMES=10_000_000                # frames
SNAPSHOT_FRAMES=5_000_000              # frames between kept snapshots
VAL_FREQ=200                           # steps between validations
SAVE_FREQ=500                          # steps between checkpoints
P_UNCOND=0.1                           # share of items without a goal
MIN_BTWN_GOALS=15                      # frames between goals, smallest
MAX_BTWN_GOALS=100                     # frames between goals, largest + 1
NUM_PROCESSES=1                        # GPUs
MIXED_PRECISION=bf16                   # bf16, fp16 or no
# ---- to here --------------------------------------------------------------------------------------

exec accelerate launch --quiet --num_processes "$NUM_PROCESSES" --num_machines 1 \
    --mixed_precision "$MIXED_PRECISION" --dynamo_backend no \
    training/train.py \
    --in_model "$IN_MODEL" \
    --in_weights "$IN_WEIGHTS" \
    --out_weights "$OUT_WEIGHTS" \
    --sampling "$SAMPLING_NAME" \
    --sampling_dir "$DATA/samplings" \
    --T "$T" \
    --trunc_t "$TRUNC_T" \
    --batch_size "$BATCH_SIZE" \
    --gradient_accumulation_steps "$GRADIENT_ACCUM_STEPS" \
    --learning_rate "$LEARNING_RATE" \
    --warmup_frames "$WARMUP_FRAMES" \
    --n_frames "$TOTAL_FRAMES" \
    --snapshot_every_n_frames "$SNAPSHOT_FRAMES" \
    --val_freq "$VAL_FREQ" \
    --val_freq_begin "$VAL_FREQ" \
    --save_freq "$SAVE_FREQ" \
    --p_uncond "$P_UNCOND" \
    --min_btwn_goals "$MIN_BTWN_GOALS" \
    --max_btwn_goals "$MAX_BTWN_GOALS" \
    --checkpoint_dir "$CHECKPOINT_DIR" \
    "$@"
