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
from training.staging import PiecesFirst
from training.validation import ValidationItems, ValidationPart, choose_items, share_out, validate

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
    share = ValidationPart(
        DataLoader(items, batch_size=batch_size, collate_fn=PiecesFirst(8)), [0] * len(items)
    )
    return validate(Accelerator(cpu=True), policy, share)


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


def test_the_pictures_are_encoded_once_for_all_three_losses(dataset, policy):
    """And each loss is bit for bit what the policy says of that goal alone."""
    pieces = []
    policy.net.img_process.register_forward_pre_hook(lambda _, args: pieces.append(tuple(args[0].shape[:2])))
    ours = losses(policy, ValidationItems(dataset), 100)
    assert pieces == [(len(dataset), 8)] * 2

    pictures, embeds, actions, firsts = next(iter(DataLoader(ValidationItems(dataset), batch_size=100)))
    alone = {"loss/val": embeds["right"], "loss/val_shuffled": embeds["shuffled"]}
    for tag, goals in {**alone, "loss/val_uncond": torch.zeros_like(embeds["right"])}.items():
        state, total = policy.initial_state(len(dataset)), 0.0
        for piece in (slice(0, 8), slice(8, 16)):
            obs = {"img": pictures["img"][:, piece], "mineclip_embed": goals[:, piece]}
            with torch.no_grad():
                (log_probs, _), state = policy(obs, firsts[:, piece], state)
            taken = {name: value[:, piece] for name, value in actions.items()}
            total -= policy.log_prob(log_probs, taken).double().sum().item()
        assert ours[tag] == total / firsts.numel()


def test_a_choice_of_items_depends_on_the_seed_alone_and_a_smaller_one_is_part_of_it():
    few, more = choose_items([0] * 50, 10, seed=1), choose_items([0] * 50, 20, seed=1)
    assert few == sorted(set(few))
    assert len(few) == 10
    assert set(few) < set(more)
    assert few != choose_items([0] * 50, 10, seed=2)
    assert choose_items([0] * 5, 8, seed=1) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("multiple", [1, 3])
@pytest.mark.parametrize(("n", "processes"), [(7, 2), (8, 2), (1, 3), (5, 4), (6, 2)])
def test_every_process_gets_as_many_items_and_each_item_counts_once(n, processes, multiple):
    shares = [share_out(range(n), process, processes, multiple) for process in range(processes)]
    (length,) = {len(items) for items, _ in shares}
    assert length % multiple == 0
    assert length * processes < n + processes * multiple  # no whole batch of fillers
    counted = [item for items, counts in shares for item, c in zip(items, counts, strict=True) if c]
    assert sorted(counted) == list(range(n))


def test_items_that_do_not_count_change_nothing(dataset, policy):
    items = ValidationItems(dataset)
    filled = torch.utils.data.Subset(items, [*range(len(items)), 0, 0])
    share = ValidationPart(
        DataLoader(filled, batch_size=4, collate_fn=PiecesFirst(8)), [0] * len(items) + [None] * 2
    )
    padded = validate(Accelerator(cpu=True), policy, share)
    for tag, loss in losses(policy, items, 4).items():
        assert padded[tag] == pytest.approx(loss, rel=1e-6)
