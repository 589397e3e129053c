"""AdamW with weight decay on the matrices of linear and convolutional layers alone."""

from __future__ import annotations

import torch
from torch import nn

_DECAYED = (nn.Linear, nn.Conv2d, nn.Conv3d)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups for an optimizer: decayed (weights of linear and conv layers) and the rest.

    Biases, norms, the relative-position basis and recurrent weights are not decayed; parameters that do not
    require a gradient are in neither group.
    """
    decayed = {id(m.weight) for m in module.modules() if isinstance(m, _DECAYED)}
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(module: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trained parameters; the learning rate is set before every update.

    The fused kernel does the same arithmetic in one pass over memory.
    """
    return torch.optim.AdamW(parameter_groups(module, weight_decay), lr=0.0, fused=True)


@torch.no_grad()
def l2_norm(module: nn.Module) -> float:
    """The L2 norm of all parameters together."""
    norms = [p.detach().float().norm() for p in module.parameters()]
    return torch.stack(norms).norm().item()
