#!/usr/bin/env bash
# Everything that is published: VPT, MineCLIP and STEVE-1 to data/weights/{vpt,mineclip,steve1}/ (about 6 GB), visual prompts
# to data/visual_prompt_embeds/, the prior's data to data/prior_dataset/. Stopped half-way, the same command goes on.
# usage: bash download_weights.sh [--only vpt,idm,mineclip,steve1,prompts,prior_data] [--from hub]
#   --from hub: policy, prior and MineCLIP as one folder from the Hugging Face hub (HF_ENDPOINT names a mirror)
#   --url attn.pth=ADDRESS: a file from elsewhere
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi

DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"

python "$ROOT/steve1/download_weights.py" \
    --output_dir "$DATA/weights" \
    --data_dir "$DATA" \
    "$@"
