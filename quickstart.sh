#!/usr/bin/env bash
# From nothing to a filmed agent, in miniature: the numbered scripts on a small world, small models, two CPU cores.
# Needs Python >= 3.10 and nothing else. Running it again goes on where it stopped and repeats nothing.
#
# usage: ./quickstart.sh            the whole walk
#        ./quickstart.sh --tenth    the same path at a tenth of the size, to see that everything works (CI does)
# Products go to $STEVE1_DATA_ROOT, by default data/quickstart/.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$ROOT"
. scripts/venv.sh ""
. scripts/run.sh

case "${1:-}" in
    "")      NAME=quickstart; TENTH=false ;;
    --tenth) NAME=quickstart_tenth; TENTH=true ;;
    *)       echo "usage: ./quickstart.sh [--tenth]" >&2; exit 2 ;;
esac
export STEVE1_DATA_ROOT="${STEVE1_DATA_ROOT:-$ROOT/data/$NAME}"
export MIXED_PRECISION=no ACCELERATE_USE_CPU=true INDICES_CONTRACTOR=8.x
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"    # threads that spin while they wait crawl beside other programs
Q="$STEVE1_DATA_ROOT"

# ---- sizes: chosen for 20 minutes on two cores; docs/quickstart.md says how each was found --------
RECORDINGS=60              # of 600 frames: 36,000 frames, 30 minutes of play
RECORDING_FRAMES=600
MINECLIP_STEPS=400
VAL_FRAMES=3k              # frames held out of training
TRAIN_FRAMES=240k          # frames that the policy is trained on, about 7 times through
WARMUP_FRAMES=10k
PRIOR_EPOCHS=30
VIDEO_FRAMES=300           # frames of each film
SEEDS=32                   # worlds that each prompt is judged in
JUDGED_FRAMES=200          # frames played in each
BEHAVIOURS=sky,dig,tree,seeds,explore,swim,inventory    # prompts that are judged: what the players show
GUIDANCE=2                 # scale of classifier-free guidance; chosen in worlds from 2,000,000 on, not in the judge's
if $TENTH; then
    RECORDINGS=6; RECORDING_FRAMES=500; MINECLIP_STEPS=40; VAL_FRAMES=400
    TRAIN_FRAMES=8k; WARMUP_FRAMES=800; PRIOR_EPOCHS=3; VIDEO_FRAMES=40; SEEDS=2; JUDGED_FRAMES=20
fi

RECORDED="$Q/recordings_blockworld"
MINECLIP="$Q/weights/mineclip/small.pth"
POLICY="$Q/weights/steve1/small.weights"
PRIOR="$Q/weights/steve1/small_prior.pt"
MODEL=configs/quickstart_policy.json
mkdir -p "$Q"

stage() {  # stage TITLE COMMAND...: run a command under a heading and note how long it took
    local title="$1" began=$SECONDS
    shift
    printf '\n==== %s\n' "$title"
    run "$@"
    printf '%s\t%s\n' "$((SECONDS - began))" "$title" >> "$Q/stages.tsv"
}

record() {
    python data/generation/record_blockworld.py --output_dir "$RECORDED" \
        --num_recordings "$RECORDINGS" --frames_per_recording "$RECORDING_FRAMES" --workers 2 --seed 0
}
embedder() {
    python training/train_mineclip.py --recordings_dir "$RECORDED" --labels "$RECORDED/labels" --out_weights "$MINECLIP" \
        --mineclip_config small --steps "$MINECLIP_STEPS" --seed 0
}
episodes() {
    bash 1_generate_dataset.sh --local_dir "$RECORDED" --num_episodes 0 --min_timesteps 100 \
        --mineclip_weights "$MINECLIP" --workers 2
}
sampling() {
    bash 2_create_sampling.sh --name quickstart --val_frames "$VAL_FRAMES" --T 64
    python data/sampling/dataset_summary.py --sampling quickstart --sampling_dir "$Q/samplings" \
        --json "$Q/samplings/quickstart_summary.json"
}
policy() {
    bash 3_train.sh --in_model "$MODEL" --in_weights "" --out_weights "$POLICY" --sampling quickstart \
        --T 64 --trunc_t 32 --batch_size 4 --gradient_accumulation_steps 1 --num_workers 1 \
        --learning_rate 7e-4 --weight_decay 0.01 --warmup_frames "$WARMUP_FRAMES" --n_frames "$TRAIN_FRAMES" \
        --min_btwn_goals 10 --max_btwn_goals 60 --p_uncond 0.1 \
        --val_freq 400 --val_freq_begin 400 --save_freq 400 --log_freq 50 --snapshot_every_n_frames 0 \
        --checkpoint_dir "$Q/policy_checkpoint"
}
prior() {
    python data/text_alignment/make_prior_dataset.py --labels "$RECORDED/labels" \
        --episodes_dir "$Q/dataset_contractor" --mineclip_weights "$MINECLIP" --output_path "$Q/prior_dataset/data.pkl"
    bash 4_train_prior.sh --output_path "$PRIOR" --hidden_dim 256 --latent_dim 32 --n_epochs "$PRIOR_EPOCHS" \
        --n_validation 100
}
films() {
    bash 2_gen_vid_for_text_prompt.sh --env blockworld --in_model "$MODEL" --in_weights "$POLICY" \
        --prior_weights "$PRIOR" --mineclip_weights "$MINECLIP" --gameplay_length "$VIDEO_FRAMES" --num_envs 4 \
        --text_cond_scale "$GUIDANCE" \
        --custom_text_prompt "look at the sky" "dig as far as possible" "open inventory" "go explore" \
        --seed 1000000 --save_dirpath "$Q/generated_videos" --report "$Q/films.html"
}
judge() {
    python run_agent.py --env blockworld --in_model "$MODEL" --in_weights "$POLICY" --prior_weights "$PRIOR" \
        --mineclip_weights "$MINECLIP" --device cpu --behaviours "$BEHAVIOURS" --no_goal --cond_scale "$GUIDANCE" \
        --seed 1000000 --num_seeds "$SEEDS" --gameplay_length "$JUDGED_FRAMES" --num_envs 16 --processes 2 --no_films \
        --save_dirpath "$Q/judged" --report "$Q/judged.html"
}

stage "1/8 Record scripted players in BlockWorld"               record
stage "2/8 Train a small MineCLIP on the labelled moments"      embedder
stage "3/8 Script 1: recordings to episodes"                    episodes
stage "4/8 Script 2: training and validation lists"             sampling
stage "5/8 Script 3: train the policy"                          policy
stage "6/8 Script 4: train the prior"                           prior
stage "7/8 Film the agent on four prompts"                      films
stage "8/8 Judge: prompts against the agent without a goal"     judge
python benchmarks/quickstart_report.py --data_root "$Q"

cat <<END

The films and their figures on one page: $Q/films.html
What the prompts were judged by:         $Q/judged.html
Play with it, in a page of this machine:
    .venv/bin/python run_interactive.py --env blockworld --in_model $MODEL --in_weights "$POLICY" \\
        --prior_weights "$PRIOR" --mineclip_weights "$MINECLIP" --cond_scale $GUIDANCE
END
