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
import itertools
from collections.abc import Sequence

import torch

from steve1.checkpoints import load_model_file
from steve1.cli import boolean, comma_list, count, entry_point
from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
from training.memory_count import GIB, step_memory

_WIDTHS = (10, 8, 10, 14, 7, 7, 9, 11)


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
