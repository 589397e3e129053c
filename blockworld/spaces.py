"""MineRL 1.0's action and observation spaces, as gym spaces (HumanSurvival, 640x360).

``inventory`` and the counters list the items and blocks that BlockWorld knows, out of MineRL's 976 and 763; every
key's shape and type are MineRL's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from blockworld.drawing.screens import HEIGHT, WIDTH

with contextlib.suppress(ImportError):
    # gym 0.26 prints that it is unmaintained at every import; we know, MineRL speaks gym.
    from gym_notices.notices import notices as _notices  # type: ignore[import-untyped]

    _notices.clear()
import gym
from gym import spaces

BUTTONS = [
    "ESC",
    "attack",
    "back",
    "drop",
    "forward",
    "hotbar.1",
    "hotbar.2",
    "hotbar.3",
    "hotbar.4",
    "hotbar.5",
    "hotbar.6",
    "hotbar.7",
    "hotbar.8",
    "hotbar.9",
    "inventory",
    "jump",
    "left",
    "pickItem",
    "right",
    "sneak",
    "sprint",
    "swapHands",
    "use",
]
CAMERA_LIMIT = 180.0

ITEMS = [
    "air",
    "apple",
    "birch_log",
    "birch_planks",
    "bone",
    "bread",
    "coal",
    "cobblestone",
    "crafting_table",
    "dandelion",
    "diamond",
    "dirt",
    "gravel",
    "iron_ingot",
    "oak_leaves",
    "oak_log",
    "oak_planks",
    "oak_sapling",
    "poppy",
    "sand",
    "stick",
    "stone",
    "stone_axe",
    "stone_pickaxe",
    "torch",
    "wheat",
    "wheat_seeds",
    "wooden_axe",
    "wooden_pickaxe",
    "wooden_shovel",
    "wooden_sword",
]
MINED_BLOCKS = [
    "birch_leaves",
    "birch_log",
    "birch_planks",
    "cobblestone",
    "dandelion",
    "dirt",
    "grass",
    "grass_block",
    "oak_leaves",
    "oak_log",
    "oak_planks",
    "oak_sapling",
    "poppy",
    "sand",
    "stone",
]
EQUIPMENT = ("chest", "feet", "head", "legs", "mainhand", "offhand")
_COUNT_MAX = int(np.iinfo(np.int64).max)


class Enum(gym.Space):
    """One of a list of strings: the space of MineRL's ``equipped_items.*.type``."""

    def __init__(self, *values: str) -> None:
        super().__init__(shape=(), dtype=None)
        self.values = tuple(values)

    def contains(self, x: Any) -> bool:
        return str(x) in self.values

    def sample(self, mask: Any = None) -> str:
        return self.values[int(self.np_random.integers(len(self.values)))]

    def __repr__(self) -> str:
        return f"Enum({len(self.values)} values)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Enum) and other.values == self.values


def _scalar(low: float, high: float, dtype: Any) -> spaces.Box:
    return spaces.Box(low=low, high=high, shape=(), dtype=dtype)


def _counters(names: Iterable[str]) -> spaces.Dict:
    return spaces.Dict({name: _scalar(0, _COUNT_MAX, np.int64) for name in names})


def action_space() -> spaces.Dict:
    """23 keys, each 0 or 1, and ``camera``: degrees [pitch, yaw], float32 [2] within +-180."""
    keys: dict[str, gym.Space] = {name: spaces.Discrete(2) for name in BUTTONS}
    keys["camera"] = spaces.Box(-CAMERA_LIMIT, CAMERA_LIMIT, (2,), np.float32)
    return spaces.Dict(dict(sorted(keys.items())))


def noop_action() -> dict[str, Any]:
    """The action that does nothing, with every key present."""
    action: dict[str, Any] = dict.fromkeys(BUTTONS, 0)
    action["camera"] = np.zeros(2, np.float32)
    return action


def checked_action(action: Mapping[str, Any]) -> tuple[dict[str, int], float, float]:
    """The action's 23 keys as 0 or 1, those left out 0, and the camera's pitch and yaw in degrees.

    Raises ValueError for what is outside of :func:`action_space`.
    """
    if not isinstance(action, Mapping):
        raise ValueError(f"an action is a dict of MineRL's keys, not {type(action).__name__}")
    unknown = sorted(set(action) - {*BUTTONS, "camera"})
    if unknown:
        raise ValueError(f"the action has keys that MineRL does not: {', '.join(map(str, unknown))}")
    keys = {}
    for name in BUTTONS:
        value = action.get(name, 0)
        if not (isinstance(value, int) and 0 <= value <= 1):
            array = np.asarray(value)
            if array.size != 1 or array.dtype.kind not in "biuf" or array.item() not in (0, 1):
                raise ValueError(f"the action's {name!r} is {value!r}; it must be 0 or 1")
            value = array.item()
        keys[name] = int(value)
    try:
        camera = np.asarray(action.get("camera", (0.0, 0.0)), dtype=np.float64)
    except (TypeError, ValueError):
        camera = np.empty(0)
    if camera.shape != (2,) or not (abs(camera) <= CAMERA_LIMIT).all():
        raise ValueError(
            f"the action's 'camera' is {action['camera']!r}; it must be two angles [pitch, yaw] in -180..180 degrees"
        )
    return keys, float(camera[0]), float(camera[1])


def observation_space() -> spaces.Dict:
    """What BlockWorld observes, a part of MineRL's observation space with the same keys, shapes and types.

    Left out: ``kill_entity`` and ``entity_killed_by``, as nobody else lives there, and ``full_stats``, of whose 1,233
    keys MineRL's record does not tell what they count.
    """
    equipped = spaces.Dict(
        {
            "damage": _scalar(-1, 1562, np.int64),
            "maxDamage": _scalar(-1, 1562, np.int64),
            "type": Enum(*ITEMS),
        }
    )
    return spaces.Dict(
        {
            "break_item": _counters(ITEMS),
            "craft_item": _counters(ITEMS),
            "damage_dealt": _counters(["damage_dealt"]),
            "drop": _counters(ITEMS),
            "equipped_items": spaces.Dict({place: equipped for place in EQUIPMENT}),
            "inventory": spaces.Dict({item: _scalar(0, 2304, np.int32) for item in ITEMS}),
            "life_stats": spaces.Dict(
                {
                    "air": _scalar(0, 300, np.int64),
                    "food": _scalar(0, 20, np.int64),
                    "is_alive": _scalar(0, 1, np.bool_),
                    "life": _scalar(0, 20, np.float64),
                    "saturation": _scalar(0, 20, np.float64),
                    "score": _scalar(0, 8388607, np.int64),
                    "xp": _scalar(0, 1395, np.int64),
                }
            ),
            "location_stats": spaces.Dict(
                {
                    "biome_id": _scalar(0, 167, np.int64),
                    "biome_rainfall": _scalar(0, 1, np.float32),
                    "biome_temperature": _scalar(0, 1, np.float32),
                    "can_see_sky": _scalar(0, 1, np.int64),
                    "is_raining": _scalar(0, 1, np.int64),
                    "light_level": _scalar(0, 15, np.int64),
                    "pitch": _scalar(-180, 180, np.float64),
                    "sea_level": _scalar(0, 255, np.int64),
                    "sky_light_level": _scalar(0, 1, np.float64),
                    "sun_brightness": _scalar(0, 1, np.float64),
                    "xpos": _scalar(-640000, 640000, np.float64),
                    "yaw": _scalar(-180, 180, np.float64),
                    "ypos": _scalar(-640000, 640000, np.float64),
                    "zpos": _scalar(-640000, 640000, np.float64),
                }
            ),
            "mine_block": _counters(MINED_BLOCKS),
            "pickup": _counters(ITEMS),
            "pov": spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
            "use_item": _counters(ITEMS),
        }
    )
