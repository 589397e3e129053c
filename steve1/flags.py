"""The flags that name an agent's models and its world, shared by everything that plays. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from steve1 import hub
from steve1.config import data_root, weights_dir
from steve1.envs import ENV_NAMES
from steve1.envs.game_python import add_python_flags
from steve1.envs.game_python import missing_python as missing_python
from steve1.envs.game_python import pythons as pythons

MODEL_FILES = ("in_model", "in_weights", "prior_weights", "mineclip_weights", "mineclip_config")
_FILES_ALONE = ("mineclip_config", "prompts")  # of the flags checked here, those that name no weights


def add_model_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags of policy, prior and MineCLIP, and return their group."""
    weights = weights_dir()
    group = parser.add_argument_group("models")
    group.add_argument(
        "--in_model",
        type=Path,
        help="the policy's architecture, .model or .json (default: what --in_weights holds, else "
        "data/weights/vpt/2x.model)",
    )
    group.add_argument(
        "--in_weights",
        type=Path,
        default=weights / "steve1" / "steve1.weights",
        help="the policy's weights (default: data/weights/steve1/steve1.weights); or a folder in the hub's form, or "
        "hf://OWNER/NAME, which holds architecture, prior and MineCLIP too: then it is the one flag needed",
    )
    group.add_argument(
        "--prior_weights",
        type=Path,
        default=None,
        help="the prior, which turns a text's embedding into a goal, sampled once an episode; none: the text's "
        "embedding is the goal (default: what --in_weights holds, else none)",
    )
    group.add_argument(
        "--mineclip_weights",
        type=Path,
        help="MineCLIP, which embeds the texts (default: what --in_weights holds, else data/weights/mineclip/attn.pth)",
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


def add_goal_strip_flag(group: argparse._ActionsContainer) -> None:
    """Add ``--goal_strip``."""
    group.add_argument(
        "--goal_strip",
        default=None,
        metavar="SAMPLING",
        help="also show the training moments nearest to each goal, and warn of prompts far from them all: a "
        "sampling of data/samplings, or the path of its list NAME_train.txt (default: none)",
    )


def sampling_list(given: str) -> Path:
    """The list of training episodes that ``--goal_strip`` names, whether or not it is there."""
    listed = data_root() / "samplings" / f"{given}_train.txt"
    return next((path for path in (Path(given), Path(f"{given}_train.txt")) if path.is_file()), listed)


def missing_sampling(args: argparse.Namespace) -> list[str]:
    """A sentence where ``--goal_strip`` names no sampling that is there."""
    if args.goal_strip is None or sampling_list(args.goal_strip).is_file():
        return []
    return [
        f"--goal_strip {args.goal_strip}: neither the sampling {sampling_list(args.goal_strip)} nor a list of that "
        "name exists; create it with 2_create_sampling.sh, or give the path of its NAME_train.txt"
    ]


def complete_models(args: argparse.Namespace) -> None:
    """Fill in what :func:`add_model_flags` was not given: of one place in the hub's form all that it holds is taken.

    Of a place on the hub itself, which is not fetched for this, it is taken to hold everything.
    """
    parts: set[str] = set()
    if hub.is_address(args.in_weights):
        parts = {"policy", "prior", "mineclip"}
    elif hub.is_hub(args.in_weights) and hub.problem(args.in_weights) is None:
        parts = hub.parts_of(args.in_weights)
    weights = weights_dir()
    if args.in_model is None:
        args.in_model = args.in_weights if hub.is_hub(args.in_weights) else weights / "vpt" / "2x.model"
    if args.prior_weights is None and "prior" in parts:
        args.prior_weights = args.in_weights
    elif args.prior_weights == Path("none"):
        args.prior_weights = None
    if args.mineclip_weights is None:
        held = "mineclip" in parts
        args.mineclip_weights = args.in_weights if held else weights / "mineclip" / "attn.pth"


def missing_files(args: argparse.Namespace, names: tuple[str, ...] = MODEL_FILES) -> list[str]:
    """A sentence for each of these flags whose file does not exist; weights may be in the hub's form as well."""
    problems = []
    for name in names:
        path = getattr(args, name)
        if path is None:
            continue
        if name not in _FILES_ALONE and hub.is_hub(path):
            wrong = hub.problem(path)
            problems += [f"--{name} {path}: {wrong}"] if wrong else []
        elif not Path(path).is_file():
            problems.append(
                f"--{name} {path} does not exist; give a file, or fetch it with download_weights.sh"
            )
    return problems


def add_world_flags(group: argparse._ActionsContainer, default: str = "auto") -> None:
    """Add ``--env``, ``--minestudio_python`` and ``--minerl_python``."""
    group.add_argument(
        "--env",
        choices=ENV_NAMES,
        default=default,
        help=f"world; auto is minestudio where it is installed, else minerl, else blockworld (default {default})",
    )
    add_python_flags(group)
