"""Validation: a mean over frames of the whole set, with fixed goals, whatever the batches."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tiny_episodes import make_episode
from torch.utils.data import DataLoader

from data.minecraft_dataset import MinecraftDataset
from steve1.checkpoints import load_model_file
from steve1.embed_conditioned_policy import MinecraftAgentPolicy
from training.validation import ValidationItems, validate

MODEL = Path(__file__).resolve().parents[1] / "tiny_policy.json"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes")
    dirs = [make_episode(folder / f"e{i}", 70 + i, seed=i) for i in range(3)]
    return MinecraftDataset(dirs, T=16, min_btwn_goals=5, max_btwn_goals=20, p_uncond=0.0, img_size=(32, 32))


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return MinecraftAgentPolicy(*load_model_file(MODEL))


def losses(policy, items, batch_size):
    return validate(Accelerator(cpu=True), policy, DataLoader(items, batch_size=batch_size), trunc_t=8)


def test_the_mean_does_not_depend_on_the_batch_size(dataset, policy):
    items = ValidationItems(dataset)
    one, all_at_once = losses(policy, items, 1), losses(policy, items, 100)
    assert set(one) == {"loss/val", "loss/val_uncond", "loss/val_shuffled"}
    for tag in one:
        assert one[tag] == pytest.approx(all_at_once[tag], rel=1e-5)


def test_the_loss_is_the_mean_over_frames_computed_by_hand(dataset, policy):
    total, frames = 0.0, 0
    with torch.no_grad():
        for index in range(len(dataset)):
            obs, actions, firsts = dataset[index]
            batch = {name: torch.from_numpy(value)[None] for name, value in obs.items()}
            taken = {name: torch.from_numpy(value)[None] for name, value in actions.items()}
            (log_probs, _), _ = policy(batch, torch.from_numpy(firsts)[None], policy.initial_state(1))
            total -= policy.log_prob(log_probs, taken).sum().item()
            frames += len(firsts)
    assert losses(policy, ValidationItems(dataset), 2)["loss/val"] == pytest.approx(total / frames, rel=1e-5)


def test_shuffled_goals_are_those_of_another_item(dataset):
    items = ValidationItems(dataset, every_nth=2)
    assert len(items) == (len(dataset) + 1) // 2
    for index in range(len(items)):
        _, embeds, _, _ = items[index]
        other = items.items[(index + len(items) // 2) % len(items)]
        assert other != items.items[index]
        assert (embeds["shuffled"] == dataset[other][0]["mineclip_embed"]).all()


def test_validation_leaves_the_policy_in_training_mode(dataset, policy):
    policy.train()
    losses(policy, ValidationItems(dataset), 4)
    assert policy.training
