"""VPT's inverse dynamics model: which actions were taken, judged from the frames before and after.

The same network as the policy's, with a convolution over time in front, attention over the whole window, no
memory and no goal (docs/formats.md). It labels recordings that have no actions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from steve1.embed_conditioned_policy import MinecraftPolicy
from steve1.vpt.action_head import ActionHead
from steve1.vpt.actions import BUTTONS, CAMERA_BINS
from steve1.vpt.impala_cnn import NormedLayer


class InverseDynamicsNet(MinecraftPolicy):
    """Frames uint8 [B, T, H, W, 3] -> latents float [B, T, hidsize]."""

    def __init__(self, conv3d_params: dict, **policy_kwargs: object):
        super().__init__(**{**policy_kwargs, "mineclip_embed_dim": 0, "first_conv_norm": True})  # type: ignore[arg-type]
        conv = nn.Conv3d(
            conv3d_params["inchan"],
            conv3d_params["outchan"],
            tuple(conv3d_params["kernel_size"]),
            padding=tuple(conv3d_params["padding"]),
        )
        self.conv3d_layer = NormedLayer(conv, norm=None)

    def forward(self, img: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        batch, time = img.shape[:2]
        x = img.to(self.final_ln.weight.dtype) / 255
        x = self.conv3d_layer(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)  # [B, T, H, W, C]
        x = self.img_process(x)
        if self.pre_lstm_ln is not None:
            x = self.pre_lstm_ln(x)
        first = torch.zeros(batch, time, dtype=torch.bool, device=img.device)
        x, _ = self.recurrent_layer(x, first, self.initial_state(batch))
        # The published forward pass leaves `lastlayer` out, though the checkpoint contains it.
        return self.final_ln(F.relu(x))


class InverseActionPolicy(nn.Module):
    """The inverse dynamics model with its heads.

    Args:
        idm_net_kwargs: a published ``4x_idm.model``'s ``net.args``.
        pi_head_kwargs: ``{"temperature": float}``.
    """

    def __init__(self, idm_net_kwargs: dict, pi_head_kwargs: dict):
        super().__init__()
        self.net = InverseDynamicsNet(**idm_net_kwargs)
        self.pi_head = ActionHead(
            self.net.hidsize,
            float(pi_head_kwargs.get("temperature", 1.0)),
            buttons_shape=(len(BUTTONS), 2),
            camera_shape=(2, CAMERA_BINS),
        )

    @torch.no_grad()
    def predict(self, img: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Label a window of frames.

        Args:
            img: uint8 [B, T, H, W, 3]; the model was trained on T = 128 and attends over what it is given.

        Returns:
            ``(actions, log_probs)``: actions ``buttons`` 0/1 [B, T, 20] (in the order of
            :data:`steve1.vpt.actions.BUTTONS`) and ``camera`` bins 0..10 [B, T, 2] (pitch, yaw), the most likely
            ones; log-probs ``buttons`` [B, T, 20, 2] and ``camera`` [B, T, 2, 11].
        """
        log_probs = self.pi_head(self.net(img))
        return {name: values.argmax(-1) for name, values in log_probs.items()}, log_probs
