"""The flags that name an agent's models and its world, shared by everything that plays. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from steve1.config import weights_dir
from steve1.envs import ENV_NAMES
from steve1.envs.minerl_python import add_minerl_flag
from steve1.envs.minerl_python import missing_python as missing_python

MODEL_FILES = ("in_model", "in_weights", "prior_weights", "mineclip_weights", "mineclip_config")


def add_model_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags of policy, prior and MineCLIP, and return their group."""
    weights = weights_dir()
    group = parser.add_argument_group("models")
    group.add_argument(
        "--in_model",
        type=Path,
        default=weights / "vpt" / "2x.model",
        help="the policy's architecture, .model or .json (default: data/weights/vpt/2x.model)",
    )
    group.add_argument(
        "--in_weights",
        type=Path,
        default=weights / "steve1" / "steve1.weights",
        help="the policy's weights (default: data/weights/steve1/steve1.weights)",
    )
    group.add_argument(
        "--prior_weights",
        type=Path,
        default=None,
        help="the prior, which turns a text's embedding into a goal, sampled once an episode (default: none, the "
        "text's embedding is the goal)",
    )
    group.add_argument(
        "--mineclip_weights",
        type=Path,
        default=weights / "mineclip" / "attn.pth",
        help="MineCLIP, which embeds the texts (default: data/weights/mineclip/attn.pth)",
    )
    group.add_argument(
        "--mineclip_config",
        type=Path,
        default=None,
        help="JSON with MineCLIP's sizes (default: the JSON beside its weights, else the published sizes)",
    )
    group.add_argument(
        "--allow_other_mineclip",
        action="store_true",
        help="play though the weights say that they were trained with another MineCLIP (default: refuse)",
    )
    return group


def add_device_flags(group: argparse._ActionsContainer) -> None:
    """Add ``--device`` and ``--precision``."""
    group.add_argument("--device", default=None, help="torch device (default: a GPU where there is one)")
    group.add_argument(
        "--precision",
        choices=("no", "bf16", "fp16"),
        default="no",
        help="half precision of the policy, for GPUs: bf16, fp16 (not on a CPU), or no (default no: float32)",
    )


def missing_files(args: argparse.Namespace, names: tuple[str, ...] = MODEL_FILES) -> list[str]:
    """A sentence for each of these flags whose file does not exist."""
    given = {name: getattr(args, name) for name in names}
    return [
        f"--{name} {path} does not exist; give a file, or fetch it with download_weights.sh"
        for name, path in given.items()
        if path is not None and not path.is_file()
    ]


def add_world_flags(group: argparse._ActionsContainer, default: str = "auto") -> None:
    """Add ``--env`` and ``--minerl_python``."""
    group.add_argument(
        "--env",
        choices=ENV_NAMES,
        default=default,
        help=f"world; auto is minerl where it is installed, else blockworld (default {default})",
    )
    add_minerl_flag(group)
