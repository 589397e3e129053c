"""MineStudio's actions and observations as MineRL 1.0's: what is named otherwise, counted otherwise, or not there.

``minestudio_spaces.json`` recorded the spaces of MineStudio's Python side, long dictionaries abridged to their number
of keys, what each is, and some of their names; ``monitor_space`` is what comes in the info.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steve1.envs.spaces import action_space, gym, space

RECORD: dict[str, Any] = json.loads(Path(__file__).with_name("minestudio_spaces.json").read_text())
# MineRL's keys that MineStudio's action space lacks: they do nothing there.
WITHOUT_EFFECT = tuple(sorted(set(action_space().spaces) - set(RECORD["action_space"]["keys"])))
_PLACE = {"x": "xpos", "y": "ypos", "z": "zpos", "pitch": "pitch", "yaw": "yaw"}
_LIFE = {"life": "health", "food": "food_level"}
_SLOTS_LIMIT = 2304  # of one item in all slots, as in MineRL
_NAMESPACE = "minecraft:"


def observation_space(told: Mapping[str, Any]) -> gym.spaces.Dict:
    """MineRL's observation space, as far as MineStudio offers it. ``told``: what its worker describes.

    Without ``drop``, ``entity_killed_by``, ``full_stats`` and, of ``life_stats``, all but life, food and is_alive;
    with MineStudio's ``custom`` statistics besides.
    """
    keys = dict(told["keys"])
    items = items_of(told)
    count = {"type": "Box", "shape": [], "low": 0.0, "high": float(_SLOTS_LIMIT), "dtype": "int32"}
    keys["inventory"] = {"type": "Dict", "keys": dict.fromkeys(items, count)}
    keys["location_stats"] = RECORD["monitor_space"]["keys"]["location_stats"]
    keys["life_stats"] = {
        "type": "Dict",
        "keys": {
            "food": {"type": "Box", "shape": [], "low": 0.0, "high": 20.0, "dtype": "int64"},
            "is_alive": {"type": "Box", "shape": [], "low": 0.0, "high": 1.0, "dtype": "bool"},
            "life": {"type": "Box", "shape": [], "low": 0.0, "high": 20.0, "dtype": "float64"},
        },
    }
    return space({"type": "Dict", "keys": dict(sorted(keys.items()))})


def items_of(told: Mapping[str, Any]) -> list[str]:
    """The names of all items, of a described observation space."""
    return list(told["keys"]["equipped_items"]["keys"]["mainhand"]["keys"]["type"]["values"])


class Observations:
    """Makes MineRL's observations of MineStudio's. ``spaces``: what :func:`observation_space` gives.

    What has not changed since the observation before is shared with it; both may be kept.
    """

    def __init__(self, spaces: gym.spaces.Dict) -> None:
        self._spaces = spaces.spaces
        self._zeros = {
            name: {key: np.zeros((), part.dtype) for key, part in group.spaces.items()}
            for name, group in self._spaces.items()
            if isinstance(group, gym.spaces.Dict) and name not in ("equipped_items", "life_stats")
        }
        self._seen: dict[str, tuple[Any, Any]] = {}

    def of(self, obs: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
        """The observation of what MineStudio's step returned."""
        found = {"pov": obs["pov"]}
        for name in self._spaces:
            if name == "inventory":
                found[name] = self._once(name, obs[name], self._counts)
            elif name == "location_stats":
                found[name] = self._place(obs["player_pos"], info.get(name, {}))
            elif name == "life_stats":
                if "health" in info:
                    found[name] = self._life(info)
            elif name in self._zeros:
                found[name] = self._once(
                    name, obs.get(name, {}), lambda told, name=name: self._stats(name, told)
                )
            elif name not in found:
                found[name] = obs[name]
        return found

    def _once(self, name: str, told: Any, make: Any) -> Any:
        """``make(told)``, or what it made before of the very same."""
        if name not in self._seen or self._seen[name][0] is not told:
            self._seen[name] = (told, make(told))
        return self._seen[name][1]

    def _counts(self, slots: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any]:
        """Counts by item, of slots; those of air are counted, as MineRL does."""
        counts: dict[str, int] = {}
        for slot in slots.values():
            item = str(slot["type"]).removeprefix(_NAMESPACE)
            counts[item] = counts.get(item, 0) + (1 if item == "air" else int(slot["quantity"]))
        return self._filled("inventory", counts)

    def _stats(self, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
        return self._filled(name, {str(key).removeprefix(_NAMESPACE): told[key] for key in told})

    def _filled(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """All keys of a group: those that are known, and zeros."""
        zeros = self._zeros[name]
        return {**zeros, **{key: np.array(known[key], zeros[key].dtype) for key in known if key in zeros}}

    def _place(self, position: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        where = {_PLACE[key]: value for key, value in position.items() if key in _PLACE}
        return self._filled("location_stats", {**told, **where})

    def _life(self, info: Mapping[str, Any]) -> dict[str, Any]:
        spaces = self._spaces["life_stats"].spaces
        found = {name: np.array(info.get(key, 0), spaces[name].dtype) for name, key in _LIFE.items()}
        return {**found, "is_alive": np.array(float(info["health"]) > 0)}
