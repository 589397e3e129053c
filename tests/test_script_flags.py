"""Each branch of each shell script: the commands that it gives, and that every flag in them exists."""

import argparse
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, edit

# Stands for python and accelerate: notes its words and does nothing.
NOTE = """#!{python} -SE
import json, sys
open({log!r}, "a").write(json.dumps(sys.argv) + "\\n")
"""


class Understood(Exception):
    """The flags were all read."""


@pytest.fixture
def scripts(tmp_path):
    """Run a script of a checkout whose python only takes notes; returns the commands it gave."""
    folder = tmp_path / "checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for script in ROOT.glob("*.sh"):
        shutil.copy(script, folder)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "run.sh", folder / "scripts")
    (folder / "scripts" / "venv.sh").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
    log = tmp_path / "commands.jsonl"
    for name in ("python", "accelerate", "ruff", "mypy"):
        program = folder / ".venv" / "bin" / name
        program.write_text(NOTE.format(python=sys.executable, log=str(log)))
        program.chmod(0o755)

    def run(script, *flags, code=0, **variables):
        log.unlink(missing_ok=True)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), **variables}
        done = subprocess.run(
            ["bash", script, *flags], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return [json.loads(line)[1:] for line in log.read_text().splitlines()] if log.exists() else []

    run.folder = folder
    return run


def understood(command, monkeypatch):
    """Let the entry point that a command names read its flags; returns their values."""
    script = next(word for word in command if word.endswith(".py"))
    parts = Path(script).parts
    inside = next(Path(*parts[i:]) for i in range(len(parts)) if (ROOT / Path(*parts[i:])).is_file())
    module = importlib.import_module(".".join(inside.with_suffix("").parts))
    parse = argparse.ArgumentParser.parse_args
    read = []

    def noted(parser, args=None, namespace=None):
        read.append(parse(parser, args, namespace))
        raise Understood

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", noted)
        with pytest.raises(Understood):
            module.main(command[command.index(script) + 1 :])
    return read[0]


def named(commands):
    return [Path(next(word for word in command if word.endswith(".py"))).stem for command in commands]


CONTRACTOR, MIXED = "convert_from_contractor", "gen_mixed_agents"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, [CONTRACTOR]),
        ({"N_EPISODES_CONTRACTOR": "0", "N_EPISODES_MIXED_AGENTS": "2"}, [MIXED]),
        ({"N_EPISODES_MIXED_AGENTS": "2"}, [CONTRACTOR, MIXED]),
        ({"INDICES_CONTRACTOR": "6.x 7.x BuildVillageHouse"}, [CONTRACTOR]),
    ],
)
def test_script_1(scripts, monkeypatch, variables, expected):
    commands = scripts("1_generate_dataset.sh", **variables)
    assert named(commands) == expected
    for command in commands:
        args = understood(command, monkeypatch)
        assert args.num_episodes == (5 if CONTRACTOR in command[0] else 2)
        if CONTRACTOR in command[0]:
            assert args.index == variables.get("INDICES_CONTRACTOR", "8.x 9.x 10.x").split()


def test_script_1_with_nothing_to_make(scripts):
    assert scripts("1_generate_dataset.sh", code=2, N_EPISODES_CONTRACTOR="0") == []
    edit(scripts.folder / "1_generate_dataset.sh", N_EPISODES_CONTRACTOR=0, N_EPISODES_MIXED_AGENTS=1)
    assert named(scripts("1_generate_dataset.sh")) == [MIXED]


def test_a_local_folder_is_converted_once_whatever_the_indices(scripts, monkeypatch):
    (command,) = scripts("1_generate_dataset.sh", "--local_dir", "mine", "--num_episodes", "0")
    args = understood(command, monkeypatch)
    assert (args.local_dir, args.num_episodes) == ("mine", 0)


def test_script_1_s_flags_reach_the_step_that_runs(scripts, monkeypatch):
    only_mixed = {"N_EPISODES_CONTRACTOR": "0", "N_EPISODES_MIXED_AGENTS": "1"}
    (command,) = scripts("1_generate_dataset.sh", "--env_seed", "7", **only_mixed)
    assert understood(command, monkeypatch).env_seed == 7
    first, second = scripts("1_generate_dataset.sh", "--index", "7.x", N_EPISODES_MIXED_AGENTS="1")
    assert understood(first, monkeypatch).index == ["7.x"]
    understood(second, monkeypatch)


@pytest.mark.parametrize(
    "edited", [{}, {"DATASET_WEIGHTS": "0.8,0.2", "VAL_FRAMES": 100, "SAMPLING_TYPE": "mixed"}]
)
def test_script_2(scripts, monkeypatch, edited):
    edit(scripts.folder / "2_create_sampling.sh", **edited)
    (command,) = scripts("2_create_sampling.sh")
    args = understood(command, monkeypatch)
    assert args.val_frames == edited.get("VAL_FRAMES")


@pytest.mark.parametrize(
    ("edited", "flags"),
    [
        ({}, []),
        ({"COMPARE_WEIGHTS": "a", "PRIOR_WEIGHTS": "", "REPORT": "r.html", "OVERLAY": "yes"}, []),
        ({}, ["--visual_prompt", "dig", "--seeds", "evaluation"]),
        ({}, ["--custom_text_prompt", "dig", "--seed", "4"]),
    ],
)
def test_script_2_gen_vid(scripts, monkeypatch, edited, flags):
    edit(scripts.folder / "2_gen_vid_for_text_prompt.sh", **edited)
    (command,) = scripts("2_gen_vid_for_text_prompt.sh", *flags)
    args = understood(command, monkeypatch)
    assert (args.compare_weights is None) == (not edited)
    assert args.overlay == bool(edited)


@pytest.mark.parametrize("script", ["3_train.sh", "3_train_finetune_template.sh"])
@pytest.mark.parametrize("processes", [1, 2])
def test_script_3(scripts, monkeypatch, script, processes):
    if script == "3_train.sh":
        (command,) = scripts(script, NUM_PROCESSES=str(processes))
    else:
        edit(scripts.folder / script, NUM_PROCESSES=processes, MINECLIP_EMBED_DIM=768, FREEZE="img_process")
        (command,) = scripts(script)
    assert ("--multi_gpu" in command) == (processes == 2)
    understood(command, monkeypatch)


@pytest.mark.parametrize("script", ["4_train_prior.sh", "download_weights.sh"])
def test_scripts_without_branches(scripts, monkeypatch, script):
    (command,) = scripts(script)
    understood(command, monkeypatch)


@pytest.mark.parametrize("idm", [False, True])
def test_prepare_custom_data(scripts, monkeypatch, idm):
    if idm:
        weights = scripts.folder / "data" / "weights" / "vpt"
        weights.mkdir(parents=True)
        for ending in ("model", "weights"):
            (weights / f"4x_idm.{ending}").touch()
    flags = ("--output_dir", "mine", "--val_frames", "30", "--batch_size", "4")
    (command,) = scripts("prepare_custom_data.sh", *flags, SAMPLING_NAME="house")
    assert ("--idm_weights" in command) == idm
    sampling = understood(command, monkeypatch)
    assert (sampling.name, sampling.val_frames, sampling.dataset_dirs) == ("house", 30, ["mine"])
    with pytest.raises(SystemExit) as leave:
        understood([*command, "--no_such_flag"], monkeypatch)
    assert leave.value.code == 2


@pytest.mark.parametrize("flags", [[], ["--tenth"]])
def test_quickstart(scripts, monkeypatch, flags):
    commands = scripts("quickstart.sh", *flags)
    assert {"record_blockworld", CONTRACTOR, "train", "run_agent"} <= set(named(commands))
    for command in commands:
        script = next(word for word in command if word.endswith(".py"))
        if not script.startswith("benchmarks/"):  # which are no package
            understood(command, monkeypatch)
    assert scripts("quickstart.sh", "--nonsense", code=2) == []


def test_the_tests_own_script(scripts):
    assert [command[:2] for command in scripts("run_tests.sh")][-1] == ["-m", "pytest"]
    assert scripts("run_tests.sh", "tests/test_walk.py")[-1] == [
        "-m",
        "pytest",
        "-n",
        "2",
        "tests/test_walk.py",
    ]
