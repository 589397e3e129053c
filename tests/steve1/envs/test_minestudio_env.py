"""MineStudio's world with MineRL's face: by a light stand-in, and once by its real package over a stand-in engine."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import VECTORS
from minerl_standin import is_gone
from minestudio_standin import make_home, use_engine, use_light
from tiny_agent import make_models, play

from steve1 import envs
from steve1.checkpoints import load_model_file
from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import WorldLost, game_python, make_env, minestudio, minestudio_face
from steve1.envs.minestudio import MineStudioEnv
from steve1.envs.spaces import noop_action
from steve1.MineRLConditionalAgent import check_env


@pytest.fixture
def standin(monkeypatch, tmp_path):
    game_python._ask.cache_clear()
    envs.say_once.cache_clear()
    return use_light(monkeypatch, tmp_path)


@pytest.fixture
def make(standin):
    made = []

    def make(**settings):
        made.append(MineStudioEnv(**settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


def left(standin):
    """What worlds have left of what they wrote."""
    return os.listdir(standin.folder / "temporary")


def test_it_has_minerls_face(make, standin):
    env = make(seed=3)
    check_env(env)
    assert env.name == "minestudio"
    obs = env.reset()
    assert env.observation_space.contains(obs)
    assert obs["pov"].any()  # the 20 black frames are over
    before = obs
    obs, reward, done, info = env.step({**noop_action(), "forward": 1, "attack": 1})
    assert env.observation_space.contains(obs)
    assert len(obs["inventory"]) == 976
    assert (obs["inventory"]["dirt"], obs["inventory"]["dirt"].dtype) == (1, np.int32)
    assert obs["inventory"]["air"] == 35
    assert before["inventory"]["dirt"] == 0
    assert (obs["mine_block"]["oak_log"], before["mine_block"]["oak_log"]) == (1, 0)
    place = obs["location_stats"]
    assert float(place["xpos"]) == float(before["location_stats"]["xpos"]) + 1
    assert (place["pitch"], place["yaw"], place["biome_id"]) == (10, 20, 4)
    assert (obs["life_stats"]["life"], obs["life_stats"]["is_alive"]) == (20, True)
    assert (reward, done, info["world_seed"], info["isGuiOpen"]) == (0.5, False, 3, False)


def test_seeds_are_sent_before_every_reset_and_old_worlds_are_removed(make, standin):
    env = make(seed=7)
    first = env.reset()["pov"]
    assert np.array_equal(env.reset()["pov"], first)
    env.seed(8)
    assert not np.array_equal(env.reset()["pov"], first)
    # after each reset its own world, and the one before it, which goes when the new one is there
    assert json.loads((standin.folder / "0.saves").read_text()) == ["mission2", "mission3"]
    assert len(left(standin)) == 1
    env.close()
    assert left(standin) == []


def test_keys_without_effect_are_said_once(make, capsys):
    env = make()
    env.reset()
    for _ in range(2):
        env.step({"drop": 1, "forward": 1})
    assert capsys.readouterr().err.count("MineStudio has no key drop: pressing it does nothing there") == 1
    assert minestudio_face.WITHOUT_EFFECT == ("ESC", "drop", "swapHands")


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        ("kill", "MineStudio's process was ended by SIGKILL during step"),
        ("hang", "MineStudio gave no answer to step for 2 s"),
        ("error", "MineStudio lost Minecraft: Java has closed the socket"),
    ],
)
def test_a_lost_world_is_no_ended_one_and_leaves_nothing(make, standin, mishap, said):
    standin.tell(0, reset={"1": "java"}, step={"2": mishap})
    env = make(seed=5, step_timeout=2.0 if mishap == "hang" else None)
    first = env.reset()["pov"]
    env.step({})
    with pytest.raises(WorldLost, match=said):
        env.step({})
    assert all(is_gone(process) for process in (*standin.started(), standin.java()))
    assert left(standin) == []
    assert np.array_equal(env.reset()["pov"], first)
    assert len(standin.started()) == 2


def test_a_real_end_is_done(make, standin):
    standin.tell(0, length=2)
    env = make()
    env.reset()
    assert [env.step({})[2] for _ in range(2)] == [False, True]


def test_commands_are_executed_and_a_death_is_recorded(make, standin, tmp_path):
    make_models(tmp_path)
    policy = MinecraftAgentPolicy(*load_model_file(Path(__file__).parents[2] / "tiny_policy.json")).eval()
    env = make()
    goals = torch.zeros(1, 8)
    (given,) = play(policy, [env], [1], goals, 2, commands=[["/give @s oak_log 3", "/give @s oak_log 2"]])
    assert (given.result()["logs_held"], given.died, given.lost) == (5, None, None)
    assert given.result()["underwater"] is None  # air is not told there

    class Dying(MineStudioEnv):
        def receive_step(self):
            if getattr(self, "commanded", False):
                return super().receive_step()
            self.commanded = True
            super().receive_step()
            return self.execute_cmd("/kill")

    dying = Dying()
    try:
        (killed,) = play(policy, [dying], [1], goals, 3)
    finally:
        dying.close()
    assert (killed.died, killed.steps) == (1, 3)


def test_worlds_work_at_once(make, standin):
    for name in ("one", "other"):
        os.mkfifo(standin.folder / name)
    # Each waits in its second step until the other is in its own.
    standin.tell(0, step={"2": "meet one other"})
    standin.tell(1, step={"2": "meet other one"})
    pair = [make(seed=1, step_timeout=20.0), make(seed=2, step_timeout=20.0)]
    envs.reset_all(pair)
    for _ in range(3):
        steps = envs.step_all(pair, [{"forward": 1}, {"forward": 1}])
        assert not any(isinstance(step, WorldLost) for step in steps)
    assert [float(obs["location_stats"]["xpos"]) for obs, *_ in steps] == [1003, 2003]


def test_an_answer_that_was_not_received_is_not_taken_for_the_next(make):
    env = make(seed=4)
    first = env.reset()["pov"]
    env.send_step({"forward": 1})
    with pytest.raises(ValueError, match="call reset"):
        env.step({})
    assert np.array_equal(env.reset()["pov"], first)
    assert float(env.step({})[0]["location_stats"]["xpos"]) == 4000


def test_auto_prefers_it_where_its_engine_is_there(standin, monkeypatch, capsys, tmp_path):
    assert envs.identify("auto")[0] == "minestudio"
    monkeypatch.setenv("MINESTUDIO_DIR", str(tmp_path / "nothing"))
    assert envs.identify("auto")[0] == "minerl"
    assert capsys.readouterr().err == "world: MineStudio\nworld: MineRL\n"
    monkeypatch.delenv("PYTHONPATH")
    assert make_env("auto").name == "blockworld"
    with pytest.raises(
        UserError, match=r"has no module minestudio.*install_minecraft\.sh.*--minestudio_python"
    ):
        make_env("minestudio")
    with pytest.raises(UserError, match="--minestudio_python /no/python is no program"):
        make_env("minestudio", minestudio_python="/no/python")


def test_what_was_installed_is_found_by_itself(monkeypatch, tmp_path):
    monkeypatch.delenv("STEVE1_MINESTUDIO_PYTHON")
    monkeypatch.delenv("MINESTUDIO_DIR", raising=False)
    monkeypatch.setattr(game_python, "_HOME", tmp_path)
    game = game_python.MINESTUDIO
    assert game_python.find_python(game, None) == sys.executable
    python = tmp_path / ".minestudio" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert game_python.find_python(game, None) == str(python)
    assert not minestudio.has_engine(None)
    make_home(tmp_path / ".minestudio" / "minestudio")
    assert minestudio.has_engine(None)


def test_a_missing_engine_is_named_where_a_reset_fails(make, standin, monkeypatch, tmp_path):
    monkeypatch.setenv("MINESTUDIO_DIR", str(tmp_path / "nothing"))
    standin.tell(0, reset={"1": "raise"})
    standin.tell(1, reset={"1": "raise"})
    with pytest.raises(WorldLost, match=r"there is no engine .*nothing/engine.*install_minecraft\.sh"):
        make().reset()


def test_the_record_that_is_compared_with_is_the_recorded_one():
    ours = Path(minestudio.__file__).with_name("minestudio_spaces.json")
    assert json.loads(ours.read_text()) == json.loads((VECTORS / "minestudio_spaces.json").read_text())


def test_the_real_package_over_a_stand_in_engine(monkeypatch, tmp_path, capfd):
    """By .minestudio/ or the Python of $STEVE1_TEST_MINESTUDIO_PYTHON; needs xvfb-run."""
    python = os.environ.get("STEVE1_TEST_MINESTUDIO_PYTHON", game_python.MINESTUDIO.installed)
    if not Path(python).exists():
        pytest.skip(f"{python} is no Python with MineStudio; bash install_minecraft.sh makes one")
    engine = use_engine(monkeypatch, tmp_path, str(python))
    engine.tell(0, step={"24": "close"})
    env = MineStudioEnv(seed=2_000_000)
    try:
        obs = env.reset()
        assert env.observation_space.contains(obs)
        first = obs["pov"]
        assert first.any()
        obs, _, done, _ = env.execute_cmd("/give @s minecraft:oak_log 3")
        assert (int(obs["inventory"]["oak_log"]), done) == (3, False)
        obs = env.step({"forward": 1, "camera": [0, 10]})[0]
        assert not np.array_equal(obs["pov"], first)
        env.step({})
        with pytest.raises(WorldLost, match="MineStudio lost Minecraft: Connection timed out"):
            env.step({})
        assert np.array_equal(env.reset()["pov"], first)
        env.reset()
        (saves,) = (tmp_path / "temporary").glob("*/tmp/stark_tech_instances/*/saves")
        assert os.listdir(saves) == ["mission2"]
    finally:
        env.close()
    assert all(is_gone(process) for process in engine.started())
    assert left(engine) == []
