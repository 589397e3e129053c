"""What an episode is measured by, from its observations, actions and infos alone: in MineRL as in BlockWorld.

The published measures (STEVE-1's ``run_agent/programmatic_eval.py``) are the most ever held at one time of items
whose names contain ``_log``, ``dirt`` or ``seed``, and the farthest horizontal distance from the start. A measure whose
source a world does not offer is None there, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steve1.playing.digging import Digging

UP_PITCH, DOWN_PITCH = -30.0, 45.0  # degrees; Minecraft's pitch is 90 straight down
FULL_AIR = 300
# The published counts' filters: the part of an item's name that makes it count.
PUBLISHED_ITEMS = {"logs_held": "_log", "dirt_held": "dirt", "seeds_held": "seed"}

_GROUND = ("dirt", "grass_block", "coarse_dirt", "podzol", "sand", "red_sand", "gravel", "clay")
_STONE = ("stone", "cobblestone", "andesite", "diorite", "granite", "sandstone")
_GRASS = ("grass", "tall_grass", "fern", "large_fern")
_FLOWERS = ("dandelion", "poppy", "cornflower", "azure_bluet", "oxeye_daisy", "allium", "blue_orchid")


RANGES: dict[str, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "degrees": (-90.0, 90.0),
    "cosine": (-1.0, 1.0),
}


@dataclass(frozen=True)
class Measure:
    """One figure of an episode. ``better``: "more", "less", or "" where neither is."""

    unit: str
    better: str
    about: str
    published: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that there can be; counts and distances have no greatest."""
        return RANGES.get(self.unit, (0.0, math.inf))


MEASURES: dict[str, Measure] = {
    "logs_held": Measure("logs", "more", "most items with “_log” in their name ever held at once", True),
    "dirt_held": Measure("blocks", "more", "most items with “dirt” in their name ever held at once", True),
    "seeds_held": Measure("seeds", "more", "most items with “seed” in their name ever held at once", True),
    "travel_distance": Measure("blocks", "more", "farthest horizontal distance from the start", True),
    "mean_pitch": Measure("degrees", "", "mean of the pitch; -90 is straight up, 90 straight down"),
    "looking_up": Measure("share", "more", f"frames with a pitch below {UP_PITCH:g} degrees"),
    "looking_down": Measure("share", "more", f"frames with a pitch above {DOWN_PITCH:g} degrees"),
    "depth_dug": Measure("blocks", "more", "descent through ground that was broken for it, falls apart"),
    "descent": Measure("blocks", "", "how far below the start's height the feet came, on whatever way"),
    "ground_mined": Measure("blocks", "more", "dirt, grass blocks, sand, gravel and stone broken"),
    "logs_mined": Measure("logs", "more", "logs broken"),
    "leaves_mined": Measure("blocks", "more", "leaves broken"),
    "grass_broken": Measure("plants", "more", "tall grass and ferns broken (seeds drop one time in eight)"),
    "flowers_broken": Measure("plants", "more", "flowers broken"),
    "log_hits": Measure("ticks", "more", "ticks of a held attack on a log (from the info)"),
    "inventory_open": Measure("share", "more", "frames with the inventory open"),
    "in_water": Measure("share", "more", "frames with the feet in water (from the info)"),
    "underwater": Measure("share", "more", "frames with the head under water"),
    "attacking": Measure("share", "", "frames with attack held"),
    "mineclip_score": Measure(
        "cosine", "more", "mean MineCLIP score along the way (steve1/playing/scoring.py)"
    ),
    "mineclip_best": Measure("cosine", "more", "highest MineCLIP score along the way"),
}

PUBLISHED_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.published)

# What a behaviour is judged by: the first of its measures that the world offers.
OWN_MEASURES: dict[str, tuple[str, ...]] = {
    "sky": ("looking_up",),
    "dig": ("depth_dug",),
    "dirt": ("dirt_held",),
    "tree": ("log_hits", "logs_mined"),
    "wood": ("log_hits", "logs_mined"),
    "leaves": ("leaves_mined",),
    "seeds": ("grass_broken",),
    "flower": ("flowers_broken",),
    "explore": ("travel_distance",),
    "swim": ("in_water", "underwater"),
    "underwater": ("underwater",),
    "inventory": ("inventory_open",),
}


class EpisodeMeasures:
    """Takes an episode in, step by step, and gives its figures.

    ``first_obs``: the observation that ``reset`` returned. Of the info are read, where they are there:
    ``isGuiOpen``, ``inWater`` (the feet are in water) and ``hitBlock`` (the name of the block that attack is
    being held on, or None). ``pitch``: the newest, degrees, or None where the world doesn't tell it. ``died``: the
    step at which the player was first seen dead, where the world tells it and it came to that. ``lost``: what became of
    a world that crashed or hung, for who plays to say; its episode has the figures up to there. ``cosines``: the
    episode's MineCLIP scores, for who plays to fill in.
    """

    def __init__(self, first_obs: Mapping[str, Any]) -> None:
        self.steps = 0
        self.pitch: float | None = None
        self.lost: str | None = None
        self.died: int | None = None
        self.cosines: Sequence[float] = ()
        self._first = first_obs
        self._most: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._mined: dict[str, float] = {}
        self._digging: Digging | None = None
        if "location_stats" in first_obs and "mine_block" in first_obs:
            self._digging = Digging(*_feet(first_obs["location_stats"]))
        self._hold(first_obs)

    def add(self, action: Mapping[str, Any], obs: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Take in a step: the action, and the observation and info that ``step`` returned for it."""
        self.steps += 1
        self._hold(obs)
        place = obs.get("location_stats")
        broken = self._mine(obs["mine_block"]) if "mine_block" in obs else 0
        if place is not None:
            self._move(place)
            if self._digging is not None:
                self._digging.add(*_feet(place), broken)
            self.pitch = pitch = float(place["pitch"])
            self._count("mean_pitch", pitch)
            self._count("looking_up", pitch < UP_PITCH)
            self._count("looking_down", pitch > DOWN_PITCH)
        life = obs.get("life_stats", {})
        if "air" in life:
            self._count("underwater", float(life["air"]) < FULL_AIR)
        born = self._first.get("life_stats", {}).get("is_alive", True)
        if self.died is None and born and not life.get("is_alive", True):
            self.died = self.steps
        attack = bool(action["attack"])
        self._count("attacking", attack)
        if "isGuiOpen" in info:
            self._count("inventory_open", bool(info["isGuiOpen"]))
        if "inWater" in info:
            self._count("in_water", bool(info["inWater"]))
        if "hitBlock" in info:
            self._count("log_hits", attack and is_log(info["hitBlock"] or ""))

    def result(self) -> dict[str, float | None]:
        """All of :data:`MEASURES`, in order; None for what this world does not offer, or before the first step."""
        figures: dict[str, float] = {**self._most, **self._mined}
        if self._digging is not None:
            figures["depth_dug"] = self._digging.depth
        for name, total in self._sums.items():
            figures[name] = total if name == "log_hits" else total / self.steps
        if self.cosines:
            figures["mineclip_score"] = math.fsum(self.cosines) / len(self.cosines)
            figures["mineclip_best"] = max(self.cosines)
        return {name: figures.get(name) if self.steps else None for name in MEASURES}

    def _hold(self, obs: Mapping[str, Any]) -> None:
        held = obs.get("inventory")
        if held is not None:
            for measure, part in PUBLISHED_ITEMS.items():
                self._raise(measure, sum(int(count) for item, count in held.items() if part in item))

    def _move(self, place: Mapping[str, Any]) -> None:
        x, y, z = _feet(place)
        start_x, start_y, start_z = _feet(self._first["location_stats"])
        self._raise("travel_distance", math.hypot(x - start_x, z - start_z))
        self._raise("descent", start_y - y)

    def _mine(self, counters: Mapping[str, Any]) -> int:
        """Count what was broken since the episode's start; how many blocks of ground are new."""
        before = self._first.get("mine_block", {})  # the game counts from the world's beginning
        mined = dict.fromkeys(
            ("ground_mined", "logs_mined", "leaves_mined", "grass_broken", "flowers_broken"), 0.0
        )
        for block, count in counters.items():
            kind = _mined_as(block)
            if kind is not None:
                mined[kind] += int(count) - int(before.get(block, 0))
        new = mined["ground_mined"] - self._mined.get("ground_mined", 0.0)
        self._mined = mined
        return max(0, int(new))

    def _raise(self, name: str, value: float) -> None:
        self._most[name] = max(self._most.get(name, 0.0), float(value))

    def _count(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(value)


def own_measure(behaviour: str, figures: Mapping[str, float | None]) -> str | None:
    """The measure that ``behaviour`` is judged by, or None where it has none among ``figures`` that are known."""
    return next(
        (name for name in OWN_MEASURES.get(behaviour, ()) if figures.get(name) is not None),
        None,
    )


def is_log(name: str) -> bool:
    """Whether a block is a log (wood with its bark on counts; planks don't)."""
    return name.endswith(("_log", "_wood"))


def _feet(place: Mapping[str, Any]) -> tuple[float, float, float]:
    return float(place["xpos"]), float(place["ypos"]), float(place["zpos"])


def _mined_as(block: str) -> str | None:
    if is_log(block):
        return "logs_mined"
    if block.endswith("_leaves"):
        return "leaves_mined"
    if block in _GRASS:
        return "grass_broken"
    if block in _FLOWERS:
        return "flowers_broken"
    return "ground_mined" if block in _GROUND + _STONE else None
