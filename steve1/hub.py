"""The hub's form of weights: a folder with policy, prior and MineCLIP in ``model.safetensors``, and ``config.json``.

MineStudio's form (docs/formats.md). A place is such a folder, its ``model.safetensors``, or ``hf://OWNER/NAME`` (with
``@REVISION``), which huggingface_hub fetches once into its cache. Knows names and files, and nothing of modules; what
is read here is checked and loaded by ``steve1/checkpoints.py``.
"""

from __future__ import annotations

import errno
import functools
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.cli import UserError
from steve1.files import read_object

if TYPE_CHECKING:
    from torch import Tensor

OFFICIAL = "hf://CraftJarvis/MineStudio_STEVE-1.official"
TENSORS, CONFIG = "model.safetensors", "config.json"
OURS = "steve1_notes.json"  # what MineStudio's form has no place for; only folders that we wrote have it
FILES = (TENSORS, CONFIG, OURS)
# What the names of each part begin with, there; the policy's names are those of our .weights files.
PREFIXES = {
    "policy": ("net.", "pi_head.", "value_head."),
    "prior": ("prior.",),
    "mineclip": ("mineclip.",),
}
FORM = f"the hub's form is a folder with {TENSORS} and {CONFIG}"
# pathlib makes one slash of two.
_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?/?")


def is_address(place: str | os.PathLike) -> bool:
    """Whether ``place`` is on the hub, ``hf://…``, and no path on this machine."""
    return os.fspath(place).startswith("hf:")


def is_hub(place: str | os.PathLike) -> bool:
    """Whether ``place`` is in the hub's form, as far as its name says: an address, a folder or a safetensors file."""
    return is_address(place) or os.fspath(place).endswith(".safetensors") or os.path.isdir(place)


def problem(place: str | os.PathLike) -> str | None:
    """What is wrong with a place in the hub's form, before anything is fetched or read; None where nothing is."""
    if is_address(place):
        found = _ADDRESS.fullmatch(os.fspath(place))
        return None if found else f"{place} names nothing on the hub; write hf://OWNER/NAME"
    folder = _local(place)
    lacking = [name for name in (TENSORS, CONFIG) if not (folder / name).is_file()]
    if not lacking and os.fspath(place).endswith(".safetensors") and not os.path.isfile(place):
        lacking = [os.path.basename(place)]
    return f"{folder} holds no {' and no '.join(lacking)}; {FORM}" if lacking else None


def folder_of(place: str | os.PathLike) -> Path:
    """The folder of a place in the hub's form; what is on the hub is fetched first, into huggingface_hub's cache.

    The hub is ``$HF_ENDPOINT``, or huggingface.co. Raises :class:`~steve1.cli.UserError`.
    """
    wrong = problem(place)
    if wrong:
        raise UserError(wrong)
    if not is_address(place):
        return _local(place)
    folder = _fetched(os.fspath(place), os.environ.get("HF_ENDPOINT"))
    wrong = problem(folder)
    if wrong:
        raise UserError(f"{place}: {wrong}")
    return folder


@functools.cache
def _fetched(address: str, endpoint: str | None) -> Path:
    """A process asks the hub once, so that all parts are of one revision."""
    return fetch(address)


def shown(place: str | os.PathLike) -> str:
    """A place as a user writes it, with the two slashes of an address."""
    return re.sub(r"^hf:/+", "hf://", os.fspath(place))


def fetch(address: str, folder: Path | None = None) -> Path:
    """Fetch the files of ``hf://OWNER/NAME`` into huggingface_hub's cache, or into ``folder``; where they are.

    What was fetched before is not fetched again; a file is whole or absent. Raises :class:`~steve1.cli.UserError`.
    """
    from huggingface_hub import errors, snapshot_download

    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UserError(f"{address} names nothing on the hub; write hf://OWNER/NAME")
    repository, revision = found.groups()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=list(FILES), local_dir=folder, endpoint=endpoint
            )
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        what = "has no such revision" if isinstance(error, errors.RevisionNotFoundError) else "is not there"
        raise UserError(
            f"hf://{repository}{f'@{revision}' if revision else ''} {what}, or needs a login; check the name at "
            f"{endpoint or 'https://huggingface.co'}/{repository}"
        ) from None
    except Exception as error:  # which HTTP library's errors these are depends on huggingface_hub's version
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = str(error).strip().partition("\n")[0][:160]
        raise UserError(
            f"hf://{repository} could not be fetched from {endpoint or 'https://huggingface.co'} ({reason}); check the "
            "network (HF_ENDPOINT names a mirror) and run the same command again, or give a folder on this machine"
        ) from None


def file_of(place: str | os.PathLike) -> Path:
    """The file that the tensors of ``place`` are in: the one in a place of the hub's form, else the file itself."""
    if not is_hub(place) or (os.fspath(place).endswith(".safetensors") and not is_address(place)):
        return Path(place)
    return folder_of(place) / TENSORS


def absolute(place: str | os.PathLike) -> str:
    """A path or an address that means the same in any working folder."""
    return os.fspath(place) if is_address(place) else os.path.abspath(place)


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json``: ``policy_kwargs``, ``prior_kwargs``, ``mineclip_kwargs``, ``freeze_mineclip``."""
    return read_object(folder / CONFIG)


def read_notes(folder: Path) -> dict[str, Any]:
    """``steve1_notes.json``, what we noted of each part (``policy``, ``prior``, ``mineclip``); else empty."""
    path = folder / OURS
    return read_object(path) if path.is_file() else {}


def read_part(place: str | os.PathLike, part: str) -> dict[str, Tensor]:
    """The tensors of ``part`` of a place in the hub's form, on the CPU; prior's and MineCLIP's without their prefix.

    Raises :class:`~steve1.cli.UserError` where there are none, or where the file holds what is none of the parts.
    """
    from safetensors import SafetensorError, safe_open

    path = file_of(place)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            foreign = foreign_prefixes(names, [one for prefixes in PREFIXES.values() for one in prefixes])
            if foreign:
                raise UserError(f"{path} is not in the hub's form: {foreign}")
            wanted = [name for name in names if name.startswith(PREFIXES[part])]
            if not wanted:
                raise UserError(f"{path} holds no {part} ({said(names)}); give it as a file of its own")
            cut = "" if part == "policy" else f"{part}."
            return {name.removeprefix(cut): file.get_tensor(name) for name in wanted}
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a readable safetensors file ({error}); it is truncated or of another kind, so fetch it "
            "again"
        ) from None


def parts_of(place: str | os.PathLike) -> set[str]:
    """Which of the parts ``policy``, ``prior``, ``mineclip`` a place in the hub's form holds."""
    from safetensors import SafetensorError, safe_open

    path = file_of(place)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
    except SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); fetch it again") from None
    return {part for part, starts in PREFIXES.items() if any(name.startswith(starts) for name in names)}


def foreign_prefixes(names: Iterable[str], known: Iterable[str]) -> str:
    """One line that names the prefixes which are not ``known`` (each ending with a dot); empty where all are."""
    known = tuple(dict.fromkeys(known))
    foreign = [name for name in names if not name.startswith(known)]
    if not foreign:
        return ""
    ours = ", ".join(f"{prefix}*" for prefix in known)
    return f"its tensors stand under {said(foreign)}, where {ours} are known"


def said(names: Iterable[str]) -> str:
    """``agent.* (136 tensors), step``: what names begin with, and how many do."""
    counts = Counter(name.partition(".")[0] + ("." if "." in name else "") for name in names)
    return ", ".join(
        f"{start}* ({n} tensors)" if start.endswith(".") else start for start, n in counts.items()
    )


def _local(place: str | os.PathLike) -> Path:
    path = Path(place)
    return path.parent if path.suffix == ".safetensors" and not path.is_dir() else path
