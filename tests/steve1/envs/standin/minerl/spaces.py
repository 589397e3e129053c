"""MineRL's spaces as ``tests/vectors/minerl_spaces.json`` records them, long ones filled up with made-up names."""

import json
import os
from pathlib import Path

import numpy as np

RECORD = json.loads((Path(__file__).parents[4] / "vectors" / "minerl_spaces.json").read_text())
HELD = ("dirt", "oak_log", "wheat_seeds", "grass", "tall_grass", "stone", "air")


class Dict:
    def __init__(self, spaces):
        self.spaces = spaces


class Box:
    def __init__(self, low, high, shape, dtype):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        kind = np.iinfo(self.dtype) if self.dtype.kind in "iu" else None
        if kind is not None:
            low, high = max(int(low), kind.min), min(int(high), kind.max)
        self.low, self.high = np.full(shape, low, self.dtype), np.full(shape, high, self.dtype)


class Discrete:
    shape = ()

    def __init__(self, n):
        self.n = n


class Enum(Discrete):
    def __init__(self, values):
        super().__init__(len(values))
        self.values = np.array(values)


def names(number, some):
    """``number`` names, the given ones among them."""
    known = [*some, *(name for name in HELD if name not in some)][: max(number, 1)]
    return sorted([*known, *(f"thing_{i}" for i in range(number - len(known)))][:number])


def build(told):
    if told["type"] == "Dict" and "n_keys" in told:
        return Dict(dict.fromkeys(names(told["n_keys"], told["some_keys"]), build(told["each"])))
    if told["type"] == "Dict":
        return Dict({key: build(part) for key, part in told["keys"].items()})
    if told["type"] == "Enum":
        return Enum(names(told["n"], []))
    if told["type"] == "Discrete":
        return Discrete(told["n"])
    return Box(told["low"], told["high"], told["shape"], told["dtype"])


def nothing(space):
    """The observation of a player who has nothing and stands at 0, 0."""
    if isinstance(space, Dict):
        return {key: nothing(part) for key, part in space.spaces.items()}
    if isinstance(space, Enum):
        return "air"
    return np.zeros(space.shape, space.dtype)


def folder():
    return Path(os.environ["STANDIN_FOLDER"])
