"""The spaces of every world: MineRL 1.0's, as BlockWorld makes them to the letter and as a worker tells of them.

A worker sends them as JSON, and ``minerl_spaces.json`` recorded MineRL's so; the record
abridges MineRL's long dictionaries to their number of keys, what each is, and some of their names.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from blockworld.spaces import Enum, action_space, checked_action, gym, noop_action, observation_space

__all__ = [
    "action_space",
    "checked_action",
    "differences",
    "gym",
    "noop_action",
    "observation_space",
    "space",
]


def space(told: dict[str, Any]) -> gym.Space:
    """The gym space that a worker tells of. Boxes that are alike are one, for there are 9,000 of few kinds."""
    if told["type"] == "Dict":
        return gym.spaces.Dict({key: space(part) for key, part in told["keys"].items()})
    if told["type"] == "Enum":
        return Enum(*told["values"])
    if told["type"] == "Discrete":
        return gym.spaces.Discrete(told["n"])
    return _box(told["low"], told["high"], tuple(told["shape"]), told["dtype"])


@functools.cache
def _box(low: float, high: float, shape: tuple[int, ...], dtype: str) -> gym.spaces.Box:
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        # JSON carries bounds as floats, and that of int64 lies above int64.
        low, high = max(int(low), np.iinfo(kind).min), min(int(high), np.iinfo(kind).max)
    return gym.spaces.Box(low, high, shape, kind.type)


def differences(recorded: dict[str, Any], found: dict[str, Any], name: str) -> list[str]:
    """By what a space differs from the record, a clause each; ``name`` is what to call it."""
    if recorded["type"] != found["type"]:
        return [f"{name} is {found['type']}, not {recorded['type']}"]
    if recorded["type"] == "Enum":
        number = len(found["values"])
        return [] if number == recorded["n"] else [f"{name} has {number} values, not {recorded['n']}"]
    if recorded["type"] != "Dict":
        return [
            f"{name}'s {key} is {found.get(key)}, not {value}"
            for key, value in recorded.items()
            if found.get(key) != value
        ]
    keys = found["keys"]
    if "n_keys" in recorded:
        wanted = dict.fromkeys(recorded["some_keys"])
        problems = (
            [f"{name} has {len(keys)} keys, not {recorded['n_keys']}"]
            if len(keys) != recorded["n_keys"]
            else []
        )
        parts = {key: recorded["each"] for key in keys}
    else:
        wanted, problems, parts = recorded["keys"], [], recorded["keys"]
        extra = sorted(set(keys) - set(wanted))
        if extra:
            problems.append(f"{name} has {', '.join(extra)} beyond it")
    missing = sorted(set(wanted) - set(keys))
    if missing:
        problems.append(f"{name} lacks {', '.join(missing)}")
    for key, part in parts.items():
        if key in keys:
            problems += differences(part, keys[key], f"{name}.{key}")
    return problems
