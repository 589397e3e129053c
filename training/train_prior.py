"""Train the prior: a CVAE that turns text embeddings into video embeddings that the policy knows as goals.

Real (2 to 3 minutes on one core for 10,000 pairs):
    python training/train_prior.py --data_path data/prior_dataset/data.pkl \\
        --output_path data/weights/steve1/my_prior.pt

Tiny:
    python training/train_prior.py --data_path data/prior_dataset/data.pkl --output_path /tmp/prior.pt \\
        --hidden_dim 32 --latent_dim 16 --n_validation 4 --batch_size 8 --n_epochs 2

The data is a pickle {"text_embeddings": [..D..], "visual_embeddings": [..D..]} (make_prior_dataset.py). The
weights kept are those of the epoch with the lowest validation loss. Killed half-way, the same command goes on
after the last finished epoch, to the very same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.text_alignment.pairs import load_pairs
from steve1.cli import UserError, boolean, count, entry_point, number, out_of_range, report_all
from steve1.config import data_root, weights_dir
from steve1.streams import MAX_SEED, torch_stream
from training.small_training import checkpoint_file, plain_flags, resume, run

if TYPE_CHECKING:
    import numpy as np

    from steve1.prior import TranslatorVAE

# beta's default, as a multiple of its natural unit; benchmarks/prior_beta.py compares the choices.
BETA_FACTOR = 0.1


def default_beta(visual: np.ndarray, factor: float = BETA_FACTOR) -> float:
    """Return the default weight of the KL for video embeddings float [N, D].

    A decoder with Gaussian noise of variance s2 per element has the negative log-likelihood
    ``D / (2 s2) * reconstruction``, so ``2 s2 / D`` is the weight that makes the loss its evidence bound
    (Kingma and Welling 2013). s2 is taken as ``factor`` times the embeddings' own variance, so the choice holds
    whatever their scale and width.

    Measured by benchmarks/prior_beta.py on made-up pairs of MineCLIP's shape (10,000 pairs, width 512, 50
    epochs, one seed): the energy distance between a text's samples and its unseen videos is 0.32, 0.25, 0.15,
    0.14, 0.16, 0.15 and 0.30 at factors 0.003 to 3 in steps of about 3, and 0.30 with the published loss (KL
    0.04 nats: it ignores the latent). Below 0.03 the latents that
    training uses are not those that sampling draws; from 3 on the latent is ignored. It is flat in between, and
    smaller factors keep more of the variety (0.78 of the videos' variance at 0.03, 0.25 at 0.1, 0.13 at 0.3).
    """
    return factor * 2 * float(visual.var(axis=0).mean()) / visual.shape[1]


class Training:
    """A prior in training: model, optimizer, position and the best weights so far; an epoch at a time.

    All randomness of an epoch comes from (seed, epoch), so an epoch can be begun anew after a kill.
    """

    def __init__(
        self,
        text: np.ndarray,
        visual: np.ndarray,
        *,
        hidden_dim: int,
        latent_dim: int,
        batch_size: int,
        learning_rate: float,
        n_validation: int,
        beta: float,
        seed: int,
    ) -> None:
        import torch

        from steve1.prior import TranslatorVAE

        self.batch_size, self.beta, self.seed = batch_size, beta, seed
        order = torch.randperm(len(text), generator=torch_stream("prior", seed, 0))
        pairs = torch.from_numpy(text)[order], torch.from_numpy(visual)[order]
        self.val_text, self.val_visual = (part[:n_validation] for part in pairs)
        self.text, self.visual = (part[n_validation:] for part in pairs)
        # Fixed noise: validation losses of different epochs differ by the weights alone.
        self.val_noise = torch.randn(n_validation, latent_dim, generator=torch_stream("prior", seed, 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = TranslatorVAE(text.shape[1], hidden_dim, latent_dim)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learning_rate)
        self.epoch = 0
        self.best_loss, self.best_epoch = float("inf"), 0
        self.best: dict[str, Any] = {}

    @property
    def position(self) -> int:
        return self.epoch

    def advance(self) -> dict[str, float]:
        """Train one epoch, validate, and return its mean losses by TensorBoard tag."""
        import torch

        from data.text_alignment.vae import prior_loss

        self.epoch += 1
        generator = torch_stream("prior", self.seed, 1 + self.epoch)
        self.model.train()
        sums = torch.zeros(3, dtype=torch.float64)
        for rows in torch.randperm(len(self.text), generator=generator).split(self.batch_size):
            noise = torch.randn(len(rows), self.model.latent_dim, generator=generator)
            losses = prior_loss(self.model, self.visual[rows], self.text[rows], noise, self.beta)
            self._check_finite(losses[0].item())
            self.optimizer.zero_grad()
            losses[0].backward()
            self.optimizer.step()
            sums += torch.stack(losses).detach() * len(rows)
        self.model.eval()
        with torch.no_grad():
            val = prior_loss(self.model, self.val_visual, self.val_text, self.val_noise, self.beta)
        self._check_finite(val[0].item())
        if val[0].item() < self.best_loss:
            self.best_loss, self.best_epoch = val[0].item(), self.epoch
            self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        names = ("", "_reconstruction", "_kl")
        train = (sums / len(self.text)).tolist()
        return {
            **{f"loss/train{name}": value for name, value in zip(names, train, strict=True)},
            **{f"loss/val{name}": value.item() for name, value in zip(names, val, strict=True)},
        }

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} in epoch {self.epoch}; lower --learning_rate")

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.best = state["epoch"], state["best"]
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]

    def best_model(self) -> TranslatorVAE:
        """Put the best weights into the model and return it."""
        self.model.load_state_dict(self.best)
        return self.model.eval()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--data_path",
        type=Path,
        default=data_root() / "prior_dataset" / "data.pkl",
        help="pickle of the pairs (default: data/prior_dataset/data.pkl)",
    )
    files.add_argument(
        "--output_path",
        type=Path,
        default=weights_dir() / "steve1" / "trained_prior.pt",
        help="weights to write; a JSON goes beside it, checkpoint and TensorBoard logs into the folder "
        "NAME_checkpoint beside it (default: data/weights/steve1/trained_prior.pt)",
    )
    files.add_argument(
        "--restart_from_checkpoint",
        type=boolean,
        nargs="?",
        const=True,
        default=True,
        help="go on where the same command stopped; False starts anew (default True)",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--hidden_dim", type=count, default=512, help="width of both networks (default 512)")
    model.add_argument("--latent_dim", type=count, default=512, help="width of the latent (default 512)")
    training = parser.add_argument_group("training")
    training.add_argument("--batch_size", type=count, default=256, help="pairs a step (default 256)")
    training.add_argument(
        "--learning_rate", "--lr", type=number, default=1e-4, help="AdamW's learning rate (default 1e-4)"
    )
    training.add_argument("--n_epochs", type=count, default=50, help="epochs (default 50)")
    training.add_argument("--n_validation", type=count, default=200, help="pairs held out (default 200)")
    training.add_argument(
        "--beta",
        type=number,
        default=None,
        help=f"weight of the KL, which is summed over latent dimensions and averaged over pairs, against the squared "
        f"error averaged over elements; 0 turns the KL off (default: {BETA_FACTOR} * 2 * variance / width of the "
        "video embeddings, about 4e-5 for variance 0.1 and width 512, the best of benchmarks/prior_beta.py). The "
        "published beta of 1.0 multiplies the KL summed over the batch: it is --beta 256 here, at 256 pairs a batch",
    )
    training.add_argument(
        "--seed", type=count, default=0, help="of the split, the weights and the noise (default 0)"
    )
    return parser


@entry_point
def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    problems = out_of_range(
        args, "hidden_dim", "latent_dim", "batch_size", "n_epochs", "n_validation", least=1
    )
    problems += out_of_range(args, "learning_rate", above=0)
    problems += out_of_range(args, "beta", least=0)
    problems += out_of_range(args, "seed", least=0, most=MAX_SEED)
    if not args.data_path.is_file():
        problems.append(
            f"--data_path {args.data_path} does not exist; make it with data/text_alignment/make_prior_dataset.py"
        )
    report_all(problems)

    # ---- data ----
    text, visual, mineclip_hash = load_pairs(args.data_path)
    if len(text) <= args.n_validation:
        raise UserError(
            f"{args.data_path} holds {len(text)} pairs, and --n_validation {args.n_validation} of them would be held "
            "out, which leaves none to train on; lower --n_validation or add pairs"
        )
    beta = default_beta(visual) if args.beta is None else args.beta
    data_hash = hashlib.sha256(text.tobytes() + visual.tobytes()).hexdigest()[:16]

    # ---- model ----
    from steve1.checkpoints import metadata_path, read_metadata, save_weights, tensors_hash

    metadata_path(args.output_path)
    names = ("hidden_dim", "latent_dim", "batch_size", "learning_rate", "n_validation", "seed")
    flags = {name: getattr(args, name) for name in names} | {"beta": beta}
    training = Training(text, visual, **flags)
    identity = {**flags, "data": data_hash}
    checkpoint = checkpoint_file(args.output_path)
    if args.restart_from_checkpoint and checkpoint.exists():
        resume(checkpoint, training, identity)
        print(f"going on after epoch {training.epoch} of {checkpoint}")
    print(
        f"{len(training.text):,} pairs to train on, {len(training.val_text):,} held out, width {text.shape[1]}, "
        f"beta {beta:.3g}"
    )

    # ---- training ----
    run(training, args.n_epochs, "epoch", checkpoint, identity)

    # ---- weights ----
    best = training.best_model()
    metadata = {
        "architecture": {
            "input_dim": best.input_dim,
            "hidden_dim": best.hidden_dim,
            "latent_dim": best.latent_dim,
        },
        "flags": plain_flags(args),
        "beta": beta,
        "data_hash": data_hash,
        "mineclip_hash": mineclip_hash,
        "n_pairs": len(text),
        "epoch": training.best_epoch,
        "loss_val": training.best_loss,
    }
    # A finished run that is run again leaves the file as it is.
    there = args.output_path.exists() and read_metadata(args.output_path).get("tensors_hash")
    if there != tensors_hash(best):
        save_weights(best, args.output_path, metadata)
    print(f"{args.output_path}: epoch {training.best_epoch}, validation loss {training.best_loss:.5f}")


if __name__ == "__main__":
    main()
