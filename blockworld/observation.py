"""What a BlockWorld tells of itself each tick, in MineRL's keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from blockworld import spaces
from blockworld.hands import Hands
from blockworld.inventory import OFFHAND, Inventory, Stack
from blockworld.light import FULL_LIGHT
from blockworld.physics import Player
from blockworld.world import SEA_LEVEL, World

FULL_AIR = 300
_USES = {"wooden": 59, "stone": 131}  # of a tool of this material, until it would break


def breathe(air: int, head_in_water: bool) -> int:
    """The air left after a tick: it goes in 15 seconds and comes back four times as fast, as in Minecraft."""
    return max(air - 1, 0) if head_in_water else min(air + 4, FULL_AIR)


def observe(
    world: World, player: Player, inventory: Inventory, hands: Hands, air: int, pov: np.ndarray
) -> dict[str, Any]:
    """An observation in ``spaces.observation_space()``: numpy numbers in MineRL's types.

    - ``pov``: the picture. ``inventory``: of each item all that the player has, the other hand, the cursor's stack
      and the crafting grid included; ``air`` is always 0.
    - Counters since the reset: ``mine_block``, ``pickup`` (blocks broken by hand too, as these go straight into the
      inventory), ``use_item`` (blocks placed), ``drop`` (items thrown away), ``craft_item``.
    - ``equipped_items``: ``mainhand`` and ``offhand``; there is no armour, so the others are always air. ``damage`` is
      always 0, since tools do not wear; ``maxDamage`` is Minecraft's.
    - ``life_stats``: only ``air`` changes, and nobody drowns: nothing hurts, nobody gets hungry or earns anything.
    - ``location_stats``: place and view; ``light_level``, ``sky_light_level`` and ``can_see_sky`` where the eye is.
      Always the same, for one clear noon on plains: ``biome_id``, ``biome_rainfall``, ``biome_temperature``,
      ``is_raining``, ``sun_brightness``, ``sea_level``.
    - Always 0: ``damage_dealt`` (there is nobody to hit) and ``break_item``.
    """
    counts = inventory.counts()
    return {
        "break_item": _counters({}, spaces.ITEMS),
        "craft_item": _counters(inventory.crafted, spaces.ITEMS),
        "damage_dealt": {"damage_dealt": np.array(0)},
        "drop": _counters(hands.dropped, spaces.ITEMS),
        "equipped_items": {
            place: _equipped(
                inventory.slots[inventory.selected]
                if place == "mainhand"
                else inventory.slots[OFFHAND]
                if place == "offhand"
                else None
            )
            for place in spaces.EQUIPMENT
        },
        "inventory": {item: np.array(counts[item], np.int32) for item in spaces.ITEMS},
        "life_stats": {
            "air": np.array(air),
            "food": np.array(20),
            "is_alive": np.array(True),
            "life": np.array(20.0),
            "saturation": np.array(5.0),
            "score": np.array(0),
            "xp": np.array(0),
        },
        "location_stats": _location(world, player),
        "mine_block": _counters(hands.broken, spaces.MINED_BLOCKS),
        "pickup": _counters(hands.picked, spaces.ITEMS),
        "pov": pov,
        "use_item": _counters(hands.used, spaces.ITEMS),
    }


def _counters(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, np.ndarray]:
    return {name: np.array(counts.get(name, 0)) for name in names}


def _equipped(stack: Stack | None) -> dict[str, Any]:
    item = stack[0] if stack else "air"
    material, _, tool = item.partition("_")
    uses = _USES.get(material, 0) if tool in ("axe", "pickaxe", "shovel", "sword") else 0
    return {"damage": np.array(0), "maxDamage": np.array(uses), "type": item}


def _location(world: World, player: Player) -> dict[str, np.ndarray]:
    light = world.light_at(*(math.floor(value) for value in player.eye))
    return {
        "biome_id": np.array(1),
        "biome_rainfall": np.array(0.4, np.float32),
        "biome_temperature": np.array(0.8, np.float32),
        "can_see_sky": np.array(int(light == FULL_LIGHT)),
        "is_raining": np.array(0),
        "light_level": np.array(light),
        "pitch": np.array(player.pitch),
        "sea_level": np.array(SEA_LEVEL),
        "sky_light_level": np.array(light / FULL_LIGHT),
        "sun_brightness": np.array(1.0),
        "xpos": np.array(player.x),
        "yaw": np.array(player.yaw),
        "ypos": np.array(player.y),
        "zpos": np.array(player.z),
    }
