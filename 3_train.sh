#!/usr/bin/env bash
# Step 3: train the goal-conditioned policy from VPT's weights, with STEVE-1's published settings.
# To fine-tune, copy 3_train_finetune_template.sh instead. Running this again goes on where it stopped.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"
[ -d "$ROOT/.venv/bin" ] && PATH="$ROOT/.venv/bin:$PATH"
cd "$ROOT"

NUM_PROCESSES="${NUM_PROCESSES:-1}"           # GPUs
MIXED_PRECISION="${MIXED_PRECISION:-bf16}"    # bf16, fp16 or no

ARGS=(
    --in_model "$DATA/weights/vpt/2x.model"
    --in_weights "$DATA/weights/vpt/rl-from-foundation-2x.weights"
    --out_weights "$DATA/weights/steve1/trained_with_script.weights"
    --sampling neurips                 # name given to 2_create_sampling.sh
    --sampling_dir "$DATA/samplings"
    --T 640                            # frames in an item
    --trunc_t 64                       # frames between two cuts of the backpropagation; divides T
    --batch_size 12                    # items per GPU; halve it when memory runs out
    --gradient_accumulation_steps 4    # steps per update; double it when you halve the batch
    --num_workers 4                    # processes that load data, per GPU; 0: the training process does
    --weight_decay 0.039428            # of linear and conv matrices; 0: none
    --learning_rate 4e-5               # peak
    --warmup_frames 10M                # frames of linear warm-up; 0: none
    --n_frames 100M                    # frames, over all GPUs
    --max_grad_norm 5.0                # L2 norm at which gradients are clipped; 0: never
    --p_uncond 0.1                     # share of items without a goal; 0: none
    --min_btwn_goals 15                # frames between goals, smallest
    --max_btwn_goals 200               # frames between goals, largest + 1
    --val_freq 1000                    # steps between validations; 0: never
    --val_freq_begin 100               # the same during the first steps; 0: never
    --val_freq_switch_steps 500        # how many steps are the first ones
    --save_freq 1000                   # steps between checkpoints; 0: only at the end
    --snapshot_every_n_frames 50M      # frames between kept snapshots; 0: none
    --checkpoint_dir "$DATA/training_checkpoint"
)

LAUNCH=(--num_processes "$NUM_PROCESSES" --num_machines 1 --mixed_precision "$MIXED_PRECISION" --dynamo_backend no)
if [ "$NUM_PROCESSES" -gt 1 ]; then LAUNCH+=(--multi_gpu --main_process_port 0); fi    # port 0: any that is free

# Arguments of this script come last and win: ./3_train.sh --n_frames 1M
exec accelerate launch --quiet "${LAUNCH[@]}" \
    training/train.py "${ARGS[@]}" "$@"
