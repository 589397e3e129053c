"""The insight into a step: probabilities and distances by their formulas, from what was acted on."""

import numpy as np
import pytest
import torch
from tiny_agent import TINY_POLICY, WIDTH

from steve1.checkpoints import load_model_file
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from steve1.MineRLConditionalAgent import AgentBatch
from steve1.playing.insight import arrow, insight, plain, pressed, total_variation
from steve1.streams import torch_stream
from steve1.vpt.actions import action_label


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return MinecraftAgentPolicy(*load_model_file(TINY_POLICY)).eval()


def thinking(policy, scale, goals):
    batch = AgentBatch(policy, [torch_stream("actions", row) for row in range(len(goals))], scale)
    picture = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    actions = batch.act([picture] * len(goals), goals)
    return batch.thought, actions


def softmax(values):
    return torch.softmax(values.double(), -1).numpy()


def test_guidance_moves_by_the_total_variation_of_what_was_acted_on(policy):
    goals = 3 * torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(0))
    thought, _ = thinking(policy, 4.0, goals)
    for row in range(2):
        found = insight(thought, row)
        for name in ("buttons", "camera"):
            cond, uncond = (half[name][row] for half in (thought.conditional, thought.unconditional))
            guided, without, goal = softmax(5.0 * cond - 4.0 * uncond), softmax(uncond), softmax(cond)
            assert found.moved[name] == pytest.approx(0.5 * np.abs(guided - without).sum(), rel=1e-4)
            assert found.moved_by_goal[name] == pytest.approx(0.5 * np.abs(goal - without).sum(), rel=1e-6)
            assert 0 < found.moved_by_goal[name] < found.moved[name] < 1
    assert insight(thought, 0).moved != insight(thought, 1).moved


def test_five_likeliest_of_each_half_from_the_greatest_down(policy):
    thought, _ = thinking(policy, 4.0, torch.ones(1, WIDTH))
    found = insight(thought)
    for likely in (found.with_goal, found.without_goal):
        chances = [one.p for one in likely]
        assert len(likely) == len({one.label for one in likely}) == 5
        assert chances == sorted(chances, reverse=True)
        assert 0 < sum(chances) < 1
    p = softmax(thought.guided["buttons"][0])
    assert found.with_goal[0].p <= p.reshape(-1).max() + np.sort(p)[-2]
    assert plain(found)["with_goal"][0] == [found.with_goal[0].label, round(found.with_goal[0].p, 4)]


def test_what_is_certain_is_the_action_that_was_taken(policy):
    thought, actions = thinking(policy, None, torch.zeros(1, WIDTH))
    sure = {}
    for name, values in thought.guided.items():
        sure[name] = torch.full_like(values, -1e9)
        sure[name][0, thought.chosen[name][0]] = 0.0
    certain = insight(type(thought)(sure, None, sure, thought.chosen))
    label = action_label(*(int(thought.chosen[name][0]) for name in ("buttons", "camera")))
    assert certain.with_goal[0].p == pytest.approx(1.0)
    keys = pressed(actions[0])
    assert certain.with_goal[0].label.split(" + ")[: len(keys)] == keys or label == "nothing"


def test_without_guidance_there_is_one_half_and_without_a_goal_nothing_moves(policy):
    alone = insight(thinking(policy, None, torch.ones(1, WIDTH))[0])
    assert (alone.without_goal, alone.moved, alone.moved_by_goal) == (None, None, None)
    bare = insight(thinking(policy, 4.0, torch.zeros(1, WIDTH))[0])
    assert bare.moved["buttons"] == pytest.approx(0, abs=1e-4)
    assert bare.with_goal[0].label == bare.without_goal[0].label


def test_total_variation_is_a_distance_of_distributions():
    assert total_variation(np.array([0.5, 0.5, 0]), np.array([0, 0.5, 0.5])) == 0.5
    assert total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1.0


def test_the_arrow_points_down_and_right_by_bins():
    assert arrow({"camera": [10, -10]}) == (1.0, -1.0)
    assert arrow({"camera": [0.0, 0.62]}) == (0.0, 0.2)
