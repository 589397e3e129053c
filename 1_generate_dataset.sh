#!/usr/bin/env bash
# Step 1: OpenAI's contractor recordings -> episodes. Running this again goes on where it stopped.
# usage: bash 1_generate_dataset.sh [flags that overrule those below]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

# Edit these.
N_EPISODES_CONTRACTOR=5                                # episodes per index; an episode is at most 5 minutes of play
INDICES_CONTRACTOR="${INDICES_CONTRACTOR:-8.x 9.x 10.x}"  # collections: 6.x 7.x 8.x 9.x 10.x
OUTPUT_DIR_CONTRACTOR="$DATA/dataset_contractor"

for INDEX in $INDICES_CONTRACTOR; do
    ARGS=(
        --index "$INDEX"
        --num_episodes "$N_EPISODES_CONTRACTOR"
        --output_dir "$OUTPUT_DIR_CONTRACTOR"
        --cache_dir "$DATA/cache_contractor"           # downloads, removed once converted
        --min_timesteps 1000                           # frames; shorter recordings are passed over
        --frame_format png                             # png: lossless, 34 KB a frame; mp4: 8 KB
        --mineclip_weights "$DATA/weights/mineclip/attn.pth"
        --batch_size 32                                # frames that MineCLIP encodes at a time
        --num_workers 1                                # slices of the index; run one process a slice ...
        --worker_id 0                                  # ... each with its number
    )
    python "$ROOT/data/generation/convert_from_contractor.py" "${ARGS[@]}" "$@"
done
