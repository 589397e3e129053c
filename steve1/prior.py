"""The prior: a conditional VAE that turns a text embedding into a goal that the policy knows, a video embedding.

The model, and reading it from a file; its training loss is in ``data/text_alignment/vae.py``, its training in
``training/train_prior.py``. The tensor names are those of the published ``steve1_prior.pt``.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from steve1 import checkpoints
from steve1.cli import UserError


def _mlp(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, width_out),
    )


class TranslatorVAE(nn.Module):
    """CVAE over video embeddings, conditioned on text embeddings.

    Args:
        input_dim: width D of both embeddings. hidden_dim: width of both networks. latent_dim: width L.
    """

    def __init__(self, input_dim: int = 512, hidden_dim: int = 512, latent_dim: int = 512) -> None:
        super().__init__()
        self.input_dim, self.hidden_dim, self.latent_dim = input_dim, hidden_dim, latent_dim
        self.encoder = _mlp(2 * input_dim, hidden_dim, 2 * latent_dim)
        self.decoder = _mlp(latent_dim + input_dim, hidden_dim, input_dim)

    def encode(self, visual: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and log-variance, each [B, L], for embeddings [B, D]."""
        mu, logvar = self.encoder(torch.cat([visual, text], dim=-1)).chunk(2, dim=-1)
        return mu, logvar

    def decode(self, latent: Tensor, text: Tensor) -> Tensor:
        """Return the video embeddings [B, D] of latents [B, L] and text embeddings [B, D]."""
        return self.decoder(torch.cat([latent, text], dim=-1))

    def forward(
        self, text: Tensor, deterministic: bool = False, generator: torch.Generator | None = None
    ) -> Tensor:
        """Sample a goal [B, D] for each text embedding [B, D]; ``deterministic`` takes the latent 0."""
        shape = (*text.shape[:-1], self.latent_dim)
        if deterministic:
            latent = text.new_zeros(shape)
        else:
            device = generator.device if generator is not None else text.device
            latent = torch.randn(shape, generator=generator, device=device, dtype=text.dtype).to(text.device)
        return self.decode(latent, text)


def load_prior(path: str | os.PathLike) -> TranslatorVAE:
    """Load a prior, published, ours or in the hub's form, in eval mode on the CPU; its sizes are read off its tensors.

    Raises :class:`~steve1.cli.UserError` where the file is no prior.
    """
    shapes = {
        name: tuple(tensor.shape) for name, tensor in checkpoints.read_state_dict(path, "prior").items()
    }
    first, last = shapes.get("encoder.0.weight", ()), shapes.get("encoder.6.weight", ())
    if len(first) != 2 or len(last) != 2 or first[1] % 2 or last[0] % 2:
        raise UserError(
            f"{path} is not a prior (its tensors are not those of steve1_prior.pt); check the path"
        )
    model = TranslatorVAE(input_dim=first[1] // 2, hidden_dim=first[0], latent_dim=last[0] // 2)
    checkpoints.load_weights(model, path)
    return model.eval()
