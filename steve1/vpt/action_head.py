"""The heads on VPT's network: log-probabilities of the actions, and the value that VPT's RL left behind."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from steve1.vpt.actions import N_BUTTON_ACTIONS, N_CAMERA_ACTIONS


class CategoricalHead(nn.Module):
    """Linear, divided by the temperature, log-softmax in float32: [..., D] -> [..., *shape].

    The last entry of ``shape`` is the number of choices, those before it are independent decisions.
    """

    def __init__(self, in_features: int, shape: tuple[int, ...], temperature: float):
        super().__init__()
        self.shape = shape
        self.temperature = temperature
        n_outputs = 1
        for size in shape:
            n_outputs *= size
        self.linear_layer = nn.Linear(in_features, n_outputs)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        logits = self.linear_layer(latent).unflatten(-1, self.shape)
        return F.log_softmax(logits.float() / self.temperature, dim=-1)


class ActionHead(nn.ModuleDict):
    """One categorical head for the buttons and one for the camera: [..., D] -> dict of log-probabilities."""

    def __init__(
        self,
        in_features: int,
        temperature: float = 1.0,
        buttons_shape: tuple[int, ...] = (N_BUTTON_ACTIONS,),
        camera_shape: tuple[int, ...] = (N_CAMERA_ACTIONS,),
    ):
        super().__init__(
            {
                "camera": CategoricalHead(in_features, camera_shape, float(temperature)),
                "buttons": CategoricalHead(in_features, buttons_shape, float(temperature)),
            }
        )

    def forward(self, latent: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: head(latent) for name, head in self.items()}


class _Normalizer(nn.Module):
    """Running moments of the returns that VPT was trained on; kept for loading, never trained here."""

    def __init__(self) -> None:
        super().__init__()
        self.running_mean = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.running_mean_sq = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.debiasing_term = nn.Parameter(torch.zeros(()), requires_grad=False)

    def denormalize(self, value: torch.Tensor) -> torch.Tensor:
        debias = self.debiasing_term.clamp(min=1e-5)
        mean = self.running_mean / debias
        variance = (self.running_mean_sq / debias - mean**2).clamp(min=1e-2)
        return value * variance.sqrt() + mean


class ValueHead(nn.Module):
    """The denormalised value estimate: [..., D] -> [...]. No loss of ours reaches it."""

    def __init__(self, in_features: int):
        super().__init__()
        self.linear = nn.Linear(in_features, 1)
        self.normalizer = _Normalizer()

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.normalizer.denormalize(self.linear(latent).float()).squeeze(-1)
