"""How much GPU memory does a step of training take? For given batch sizes, trunc_t, precision, checkpointing, freezing.

Real (on a GPU: measured by torch.cuda.max_memory_allocated; without one: counted, in two minutes):
    python benchmarks/memory.py

Tiny:
    python benchmarks/memory.py --in_model tests/tiny_policy.json --batch_size 2 --trunc_t 8

Counted means: two steps and updates are run on fake tensors, which have shapes and no content, and the bytes of all
tensors that live at the same time are added up, tensor by tensor; the highest sum is printed. Normalisation and
softmax are taken in float32 under bf16, as PyTorch does on GPUs. Not in it: the CUDA context (about 0.5 GiB), the
scratch memory of kernels, and what the allocator cannot use (fragmentation). So leave room.

"fixed" is weights, gradients and optimizer; "training" and "validation" are the highest sums in a step of each;
"kept" is what the forward pass leaves for the backward pass; it grows with batch_size * trunc_t. T is no column:
a step holds trunc_t frames of each item, however long the item is.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

from steve1.checkpoints import load_model_file
from steve1.cli import boolean, comma_list, count, entry_point
from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
from steve1.vpt.recurrence import detach_state
from training.policy import build_policy, make_optimizer

GIB = 2**30
_WIDTHS = (10, 8, 10, 14, 7, 7, 9, 11)


class LiveBytes(TorchDispatchMode):
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
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], torch.Tensor):
            # A fake tensor has no value; the policy asks whether `first` is true inside a chunk, AdamW for its step.
            return False if args[0].dtype == torch.bool else 1.0
        out = func(*args, **(kwargs or {}))
        self.add(out)
        return out


@contextlib.contextmanager
def float32_norms() -> Iterator[None]:
    """Let norms and softmax give float32 under autocast, as on GPUs; autocast for CPUs does not."""

    def widened(original: Any) -> Any:
        return lambda x, *args, **kwargs: original(x.float(), *args, **kwargs)

    with contextlib.ExitStack() as stack:
        for owner, name in ((F, "layer_norm"), (F, "group_norm"), (F, "softmax"), (torch, "softmax")):
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

        def now() -> int:
            return tracker.live if counting else torch.cuda.memory_allocated()

        with tracker if counting else contextlib.nullcontext(), wide:
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


@entry_point
def main(argv: Sequence[str] | None = None) -> None:
    """Print a table, a line for each combination of the flags' values."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in_model", help="architecture (default: the published 2x policy)")
    parser.add_argument("--batch_size", type=comma_list, default=["2", "4", "8", "12"], help="items, a,b,c")
    parser.add_argument("--trunc_t", type=comma_list, default=["64"], help="frames of each item, a,b,c")
    parser.add_argument("--precision", type=comma_list, default=["bf16", "no"], help="bf16,no")
    parser.add_argument(
        "--gradient_checkpointing", type=comma_list, default=["False", "True"], help="False,True"
    )
    parser.add_argument("--freeze", nargs="*", default=[], help="parts that are not trained (default: none)")
    parser.add_argument(
        "--device", default=None, help="cuda: measure; cpu: count (default: cuda where there is one)"
    )
    args = parser.parse_args(argv)

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    policy_kwargs, head = (
        load_model_file(args.in_model) if args.in_model else (POLICY_2X_KWARGS, PI_HEAD_KWARGS)
    )
    how = "counted, tensor by tensor, without a GPU" if device == "cpu" else torch.cuda.get_device_name()
    print(f"GiB ({how}); frozen: {' '.join(args.freeze) or 'nothing'}")
    columns = (
        "batch_size",
        "trunc_t",
        "precision",
        "checkpointing",
        "fixed",
        "kept",
        "training",
        "validation",
    )
    print(" ".join(f"{name:>{width}}" for name, width in zip(columns, _WIDTHS, strict=True)))
    cases = itertools.product(args.precision, args.gradient_checkpointing, args.trunc_t, args.batch_size)
    for precision, checkpointing, trunc_t, batch in cases:
        found = step_memory(
            dict(policy_kwargs),
            dict(head),
            count(batch),
            count(trunc_t),
            precision == "bf16",
            boolean(checkpointing),
            args.freeze,
            device,
        )
        values = (batch, trunc_t, precision, checkpointing, *(f"{size / GIB:.2f}" for size in found.values()))
        print(" ".join(f"{v:>{width}}" for v, width in zip(values, _WIDTHS, strict=True)), flush=True)


if __name__ == "__main__":
    main()
