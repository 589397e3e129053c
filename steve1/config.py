"""Default paths and the published models' configurations. Plain data; imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

FPS = 20  # Minecraft's ticks a second; one frame is one tick
FRAME_SIZE = 128  # stored frames are FRAME_SIZE x FRAME_SIZE
FIRST_EMBED = 15  # the MineCLIP window is 16 frames, so the first 15 have no embedding

POV_SHAPE = (360, 640, 3)  # a picture of the game
# What the published policies were trained on, by the names of MineRL's task.
MINERL_SETTINGS: dict[str, list[float]] = {
    "resolution": [640, 360],
    "fov_range": [70, 70],
    "gamma_range": [2, 2],
    "guiscale_range": [1, 1],
    "cursor_size_range": [16, 16],
}


def version() -> str:
    """The installed version of this package, for the metadata of what it writes."""
    from importlib import metadata

    try:
        return metadata.version("steve1")
    except metadata.PackageNotFoundError:
        return "uninstalled"


_REPOSITORY = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """The folder of all products: ``$STEVE1_DATA_ROOT``, or this repository's ``data/``."""
    return Path(os.environ.get("STEVE1_DATA_ROOT") or _REPOSITORY / "data")


def logs_dir() -> Path:
    """Where text logs go: ``logs/`` in ``$STEVE1_DATA_ROOT`` when that is set, else in this repository."""
    return Path(os.environ.get("STEVE1_DATA_ROOT") or _REPOSITORY) / "logs"


def weights_dir() -> Path:
    """Where ``download_weights.sh`` puts the published weights."""
    return data_root() / "weights"


# The published 2x.model (VPT's medium network, which STEVE-1 was trained from).
POLICY_2X_KWARGS: dict = {
    "attention_heads": 16,
    "attention_mask_style": "clipped_causal",
    "attention_memory_size": 256,
    "diff_mlp_embedding": False,
    "hidsize": 2048,
    "img_shape": [128, 128, 3],
    "impala_chans": [16, 32, 32],
    "impala_kwargs": {"post_pool_groups": 1},
    "impala_width": 8,
    "init_norm_kwargs": {"batch_norm": False, "group_norm_groups": 1},
    "n_recurrence_layers": 4,
    "only_img_input": True,
    "pointwise_ratio": 4,
    "pointwise_use_activation": False,
    "recurrence_is_residual": True,
    "recurrence_type": "transformer",
    "timesteps": 128,
    "use_pointwise_layer": True,
    "use_pre_lstm_ln": False,
}
PI_HEAD_KWARGS: dict = {"temperature": 2.0}

# The published MineCLIP "attn" variant.
MINECLIP_CONFIG: dict = {
    "resolution": [160, 256],
    "patch_size": 16,
    "vision_width": 768,
    "vision_layers": 12,
    "vision_heads": 12,
    "embed_dim": 512,
    "context_length": 77,
    "vocab_size": 49408,
    "text_width": 512,
    "text_layers": 12,
    "text_heads": 8,
    "temporal_layers": 2,
    "temporal_heads": 8,
    "temporal_head_dim": 64,
    "max_frames": 32,
    "window": 16,
}
