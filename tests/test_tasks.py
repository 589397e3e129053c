"""MCU's tasks through run_agent, in a light stand-in for MineStudio: commands, goals, own measures, losses, records."""

import json
import os

import numpy as np
import pytest
from minerl_standin import is_gone
from minestudio_standin import use_light
from tiny_agent import load_script, make_models, records

from data.video import VideoWriter
from steve1 import envs
from steve1.cli import UserError
from steve1.envs import game_python
from steve1.playing.tasks import read_tasks

run_agent = load_script("run_agent.py")
WOOD = "custom_init_commands:\n- /give @s oak_log 3\n- /time set day\ntext: chop a tree\ndefaults:\n- base\n- _self_\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def standin(monkeypatch, tmp_path):
    game_python._ask.cache_clear()
    envs.say_once.cache_clear()
    (tmp_path / "standin").mkdir()
    return use_light(monkeypatch, tmp_path / "standin")


@pytest.fixture
def tasks(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "base.yaml").write_text("custom_init_commands:\n- /gamerule sendCommandFeedback false\n")
    (folder / "collect_wood.yaml").write_text(WOOD)
    with_film = "reference_video: seen.mp4\ntext: look up\n"
    (folder / "look_up.yaml").write_text(with_film)
    writer = VideoWriter(folder / "seen.mp4", 64, 64)
    for shade in range(20):
        writer.add(np.full((64, 64, 3), 10 * shade, np.uint8))
    writer.close()
    return folder


def run(models, folder, *flags):
    run_agent.main(
        [*models, "--save_dirpath", str(folder), "--device", "cpu", "--gameplay_length", "4", *flags]
    )
    return {name: episode for name, (episode,) in records(folder).items()}


def test_an_evaluation_with_a_task_a_crash_and_a_hang(models, standin, tasks, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STEVE1_MINESTUDIO_STEP_TIMEOUT", "3")
    standin.tell(0, step={"2": "kill"})
    standin.tell(1, step={"3": "hang"})
    page = tmp_path / "page.html"
    flags = (
        "--env",
        "minestudio",
        "--custom_text_prompt",
        "go",
        "stay",
        "--num_seeds",
        "2",
        "--num_envs",
        "2",
    )
    flags += (
        "--tasks",
        str(tasks / "collect_wood.yaml"),
        "--own_measure",
        "chop a tree=logs_held",
        "go=log_hits",
    )
    found = run(models, tmp_path / "films", *flags, "--report", str(page))
    assert len(found) == 6
    lost = {name: e.measured["lost"] for name, e in found.items() if e.measured["lost"]}
    assert lost == {
        "go_text_seed0": "lost at step 2 of 4: MineStudio's process was ended by SIGKILL during step",
        "stay_text_seed0": "lost at step 3 of 4: MineStudio gave no answer to step for 3 s",
    }
    task = found["collect_wood_text_seed0"]
    assert task.decides["commands"] == ["/give @s oak_log 3", "/time set day"]
    assert task.decides["world"] == "minestudio"
    assert (task.measured["measures"]["logs_held"], task.about["own_measure"]) == (3, "logs_held")
    assert "commands" not in found["stay_text_seed1"].decides
    figures = json.loads(page.with_suffix(".json").read_text())
    assert "logs_held" in json.dumps(figures)
    said = capsys.readouterr()
    assert "go: log_hits was not measured in minestudio, so there is no verdict on it" in said.out
    assert os.listdir(standin.folder / "temporary") == []
    assert all(is_gone(process) for process in standin.started())
    # nothing is played again; with other commands the task is another episode
    started = len(standin.started())
    run(models, tmp_path / "films", *flags)
    assert len(standin.started()) == started
    (tasks / "collect_wood.yaml").write_text(WOOD.replace("oak_log 3", "oak_log 5"))
    found = run(models, tmp_path / "films", *flags)
    assert found["collect_wood_text_seed0"].measured["measures"]["logs_held"] == 5
    assert "played otherwise (commands" in capsys.readouterr().out


def test_a_reference_video_is_a_goal_too(models, tasks, tmp_path):
    flags = ("--env", "blockworld", "--tasks", str(tasks / "look_up.yaml"), "--no_films", "--no_goal")
    found = run(models, tmp_path / "films", *flags)
    assert {e.decides["kind"] for e in found.values()} == {"text", "visual", "no_goal"}
    goals = {e.decides["kind"]: e.decides["goal_hash"] for e in found.values()}
    assert len(set(goals.values())) == 3


def test_no_goal_begins_as_the_task_does(models, standin, tasks, tmp_path):
    flags = ("--env", "minestudio", "--tasks", str(tasks), "--no_films", "--no_goal")
    found = run(models, tmp_path / "films", *flags)
    bare = [e for e in found.values() if e.decides["kind"] == "no_goal"]
    assert sorted(len(e.decides.get("commands", ())) for e in bare) == [0, 2]


def test_worlds_without_commands_refuse_them(models, tasks, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(models, tmp_path / "films", "--env", "blockworld", "--tasks", str(tasks))
    said = capsys.readouterr().err
    assert "collect_wood.yaml has custom_init_commands, which the world blockworld can't execute" in said
    assert not (tmp_path / "films").exists()


def test_defaults_are_taken_over_and_what_is_not_used_is_said(tasks, capsys):
    (tasks / "own.yaml").write_text("text: dig\ndefaults:\n- _self_\n- base\nbiome: plains\n")
    (tasks / "gone.yaml").write_text("text: dig\ndefaults:\n- nowhere\nreference_video: /no/film.mp4\n")
    found = {task.name: task for task in read_tasks([tasks])}
    assert sorted(found) == ["collect_wood", "gone", "look_up", "own"]
    assert found["own"].commands == ("/gamerule sendCommandFeedback false",)
    assert found["collect_wood"].commands == ("/give @s oak_log 3", "/time set day")
    said = capsys.readouterr().err
    assert "own.yaml: not used here: biome" in said
    assert "gone.yaml: its defaults name nowhere.yaml, which is not there" in said
    assert "its reference_video /no/film.mp4 does not exist; played by its text alone" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text: [", "is no YAML"),
        ("- text", "so it is no task"),
        ("custom_init_commands: []", "has neither text nor reference_video"),
        ("text: dig\ncustom_init_commands: /give", "custom_init_commands must be a list"),
        ("text: 5", "text is 5"),
        ("reference_video: none.mp4", "does not exist, and it has no text"),
        ("text: dig\ndefaults: [other]", "wrong.yaml stands among its own defaults"),
    ],
)
def test_what_is_no_task_is_refused(tmp_path, content, said):
    (tmp_path / "wrong.yaml").write_text(content)
    (tmp_path / "other.yaml").write_text("defaults: [wrong]")
    with pytest.raises(UserError, match=said):
        read_tasks([tmp_path / "wrong.yaml"])


def test_flags_that_make_no_sense_are_listed_together(models, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(models, tmp_path, "--tasks", str(tmp_path / "no.yaml"), "--own_measure", "dig=depth")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "no.yaml does not exist" in said
    assert "--own_measure dig=depth: give PROMPT=MEASURE" in said
    with pytest.raises(SystemExit):
        run(models, tmp_path, "--custom_text_prompt", "dig", "--own_measure", "build=logs_held")
    assert (
        "--own_measure build=logs_held: no such prompt is played; it is one of 'dig'"
        in capsys.readouterr().err
    )
