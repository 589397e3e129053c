"""The prior against the recorded published model, and its file."""

import json

import numpy as np
import pytest
import torch
from conftest import VECTORS, assert_close

from data.text_alignment.vae import TranslatorVAE, kl_divergence, load_prior, prior_loss
from steve1.cli import UserError


@pytest.fixture(scope="module")
def recorded():
    with np.load(VECTORS / "prior_tiny.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if file[name].ndim} | {
            "dims": json.loads(str(file["dims.json"])),
            "kl_sum": file["kl_sum"],
            "recon_at_mu": file["recon_at_mu"],
        }


@pytest.fixture(scope="module")
def state(recorded):
    return {name.removeprefix("w."): value for name, value in recorded.items() if name.startswith("w.")}


@pytest.fixture
def model(recorded, state):
    model = TranslatorVAE(**recorded["dims"])
    model.load_state_dict(state)
    return model.eval()


def test_matches_the_published_model(model, recorded):
    mu, logvar = model.encode(recorded["visual"], recorded["text"])
    assert_close(mu, recorded["mu"])
    assert_close(logvar, recorded["logvar"])
    assert_close(model.decode(recorded["latent"], recorded["text"]), recorded["decoded"])
    assert_close(model(recorded["text"], deterministic=True), recorded["deterministic"])
    assert_close(kl_divergence(mu, logvar).sum(), recorded["kl_sum"])
    zeros = torch.zeros_like(mu)
    # Without noise in the posterior's sample the reconstruction is that at its mean.
    _, reconstruction, kl = prior_loss(model, recorded["visual"], recorded["text"], zeros, beta=0.5)
    assert_close(reconstruction, recorded["recon_at_mu"])
    assert_close(kl, recorded["kl_sum"] / 5)


def test_published_names_and_shapes():
    expected = {
        name: tuple(shape) for name, shape in json.loads((VECTORS / "prior_keys.json").read_text()).items()
    }
    with torch.device("meta"):
        model = TranslatorVAE(512, 512, 512)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected


def test_loss_does_not_depend_on_the_batch_size(model, recorded):
    def twice(value):
        return torch.cat([value, value])

    visual, text, noise = (
        recorded["visual"],
        recorded["text"],
        torch.randn(5, 12, generator=torch.Generator()),
    )
    once = prior_loss(model, visual, text, noise, beta=0.3)
    doubled = prior_loss(model, twice(visual), twice(text), twice(noise), beta=0.3)
    for a, b in zip(once, doubled, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(once[0], once[1] + 0.3 * once[2])


def test_sampling_uses_the_generator_and_deterministic_does_not(model, recorded):
    text = recorded["text"]
    one, again, other = (model(text, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(model(text, deterministic=True), model(text, deterministic=True))
    assert model(text[0]).shape == (16,)


def test_load_prior_reads_sizes_from_the_file(state, recorded, tmp_path):
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "prior.pt")
    loaded = load_prior(tmp_path / "prior.pt")
    assert (loaded.input_dim, loaded.hidden_dim, loaded.latent_dim) == (16, 24, 12)
    assert not loaded.training
    assert_close(loaded(recorded["text"], deterministic=True), recorded["deterministic"])


def test_load_prior_refuses_other_weights(state, tmp_path):
    torch.save({"net.weight": torch.zeros(2, 2)}, tmp_path / "policy.weights")
    with pytest.raises(UserError, match=r"policy\.weights is not a prior"):
        load_prior(tmp_path / "policy.weights")
    torch.save({**state, "decoder.6.bias": torch.zeros(3)}, tmp_path / "odd.pt")
    with pytest.raises(UserError, match=r"decoder\.6\.bias"):
        load_prior(tmp_path / "odd.pt")
