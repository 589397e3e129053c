"""How long a training step and a guided action take: ours beside the published way, written plainly, in one run.

The quickstart's policy on this machine:  python benchmarks/train_step.py --in_model configs/quickstart_policy.json \\
    --batch_size 4 --trunc_t 32
The published size, on a GPU: python benchmarks/train_step.py --batch_size 12 --trunc_t 64 --precision bf16 --compile \\
    --profile step.txt

*The published way* of a step: a batch [B, T, ...] of which a slice is taken to the device, ReLU before the max-pool,
PyTorch's own norms, attention as a product with a float32 mask, and the loss asked for in every step. *Of a guided
action*: the picture encoded for the conditional and the unconditional row, in one world after the other.

Both have the same weights, and their losses and actions are compared. They take turns, --repeats times, and the best
time of each counts: other processes can only make it slower. Weights and pictures are random: neither changes the time.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from steve1.cli import count, entry_point, out_of_range, report_all

if TYPE_CHECKING:
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in_model", help="architecture (default: the published 2x)")
    parser.add_argument("--batch_size", type=count, default=2, help="items of a step (default 2)")
    parser.add_argument("--trunc_t", type=count, default=16, help="frames of a piece (default 16)")
    parser.add_argument("--worlds", type=count, default=4, help="worlds that are acted in (default 4)")
    parser.add_argument("--precision", choices=("no", "bf16"), default="no", help="of the steps (default no)")
    parser.add_argument("--compile", action="store_true", help="compile ours, as training does on GPUs")
    parser.add_argument("--repeats", type=count, default=5, help="times that each is timed (default 5)")
    parser.add_argument(
        "--profile", type=Path, help="write torch.profiler's table of one of our steps to this file"
    )
    args = parser.parse_args(argv)
    report_all(out_of_range(args, "batch_size", "trunc_t", "worlds", "repeats", least=1))
    return args


@contextlib.contextmanager
def published_way() -> Iterator[None]:
    """Inside, the policy computes as the published code does: the same values by other operations."""
    from torch.nn import functional as F

    from steve1.vpt import group_norm
    from steve1.vpt.impala_cnn import DownStack, ImpalaCNN

    def attention(q: Any, k: Any, v: Any, attn_mask: Any, scale: float) -> Any:
        logits = q.float() @ k.float().transpose(-1, -2) * scale + attn_mask.float()
        return logits.softmax(-1).to(v.dtype) @ v

    def never(_x: Any) -> bool:  # a Mock would keep what it is given
        return False

    def stack(self: Any, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.firstconv(x)), kernel_size=3, stride=2, padding=1)
        x = x if self.n is None else self.n(x)
        for block in self.blocks:
            x = block(x)
        return x

    def network(self: Any, x: Any) -> Any:
        x = x.contiguous()
        for part in self.stacks:
            x = part(x)
        return self.dense(x.flatten(1))

    with (
        mock.patch.object(F, "scaled_dot_product_attention", attention),
        mock.patch.object(DownStack, "forward", stack),
        mock.patch.object(ImpalaCNN, "forward", network),
        mock.patch.object(group_norm, "for_gpus", never),
    ):
        yield


class Steps:
    """Training steps of both ways, on weights of their own that begin equal."""

    def __init__(self, args: argparse.Namespace, policy: MinecraftAgentPolicy, device: torch.device):
        import copy

        import torch

        from training.policy import make_optimizer

        self.args, self.device = args, device
        self.ours, self.theirs = policy, copy.deepcopy(policy)
        if args.compile:
            self.ours.compile(dynamic=False)
        self.optimizers = {id(p): make_optimizer(p, 0.04) for p in (self.ours, self.theirs)}
        B, T, generator = args.batch_size, 2 * args.trunc_t, torch.Generator().manual_seed(0)
        img = torch.randint(0, 255, (B, T, *policy.net.img_shape), dtype=torch.uint8, generator=generator)
        goal = torch.randn(B, T, policy.net.mineclip_embed_dim, generator=generator)
        actions = {
            "buttons": torch.randint(0, 8641, (B, T), generator=generator),
            "camera": torch.randint(0, 121, (B, T), generator=generator),
        }
        self.batch = {"img": img, "mineclip_embed": goal}, actions, torch.zeros(B, T, dtype=torch.bool)
        self.pieces = self._pinned(self._cut())

    def _cut(self) -> Any:
        from torch.utils._pytree import tree_map

        t = self.args.trunc_t
        return tree_map(lambda tensor: tensor.unflatten(1, (-1, t)).transpose(0, 1).contiguous(), self.batch)

    def _pinned(self, tree: Any) -> Any:
        from torch.utils._pytree import tree_map

        return tree_map(lambda tensor: tensor.pin_memory() if self.device.type == "cuda" else tensor, tree)

    def _train(self, policy: MinecraftAgentPolicy, piece: Any, state: Any) -> Any:
        import torch

        obs, actions, first = piece
        half = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.args.precision == "bf16")
        with half:
            (log_probs, _), _ = policy(obs, first, state)
            loss = -policy.log_prob(log_probs, actions).mean()
        loss.backward()
        return loss.detach()

    def _update(self, policy: MinecraftAgentPolicy) -> Any:
        import torch

        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 5.0)
        optimizer = self.optimizers[id(policy)]
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def our_step(self) -> float:
        """Two pieces and an update; the mean loss, nats a frame."""
        import torch
        from torch.utils._pytree import tree_map

        from training.staging import on_device

        state, losses = self.ours.initial_state(self.args.batch_size), []
        pieces = (tree_map(lambda tensor, k=k: tensor[k], self.pieces) for k in range(2))
        for piece in on_device(pieces, self.device):
            losses.append(self._train(self.ours, piece, state))
        return torch.stack([*losses, self._update(self.ours)])[:2].mean().item()

    def published_step(self) -> float:
        """The same from slices of the batch, with the loss asked for in each."""
        from torch.utils._pytree import tree_map

        state, losses = self.theirs.initial_state(self.args.batch_size), []
        with published_way():
            for k in range(2):
                window = slice(k * self.args.trunc_t, (k + 1) * self.args.trunc_t)
                piece = tree_map(lambda tensor, w=window: tensor[:, w].to(self.device), self.batch)
                losses.append(self._train(self.theirs, piece, state).item())
            self._update(self.theirs)
        return sum(losses) / 2


class Acting:
    """One guided frame in each of some worlds, both ways."""

    SCALE = 6.0

    def __init__(self, args: argparse.Namespace, policy: MinecraftAgentPolicy, device: torch.device):
        import torch

        self.policy, self.n = policy, args.worlds
        generator = torch.Generator().manual_seed(1)
        self.img = torch.randint(
            0, 255, (self.n, *policy.net.img_shape), dtype=torch.uint8, generator=generator
        ).to(device)
        self.goal = torch.randn(self.n, policy.net.mineclip_embed_dim, generator=generator).to(device)
        self.first = torch.zeros(self.n, dtype=torch.bool, device=device)

    def ours(self) -> Any:
        obs = {"img": self.img, "mineclip_embed": self.goal}
        state = self.policy.initial_state(2 * self.n)
        return self.policy.act(obs, self.first, state, stochastic=False, cond_scale=self.SCALE)[2]["buttons"]

    def published(self) -> Any:
        import torch

        guided = []
        with published_way(), torch.no_grad():
            for i in range(self.n):
                goal = torch.stack([self.goal[i], torch.zeros_like(self.goal[i])])[:, None]
                obs = {"img": self.img[i].expand(2, 1, *self.img.shape[1:]), "mineclip_embed": goal}
                first = self.first[:1].expand(2)[:, None]
                (log_probs, _), _ = self.policy(obs, first, self.policy.initial_state(2))
                cond, uncond = log_probs["buttons"][:, 0]
                guided.append((1 + self.SCALE) * cond - self.SCALE * uncond)
        return torch.stack(guided)


def best(ways: dict[str, Callable[[], Any]], repeats: int, wait: Callable[[], None]) -> dict[str, float]:
    """The best seconds of each way, which take turns."""
    found = dict.fromkeys(ways, math.inf)
    for turn in range(repeats + 1):
        for name, way in ways.items():
            wait()
            began = time.perf_counter()
            way()
            wait()
            if turn:  # the first warms up
                found[name] = min(found[name], time.perf_counter() - began)
    return found


def write_profile(steps: Steps, path: Path) -> None:
    """torch.profiler's table of one step of ours, the costliest first."""
    from torch.profiler import ProfilerActivity, profile

    from steve1.files import write_text

    on_gpu = steps.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiled:
        steps.our_step()
    key = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    write_text(path, profiled.key_averages().table(sort_by=key, row_limit=60) + "\n")


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Print a line for each, with the ratio."""
    args = parse(argv)

    import torch

    from steve1.checkpoints import load_model_file
    from steve1.config import PI_HEAD_KWARGS, POLICY_2X_KWARGS
    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

    sizes = load_model_file(args.in_model) if args.in_model else (POLICY_2X_KWARGS, PI_HEAD_KWARGS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    policy = MinecraftAgentPolicy(*sizes).to(device)
    policy.value_head.requires_grad_(False)

    acting = Acting(args, policy, device)
    apart = (acting.ours() - acting.published()).abs().max().item()
    steps = Steps(args, policy, device)
    ours, theirs = steps.our_step(), steps.published_step()
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    where = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"
    )
    print(f"{where}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, precision {args.precision}")
    print(f"losses {ours:.6f} and {theirs:.6f}; guided log-probs differ by at most {apart:.2g}")

    step = best({"ours": steps.our_step, "published": steps.published_step}, args.repeats, wait)
    act = best({"ours": acting.ours, "published": acting.published}, 2 * args.repeats, wait)
    frames = 2 * args.batch_size * args.trunc_t
    print(
        f"{'':26} {'ours':>10} {'published':>10} {'ratio':>7}   ms a frame, the best of --repeats, in turns"
    )
    for name, times, per in (("training step", step, frames), ("guided acting", act, args.worlds)):
        mine, other = (1000 * times[way] / per for way in ("ours", "published"))
        print(f"{name:26} {mine:10.3f} {other:10.3f} {other / mine:6.2f}x")
    if args.profile:
        write_profile(steps, args.profile)
        print(f"one of our steps, profiled: {args.profile}")


if __name__ == "__main__":
    main()
