#!/usr/bin/env bash
# Step 5: weights + prompt -> video and counts. To try other weights or texts, copy this script and edit the copy.
# Videos that exist are skipped. usage: bash 2_gen_vid_for_text_prompt.sh [flags that overrule those below]
set -euo pipefail
PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
DATA="${STEVE1_DATA_ROOT:-$PROJECT_ROOT/data}"
[ -d "$PROJECT_ROOT/.venv/bin" ] && PATH="$PROJECT_ROOT/.venv/bin:$PATH"
cd "$PROJECT_ROOT"

ARGS=(
    --in_model "$DATA/weights/vpt/2x.model"
    --in_weights "$DATA/weights/steve1/steve1.weights"
    --prior_weights "$DATA/weights/steve1/steve1_prior.pt"    # remove the line to use raw text embeddings
    --mineclip_weights "$DATA/weights/mineclip/attn.pth"
    --custom_text_prompt "look at the sky"                    # several: "first text" "second text"
    --text_cond_scale 6.0                                     # guidance; 0 turns it off
    --gameplay_length 1000                                    # frames, 20 a second
    --seed 0                                                  # of the world and the sampling
    --env auto                                                # minerl, blockworld, or auto
    --num_envs 1                                              # worlds played at once
    --save_dirpath "$DATA/generated_videos/custom_text_prompt"
)

exec python run_agent.py "${ARGS[@]}" "$@"
