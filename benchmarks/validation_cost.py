"""What a frame of validation costs beside a frame of training, and beside three passes, one for each loss.

Real (the published size; a GPU, or minutes on a CPU):  python benchmarks/validation_cost.py
The quickstart's policy:  python benchmarks/validation_cost.py \\
    --in_model configs/quickstart_policy.json --batch_size 4 --trunc_t 32
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from steve1.cli import count, entry_point


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in_model", help="architecture (default: the published 2x)")
    parser.add_argument("--batch_size", type=count, default=2, help="items (default 2)")
    parser.add_argument("--trunc_t", type=count, default=16, help="frames of a piece (default 16)")
    parser.add_argument("--repeats", type=count, default=5, help="the median of so many is shown (default 5)")
    args = parser.parse_args(argv)

    import torch

    from steve1.checkpoints import load_model_file
    from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

    sizes = load_model_file(args.in_model) if args.in_model else (POLICY_2X_KWARGS, PI_HEAD_KWARGS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    policy = MinecraftAgentPolicy(*sizes).to(device)
    policy.value_head.requires_grad_(False)
    B, T = args.batch_size, args.trunc_t
    img = torch.randint(0, 255, (B, T, *policy.net.img_shape), dtype=torch.uint8, device=device)
    goal = torch.randn(B, T, policy.net.mineclip_embed_dim, device=device)
    first = torch.zeros(B, T, dtype=torch.bool, device=device)
    actions = {name: torch.zeros(B, T, dtype=torch.int64, device=device) for name in ("buttons", "camera")}
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0, fused=True)

    def train() -> None:
        (log_probs, _), _ = policy({"img": img, "mineclip_embed": goal}, first, policy.initial_state(B))
        (-policy.log_prob(log_probs, actions).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def once() -> None:
        outputs, _ = policy({"img": img}, first, [policy.initial_state(B)] * 3, [goal] * 3)
        for log_probs, _ in outputs:
            policy.log_prob(log_probs, actions).sum().item()

    @torch.no_grad()
    def three_passes() -> None:
        for _ in range(3):
            (log_probs, _), _ = policy({"img": img, "mineclip_embed": goal}, first, policy.initial_state(B))
            policy.log_prob(log_probs, actions).sum().item()

    def seconds(act: Callable[[], None]) -> float:
        act()
        took = []
        for _ in range(args.repeats):
            began = time.perf_counter()
            act()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - began)
        return sorted(took)[len(took) // 2] / (B * T) * 1000

    trained, ours, thrice = seconds(train), seconds(once), seconds(three_passes)
    print(
        f"{device.type}, {torch.get_num_threads()} thread(s), float32, {B} items of {T} frames, ms a frame:"
    )
    print(f"    training step         {trained:8.2f}")
    print(f"    validation, ours      {ours:8.2f}   {ours / trained:.2f} of a training step's")
    print(f"    validation, 3 passes  {thrice:8.2f}   {thrice / ours:.2f} times ours")


if __name__ == "__main__":
    main()
