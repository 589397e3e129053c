"""MineRL's side of the agent, without Java: the real worker plays a stand-in that fails in every way that it may."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import VECTORS
from minerl_standin import STANDIN, is_gone, use_standin

from blockworld.env import BlockWorldEnv
from steve1 import envs
from steve1.cli import UserError
from steve1.envs import WorldLost, game_python, make_env, minerl
from steve1.envs.minerl import MineRLEnv
from steve1.envs.spaces import noop_action
from steve1.MineRLConditionalAgent import check_env

ROOT = Path(__file__).resolve().parents[3]
WAIT = 2.0  # seconds that a hanging world gets in these tests


@pytest.fixture
def standin(monkeypatch, tmp_path):
    game_python._ask.cache_clear()
    envs.say_once.cache_clear()
    return use_standin(monkeypatch, tmp_path)


@pytest.fixture
def make(standin):
    made = []

    def make(**settings):
        made.append(MineRLEnv(**settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


def test_it_speaks_minerls_interface(make):
    env = make(seed=3)
    obs = env.reset()
    assert env.observation_space.contains(obs)
    assert obs["pov"].shape == (360, 640, 3)
    assert len(obs["inventory"]) == 976
    assert obs["equipped_items"]["mainhand"]["type"] == "air"
    before = obs
    obs, reward, done, info = env.step({**noop_action(), "forward": 1, "attack": np.int64(1)})
    assert env.observation_space.contains(obs)
    assert (obs["inventory"]["dirt"], obs["inventory"]["dirt"].dtype) == (1, np.int32)
    assert obs["location_stats"]["xpos"] == before["location_stats"]["xpos"] + 1
    assert before["inventory"]["dirt"] == 0
    assert not np.array_equal(obs["pov"], before["pov"])
    assert (reward, done) == (0.5, False)
    assert info == {"isGuiOpen": False, "place": [0.0, 0.0], "world_seed": 3}
    check_env(env)
    assert (env.name, env.version) == ("minerl", "unknown")  # the stand-in is no distribution


def test_a_world_is_identified_before_it_is_made_as_it_calls_itself_afterwards(make, tmp_path, monkeypatch):
    (tmp_path / "minerl-1.0.2.dist-info").mkdir()
    (tmp_path / "minerl-1.0.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: minerl\nVersion: 1.0.2\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STANDIN), str(tmp_path)]))
    env = make()
    assert envs.identify("minerl") == envs.identify("auto") == (env.name, env.version) == ("minerl", "1.0.2")


def test_an_episode_that_ends_is_done(make, standin):
    standin.tell(0, length=2)
    env = make()
    env.reset()
    assert [env.step({})[2] for _ in range(2)] == [False, True]


def test_seeds_take_effect_at_every_reset(make, standin):
    env = make(seed=7)
    first, again = env.reset()["pov"], env.reset()["pov"]
    assert np.array_equal(first, again)
    env.seed(8)
    assert not np.array_equal(env.reset()["pov"], first)
    env.seed(None)
    free = env.reset()["pov"]
    assert env.world_seed not in (7, 8)
    env.seed(env.world_seed)
    assert np.array_equal(env.reset()["pov"], free)
    assert len(standin.started()) == 1


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        ("exit", "ended with code 3 during step"),
        ("kill", "was ended by SIGKILL during step"),
        ("hang", "no answer to step for 2 s"),
        ("raise", "failed in step: ValueError: the anvil fell"),
        ("error", "MineRL lost Minecraft: Java has closed the socket"),
    ],
)
def test_a_world_that_is_lost_says_why_and_a_fresh_one_goes_on(make, standin, mishap, said):
    standin.tell(0, reset={"1": "java"}, step={"2": mishap})
    env = make(seed=5, step_timeout=WAIT if mishap == "hang" else None)
    first = env.reset()["pov"]
    env.step({})
    with pytest.raises(WorldLost, match=said):
        env.step({})
    assert all(is_gone(process) for process in (*standin.started(), standin.java()))
    with pytest.raises(ValueError, match="call reset"):
        env.step({})
    assert np.array_equal(env.reset()["pov"], first)
    for _ in range(3):
        env.step({})
    assert len(standin.started()) == 2


def test_the_last_words_are_told(make, standin):
    standin.tell(0, reset={"1": "talk"}, step={"1": "exit"})
    env = make()
    env.reset()
    with pytest.raises(WorldLost, match=r"its last words: .*and more of it"):
        env.step({})


def test_what_is_printed_is_no_part_of_the_talk(make, standin):
    standin.tell(0, make={"1": "talk"}, reset={"1": "talk"}, step={"1": "talk"})
    env = make()
    env.reset()
    assert env.step({})[1] == 0.5


def test_a_late_answer_is_waited_for(make, standin):
    for name in ("asked", "go"):
        os.mkfifo(standin.folder / name)
    standin.tell(0, step={"1": "late"})
    env = make()
    env.reset()
    answers = []
    player = threading.Thread(target=lambda: answers.append(env.step({"forward": 1})))
    player.start()
    assert (standin.folder / "asked").read_text() == "now"
    assert not answers
    (standin.folder / "go").write_text("")
    player.join()
    assert answers[0][0]["location_stats"]["xpos"] % 1000 == 1
    assert env.step({})[1] == 0.5


@pytest.mark.parametrize("mishap", ["hang", "raise"])
def test_a_reset_that_fails_is_tried_again_in_a_fresh_process(make, standin, capsys, mishap):
    standin.tell(0, reset={"2": mishap})
    env = make(seed=1, reset_timeout=WAIT if mishap == "hang" else None)
    first = env.reset()["pov"]
    assert np.array_equal(env.reset()["pov"], first)
    assert "trying again with a fresh process" in capsys.readouterr().err
    assert len(standin.started()) == 2
    assert is_gone(standin.started()[0])


def test_a_reset_that_fails_twice_is_a_lost_world(make, standin):
    standin.tell(0, reset={"1": "exit"})
    standin.tell(1, reset={"1": "kill"})
    env = make()
    with pytest.raises(WorldLost, match="SIGKILL during reset"):
        env.reset()
    assert env.reset()["pov"].any()
    assert len(standin.started()) == 3


def test_a_start_that_fails_names_the_python_and_the_page(standin):
    standin.tell(0, make={"1": "raise"})
    with pytest.raises(UserError, match=r"can't be started with .*the anvil fell.*docs/minecraft\.md"):
        MineRLEnv()
    standin.tell(1, make={"1": "hang"})
    with pytest.raises(UserError, match=r"no answer to start for 1 s"):
        MineRLEnv(start_timeout=1)
    assert all(is_gone(process) for process in standin.started())


def test_closing_lets_the_world_close_in_peace(make, standin):
    standin.tell(0, reset={"1": "java"})
    env = make()
    env.reset()
    env.close()
    assert standin.closed_in_peace(0)
    assert is_gone(standin.started()[0])
    assert is_gone(standin.java())
    env.close()


PROGRAM = """
import signal, sys
from steve1.envs.minerl import MineRLEnv
env = MineRLEnv(step_timeout=60)
env.reset()
if sys.argv[1] == "hang":
    print("playing", flush=True)
    env.step({})
elif sys.argv[1] == "wait":
    print("playing", flush=True)
    signal.pause()
else:
    raise RuntimeError("a fault of ours")
"""


@pytest.mark.parametrize(
    ("doing", "end"),
    [("wait", signal.SIGKILL), ("hang", signal.SIGKILL), ("hang", signal.SIGINT), ("fail", None)],
)
def test_no_java_is_left_however_the_program_ends(standin, doing, end):
    standin.tell(0, reset={"1": "java"}, step={"1": "hang"})
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, doing],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(STANDIN)])},
    )
    with program:
        if end is not None:
            assert program.stdout.readline() == b"playing\n"
            program.send_signal(end)
        assert program.wait() != 0
    assert is_gone(standin.java())
    assert is_gone(standin.started()[0])


@pytest.mark.parametrize(("setting", "value"), [("fov_range", [70, 90]), ("gamma_range", None)])
def test_other_settings_are_refused(standin, setting, value):
    standin.tell(0, settings={setting: value}, make={"1": "java"})
    with pytest.raises(UserError, match=rf"its {setting} is .*not \[.*requirements-minerl\.txt"):
        MineRLEnv()
    assert is_gone(standin.started()[0])
    assert is_gone(standin.java())


def test_other_spaces_are_refused(standin):
    standin.tell(0, spaces_lack=["inventory", "use_item"])
    with pytest.raises(UserError, match="observation_space lacks inventory, use_item"):
        MineRLEnv()


def test_the_record_that_is_compared_with_is_the_recorded_one():
    ours = Path(minerl.__file__).with_name("minerl_spaces.json")
    assert json.loads(ours.read_text()) == json.loads((VECTORS / "minerl_spaces.json").read_text())


def test_wrong_actions_are_refused_before_they_are_sent(make):
    env = make()
    with pytest.raises(ValueError, match="call reset"):
        env.step({})
    env.reset()
    for wrong in ({"fly": 1}, {"jump": 2}, {"camera": [200, 0]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            env.step(wrong)
    assert env.step({})[1] == 0.5


def test_time_outs_come_from_the_environment_too(standin, monkeypatch):
    standin.tell(0, reset={"1": "hang"})
    standin.tell(1, reset={"1": "hang"})
    monkeypatch.setenv("STEVE1_MINERL_RESET_TIMEOUT", "0.25")
    env = MineRLEnv()
    with pytest.raises(WorldLost, match=r"no answer to reset for 0\.25 s"):
        env.reset()
    monkeypatch.setenv("STEVE1_MINERL_STEP_TIMEOUT", "soon")
    with pytest.raises(UserError, match="STEVE1_MINERL_STEP_TIMEOUT is 'soon'"):
        MineRLEnv()
    with pytest.raises(UserError, match="STEVE1_MINERL_START_TIMEOUT"):
        MineRLEnv(start_timeout=0, step_timeout=1)


def test_without_a_display(standin, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY")
    tools = standin.folder / "tools"
    tools.mkdir()
    for name in ("env", "sh"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(UserError, match="xvfb-run -a"):
        MineRLEnv()
    (tools / "xvfb-run").write_text(
        f'#!/bin/sh\necho "$@" > {standin.folder}/xvfb\nshift 3\nDISPLAY=:7 "$@"\n'
    )
    (tools / "xvfb-run").chmod(0o755)
    env = MineRLEnv()
    env.reset()
    assert "$DISPLAY is not set, so MineRL is given a display by xvfb-run" in capsys.readouterr().err
    assert (standin.folder / "xvfb").read_text().startswith("-a -s -screen 0 ")
    os.kill(standin.started()[0], signal.SIGKILL)
    with pytest.raises(WorldLost, match="was ended by SIGKILL during step"):
        env.step({})
    env.close()


def test_auto_takes_minerl_where_it_is_installed(standin, monkeypatch, capsys, tmp_path):
    env = make_env("auto", seed=2)
    assert isinstance(env, MineRLEnv)
    env.close()
    assert capsys.readouterr().err == "world: MineRL\n"
    monkeypatch.delenv("PYTHONPATH")
    (tmp_path / "minerl").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name is no MineRL
    assert isinstance(make_env("auto"), BlockWorldEnv)
    assert isinstance(make_env("auto"), BlockWorldEnv)
    assert capsys.readouterr().err.count("world: BlockWorld, the stand-in") == 1
    with pytest.raises(UserError, match=r"has no module minerl.*--minerl_python.*--env blockworld"):
        make_env("minerl")


def test_minerl_of_another_kind_is_named(standin, monkeypatch, tmp_path):
    (tmp_path / "old" / "minerl").mkdir(parents=True)
    (tmp_path / "old" / "minerl" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "old"))
    with pytest.raises(UserError, match=r"has no MineRL 1\.0 \(ModuleNotFoundError.*docs/minecraft\.md"):
        make_env("minerl")


def test_which_python(standin, monkeypatch, tmp_path):
    other = tmp_path / "python of minerl"
    other.write_text(f'#!/bin/sh\ntouch "{tmp_path}/used"\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    env = make_env("minerl", minerl_python=other)
    env.close()
    assert (tmp_path / "used").exists()
    (tmp_path / "used").unlink()
    monkeypatch.setenv("STEVE1_MINERL_PYTHON", str(other))
    make_env("minerl").close()
    assert (tmp_path / "used").exists()
    monkeypatch.setenv("STEVE1_MINERL_PYTHON", "/no/python")
    with pytest.raises(UserError, match=r"\$STEVE1_MINERL_PYTHON /no/python is no program"):
        make_env("auto")


def test_the_check_of_an_installation(standin, capsys):
    minerl.main(["--steps", "3"])
    said = capsys.readouterr().out
    assert "3 steps" in said
    assert "fov_range [70, 70]" in said
    assert "starts lie 0 blocks apart with one seed, 1000 with two: seeds take effect" in said
    assert said.endswith("MineRL can be used\n")


def test_the_worker_checks_minerl_by_itself(standin):
    worker = ROOT / "steve1" / "envs" / "minerl_worker.py"
    done = subprocess.run(
        [sys.executable, str(worker), "--check"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("reset: pov (360, 640, 3)\n10 steps: ")
