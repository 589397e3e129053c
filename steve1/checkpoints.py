"""Every read and write of weight files: ``.model``, ``.weights``, ``.pth``, ``.pt``. No file can run code here.

Wherever a file is read, a place in the hub's form (:mod:`steve1.hub`: a folder, or ``hf://OWNER/NAME``) is read too.
Tensors are read by ``torch.load(weights_only=True)``, pickles by :mod:`steve1.safe_pickle`. What is written
is whole or absent, and has a JSON beside it that names the tensors' hash. Training checkpoints (optimizer,
position) are not this module's business.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
import platform
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from steve1 import hub
from steve1.cli import UserError
from steve1.config import MINECLIP_CONFIG, PI_HEAD_KWARGS, version
from steve1.envs.telling import say_once
from steve1.files import read_object, remove_partials, whole_file
from steve1.safe_pickle import dump_pickle, load_pickle

if TYPE_CHECKING:
    from steve1.mineclip import MineCLIP

__all__ = [
    "Snapshot",
    "check_finite",
    "dump_pickle",
    "load_mineclip",
    "load_model_file",
    "load_pickle",
    "load_weights",
    "metadata_path",
    "read_metadata",
    "read_state_dict",
    "save_mineclip",
    "save_weights",
    "tensors_hash",
]

_GOAL_LAYER = "mineclip_embed_linear"
_SHOWN = 12  # names listed in an error before the rest is only counted
_WEIGHT_SUFFIXES = {".weights", ".pth", ".pt"}


def load_model_file(path: str | os.PathLike) -> tuple[dict, dict]:
    """Read a policy's architecture from a ``.model`` pickle, from JSON of the same nesting, or from the hub's form.

    Returns ``(policy_kwargs, pi_head_kwargs)``: what stands at ``model.args.net.args`` and
    ``model.args.pi_head_opts`` (docs/formats.md), with the temperature as a float. The JSON beside weights
    that we trained has that nesting too. The hub's form has no temperature unless we wrote it: it is the published
    head's 2.0, which is said once.
    """
    if hub.is_hub(path):
        return _hub_model(path)
    content = read_object(path) if str(path).endswith(".json") else load_pickle(path)
    try:
        args = content["model"]["args"]
        policy_kwargs, pi_head_kwargs = dict(args["net"]["args"]), dict(args["pi_head_opts"])
        if "temperature" in pi_head_kwargs:
            pi_head_kwargs["temperature"] = float(pi_head_kwargs["temperature"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path} does not describe a policy ({type(error).__name__}: {error}); "
            "model.args.net.args and model.args.pi_head_opts are needed, as in 2x.model"
        ) from None
    return policy_kwargs, pi_head_kwargs


def _hub_model(place: str | os.PathLike) -> tuple[dict, dict]:
    folder = hub.folder_of(place)
    kwargs = hub.read_config(folder).get("policy_kwargs")
    if not isinstance(kwargs, dict) or "hidsize" not in kwargs:
        raise UserError(f"{folder / hub.CONFIG} does not describe a policy; policy_kwargs are needed")
    head = hub.read_notes(folder).get("policy", {}).get("pi_head_kwargs")
    if head is None:
        say_once(
            f"{hub.shown(place)} says no temperature of the policy's head: {PI_HEAD_KWARGS['temperature']} is taken, "
            "the published head's (MineStudio plays with 1.0)"
        )
    return kwargs, dict(head or PI_HEAD_KWARGS)


def read_state_dict(path: str | os.PathLike, part: str = "policy") -> dict[str, Tensor]:
    """Read a file of named tensors onto the CPU; names without ``module.policy.`` or ``policy.``.

    Of a place in the hub's form ``part`` is read: ``policy``, ``prior`` or ``mineclip``. A file of the form
    ``{"state_dict": {...}}`` is unwrapped. Large files are mapped, not copied. Raises
    :class:`~steve1.cli.UserError` for a file that is truncated, of another kind, or asks for code.
    """
    if hub.is_hub(path):
        return hub.read_part(path, part)
    with open(path, "rb"):  # a missing file is the operating system's error, which names it
        mapped = zipfile.is_zipfile(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        detail = f"it asks for {found.group(1)}" if found else "it is not a torch file"
        raise UserError(
            f"{path} was not loaded: {detail}, and only tensors are read from weights files; "
            "fetch it again, or save its plain state dict with torch.save"
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged file can end in nearly any exception
        reason = str(error).strip().partition("\n")[0][:120]
        raise UserError(
            f"{path} is not a readable weights file ({type(error).__name__}: {reason}); it is truncated or of "
            "another kind, so fetch it again"
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a state dict of named tensors")
    foreign = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if foreign or not content:
        what = f"entries that are not tensors ({_some(foreign)})" if foreign else "no tensors"
        raise UserError(f"{path} holds {what}; a plain state dict is needed")
    return _plain_names(content, str(path))


def load_weights(module: nn.Module, path: str | os.PathLike, new_embedding: bool = False) -> list[str]:
    """Load the weights file ``path`` into ``module``; every name and shape must fit.

    Of a place in the hub's form the part that ``module`` is, policy or prior, is loaded.
    A file without ``mineclip_embed_linear.*`` (VPT's, which knows no goals) leaves that layer as it was
    initialised; this is printed. With ``new_embedding`` the same holds for a file whose layer is for
    embeddings of another width. Returns the names left as they were. Raises
    :class:`~steve1.cli.UserError` listing what is missing, unexpected, of another shape or not finite.
    """
    ours = module.state_dict()
    theirs = read_state_dict(path, _part_of(ours))
    _check_prefixes(theirs, ours, path)
    goal_names = [name for name in ours if _GOAL_LAYER in name.split(".")]
    kept, told = [], ""
    if goal_names and not any(name in theirs for name in goal_names):
        kept = goal_names
        told = f"{path} has no goal layer (a VPT file): {', '.join(kept)} start from random weights"
    elif new_embedding and any(
        name in theirs and theirs[name].shape != ours[name].shape for name in goal_names
    ):
        kept = goal_names
        told = f"{path} is for embeddings of another width: {', '.join(kept)} start anew from random weights"
    theirs = {name: tensor for name, tensor in theirs.items() if name not in kept}
    problems = _misfits(theirs, {name: tensor for name, tensor in ours.items() if name not in kept})
    if problems:
        raise UserError(f"{path} does not fit the model; {problems}. Give the weights that belong to it")
    check_finite(theirs, path)
    module.load_state_dict(theirs, strict=False)
    if told:
        print(told)
    return kept


def _part_of(names: Iterable[str]) -> str:
    """Which part of the hub's form a module with these names is."""
    return "prior" if {name.partition(".")[0] for name in names} == {"encoder", "decoder"} else "policy"


def _check_prefixes(theirs: Iterable[str], ours: Iterable[str], path: object) -> None:
    """Refuse a file whose tensors stand under prefixes that the model has not, before anything else is said of it."""
    known = [f"{name.partition('.')[0]}{'.' if '.' in name else ''}" for name in ours]
    foreign = hub.foreign_prefixes((name for name in theirs if "." in name), known)
    if foreign:
        raise UserError(f"{path} does not fit the model: {foreign}. Give the weights that belong to it")


def check_finite(
    tensors: Any, source: object, remedy: str = "take a file from before they went wrong, or fetch it again"
) -> None:
    """Raise :class:`~steve1.cli.UserError` naming the tensors that hold NaN or inf; ``source`` is their file.

    ``tensors``: a tensor, or mappings and sequences of them however deep; what else is among them is passed over.
    """
    bad = [name for name, tensor in _tensors_in(tensors) if not _is_finite(tensor)]
    if bad:
        raise UserError(f"{source} holds NaN or inf in {len(bad)} of its tensors ({_some(bad)}); {remedy}")


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # Either is NaN where any number is; isfinite() of all numbers takes some twenty times as long.
    return bool(torch.stack(torch.aminmax(tensor.detach())).isfinite().all())


def _tensors_in(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
        return
    parts: Any = ()
    if isinstance(tree, Mapping):
        parts = tree.items()
    elif isinstance(tree, (list, tuple)):
        parts = enumerate(tree)
    for key, part in parts:
        yield from _tensors_in(part, f"{name}.{key}" if name else str(key))


class Snapshot:
    """A module's tensors as they are at this moment: copied to the CPU, named without wrappers' prefixes.

    Nothing that becomes of the module later reaches them, so that another thread may save them.
    """

    def __init__(self, source: nn.Module | Mapping[str, Tensor]) -> None:
        self.state = _cpu_state(source)

    @functools.cached_property
    def tensors_hash(self) -> str:
        """As :func:`tensors_hash`; computed when it is first asked for, and once."""
        return tensors_hash(self.state)


def save_weights(
    module: nn.Module | Mapping[str, Tensor] | Snapshot,
    path: str | os.PathLike,
    metadata: dict | None = None,
) -> None:
    """Save a plain state dict (CPU, names without wrappers' prefixes) and the JSON beside it.

    The JSON (:func:`metadata_path`) holds ``metadata``, the versions and the tensors' hash. Both files are
    written whole before either takes its place; a kill in between leaves weights without a JSON, never
    weights beside the JSON of others.
    """
    snapshot = module if isinstance(module, Snapshot) else Snapshot(module)
    _save(path, snapshot.state, snapshot, metadata)


def metadata_path(path: str | os.PathLike) -> Path:
    """The JSON beside a weights file: ``OUT.weights`` -> ``OUT.json``.

    Raises :class:`~steve1.cli.UserError` when that name is taken by a JSON that does not describe weights
    (such as the model file): call it before training, not after.
    """
    beside = _beside(path)
    if beside.exists():
        try:
            ours = "tensors_hash" in json.loads(beside.read_text(encoding="utf-8"))
        except (ValueError, TypeError):
            ours = False
        if not ours:
            raise UserError(
                f"{beside} would be overwritten by the description of {path}; give the weights another name"
            )
    return beside


def read_metadata(path: str | os.PathLike, part: str = "policy") -> dict:
    """What :func:`save_weights` noted beside the weights file ``path``; ``{}`` when there is nothing.

    Of a place in the hub's form, what is noted there of its ``part``.
    """
    if hub.is_hub(path):
        return dict(hub.read_notes(hub.folder_of(path)).get(part, {}))
    try:
        metadata = read_object(_beside(path))
    except FileNotFoundError:
        return {}
    return metadata if "tensors_hash" in metadata else {}


def tensors_hash(source: nn.Module | Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over the sorted names, dtypes, shapes and bytes, whatever file they are kept in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_plain_names(_state(source), "the state dict").items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_mineclip(path: str | os.PathLike, config: Mapping | str | os.PathLike | None = None) -> MineCLIP:
    """Load a MineCLIP, in eval mode: the published ``attn.pth``, a file of :func:`save_mineclip`, or the hub's form.

    ``config`` is a dict (keys of ``steve1.config.MINECLIP_CONFIG``) or a path to one in JSON; None means the
    JSON beside the weights, or else the published sizes. Of tensors that the published file holds under
    several names one copy is read; the parts of MineCLIP's reward head are left out.
    """
    from steve1.mineclip import MineCLIP

    named: dict[str, Tensor] = {}
    for name, tensor in read_state_dict(path, "mineclip").items():
        plain = _mineclip_name(name)
        if plain is not None:
            named.setdefault(plain, tensor)
    chosen, origin = _mineclip_config(path, config)
    # Shapes alone: no random weights are drawn, which would take longer than all the rest.
    with torch.device("meta"):
        mineclip = MineCLIP(chosen)
    problems = _misfits(named, mineclip.state_dict())
    if problems:
        raise UserError(
            f"{path} does not fit {origin}; {problems}. Give the configuration that belongs to it"
        )
    check_finite(named, path)
    # The file's own (mapped) memory, not a copy beside it: half the memory while loading.
    mineclip.load_state_dict({name: tensor.float() for name, tensor in named.items()}, assign=True)
    return mineclip.eval()


def save_mineclip(mineclip: MineCLIP, path: str | os.PathLike, metadata: dict | None = None) -> None:
    """Save a MineCLIP in the published file's layout, with a JSON beside it that holds its ``config``."""
    snapshot = Snapshot(mineclip)
    layout = {"state_dict": {f"model.{name}": tensor for name, tensor in snapshot.state.items()}}
    _save(path, layout, snapshot, {**(metadata or {}), "config": dict(mineclip.config)})


def _save(path: str | os.PathLike, content: Any, snapshot: Snapshot, metadata: dict | None) -> None:
    path, beside = Path(path), metadata_path(path)
    note = {
        **(metadata or {}),
        "tensors_hash": snapshot.tensors_hash,
        "versions": {
            "steve1": version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    remove_partials(path)
    remove_partials(beside)
    with whole_file(beside) as partial_json:
        partial_json.write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        # Before the renames the old JSON goes: it is about the old weights.
        forget = functools.partial(beside.unlink, missing_ok=True)
        with whole_file(path, before=forget) as partial, open(partial, "wb") as file:
            torch.save(content, file)


def _beside(path: str | os.PathLike) -> Path:
    path = Path(path)
    return path.with_suffix(".json") if path.suffix in _WEIGHT_SUFFIXES else Path(f"{path}.json")


def _mineclip_config(path: str | os.PathLike, config: Mapping | str | os.PathLike | None) -> tuple[dict, str]:
    """The configuration to build, and words for where it is from."""
    if isinstance(config, Mapping):
        return dict(config), "the configuration given"
    if config is not None:
        content, origin = read_object(config), f"the configuration {config}"
        return dict(content.get("config", content)), origin
    if hub.is_hub(path):
        noted = read_metadata(path, "mineclip").get("config")
        return (
            (dict(noted), f"the configuration in {hub.OURS}")
            if noted
            else (dict(MINECLIP_CONFIG), "the published MineCLIP")
        )
    if _beside(path).exists():
        content = read_object(_beside(path))
        content = content.get("config", content)
        if isinstance(content, dict) and "vision_width" in content:
            return content, f"the configuration in {_beside(path)}"
    return dict(MINECLIP_CONFIG), "the published MineCLIP (no JSON with a config stands beside it)"


_MINECLIP_COPIES = {
    "clip_model.vision_model.": "image_encoder.",
    "clip_model.text_model.": "text_model.",
}
_MINECLIP_UNUSED = ("video_adapter.", "video_residual_weight", "clip_model.logit_scale", "logit_scale")


def _mineclip_name(name: str) -> str | None:
    """A published tensor's name in our MineCLIP, or None for the reward head's own tensors."""
    name = name.removeprefix("model.").removeprefix("reward_head.")
    if name.startswith(_MINECLIP_UNUSED):
        return None
    for theirs, ours in _MINECLIP_COPIES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _state(source: nn.Module | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return source.state_dict() if isinstance(source, nn.Module) else source


def _cpu_state(source: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = _plain_names(_state(source), "the state dict")
    # A copy of its own for each: a view would drag its whole storage into the file.
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in named.items()
    }


def _plain_names(state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Names without what wrappers put before them: DDP, torch.compile, and the published training code."""
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        plain = name.replace("_orig_mod.", "").removeprefix("module.").removeprefix("policy.")
        if plain in named:
            raise UserError(f"{origin} holds {plain} twice, under different prefixes; keep one of the two")
        named[plain] = tensor
    return named


def _misfits(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """What keeps the tensors of a file from fitting a module's; the empty string when they fit."""
    reshaped = [
        f"{name} (file {list(theirs[name].shape)}, model {list(ours[name].shape)})"
        for name in ours
        if name in theirs and theirs[name].shape != ours[name].shape
    ]
    groups = {
        "missing": [name for name in ours if name not in theirs],
        "unexpected": [name for name in theirs if name not in ours],
        "of another shape": reshaped,
    }
    return "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in groups.items() if names)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
