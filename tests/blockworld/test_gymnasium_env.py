"""BlockWorld as gymnasium knows it: its own checker, seeds, the time limit, and the example of the README."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import blockworld
from blockworld.env import BlockWorldEnv
from blockworld.gymnasium_env import EPISODE
from blockworld.spaces import ITEMS

README = Path(blockworld.__file__).with_name("README.md")


@pytest.fixture
def make():
    made = []

    def make(**settings):
        made.append(gymnasium.make("BlockWorld-v0", **settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


def pictures(env, seed, actions=({"forward": 1}, {"camera": [0.0, 0.5]})):
    yield env.reset(seed=seed)[0]["pov"]
    for action in actions:
        yield env.step(action)[0]["pov"]


def test_gymnasiums_own_checker_has_nothing_to_say(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make().unwrapped)  # makes one in each render mode too


def test_it_is_the_same_game(make):
    game = BlockWorldEnv(seed=5)
    game.reset()
    game.step({"forward": 1})
    obs, reward, done, _ = game.step({"camera": [0.0, 15.0]})
    env = make(max_turn=30.0)
    seen = list(pictures(env, 5))
    assert np.array_equal(seen[-1], obs["pov"])
    modern = env.step({})
    assert modern[1:4] == (reward, done, False)
    assert modern[4] == {**game.step({})[3], "world_seed": 5}
    assert env.unwrapped.version == blockworld.VERSION


def test_a_seed_decides_this_world_and_those_after_it(make):
    env = make()
    worlds = []
    for seed in (3, None, None, 3, None, 4, None):
        _, info = env.reset(seed=seed)
        worlds.append(info["world_seed"])
        assert env.unwrapped.game.world.seed == worlds[-1]
    assert worlds[0] == worlds[3] == 3
    assert worlds[1] == worlds[4]
    assert len({worlds[1], worlds[2], worlds[5], worlds[6]}) == 4


def test_every_seed_of_gymnasiums_makes_a_world(make):
    with pytest.raises(gymnasium.error.Error):
        make().unwrapped.reset(seed=-1)
    assert make().reset(seed=2**40)[1]["world_seed"] == 2**40


def test_an_episode_is_cut_at_the_time_limit_and_never_ends_by_itself(make):
    env = make(max_episode_steps=3)
    env.reset(seed=1)
    assert [env.step({})[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    assert make().spec.max_episode_steps == EPISODE == 5 * 60 * 20


def test_spaces_are_those_of_the_game_in_gymnasiums_words(make):
    env, game = make(), BlockWorldEnv()
    space, old = env.observation_space, game.observation_space
    assert list(env.action_space) == list(game.action_space)
    assert list(space) == list(old)
    assert (space["pov"].shape, space["pov"].dtype) == ((360, 640, 3), np.uint8)
    assert (space["life_stats"]["food"].high, space["life_stats"]["food"].dtype) == (20, np.int64)
    kind = space["equipped_items"]["mainhand"]["type"]
    assert all(kind.contains(item) for item in ITEMS)
    assert not kind.contains("")


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"camera": [0.0, 1.5]}, "-1..1"),
        ({"camera": [np.nan, 0.0]}, "camera"),
        ({"fly": 1}, "fly"),
        ({"attack": 2}, "attack"),
    ],
)
def test_actions_outside_of_the_space_are_refused(make, action, says):
    env = make(disable_env_checker=True)
    env.reset(seed=1)
    with pytest.raises(ValueError, match=says):
        env.step(action)


def test_settings_that_make_no_sense_are_refused(make):
    for settings, says in (
        ({"max_turn": 0}, "max_turn"),
        ({"max_turn": 181}, "max_turn"),
        ({"render_height": 7}, "render_height"),
        ({"items": {"sword": 1}}, "sword"),
    ):
        with pytest.raises(ValueError, match=says):
            make(**settings)
    with pytest.raises(ValueError, match="render_mode"):
        blockworld.gymnasium_env.BlockWorld(render_mode="human")
    with pytest.raises(ValueError, match="weather"):
        make().reset(options={"weather": "rain"})


def test_after_close_a_reset_begins_anew(make):
    env = make().unwrapped
    first = env.reset(seed=2)[0]["pov"]
    env.close()
    env.close()
    with pytest.raises(ValueError, match="reset"):
        env.step({})
    assert np.array_equal(env.reset(seed=2)[0]["pov"], first)


def test_several_at_once_and_made_by_its_long_name():
    """As gymnasium makes it where nothing of ours was imported, in a process that knows it by that name alone."""
    code = (
        "import gymnasium\n"
        "envs = gymnasium.make_vec('blockworld.gymnasium_env:BlockWorld-v0', num_envs=2)\n"
        "print(envs.reset(seed=1)[0]['pov'].shape, envs.step(envs.action_space.sample())[3].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(2, 360, 640, 3) [False, False]\n", done.stderr


def test_the_readmes_examples_run_and_show_what_they_say(capsys):
    played, modern = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    names = {}
    exec(compile(played, "README.md", "exec"), names)
    assert names["obs"]["pov"].shape == (360, 640, 3)
    assert names["obs"]["inventory"]["oak_log"] == 3
    exec(compile(modern, "README.md", "exec"), {})
    (logs,) = re.findall(r"^(\d+) logs in world 7$", capsys.readouterr().out, re.M)
    assert int(logs) > 0
    assert len(modern.splitlines()) <= 20
