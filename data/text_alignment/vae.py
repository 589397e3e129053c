"""The prior's training loss, beside the model under the name that the guides use.

The model itself is in ``steve1/prior.py``; training is in ``training/train_prior.py``.
"""

from __future__ import annotations

from torch import Tensor

from steve1.prior import TranslatorVAE, load_prior

__all__ = ["TranslatorVAE", "kl_divergence", "load_prior", "prior_loss"]


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(0, I)) in nats, summed over latent dimensions: [B, L] -> [B].

    Kingma and Welling 2013, appendix B.
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=-1)


def prior_loss(
    model: TranslatorVAE, visual: Tensor, text: Tensor, noise: Tensor, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (loss, reconstruction, KL), scalars, with ``loss = reconstruction + beta * KL``.

    The reconstruction is the squared error averaged over all elements, the KL is summed over latent
    dimensions and averaged over samples, so neither depends on the batch size.

    Args:
        visual, text: [B, D]. noise: standard normal [B, L], which makes the posterior's sample.
    """
    mu, logvar = model.encode(visual, text)
    decoded = model.decode(mu + noise * (0.5 * logvar).exp(), text)
    reconstruction = (decoded - visual).square().mean()
    kl = kl_divergence(mu, logvar).mean()
    return reconstruction + beta * kl, reconstruction, kl
