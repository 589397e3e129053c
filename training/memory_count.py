"""What memory a step of training takes on a GPU, counted without one; and what is said where it would not fit.

Counted means: two steps and updates are run on fake tensors, which have shapes and no content, and the bytes of all
tensors that live at the same time are added up; the highest sum counts. It is that of a policy that is not compiled:
compiled, a step takes less. Not in it: the CUDA context (about 0.5 GiB), scratch memory of kernels, fragmentation.
"""

from __future__ import annotations

import argparse
import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from steve1.vpt import group_norm
from steve1.vpt.recurrence import detach_state
from training.policy import build_policy, make_optimizer

GIB = 2**30
CONTEXT = GIB // 2  # what CUDA takes for itself
SPARE = (
    0.9  # share of a card that a step may be counted to take: scratch memory and fragmentation need the rest
)


class NoValues(TorchDispatchMode):
    """Answers what is asked of a fake tensor, which has no value: whether `first` is misplaced, AdamW's step."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], torch.Tensor):
            return False if args[0].dtype == torch.bool else 1.0
        return func(*args, **(kwargs or {}))


class LiveBytes(NoValues):
    """Adds up the bytes of tensors' storages while they live; ``peak`` is the highest sum."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen = WeakIdKeyDictionary()

    def add(self, values: Any) -> None:
        for value in tree_iter(values):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage not in self._seen:
                    self._seen[storage] = size = storage.nbytes()
                    self.live += size
                    self.peak = max(self.peak, self.live)
                    weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        self.add(out)
        return out


def _always(_x: torch.Tensor) -> bool:
    return True


@contextlib.contextmanager
def float32_norms() -> Iterator[None]:
    """Let LayerNorm and softmax give float32 under autocast, as on GPUs; autocast for CPUs does not."""

    def widened(original: Any) -> Any:
        return lambda x, *args, **kwargs: original(x.float(), *args, **kwargs)

    with contextlib.ExitStack() as stack:
        # GroupNorm is our own there: it reads and writes bf16.
        stack.enter_context(
            mock.patch.object(group_norm, "for_gpus", _always)
        )  # a Mock would keep what it is given
        for owner, name in ((F, "layer_norm"), (F, "softmax"), (torch, "softmax")):
            stack.enter_context(mock.patch.object(owner, name, widened(getattr(owner, name))))
        yield


def step_memory(
    policy_kwargs: dict,
    head: dict,
    batch: int,
    trunc_t: int,
    bf16: bool,
    checkpointing: bool,
    freeze: Sequence[str],
    device: str,
) -> dict[str, int]:
    """Bytes that are ``fixed`` (weights, gradients, optimizer), ``kept`` for backward, and the highest sums."""
    counting = device == "cpu"
    flags = argparse.Namespace(
        in_weights=None, freeze=freeze, gradient_checkpointing=checkpointing, compile=False
    )
    height, width = policy_kwargs["img_shape"][:2]
    with FakeTensorMode() if counting else contextlib.nullcontext(), torch.device(device):
        policy, _ = build_policy(flags, policy_kwargs, head)
        optimizer = make_optimizer(policy, 0.04)
        obs = {
            "img": torch.zeros(batch, trunc_t, height, width, 3, dtype=torch.uint8),
            "mineclip_embed": torch.zeros(batch, trunc_t, policy.net.mineclip_embed_dim),
        }
        first = torch.zeros(batch, trunc_t, dtype=torch.bool)
        taken = {name: torch.zeros(batch, trunc_t, dtype=torch.int64) for name in ("buttons", "camera")}
        state = policy.initial_state(batch)
        tracker = LiveBytes()
        tracker.add([list(policy.parameters()), obs, first, taken, state])
        if not counting:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        wide = float32_norms() if counting and bf16 else contextlib.nullcontext()
        # A Mock would keep what it is given.
        ours = mock.patch.object(group_norm, "for_gpus", _always) if counting else contextlib.nullcontext()

        def now() -> int:
            return tracker.live if counting else torch.cuda.memory_allocated()

        with tracker if counting else contextlib.nullcontext(), wide, ours:
            kept = 0
            for _ in range(
                2
            ):  # the second has the optimizer's state, and gradients of the first beside its own
                before = now()
                with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
                    (log_probs, _), state = policy(obs, first, state)
                    loss = -policy.log_prob(log_probs, taken).mean()
                kept = now() - before
                del log_probs
                loss.backward()
                state = detach_state(state)
                for group in optimizer.param_groups:
                    group["lr"] = 1e-5
                optimizer.step()
                del loss
            fixed = now()
            peak = tracker.peak if counting else torch.cuda.max_memory_allocated()
            tracker.peak = tracker.live
            if not counting:
                torch.cuda.reset_peak_memory_stats()
            with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
                policy(obs, first, state)
            validation = tracker.peak if counting else torch.cuda.max_memory_allocated()
    return {"fixed": fixed, "kept": kept, "training": peak, "validation": validation}


def step_flops(policy_kwargs: dict, head: dict, freeze: Sequence[str] = ()) -> int:
    """Floating-point operations of a training step for one frame, forward and backward, counted on fake tensors.

    Of products and convolutions, an addition and a multiplication each counting one, as torch.utils.flop_counter
    counts them; what gradient checkpointing computes a second time is not in it.
    """
    flags = argparse.Namespace(in_weights=None, freeze=freeze, gradient_checkpointing=False, compile=False)
    frames = 8
    height, width = policy_kwargs["img_shape"][:2]
    with FakeTensorMode():
        policy, _ = build_policy(flags, policy_kwargs, head)
        obs = {
            "img": torch.zeros(1, frames, height, width, 3, dtype=torch.uint8),
            "mineclip_embed": torch.zeros(1, frames, policy.net.mineclip_embed_dim),
        }
        first = torch.zeros(1, frames, dtype=torch.bool)
        state = policy.initial_state(1)
        with NoValues(), FlopCounterMode(display=False) as counted:
            (log_probs, _), _ = policy(obs, first, state)
            (log_probs["buttons"].sum() + log_probs["camera"].sum()).backward()
    return counted.get_total_flops() // frames


def memory_note(args: argparse.Namespace, policy_kwargs: dict, head: dict, bf16: bool, card: int) -> str:
    """A sentence that compares a step of the flags with a card of ``card`` bytes, and names flags that would fit.

    ``args`` are those of ``training/train.py``.
    """

    def needed(**changed: Any) -> int:
        now = argparse.Namespace(**{**vars(args), **changed})
        found = step_memory(
            dict(policy_kwargs),
            dict(head),
            now.batch_size,
            now.trunc_t,
            bf16,
            now.gradient_checkpointing,
            now.freeze,
            "cpu",
        )
        # Of the weights, which are a quarter of what is fixed.
        copies = bool(args.ema) + bool(args.kl_to_start) + bool(args.l2_to_start)
        return max(found["training"], found["validation"]) + copies * found["fixed"] // 4 + CONTEXT

    mine = needed()
    said = f"Memory: a step is counted to take {mine / GIB:.1f} GiB of the card's {card / GIB:.1f}"
    if mine <= SPARE * card:
        return said
    for changed, flags in _smaller(args):
        if (less := needed(**changed)) <= SPARE * card:
            return f"warning: {said}, which leaves too little; {flags} would take {less / GIB:.1f} GiB"
    return f"warning: {said}, which leaves too little, and no --batch_size fits; it needs a larger card"


def _smaller(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], str]]:
    """Flags that take less memory, with as many frames an update: first those that change nothing else."""
    had = args.gradient_checkpointing
    also = "" if had else "--gradient_checkpointing "
    if not had:
        yield {"gradient_checkpointing": True}, also.strip()
    batch, steps = args.batch_size, args.gradient_accumulation_steps
    while batch > 1 and batch % 2 == 0:
        batch, steps = batch // 2, 2 * steps
        fewer = f"--batch_size {batch} --gradient_accumulation_steps {steps}"
        if not had:
            yield {"batch_size": batch}, fewer
        yield {"batch_size": batch, "gradient_checkpointing": True}, also + fewer
    if batch > 1:
        yield {"batch_size": 1, "gradient_checkpointing": True}, f"{also}--batch_size 1"


# Dense bf16 operations a second with float32 sums, as NVIDIA's data sheets give them, by what a card's name contains.
PEAKS = (
    *(("H200", 989e12), ("H100 PCIe", 756e12), ("H100", 989e12), ("A100", 312e12), ("L40S", 362e12)),
    *(("A6000", 155e12), ("A10G", 70e12), ("A10", 125e12), ("L4", 121e12)),
    *(("RTX 4090", 165e12), ("RTX 3090", 71e12)),
)


def peak_flops(card: str) -> float | None:
    """Dense bf16 operations a second of a card, by its name; None for one that is not in the table."""
    return next((peak for name, peak in PEAKS if name in card), None)
