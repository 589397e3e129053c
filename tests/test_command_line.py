"""The command-line surface: which entry points and flags there are is a promise to users."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from steve1.cli import boolean, count, number

ROOT = Path(__file__).resolve().parents[1]
DATA_FLAGS = """output_dir frame_format mineclip_weights mineclip_config batch_size min_timesteps num_episodes workers
    num_workers worker_id ray_address ray_cpus ray_gpus keep_free_gb skip_broken"""
READING_FLAGS = "fps_as_ticks window degrees_per_pixel max_hole_ticks legacy_int_camera"
PROMISED = {
    "training/train.py": """in_model in_weights out_weights T trunc_t batch_size gradient_accumulation_steps num_workers
        weight_decay learning_rate warmup_frames n_frames max_grad_norm p_uncond min_btwn_goals max_btwn_goals sampling
        sampling_dir data_limit val_freq val_freq_begin val_freq_switch_steps val_every_nth save_each_val save_freq
        log_freq snapshot_every_n_frames checkpoint_dir restart_from_checkpoint reset_checkpoint_dir seed freeze
        mineclip_embed_dim augment allow_mixed_mineclip gradient_checkpointing compile early_stopping_patience
        ema kl_to_start l2_to_start lr_scale cache_features goal_sampling""",
    "training/interpolate.py": "alpha output_dir",
    "training/judge_run.py": "start seed num_seeds judged_dir",
    "training/train_prior.py": """data_path hidden_dim latent_dim batch_size lr n_validation n_epochs output_path
        beta""",
    "data/generation/convert_custom_data.py": f"""input_dir idm_model idm_weights relabel only {READING_FLAGS}
        {DATA_FLAGS}""",
    "data/generation/convert_from_contractor.py": f"""index index_file local_dir base_url cache_dir downloads
        {READING_FLAGS} {DATA_FLAGS}""",
    "data/generation/convert_from_minestudio.py": f"input_dir {DATA_FLAGS}",
    "data/generation/gen_mixed_agents.py": f"""max_timesteps switch_agent_prob perform_spin_prob env
        minerl_python env_seed in_model in_weights_a in_weights_b seed {DATA_FLAGS}""",
    "data/generation/prepare_custom_data.py": f"""sampling_dir input_dir val_frames train_frames name T seed only
        {READING_FLAGS} {DATA_FLAGS}""",
    "data/text_alignment/mine_prior_dataset.py": """instructions instructions_file episodes_dir sampling sampling_dir
        mineclip_weights mineclip_config allow_other_mineclip top_k min_distance max_per_episode score temperature
        output_path merge_with sheet_columns""",
    "data/sampling/generate_sampling.py": """type name dataset_dirs dataset_weights output_dir val_frames train_frames
        val_from T min_btwn_goals seed""",
    "data/sampling/dataset_summary.py": """dataset_dirs sampling sampling_dir max_episodes json html pictures workers
        seed""",
    "data/EpisodeStorage.py": "validate deep convert workers",
    "data/generation/mark_boundaries.py": """sampling sampling_dir episodes_dir in_model in_weights threshold min_length
        replace workers""",
    "data/inspect_batch.py": """sampling sampling_dir data_limit num_workers in_model T trunc_t p_uncond min_btwn_goals
        max_btwn_goals goal_sampling batch_size seed output columns""",
    "steve1/download_weights.py": "",
    "steve1/envs/minerl.py": "minerl_python",
    "steve1/export.py": "to in_model in_weights prior_weights mineclip_weights report",
    "steve1/envs/minestudio.py": "minestudio_python steps worlds picture",
    "run_agent.py": """in_model in_weights prior_weights custom_text_prompt text_cond_scale visual_cond_scale cond_scale
        gameplay_length save_dirpath seed env minerl_python num_envs compare_weights visual_prompt visual_prompts_dir
        tasks own_measure
        no_goal num_seeds seeds behaviours prompts no_films processes deterministic device precision measures
        score_every report report_embed_mb overlay goal_strip""",
    "run_interactive.py": """in_model in_weights prior_weights mineclip_weights mineclip_config host allow_host port env
        minerl_python seed prompt cond_scale deterministic fps save_dirpath recordings_dir device precision
        goal_strip""",
}
# What answers --help must not load: together these take seconds.
HEAVY = {
    "torch",
    "cv2",
    "av",
    "numba",
    "gym",
    "lmdb",
    "accelerate",
    "kornia",
    "matplotlib",
    "scipy",
    "jinja2",
    "tokenizers",
    "aiohttp",
    "tensorboard",
    "ray",
}


def entry_points():
    """Every file in the packages that offers a command line."""
    files = [
        ROOT / "run_agent.py",
        ROOT / "run_interactive.py",
        *(p for top in ("steve1", "data", "training") for p in (ROOT / top).rglob("*.py")),
    ]
    return sorted(
        str(p.relative_to(ROOT)) for p in files if p.exists() and 'if __name__ == "__main__"' in p.read_text()
    )


@pytest.fixture(scope="module")
def help_of():
    """The text of ``--help`` of a script, and the heavy modules that were loaded for it."""
    known = {}

    def ask(script):
        if script not in known:
            code = (
                "import runpy, sys\n"
                f"sys.argv = [{script!r}, '--help']\n"
                "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
                "except SystemExit as left:\n    assert not left.code, left.code\n"
                f"print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))\n"
            )
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            known[script] = done.stdout.rpartition("LOADED")
        return known[script]

    return ask


@pytest.mark.parametrize("script", entry_points())
def test_help_loads_nothing_heavy(help_of, script):
    text, _, loaded = help_of(script)
    assert "usage:" in text
    assert not loaded.split()


@pytest.mark.parametrize("script", PROMISED)
def test_promised_flags_are_there(help_of, script):
    text = help_of(script)[0]
    flags = set(re.findall(r"--(\w+)", text))
    assert set(PROMISED[script].split()) <= flags


@pytest.mark.parametrize("script", entry_points())
def test_every_entry_point_opens_with_commands_to_copy(script):
    docstring = (ROOT / script).read_text().split('"""')[1]
    stem = Path(script).stem
    assert re.search(rf"^ {{4}}.*(\b{stem}\.(py|sh)\b|-m [\w.]+\.{stem}\b)", docstring, re.MULTILINE)
    assert len(re.findall(r"^ {4}\S", docstring, re.MULTILINE)) >= 2


@pytest.mark.parametrize(
    ("text", "value"), [("10M", 10_000_000), ("30k", 30_000), ("1_000", 1000), ("1.5M", 1_500_000)]
)
def test_counts_as_users_write_them(text, value):
    assert count(text) == value


@pytest.mark.parametrize("text", ["", "ten", "1.5", "10MM", "M", "nan", "1e400"])
def test_what_is_no_count_is_refused(text):
    import argparse

    with pytest.raises(argparse.ArgumentTypeError):
        count(text)


def test_false_is_false():
    assert boolean("False") is False
    assert boolean("true") is True
    assert number("4e-5") == 4e-5
