"""Which weight of the KL makes the prior's samples look like real goals? Chooses BETA_FACTOR of train_prior.py.

Real (20 minutes on one busy core):
    python benchmarks/prior_beta.py

Tiny:
    python benchmarks/prior_beta.py --n_pairs 600 --n_epochs 2 --factors 0.1,1 --width 64

No recorded MineCLIP pairs are to be had, so the data is made up in their shape: width 512, a variance per
element of 0.1, and one text belonging to many videos. A video's embedding is 40 % its task, 25 % one of four
ways to do the task, 25 % a curved function of 8 scene factors and 10 % noise; a text's is its task with a wording.
For each weight, a prior is trained as by train_prior.py and judged on videos that it has not seen:

- rec      squared error of reconstructed videos over the videos' variance; KL in nats
- bound    the evidence bound per element in nats, at the noise variance that suits it best (higher is better)
- spread   variance of a text's samples over that of its real videos (1 is right)
- energy   energy distance between a text's samples and its videos, over the videos' mean distance (0 is right)
- cover    share of a text's videos that lie within a sample's neighbourhood (its 3rd nearest), and
- true     share of its samples that lie within a real video's (Kynkaanniemi et al. 2019)

cover is near 0 wherever samples are smoother than videos, which carry the noise: read it beside spread. That
noise share of 10 % is made up, and is what theory would choose as the factor; MineCLIP's own is not known here.

The chosen weight is the one with the least energy distance, which is zero for equal distributions alone. The
baseline is the published loss: the KL summed over the batch with weight 1, which is 256 here.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from steve1.cli import comma_list, count, entry_point, number
from training.train_prior import Training, default_beta

if TYPE_CHECKING:
    import numpy as np
    import torch

PUBLISHED_BETA = 256.0
N_TASKS, N_WAYS, N_FACTORS, N_JUDGED = 100, 4, 8, 60


class Pairs:
    """The made-up world: draws pairs of text and video embeddings."""

    def __init__(self, width: int, variance: float, seed: int) -> None:
        import numpy as np

        self.rng, self.width, self.scale = np.random.default_rng(seed), width, math.sqrt(variance)
        self.tasks = self.rng.normal(size=(N_TASKS, width))
        self.ways = self.rng.normal(size=(N_TASKS, N_WAYS, width))
        self.texts = self.rng.normal(size=(N_TASKS, width))
        self.curves = self.rng.normal(size=(2 * N_FACTORS, width)) / math.sqrt(N_FACTORS)

    def draw(self, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (text, visual), both float32 [N, width], for task numbers [N]."""
        import numpy as np

        n = len(task)
        angles = self.rng.uniform(0, 2 * np.pi, size=(n, N_FACTORS))
        scene = np.concatenate([np.sin(angles), np.cos(angles)], axis=1) @ self.curves
        way = self.ways[task, self.rng.integers(N_WAYS, size=n)]
        noise = self.rng.normal(size=(n, self.width))
        mix = ((0.4, self.tasks[task]), (0.25, way), (0.25, scene), (0.1, noise))
        visual = self.scale * np.sum([math.sqrt(share) * part for share, part in mix], axis=0)
        wording = self.rng.normal(size=(n, self.width))
        text = self.scale * (math.sqrt(0.9) * self.texts[task] + math.sqrt(0.1) * wording)
        return text.astype(np.float32), visual.astype(np.float32)


def judge(training: Training, world: Pairs, n_tasks: int) -> dict[str, float]:
    """Return the measures of the module's docstring, averaged over tasks."""
    import numpy as np
    import torch

    from data.text_alignment.vae import kl_divergence

    model, generator = training.best_model(), torch.Generator().manual_seed(0)
    rows: dict[str, list[float]] = {name: [] for name in ("rec", "kl", "spread", "energy", "cover", "true")}
    everything = world.draw(world.rng.integers(N_TASKS, size=2000))[1]
    variance = float(everything.var(axis=0).mean())
    for task in range(n_tasks):
        text, visual = map(torch.from_numpy, world.draw(np.full(N_JUDGED, task)))
        with torch.no_grad():
            mu, logvar = model.encode(visual, text)
            latent = mu + torch.randn(mu.shape, generator=generator) * (0.5 * logvar).exp()
            rows["rec"].append((model.decode(latent, text) - visual).square().mean().item() / variance)
            rows["kl"].append(kl_divergence(mu, logvar).mean().item())
            samples = model(text, generator=generator)
        rows["spread"].append((samples.var(dim=0).sum() / visual.var(dim=0).sum()).item())
        within, across = torch.cdist(visual, visual), torch.cdist(samples, visual)
        among = torch.cdist(samples, samples)
        pairs = N_JUDGED * (N_JUDGED - 1)
        apart = (within.sum() / pairs).item()
        energy = 2 * across.mean().item() - apart - (among.sum() / pairs).item()
        rows["energy"].append(energy / apart)
        rows["cover"].append(_inside(across, among).mean().item())
        rows["true"].append(_inside(across.T, within).mean().item())
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    noise = means["rec"] * variance
    means["bound"] = -0.5 * math.log(2 * math.pi * noise) - 0.5 - means["kl"] / world.width
    return means


def _inside(distances: torch.Tensor, own: torch.Tensor, k: int = 3) -> torch.Tensor:
    """Which columns of ``distances`` lie within some row's k-th nearest neighbour among its own kind."""
    radius = own.kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    return (distances <= radius[:, None]).any(dim=0).float()


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--factors", type=comma_list, default=["0.003", "0.01", "0.03", "0.1", "0.3", "1", "3"]
    )
    parser.add_argument("--n_pairs", type=count, default=10_000, help="pairs to train on (default 10000)")
    parser.add_argument("--n_epochs", type=count, default=50, help="epochs (default 50)")
    parser.add_argument(
        "--width", type=count, default=512, help="of embeddings, networks and latent (default 512)"
    )
    parser.add_argument(
        "--variance", type=number, default=0.1, help="of the embeddings, an element (default 0.1)"
    )
    parser.add_argument("--seed", type=count, default=0, help="of data and training (default 0)")
    args = parser.parse_args(argv)

    world = Pairs(args.width, args.variance, args.seed)
    text, visual = world.draw(world.rng.integers(N_TASKS, size=args.n_pairs))
    unit = default_beta(visual, factor=1.0)
    settings = [(factor, float(factor) * unit) for factor in args.factors] + [("published", PUBLISHED_BETA)]
    columns = ("rec", "kl", "bound", "spread", "energy", "cover", "true")
    print(f"{args.n_pairs:,} pairs, width {args.width}, variance {args.variance}, {args.n_epochs} epochs")
    print(f"{'factor':>10} {'beta':>9} {'epoch':>5}" + "".join(f"{name:>9}" for name in columns), flush=True)
    energies = {}
    for name, beta in settings:
        training = Training(
            text,
            visual,
            hidden_dim=args.width,
            latent_dim=args.width,
            batch_size=256,
            learning_rate=1e-4,
            n_validation=200,
            beta=beta,
            seed=args.seed,
        )
        for _ in range(args.n_epochs):
            training.advance()
        measures = judge(training, world, n_tasks=40)
        energies[name] = measures["energy"]
        row = "".join(f"{measures[column]:>9.3f}" for column in columns)
        print(f"{name:>10} {beta:>9.2e} {training.best_epoch:>5}{row}", flush=True)
    best = min(args.factors, key=lambda factor: energies[factor])
    print(
        f"ours: factor {best}, energy distance {energies[best]:.3f}; baseline (published): "
        f"{energies['published']:.3f}; ratio {energies[best] / energies['published']:.2f}"
    )


if __name__ == "__main__":
    main()
