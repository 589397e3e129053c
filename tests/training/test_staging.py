"""Pieces are contiguous and hold what the batch held; the next is begun before a step has this one; no step waits."""

import numpy as np
import pytest
import torch
from conftest import TINY_POLICY
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import default_collate

from steve1.checkpoints import load_model_file
from steve1.cli import UserError
from training import run, train
from training.staging import PiecesFirst, ahead, on_device


def items(n=3, length=12):
    rng = np.random.default_rng(0)
    for _ in range(n):
        obs = {
            "img": rng.integers(0, 255, (length, 4, 5, 3), np.uint8),
            "mineclip_embed": rng.random((length, 6)),
        }
        yield obs, {"buttons": rng.integers(0, 9, length)}, np.arange(length) == 0


def test_pieces_are_contiguous_slices_of_the_batch():
    obs, actions, first = PiecesFirst(4)(list(items()))
    whole_obs, whole_actions, whole_first = default_collate(list(items()))
    pairs = [(obs["img"], whole_obs["img"]), (obs["mineclip_embed"], whole_obs["mineclip_embed"])]
    pairs += [(actions["buttons"], whole_actions["buttons"]), (first, whole_first)]
    for pieces, whole in pairs:
        assert pieces.shape == (3, 3, 4, *whole.shape[2:])
        assert pieces.dtype == whole.dtype
        for k, piece in enumerate(pieces):
            assert piece.is_contiguous()
            assert torch.equal(piece, whole[:, 4 * k : 4 * k + 4])


def test_first_within_a_piece_is_refused_where_the_policy_does_not_take_it():
    wrong = list(items())
    wrong[1][-1][4] = True  # where the second piece begins
    PiecesFirst(4)(wrong)
    wrong[1][-1][6] = True
    with pytest.raises(UserError, match="within a piece of --trunc_t 4"):
        PiecesFirst(4)(wrong)
    assert PiecesFirst(4, first_within=True)(wrong)[-1][1, 1, 2]


def test_the_next_piece_is_begun_before_a_step_has_this_one():
    events = []
    source = iter("abc")
    for item in ahead(
        source, lambda x: events.append(f"begin {x}") or x, lambda x: events.append(f"ready {x}") or x
    ):
        events.append(f"step {item}")
    assert events == [
        *("begin a", "begin b", "ready a", "step a", "begin c", "ready b", "step b", "ready c", "step c"),
    ]
    assert list(ahead([], str, str)) == []


def test_without_a_gpu_nothing_is_copied():
    batch = PiecesFirst(4)(list(items()))
    (passed,) = on_device([batch], torch.device("cpu"))
    assert passed[0]["img"].data_ptr() == batch[0]["img"].data_ptr()


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: a tensor's value, or its copy to the CPU, as a number or list."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_step_asks_for_no_value_and_an_update_for_its_own_alone(flags, monkeypatch):
    """On the CPU the policy itself looks whether `first` is in place, once a step; on a GPU it does not."""
    counted = []
    original, check = train.step, run.Run.check_finite

    def stepping(self, batch):
        with Waits() as waits:
            original(self, batch)
        counted.append((self.progress.step % 2 == 0, waits.count))

    checks = []
    monkeypatch.setattr(run.Run, "check_finite", lambda self, norm: checks.append(1) or check(self, norm))
    monkeypatch.setattr(train, "step", stepping)
    train.main([*flags, "--n_frames", "96", "--val_freq", "0", "--val_freq_begin", "0", "--save_freq", "0"])
    assert load_model_file(TINY_POLICY)[0]["recurrence_type"] == "transformer"
    assert len(counted) == 6
    assert len(checks) == 3
    between = {waits for updates, waits in counted if not updates}
    assert between == {1}  # `first`
