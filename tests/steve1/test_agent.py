"""The agent: what it sees, what it answers, guidance, repeating to the bit, and worlds side by side."""

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import VECTORS
from tiny_agent import TINY_POLICY, WIDTH, PictureWorld, make_models, play, same_action

from data.minecraft_dataset import resized
from steve1.checkpoints import load_model_file, save_weights
from steve1.cli import UsageError, UserError
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.envs import spaces
from steve1.MineRLConditionalAgent import (
    PRECISIONS,
    AgentBatch,
    MineRLConditionalAgent,
    agent_frame,
    check_env,
    minerl_actions,
)
from steve1.streams import torch_stream
from steve1.vpt.actions import N_BUTTON_ACTIONS, N_CAMERA_ACTIONS


@pytest.fixture
def agent():
    torch.manual_seed(0)
    agent = MineRLConditionalAgent(None, "cpu", *load_model_file(TINY_POLICY), seed=1)
    # Fresh heads are so flat that sampling would hide what the network makes of frames, goals and memory.
    for parameter in agent.policy.pi_head.parameters():
        parameter.data *= 30
    return agent


def povs(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 360, 640, 3), dtype=np.uint8)


def goals(n, seed=0):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_frames_are_those_of_training():
    pov = povs(1)[0]
    stored = cv2.resize(pov, (128, 128), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(agent_frame(pov, (128, 128, 3)), stored)
    trained_on = resized(stored[None], (32, 32))[0]
    assert np.array_equal(agent_frame(pov, (32, 32, 3)), trained_on)
    direct = cv2.resize(pov, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert not np.array_equal(trained_on, direct)


@pytest.mark.parametrize("bad", [np.zeros((3, 4, 3), np.float32), np.zeros((4, 4), np.uint8)])
def test_other_pictures_are_refused(bad):
    with pytest.raises(ValueError, match="uint8"):
        agent_frame(bad, (32, 32, 3))


def test_an_action_is_minerls(agent):
    space = spaces.action_space()
    agent.reset(cond_scale=6.0)
    for pov, goal in zip(povs(3), goals(3), strict=True):
        action = agent.get_action({"pov": pov}, goal)
        assert set(action) == set(space.spaces)
        assert space.contains(action)
        assert action["camera"].dtype == np.float32
        assert action["ESC"] == action["pickItem"] == action["swapHands"] == 0


def test_a_thousand_random_joint_actions_are_inside_the_space():
    rng = np.random.default_rng(0)
    joint = {
        "buttons": torch.from_numpy(rng.integers(0, N_BUTTON_ACTIONS, 1000)),
        "camera": torch.from_numpy(rng.integers(0, N_CAMERA_ACTIONS, 1000)),
    }
    space = spaces.action_space()
    actions = minerl_actions(joint)
    assert len(actions) == 1000
    assert all(space.contains(action) for action in actions)
    assert np.ptp([action["camera"][1] for action in actions]) > 19


def test_the_recorded_guided_actions_are_chosen(tmp_path):
    recorded = np.load(VECTORS / "policy_transformer.npz")
    kwargs = [json.loads(str(recorded[f"{name}.json"])) for name in ("policy_kwargs", "pi_head_kwargs")]
    weights = {k[2:]: torch.from_numpy(recorded[k]) for k in recorded.files if k.startswith("w.")}
    save_weights(weights, tmp_path / "recorded.weights")
    agent = MineRLConditionalAgent(None, "cpu", *kwargs, deterministic=True)
    agent.load_weights(tmp_path / "recorded.weights")
    agent.reset(cond_scale=6.0)
    for step in range(3):
        frame = recorded[f"cfg{step}.img"].reshape(128, 128, 3)
        action = agent.get_action({"pov": frame}, recorded[f"cfg{step}.mineclip_embed"].reshape(1, -1))
        joint = {
            name: torch.from_numpy(recorded[f"cfg{step}.out.action_{name}"].reshape(1))
            for name in ("buttons", "camera")
        }
        assert same_action(action, minerl_actions(joint)[0])


@pytest.mark.parametrize("scale", [None, 0, 3.0])
def test_playing_is_policy_act(agent, scale):
    policy = agent.policy
    agent.reset(cond_scale=scale, seed=5)
    state = policy.initial_state(2 if scale else 1)
    generator = torch_stream("actions", 5)
    for step, (pov, goal) in enumerate(zip(povs(4), goals(4), strict=True)):
        frame = torch.from_numpy(agent_frame(pov, policy.net.img_shape))
        joint, state, _ = policy.act(
            {"img": frame[None], "mineclip_embed": goal[None]},
            torch.tensor([step == 0]),
            state,
            cond_scale=scale,
            generator=[generator],
        )
        assert same_action(agent.get_action({"pov": pov}, goal.numpy()), minerl_actions(joint)[0])


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_seed_repeats_to_the_bit(deterministic):
    torch.manual_seed(0)
    agent = MineRLConditionalAgent(None, "cpu", *load_model_file(TINY_POLICY), deterministic=deterministic)
    runs = []
    for seed in (4, 4, 5):
        agent.reset(cond_scale=2.0, seed=seed)
        runs.append([agent.get_action({"pov": pov}, goals(1)[0]) for pov in povs(6)])
    assert all(map(same_action, runs[0], runs[1]))
    assert all(map(same_action, runs[0], runs[2])) == deterministic


def test_without_a_seed_torchs_own_decides(agent):
    free = MineRLConditionalAgent(None, "cpu", *load_model_file(TINY_POLICY))
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        free.reset()
        runs.append([free.get_action({"pov": pov}, goals(1)) for pov in povs(4)])
    assert all(map(same_action, runs[0], runs[1]))
    assert not all(map(same_action, runs[0], runs[2]))


@pytest.mark.parametrize(("deterministic", "ticks"), [(False, 220), (True, 60)])
def test_four_worlds_play_as_four_single_runs(agent, deterministic, ticks):
    """Action for action, though sums of a batch may differ in their last bits from those of a row."""
    seeds, wanted = [3, 4, 5, 6], goals(4)
    together = [PictureWorld() for _ in seeds]
    play(agent.policy, together, seeds, wanted, ticks, 3.0, deterministic)
    for row, seed in enumerate(seeds):
        alone = PictureWorld()
        play(agent.policy, [alone], [seed], wanted[row : row + 1], ticks, 3.0, deterministic)
        assert len(alone.actions) == ticks
        assert all(map(same_action, together[row].actions, alone.actions))
    assert not all(map(same_action, together[0].actions, together[1].actions))


@pytest.mark.parametrize(("precision", "bound", "agreed"), [("bf16", 0.4, 0.8), ("fp16", 0.1, 0.95)])
def test_half_precision_plays_nearly_as_float32(precision, bound, agreed):
    """Of log-probs between -12 and -3, guided or not (guidance at 6 multiplies an error by up to 13).

    fp16 is what a GPU would run: nothing may overflow, the mask of hidden frames neither.
    """
    torch.manual_seed(0)
    policies = [MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).eval() for _ in range(2)]
    policies[1].load_state_dict(policies[0].state_dict())
    policies[1].set_precision(PRECISIONS[precision])
    assert {p.dtype for p in policies[1].net.parameters()} == {PRECISIONS[precision]}
    assert {p.dtype for p in policies[1].pi_head.parameters()} == {torch.float32}
    for scale, factor in ((None, 1), (6.0, 13)):
        states = [policy.initial_state(16 if scale else 8) for policy in policies]
        same: list[bool] = []
        for step in range(12):
            frames = np.stack([agent_frame(pov, (32, 32, 3)) for pov in povs(8, seed=step)])
            obs = {"img": torch.from_numpy(frames), "mineclip_embed": goals(8)}
            found = []
            for which, policy in enumerate(policies):
                best, states[which], log_probs = policy.act(
                    obs, torch.full((8,), step == 0), states[which], stochastic=False, cond_scale=scale
                )
                found.append((best, log_probs))
            for name in ("buttons", "camera"):
                (ours, exact), (theirs, rounded) = ((best[name], probs[name]) for best, probs in found)
                assert rounded.dtype == torch.float32
                assert 0 < (rounded - exact).abs().max() < factor * bound
                same += (ours == theirs).tolist()
        if scale is None:
            assert np.mean(same) > agreed


def test_fp16_on_a_cpu_and_devices_that_are_not_there_are_refused():
    with pytest.raises(UsageError, match=r"--precision fp16 needs a GPU; on a CPU use bf16"):
        MineRLConditionalAgent(None, "cpu", *load_model_file(TINY_POLICY), precision="fp16")
    with pytest.raises(UsageError, match=r"--device cuda:77 can't be used here"):
        MineRLConditionalAgent(None, "cuda:77", *load_model_file(TINY_POLICY))


def test_resetting_a_row_wipes_that_row_alone(agent):
    frames, wanted = povs(6), goals(2)

    def run(reset_row, wipe=True):
        batch = AgentBatch(agent.policy, [torch_stream("actions", 1), torch_stream("actions", 2)], 3.0)
        played = []
        for step, pov in enumerate(frames):
            if step == 3 and reset_row is not None:
                batch.reset(reset_row, torch_stream("actions", 9))
                batch._first[reset_row] = wipe
            played.append(batch.act([pov, pov], wanted))
        return played

    whole, wiped = run(None), run(0)
    assert all(same_action(a[1], b[1]) for a, b in zip(whole, wiped, strict=True))
    fresh = AgentBatch(agent.policy, [torch_stream("actions", 9)], 3.0)
    alone = [fresh.act([frames[step]], wanted[:1])[0] for step in (3, 4, 5)]
    assert all(same_action(a[0], b) for a, b in zip(wiped[3:], alone, strict=True))
    remembering = run(0, wipe=False)
    assert not all(same_action(a[0], b) for a, b in zip(remembering[3:], alone, strict=True))


def test_a_world_that_ends_early_is_left_alone(agent):
    worlds = [PictureWorld(length=3), PictureWorld()]
    seen = []
    figures = play(
        agent.policy, worlds, [1, 2], goals(2), 8, watch=lambda row, pov: seen.append((row, pov.shape))
    )
    assert [len(world.actions) for world in worlds] == [3, 8]
    assert [measured.steps for measured in figures] == [3, 8]
    assert seen.count((0, (360, 640, 3))) == 3
    assert seen.count((1, (360, 640, 3))) == 8


def test_loading_weights_changes_the_play_and_foreign_ones_are_refused(agent, tmp_path):
    make_models(tmp_path)
    torch.manual_seed(1)
    other = MineRLConditionalAgent(None, "cpu", *load_model_file(TINY_POLICY), deterministic=True)
    before = {k: v.clone() for k, v in other.policy.state_dict().items()}
    other.load_weights(tmp_path / "policy.weights")
    assert any(not torch.equal(before[k], v) for k, v in other.policy.state_dict().items())
    with pytest.raises(UserError, match="does not fit"):
        other.load_weights(tmp_path / "prior.pt")


def test_a_goal_of_another_width_is_refused(agent):
    with pytest.raises(ValueError, match="width 8"):
        agent.get_action({"pov": povs(1)[0]}, np.zeros(512, np.float32))


def test_an_env_is_checked():
    world: Any = PictureWorld()
    check_env(world)

    class Task:
        resolution, fov_range, gamma_range = [640, 360], [70, 70], [1, 1]

    world.task = Task
    with pytest.raises(UserError, match=r"gamma_range is \[1, 1\], not \[2, 2\]"):
        MineRLConditionalAgent(world, "cpu", *load_model_file(TINY_POLICY))
    del world.task
    world.action_space = spaces.gym.spaces.Dict(
        {k: v for k, v in world.action_space.spaces.items() if k != "use"}
    )
    world.observation_space = spaces.gym.spaces.Dict(
        {"pov": spaces.gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)}
    )
    with pytest.raises(UserError, match=r"lack \['use'\].*pov is \[64, 64, 3\]"):
        check_env(world)


def test_by_default_the_policy_is_the_published_one(monkeypatch):
    asked = []

    class Recorder(MinecraftAgentPolicy):
        def __init__(self, policy_kwargs, pi_head_kwargs):
            asked.append((policy_kwargs["hidsize"], pi_head_kwargs))
            super().__init__(*load_model_file(TINY_POLICY))

    monkeypatch.setattr("steve1.MineRLConditionalAgent.MinecraftAgentPolicy", Recorder)
    MineRLConditionalAgent()
    assert asked == [(2048, {"temperature": 2.0})]
