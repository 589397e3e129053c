#!/usr/bin/env bash
# Your own recordings -> episodes -> train/val lists. Running this again converts only what is new, and what has changed.
# Recordings that can't be used are said and listed in OUTPUT_DIR/report.json; the others go on.
# usage: bash prepare_custom_data.sh [flags of data/generation/convert_custom_data.py and data/sampling/generate_sampling.py
#        that overrule those below; --output_dir is the folder of episodes for both, --sampling_dir that of the lists]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

# Edit these, or set them in the environment.
INPUT_DIR="${INPUT_DIR:-$DATA/recordings}"             # NAME/video.mp4 and NAME/actions.jsonl
OUTPUT_DIR="${OUTPUT_DIR:-$DATA/dataset_custom}"       # the episodes
SAMPLING_NAME="${SAMPLING_NAME:-custom}"               # --sampling of the training script
WORKERS="${WORKERS:-0}"                                # processes, each on a core; 0: one a core, as memory allows

ARGS=(
    --input_dir "$INPUT_DIR"
    --output_dir "$OUTPUT_DIR"
    --workers "$WORKERS"
    --frame_format png                                 # png: lossless, 34 KB a frame; mp4: 8 KB
    --fps_as_ticks False                               # True: each frame is a tick of 1/20 s, whatever the file says
    --mineclip_weights "$DATA/weights/mineclip/attn.pth"
    --batch_size 32                                    # frames that MineCLIP encodes at a time
    --name "$SAMPLING_NAME"
    --sampling_dir "$DATA/samplings"
    --train_frames -1                                  # frames; -1: all that are not for validation (10 %)
)
# Videos without actions are labelled by the inverse dynamics model, once it is there.
IDM="$DATA/weights/vpt/4x_idm"
if [ -f "$IDM.model" ] && [ -f "$IDM.weights" ]; then
    ARGS+=(--idm_model "$IDM.model" --idm_weights "$IDM.weights")
fi
exec python "$ROOT/data/generation/prepare_custom_data.py" "${ARGS[@]}" "$@"
