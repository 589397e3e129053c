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
WARMUP_FRAMES=1_000_000                # frames of linear warm-up; 0: none
TOTAL_FRAMES=10_000_000                # frames, over all GPUs
WEIGHT_DECAY=0.039428                  # of linear and conv matrices; 0: none
MAX_GRAD_NORM=5.0                      # L2 norm at which gradients are clipped; 0: never
SNAPSHOT_FRAMES=5_000_000              # frames between kept snapshots; 0: none
VAL_FREQ=200                           # steps between validations; 0: never
EARLY_STOPPING_PATIENCE=0              # validations in a row without a new best loss, after which it stops; 0: never
SAVE_FREQ=500                          # steps between checkpoints; 0: only at the end
LOG_FREQ=100                           # steps between lines of metrics
P_UNCOND=0.1                           # share of items without a goal; 0: none
MIN_BTWN_GOALS=15                      # frames between goals, smallest
MAX_BTWN_GOALS=100                     # frames between goals, largest + 1
SEED=0                                 # of data order, goals, dropout and augmentation

FREEZE=""                              # parts that stay as they are: "img_process recurrent_layer"; "": none
LR_SCALE=""                            # rates by part, as shares: "img_process=0.1 recurrent_layer=0.3"; "": one rate
KL_TO_START=0                          # weight of KL(start || policy) in the loss, against forgetting: 0.1; 0: off
L2_TO_START=0                          # pull of the weights to IN_WEIGHTS, times LEARNING_RATE: 100; 0: off
EMA=0                                  # decay an update of averaged weights, saved as _ema beside: 0.999; 0: off
MINECLIP_EMBED_DIM=""                  # width of another embedding model's goals: 768; "": what IN_MODEL says
AUGMENT=False                          # True: brightness and contrast by up to 10 %, 10 % of the items grey
GRADIENT_CHECKPOINTING=True            # False: quicker, needs 23 GiB at these sizes and 13 at BATCH_SIZE=4; same result
COMPILE=False                          # True: minutes at the start, quicker steps (needs a C++ compiler)

NUM_WORKERS=4                          # processes that load data, per GPU; 0: the training process does
NUM_PROCESSES=1                        # GPUs
MIXED_PRECISION=bf16                   # bf16, fp16 or no
# ---- to here --------------------------------------------------------------------------------------

LAUNCH=(--num_processes "$NUM_PROCESSES" --num_machines 1 --mixed_precision "$MIXED_PRECISION" --dynamo_backend no)
if [ "$NUM_PROCESSES" -gt 1 ]; then LAUNCH+=(--multi_gpu --main_process_port 0); fi    # port 0: any that is free
exec accelerate launch --quiet "${LAUNCH[@]}" \
    training/train.py \
    --in_model "$IN_MODEL" \
    --in_weights "$IN_WEIGHTS" \
    --out_weights "$OUT_WEIGHTS" \
    --freeze $FREEZE \
    --lr_scale $LR_SCALE \
    --kl_to_start "$KL_TO_START" \
    --l2_to_start "$L2_TO_START" \
    --ema "$EMA" \
    ${MINECLIP_EMBED_DIM:+--mineclip_embed_dim "$MINECLIP_EMBED_DIM"} \
    --sampling "$SAMPLING_NAME" \
    --sampling_dir "$DATA/samplings" \
    --num_workers "$NUM_WORKERS" \
    --augment "$AUGMENT" \
    --T "$T" \
    --trunc_t "$TRUNC_T" \
    --p_uncond "$P_UNCOND" \
    --min_btwn_goals "$MIN_BTWN_GOALS" \
    --max_btwn_goals "$MAX_BTWN_GOALS" \
    --batch_size "$BATCH_SIZE" \
    --gradient_accumulation_steps "$GRADIENT_ACCUM_STEPS" \
    --learning_rate "$LEARNING_RATE" \
    --warmup_frames "$WARMUP_FRAMES" \
    --n_frames "$TOTAL_FRAMES" \
    --weight_decay "$WEIGHT_DECAY" \
    --max_grad_norm "$MAX_GRAD_NORM" \
    --seed "$SEED" \
    --gradient_checkpointing "$GRADIENT_CHECKPOINTING" \
    --compile "$COMPILE" \
    --val_freq "$VAL_FREQ" \
    --val_freq_begin "$VAL_FREQ" \
    --early_stopping_patience "$EARLY_STOPPING_PATIENCE" \
    --save_freq "$SAVE_FREQ" \
    --log_freq "$LOG_FREQ" \
    --snapshot_every_n_frames "$SNAPSHOT_FRAMES" \
    --checkpoint_dir "$CHECKPOINT_DIR" \
    "$@"
