"""Run by a Python that has MineStudio: what its own SteveOnePolicy makes of a folder in the hub's form.

python minestudio_side.py FOLDER INPUTS.npz OUTPUTS.npz

Its tokenizer is on the hub, so that tokens are given.
"""

import sys

import numpy as np
import torch
from minestudio.models.steve_one.body import SteveOnePolicy

folder, inputs, outputs = sys.argv[1:]
torch.manual_seed(0)
policy = SteveOnePolicy.from_pretrained(folder).eval()
given = np.load(inputs)
found = {}
with torch.no_grad():
    for scale in (0, 4):
        condition = {"cond_scale": scale, "mineclip_embeds": torch.from_numpy(given["embed"])}
        latents, _ = policy({"image": torch.from_numpy(given["img"]), "condition": condition})
        found[f"buttons_scale{scale}"] = latents["pi_logits"]["buttons"].squeeze(-2)[..., ::40].numpy()
        found[f"camera_scale{scale}"] = latents["pi_logits"]["camera"].squeeze(-2).numpy()
        found[f"vpred_scale{scale}"] = latents["vpred"].numpy()
    found["prior_deterministic"] = policy.prior(torch.from_numpy(given["text"]), deterministic=True).numpy()
    if "tokens" in given:
        found["text_embed"] = policy.mineclip.encode_text(torch.from_numpy(given["tokens"])).numpy()
        video = torch.from_numpy(given["video"])
        found["video_embed"] = policy.mineclip.encode_video(video.float()).numpy()
np.savez(outputs, **found)
