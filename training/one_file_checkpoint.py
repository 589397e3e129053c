"""Checkpoints of the small trainings (prior, MineCLIP): one file, and what it belongs to. No Accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steve1.cli import UserError


def save_checkpoint(path: Path, training: Any, identity: dict[str, Any]) -> None:
    """Write everything that going on needs (``training.state()``), whole or not at all."""
    import torch

    from steve1.files import remove_partials, whole_file

    remove_partials(path)
    with whole_file(path) as partial:
        torch.save({"identity": identity, "training": training.state()}, partial)


def read_checkpoint(path: Path) -> tuple[dict[str, Any], Any]:
    """The identity and the training's state of a checkpoint.

    Raises UserError where it can't be read, and where a tensor in it holds NaN or inf.
    """
    import torch

    from steve1.checkpoints import check_finite

    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        identity, state = saved["identity"], saved["training"]
    except OSError:
        raise
    except Exception as error:  # a damaged file can end in nearly any exception
        raise UserError(
            f"{path} is not a readable checkpoint ({type(error).__name__}); remove it, or start anew with "
            "--restart_from_checkpoint False"
        ) from None
    check_finite(state, path, "remove it, or start anew with --restart_from_checkpoint False")
    return identity, state
