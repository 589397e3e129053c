#!/usr/bin/env bash
# Step 1: OpenAI's contractor recordings -> episodes, and if you like, two VPT agents' play -> episodes.
# Running this again goes on where it stopped.
# usage: bash 1_generate_dataset.sh [flags that overrule those below: of the contractor step, or of the mixed agents'
#        where N_EPISODES_CONTRACTOR is 0]
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -d "$ROOT/.venv/bin" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
DATA="${STEVE1_DATA_ROOT:-$ROOT/data}"
. "$ROOT/scripts/run.sh"

# Edit these, or set them in the environment.
N_EPISODES_CONTRACTOR="${N_EPISODES_CONTRACTOR:-5}"    # episodes per index, of at most 5 minutes of play; 0: none
# Collections: 6.x 7.x 8.x 9.x 10.x, and BASALT's FindCave MakeWaterfall MakeVillageAnimalPen BuildVillageHouse.
INDICES_CONTRACTOR="${INDICES_CONTRACTOR:-8.x 9.x 10.x}"
OUTPUT_DIR_CONTRACTOR="${OUTPUT_DIR_CONTRACTOR:-$DATA/dataset_contractor}"
# 0: none. STEVE-1 was trained on these too, but they need Minecraft (see README) and VPT's weights (download_weights.sh).
N_EPISODES_MIXED_AGENTS="${N_EPISODES_MIXED_AGENTS:-0}"   # episodes; an episode is at most 6 minutes of play
OUTPUT_DIR_MIXED_AGENTS="${OUTPUT_DIR_MIXED_AGENTS:-$DATA/dataset_mixed_agents}"
WORKERS="${WORKERS:-0}"                                # processes, each on a core; 0: one a core, as memory allows

if [ "$N_EPISODES_CONTRACTOR" = 0 ] && [ "$N_EPISODES_MIXED_AGENTS" = 0 ]; then
    echo "error: N_EPISODES_CONTRACTOR and N_EPISODES_MIXED_AGENTS are both 0, so there is nothing to make" >&2
    exit 2
fi

if [ "$N_EPISODES_CONTRACTOR" != 0 ]; then
    read -ra INDICES <<< "$INDICES_CONTRACTOR"
    ARGS=(
        --index "${INDICES[@]}"
        --num_episodes "$N_EPISODES_CONTRACTOR"
        --output_dir "$OUTPUT_DIR_CONTRACTOR"
        --workers "$WORKERS"
        --cache_dir "$DATA/cache_contractor"           # downloads, removed once converted
        --downloads 4                                  # recordings that are downloaded while others are converted
        --keep_free_gb 1                               # GB of disk to leave free; -1: no check
        --min_timesteps 1000                           # frames; shorter recordings are passed over
        --frame_format png                             # png: lossless, 34 KB a frame; mp4: 8 KB
        --mineclip_weights "$DATA/weights/mineclip/attn.pth"
        --batch_size 32                                # frames that MineCLIP encodes at a time
    )
    run python "$ROOT/data/generation/convert_from_contractor.py" "${ARGS[@]}" "$@"
    set --                                             # the flags were that step's
fi

if [ "$N_EPISODES_MIXED_AGENTS" != 0 ]; then
    ARGS=(
        --num_episodes "$N_EPISODES_MIXED_AGENTS"
        --output_dir "$OUTPUT_DIR_MIXED_AGENTS"
        --workers 1                                    # processes, each with a world and both agents
        --env minerl                                   # minestudio, minerl, or blockworld, which VPT was not trained in
        --env_seed 0                                   # world of the first episode; the next ones count up
        --seed 0                                       # of switches, spins and sampling
        --max_timesteps 7200                           # frames of an episode, 20 a second
        --keep_free_gb 1                               # GB of disk to leave free; -1: no check
        --min_timesteps 1000                           # frames; shorter episodes are not kept
        --switch_agent_prob 1/1000                     # a frame; a third of it towards the RL-tuned agent
        --perform_spin_prob 1/750                      # a frame
        --in_model "$DATA/weights/vpt/2x.model"
        --in_weights_a "$DATA/weights/vpt/foundation-model-2x.weights"
        --in_weights_b "$DATA/weights/vpt/rl-from-foundation-2x.weights"
        --frame_format png                             # png: lossless, 34 KB a frame; mp4: 8 KB
        --mineclip_weights "$DATA/weights/mineclip/attn.pth"
        --batch_size 32                                # frames that MineCLIP encodes at a time
    )
    run python "$ROOT/data/generation/gen_mixed_agents.py" "${ARGS[@]}" "$@"
fi
