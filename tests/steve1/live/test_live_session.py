"""The live session without a web: when prompts take effect, what is filmed, and what is survived."""

import json
from dataclasses import replace

import pytest
import torch
from live import Live, NotingAgent, ScriptedWorld, strips
from minerl_standin import is_gone, use_standin
from tiny_agent import TINY_POLICY, WIDTH, PictureWorld, same_action

from data.video import decode
from steve1.checkpoints import load_model_file
from steve1.cli import UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import make_env
from steve1.envs.spaces import noop_action
from steve1.MineRLConditionalAgent import AgentBatch
from steve1.streams import torch_stream


def test_a_prompt_is_acted_on_from_the_next_step_and_encoded_once(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    live.script = {4: lambda: live.session.ask("go"), 9: live.session.stop}
    live.play()
    assert live.agent.goals == [0] * 5 + [2] * 5
    assert live.asked.count(("go", 3)) == 1
    (asked,) = live.session.history
    assert (asked.text, asked.step, asked.frame) == ("go", 5, 5)
    assert asked.latency >= 0


def test_the_film_shows_each_prompt_where_its_json_says(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch, prompt="stay here")
    live.script = {
        2: lambda: live.session.ask("walk away"),
        5: lambda: live.session.set_cond_scale(0.0),
        7: lambda: live.session.ask(""),
        9: live.session.stop,
    }
    live.play()
    (film,) = live.session.films
    frames = list(decode(film.video))
    assert strips(frames) == [0] * 3 + [1] * 5 + [2] * 2
    assert frames[0].shape == (410, 640, 3)
    content = json.loads(film.json.read_text())
    assert (content["video"], content["frames"], content["fps"]) == (film.video.name, 10, 20)
    assert [(row["frame"], row["prompt"], row["cond_scale"], row["seed"]) for row in content["prompts"]] == [
        (0, "stay here", 6.0, 3),
        (3, "walk away", 6.0, 3),
        (6, "walk away", 0.0, 3),
        (8, "", 0.0, 3),
    ]
    assert (content["world"], content["world_version"]) == (PictureWorld.name, PictureWorld.version)


def test_saving_ends_a_film_and_the_next_goes_on_without_a_gap(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    live.script = {5: live.session.save, 6: live.session.save, 9: live.session.stop}
    live.play()
    assert [film.frames for film in live.session.films] == [6, 1, 3]
    assert [len(list(decode(film.video))) for film in live.session.films] == [6, 1, 3]
    assert len({film.video for film in live.session.films}) == 3
    assert not list(tmp_path.glob(".*"))


def test_nobody_watching_and_pausing_let_the_game_stand_still(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    live.session.start()
    live.wait(lambda view: view.phase == "waiting")
    assert live.log["steps"] == 0
    live.script[3] = lambda: live.session.pause(True)
    live.session.watch(1)
    live.wait(lambda view: view.phase == "paused")
    assert live.log["steps"] == 4
    live.session.ask("go")
    live.wait(lambda view: view.prompt.text == "go")
    assert (live.log["steps"], live.session.view.step) == (4, 4)
    live.session.pause(False)
    live.wait(lambda view: view.step > 8)
    # How long a prompt lay in a paused game says nothing about the agent.
    assert (live.session.history[0].step, live.session.history[0].latency) == (4, None)
    live.session.watch(-1)
    live.wait(lambda view: view.phase == "waiting")
    live.session.stop()
    live.end()


def test_resetting_the_agent_and_the_world(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch, prompt="go")
    live.script = {
        2: live.session.reset_agent,
        4: live.session.reset_world,
        6: lambda: live.session.reset_world(8),
        8: live.session.stop,
    }
    live.play()
    # Memory is wiped by both; the random stream begins again with a world.
    assert live.agent.resets == [(0, True), (3, False), (5, True), (7, True)]
    assert live.log["seeds"] == [3, 3, 8]
    assert len(live.log["worlds"]) == 1
    assert live.asked[1:] == [("go", 3), ("go", 3), ("go", 8)]
    content = json.loads(live.session.films[0].json.read_text())
    assert [(row["frame"], row["event"]) for row in content["events"]] == [
        (3, "reset_agent"),
        (5, "reset_world"),
        (7, "reset_world"),
    ]
    assert [(row["frame"], row["seed"]) for row in content["prompts"]] == [(0, 3), (7, 8)]
    assert live.session.view.step == 2


def test_a_world_that_crashes_is_said_and_replaced(tmp_path, monkeypatch):
    def crash():
        raise RuntimeError("the game is gone")

    live = Live(tmp_path, monkeypatch)
    live.script = {3: crash, 7: live.session.stop}
    live.session.watch(1)
    live.session.start()
    live.wait(lambda view: view.phase == "failed")
    assert "RuntimeError: the game is gone. Reset the world" in live.session.view.problem
    assert live.log["worlds"][0].closed
    live.session.ask("go")  # is taken, and waits for the next world
    live.session.reset_world()
    live.end()
    assert live.session.view.problem == ""
    assert len(live.log["worlds"]) == 2
    assert live.agent.goals[-4:] == [2] * 4
    assert len(list(decode(live.session.films[0].video))) == 8


def test_a_minecraft_that_dies_is_replaced_and_none_is_left_behind(tmp_path, monkeypatch):
    (tmp_path / "standin").mkdir()
    standin = use_standin(monkeypatch, tmp_path / "standin")
    standin.tell(0, step={"3": "exit"})
    live = Live(tmp_path / "films", monkeypatch, make_world=lambda: make_env("minerl"))
    live.session.watch(1)
    live.session.start()
    live.wait(lambda view: view.phase == "failed")
    assert "the world stopped: " in live.session.view.problem
    live.session.reset_world()
    live.wait(lambda view: view.phase == "playing" and view.step > 5)
    live.session.stop()
    live.end()
    assert live.session.view.world == "minerl"
    assert len(standin.started()) == 2
    assert all(is_gone(process) for process in standin.started())
    (film,) = live.session.films
    events = json.loads(film.json.read_text())["events"]
    assert [row["event"] for row in events] == ["world_failed", "reset_world"]


def test_a_world_that_is_not_to_be_had_ends_the_session(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)

    def none_here():
        raise UserError("there is no MineRL here")

    live.session._make_world = none_here
    live.session.start()
    with pytest.raises(UserError, match="no MineRL"):
        live.end()


def test_an_episode_that_ends_begins_again_with_an_empty_memory_another_stream_and_another_film(
    tmp_path, monkeypatch
):
    live = Live(tmp_path, monkeypatch, length=4)
    streams = []
    monkeypatch.setattr(
        NotingAgent, "reset", lambda self, row, generator: streams.append(generator.initial_seed())
    )
    live.script = {9: live.session.stop}
    live.play()
    assert live.log["seeds"] == [3, 3, 3]
    assert live.session.view.step == 2
    # The world is the same one; what is done in it would be the same again.
    assert streams == [torch_stream("actions", 3, *rest).initial_seed() for rest in ([], [1], [2])]
    assert [film.frames for film in live.session.films] == [4, 4, 2]
    events = [json.loads(film.json.read_text())["events"] for film in live.session.films]
    assert [[row["event"] for row in rows] for rows in events] == [["episode_ended"], ["episode_ended"], []]


def test_of_many_prompts_scales_and_resets_only_the_newest_are_done(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    overtaken = []

    def flood():
        for n in range(200):
            live.session.ask(f"prompt {n}", lambda n=n: overtaken.append(("prompt", n)))
            live.session.set_cond_scale(n / 10, lambda n=n: overtaken.append(("scale", n)))
            live.session.reset_world(100 + n, lambda n=n: overtaken.append(("reset", n)))
        live.session.reset_world()  # of the world that was asked for last, which is not there yet

    live.script = {3: flood, 6: live.session.stop}
    live.play()
    assert [asked.text for asked in live.session.history] == ["prompt 199"]
    assert live.agent.scales == [6.0, 19.9]
    assert live.log["seeds"] == [3, 299]
    assert [text for text, _ in live.asked[2:]] == ["prompt 199", "prompt 199"]
    expected = {(what, n) for what in ("prompt", "scale") for n in range(199)} | {
        ("reset", n) for n in range(200)
    }
    assert len(overtaken) == len(expected)
    assert set(overtaken) == expected


def test_the_game_goes_on_however_fast_prompts_come(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    good = live._goal_of

    def goal_of(text, seed):
        # The next prompt is there before this one is embedded.
        if text.isdigit() and live.log["steps"] < 9:
            live.session.ask(str(int(text) + 1))
        return good(text, seed)

    live.session._goal_of = goal_of
    live.script = {0: lambda: live.session.ask("1"), 9: live.session.stop}
    live.play()
    assert live.log["steps"] == 10
    assert [asked.step for asked in live.session.history] == list(range(1, 10))


def test_a_prompt_waits_while_a_world_is_made(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    waiting = []

    class Slow(ScriptedWorld):
        def reset(self):
            if self._log["steps"]:
                live.session.ask("first")
                live.session.ask("second")
                waiting.append(live.session.waiting)
            return super().reset()

    live.session._make_world = lambda: Slow(
        lambda step: live.script.get(step, lambda: None)(), live.log, 10**9
    )
    live.script = {2: live.session.reset_world, 5: live.session.stop}
    live.play()
    assert waiting == ["second"]
    assert live.session.waiting is None
    assert [asked.text for asked in live.session.history] == ["second"]


def test_what_is_to_be_said_of_a_prompt_is_in_the_view_and_the_history(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    live.session.remarks_of.append(
        lambda text, goal: [f"{text} has {goal[0]:g} letters"] if len(text) > 3 else []
    )
    live.session.remarks_of.append(lambda text, goal: ["odd"] if len(text) % 2 else [])
    live.script = {
        1: lambda: live.session.ask("climb"),
        3: lambda: live.session.ask("go"),
        5: lambda: live.session.ask(""),
        7: live.session.stop,
    }
    seen = []
    live.session.after_tick.append(lambda tick: seen.append(live.session.view.remarks))
    live.play()
    assert [asked.remarks for asked in live.session.history] == [["climb has 5 letters", "odd"], [], []]
    assert [row for n, row in enumerate(seen) if not n or seen[n - 1] != row] == [
        [],
        ["climb has 5 letters", "odd"],
        [],
    ]


def test_hands_play_instead_of_the_agent_which_comes_back_with_an_empty_memory(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch, prompt="go")

    class Jumping:
        def action(self, tick):
            return noop_action() | {"jump": 1, "camera": [0.0, float(tick)]}

    def hand(hands):
        live.session.do(lambda: setattr(live.session, "hands", hands))

    before, after, views = [], [], []
    live.session.before_tick.append(lambda tick: before.append((tick, live.log["steps"])))
    live.session.after_tick.append(lambda tick: after.append((tick, live.log["steps"])))
    live.session.after_tick.append(lambda tick: views.append(live.session.view.playing))
    live.script = {2: lambda: hand(Jumping()), 5: lambda: hand(None), 7: live.session.stop}
    live.play()
    ticks = [tick for tick, _ in before]
    # The same ticks again once the world has taken them, with what it answered.
    assert ticks == [replace(tick, next_obs={}, next_info={}) for tick, _ in after]
    assert all(tick.next_obs is later.obs for (tick, _), later in zip(after, ticks[1:], strict=False))
    assert [steps for _, steps in before] == list(range(8))
    assert [steps for _, steps in after] == list(range(1, 9))
    assert [tick.number for tick in ticks] == [tick.step for tick in ticks] == list(range(8))
    assert [tick.by for tick in ticks] == ["agent"] * 3 + ["human"] * 3 + ["agent"] * 2
    assert views == [tick.by for tick in ticks]
    assert [tick.action["jump"] for tick in ticks] == [0] * 3 + [1] * 3 + [0] * 2
    assert ticks[4].action["camera"][1] == 4.0
    assert {(tick.prompt.text, tick.world, float(tick.goal[0])) for tick in ticks} == {
        ("go", "blockworld", 2.0)
    }
    assert live.agent.resets == [(0, True), (3, False)]
    (film,) = live.session.films
    events = json.loads(film.json.read_text())["events"]
    assert [(row["frame"], row["event"]) for row in events] == [
        (3, "human_plays"),
        (6, "reset_agent"),
        (6, "agent_plays"),
    ]


def test_a_film_that_can_not_be_written_costs_the_film_alone(tmp_path, monkeypatch):
    live = Live(tmp_path, monkeypatch)
    good = live.recorder.add

    def full(picture, prompt):
        raise OSError(28, "No space left on device")

    problems = []
    live.script = {
        2: lambda: monkeypatch.setattr(live.recorder, "add", full),
        4: lambda: problems.append(live.session.view.problem),
        5: lambda: (monkeypatch.setattr(live.recorder, "add", good), live.session.save()),
        9: live.session.stop,
    }
    live.play()
    assert "filming stopped: [Errno 28] No space left on device" in problems[0]
    assert live.session.view.problem == ""
    assert [film.frames for film in live.session.films] == [4]
    assert len(list(tmp_path.iterdir())) == 2


def test_guidance_without_a_goal_changes_nothing_whenever_it_is_turned():
    torch.manual_seed(1)
    policy = MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).eval()
    world = PictureWorld()
    world.seed(0)
    plain, turned = (AgentBatch(policy, [torch_stream("actions", 0)], deterministic=True) for _ in range(2))
    obs = world.reset()
    for step in range(24):
        if step % 4 == 2:
            turned.set_cond_scale(None if turned.cond_scale else 3.0)
        goals = torch.zeros(1, WIDTH)
        ours, theirs = (agent.act([obs["pov"]], goals)[0] for agent in (turned, plain))
        assert same_action(ours, theirs)
        obs, *_ = world.step(ours)
