#!/usr/bin/env bash
# Step 5: weights + prompt -> video, counts and a report. To try other weights or texts, copy this script and edit the
# copy. What was played before, and is equal, is used again.
# usage: bash 2_gen_vid_for_text_prompt.sh [flags that overrule those below]
set -euo pipefail
PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
DATA="${STEVE1_DATA_ROOT:-$PROJECT_ROOT/data}"
[ -d "$PROJECT_ROOT/.venv/bin" ] && PATH="$PROJECT_ROOT/.venv/bin:$PATH"
cd "$PROJECT_ROOT"

# ---- edit here ----------------------------------------------------------------------------------
IN_MODEL="$DATA/weights/vpt/2x.model"
IN_WEIGHTS="$DATA/weights/steve1/steve1.weights"       # or a folder in the hub's form, with "" for IN_MODEL,
                                      # MINECLIP_WEIGHTS, and PRIOR_WEIGHTS="$IN_WEIGHTS"
COMPARE_WEIGHTS=""                    # other weights, for videos side by side (these on the left); "" for none
PRIOR_WEIGHTS="$DATA/weights/steve1/steve1_prior.pt"   # "" uses the raw text embeddings
MINECLIP_WEIGHTS="$DATA/weights/mineclip/attn.pth"
TEXT_PROMPTS=("look at the sky")      # several: ("first text" "second text")
TEXT_COND_SCALE=6.0                   # guidance; 0 turns it off
GAMEPLAY_LENGTH=1000                  # frames, 20 a second
SEED=0                                # of the world and the sampling
NUM_ENVS=1                            # worlds played at once
PRECISION=no                          # no, or bf16 or fp16 on a GPU
ENVIRONMENT=auto                      # minestudio, minerl, blockworld, or auto
SAVE_DIRPATH="$DATA/generated_videos/custom_text_prompt"
REPORT=""                             # a page PATH.html with charts and the videos; "" for none
OVERLAY=""                            # yes: keys, camera and likeliest actions below the picture; "" for the picture alone
GOAL_STRIP=""                         # a sampling, whose moments nearest to the goal are shown; "" for none
# -------------------------------------------------------------------------------------------------

ARGS=(
    ${IN_MODEL:+--in_model "$IN_MODEL"}
    --in_weights "$IN_WEIGHTS"
    ${MINECLIP_WEIGHTS:+--mineclip_weights "$MINECLIP_WEIGHTS"}
    --text_cond_scale "$TEXT_COND_SCALE"
    --gameplay_length "$GAMEPLAY_LENGTH"
    --num_envs "$NUM_ENVS"
    --precision "$PRECISION"
    --env "$ENVIRONMENT"
    --save_dirpath "$SAVE_DIRPATH"
    ${COMPARE_WEIGHTS:+--compare_weights "$COMPARE_WEIGHTS"}
    --prior_weights "${PRIOR_WEIGHTS:-none}"
    ${REPORT:+--report "$REPORT"}
    ${OVERLAY:+--overlay}
    ${GOAL_STRIP:+--goal_strip "$GOAL_STRIP"}
)
# Prompts and seeds given on the command line are played instead of those above, not besides them.
[[ " $* " =~ " --custom_text_prompt "|" --visual_prompt " ]] || ARGS+=(--custom_text_prompt "${TEXT_PROMPTS[@]}")
[[ " $* " =~ " --seed "|" --seeds " ]] || ARGS+=(--seed "$SEED")

exec python run_agent.py "${ARGS[@]}" "$@"
