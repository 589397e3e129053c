"""The environment: a tick of the game after MineRL 1.0's action, and what is seen after it.

Simple where Minecraft is not: what is broken goes straight into the inventory, sand does not fall, water does not
flow, nothing hurts, the time of day stands still; ``drop``, ``pickItem`` and ``swapHands`` are accepted and do nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from steve1.cursor import draw_cursor
from steve1.envs import spaces
from steve1.envs.blockworld import blocks as b
from steve1.envs.blockworld import physics, screens
from steve1.envs.blockworld.inventory import HOTBAR, Inventory
from steve1.envs.blockworld.physics import Hit, Player
from steve1.envs.blockworld.render import Renderer
from steve1.envs.blockworld.world import BUILD_LIMIT, SEA_LEVEL, World
from steve1.envs.spaces import gym

# The mouse counts in pixels of a 1280x720 window, as in the contractors' recordings; so many to a degree.
MOUSE_WIDTH, MOUSE_HEIGHT = 1280, 720
MOUSE_PER_DEGREE = 2400 / 360
BREAK_PAUSE = 5  # ticks between a broken block and the next, as in Minecraft
USE_PAUSE = 4  # ticks between two blocks placed while use is held
FULL_AIR = 300
_SWING = 6  # ticks of a stroke of the arm


class BlockWorldEnv(gym.Env):
    """A player in a BlockWorld, with MineRL 1.0's interface: 20 ticks a second, one action a tick.

    ``seed``: makes the world, the start and the drops; None takes a new one at every reset.
    ``render_height``: rows that rays are cast for, a divisor of 360; the picture is enlarged by whole pixels
    (120 casts 320x120 rays, each 2 pixels wide and 3 tall).
    ``items``: what the player starts with, ``{item: count}``.

    For players and counters, to be read: ``world``, ``player``, ``inventory``, ``target``, ``break_progress``,
    ``broken`` (blocks broken so far by name), ``gui_open``, ``mouse``, ``ticks``. The score is always 0 and
    an episode never ends by itself.
    """

    metadata = {"render.modes": ["rgb_array"], "render_modes": ["rgb_array"]}  # noqa: RUF012
    reward_range = (0.0, 0.0)

    def __init__(
        self, seed: int | None = None, render_height: int = 120, items: Mapping[str, int] | None = None
    ) -> None:
        if not 0 < render_height <= screens.HEIGHT or screens.HEIGHT % render_height:
            raise ValueError(
                f"render_height {render_height} does not divide {screens.HEIGHT}; take 180, 120 or 90"
            )
        self.action_space = spaces.action_space()
        self.observation_space = spaces.observation_space()
        self._seed = seed
        self._items = dict(items or {})
        # Whole pixels: as many times as wide as tall, or where the width can't be parted so, a little less.
        times = screens.HEIGHT // render_height
        while screens.WIDTH % times:
            times -= 1
        self._renderer = Renderer(screens.WIDTH // times, render_height)
        self._world: World | None = None

    # What MineRL's interface asks for

    def seed(self, seed: int | None = None) -> list[int | None]:
        """The world of the coming resets."""
        self._seed = seed
        return [seed]

    def reset(self) -> dict[str, Any]:
        """A new episode; with a seed always the same world from the same start. Returns the first observation."""
        seed = self._seed
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._world = World(int(seed))
        self._drops = np.random.default_rng([int(seed), 3])
        self.player = Player()
        self.player.x, self.player.y, self.player.z = self._world.spawn()
        self.player.yaw = float(np.random.default_rng([int(seed), 4]).uniform(-180, 180))
        self.player.on_ground = True
        self.inventory = Inventory()
        for item, count in self._items.items():
            self.inventory.add(item, count)
        self.ticks = 0
        self.gui_open = False
        self.mouse = (MOUSE_WIDTH / 2, MOUSE_HEIGHT / 2)
        self.broken: Counter[str] = Counter()
        self._picked: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._air = FULL_AIR
        self._dug: tuple[tuple[int, int, int], int] | None = None
        self._break_pause = self._use_pause = self._stroke = 0
        self._last: dict[str, int] = {}
        self._frame: np.ndarray | None = None
        return self.observe()

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """One tick. ``action``: MineRL's keys, those left out doing nothing.

        Returns (observation, 0.0, False, info); info says ``isGuiOpen``, ``isGuiInventory``, ``inWater``,
        ``hitBlock`` (the name of the block that is being broken, or None) and ``tick``.
        Raises ValueError for an action outside of the action space.
        """
        keys, pitch, yaw = spaces.checked_action(action)
        fresh = {key for key, down in keys.items() if down and not self._last.get(key)}
        self._last = keys
        screen = self.gui_open
        if screen:
            self._move_mouse(pitch, yaw)
            if "attack" in fresh:
                self._click()
        else:
            physics.turn(self.player, pitch, yaw)
            for slot in range(HOTBAR):
                if f"hotbar.{slot + 1}" in fresh:
                    self.inventory.selected = slot
        if "inventory" in fresh or (screen and "ESC" in fresh):
            self._toggle_inventory()
        self._attack(bool(keys["attack"]) and not screen and not self.gui_open)
        self._use(bool(keys["use"]) and not screen and not self.gui_open, "use" in fresh)
        walking = not self.gui_open
        physics.tick(
            self.player,
            self.world.blocks,
            (keys["forward"] - keys["back"]) * walking,
            (keys["left"] - keys["right"]) * walking,
            bool(keys["jump"] and walking),
            bool(keys["sneak"] and walking),
            bool(keys["sprint"] and walking),
        )
        self._air = max(self._air - 1, 0) if self.player.head_in_water else min(self._air + 4, FULL_AIR)
        self.ticks += 1
        self._frame = None
        info = {
            "isGuiOpen": self.gui_open,
            "isGuiInventory": self.gui_open,
            "inWater": bool(self.player.in_water),
            "hitBlock": b.BLOCKS[self.world.block_at(*self._dug[0])].name if self._dug else None,
            "tick": self.ticks,
        }
        return self.observe(), 0.0, False, info

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """The picture of the last observation, uint8 [360, 640, 3]."""
        return self.render_pov()

    def close(self) -> None:
        """Nothing is held open."""

    # For players, recorders and counters

    @property
    def world(self) -> World:
        """The world of this episode."""
        if self._world is None:
            raise ValueError("there is no world yet; call reset() first")
        return self._world

    @property
    def target(self) -> Hit | None:
        """The block under the cross-hair within 4.5 blocks, or None."""
        return physics.look(self.world.blocks, self.player.eye, self.player.yaw, self.player.pitch)

    @property
    def break_progress(self) -> float:
        """How much of the target is broken, 0 to 1."""
        if self._dug is None:
            return 0.0
        cell, ticks = self._dug
        return ticks / max(b.BLOCKS[self.world.block_at(*cell)].ticks, 1)

    def nearest_tree(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The lowest log of the nearest trunk, (x, y, z), or None."""
        cell = self.world.nearest(b.LOGS, self.player.eye, within)
        if cell is None:
            return None
        x, y, z = cell
        while self.world.block_at(x, y - 1, z) in b.LOGS:
            y -= 1
        return x, y, z

    def nearest_water(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The nearest cell of water, or None."""
        return self.world.nearest((b.WATER,), self.player.eye, within)

    def nearest_tall_grass(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The nearest cell of tall grass, or None."""
        return self.world.nearest((b.TALL_GRASS,), self.player.eye, within)

    def angles_to(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Yaw and pitch (degrees) that put the cross-hair on a point; a cell's middle is its corner + 0.5."""
        ex, ey, ez = self.player.eye
        dx, dy, dz = x - ex, y - ey, z - ez
        return math.degrees(math.atan2(-dx, dz)), math.degrees(-math.atan2(dy, math.hypot(dx, dz)))

    def set_view(self, yaw: float, pitch: float) -> None:
        """Turn the player's head at once, outside of any action."""
        self.player.yaw = self.player.pitch = 0.0
        physics.turn(self.player, pitch, yaw)
        self._frame = None

    def teleport(self, x: float, y: float, z: float) -> None:
        """Put the player's feet at a place, at rest, outside of any action."""
        player = self.player
        player.x, player.y, player.z = float(x), float(y), float(z)
        player.vx = player.vy = player.vz = 0.0
        player.on_ground = False
        self._frame = None

    def render_pov(self, cursor: bool = True) -> np.ndarray:
        """The picture as it is now, uint8 [360, 640, 3]; ``cursor`` False leaves the mouse out, as recordings do."""
        if self._frame is None:
            self._frame = self._draw()
        frame = self._frame.copy()
        if cursor and self.gui_open:
            x, y = self.mouse
            draw_cursor(frame, int(x * screens.HEIGHT / MOUSE_HEIGHT), int(y * screens.HEIGHT / MOUSE_HEIGHT))
        return frame

    def observe(self) -> dict[str, Any]:
        """The observation as it is now (after ``set_view`` or ``teleport``, for example)."""
        counts = self.inventory.counts()
        equipped = {
            place: {"damage": np.array(0), "maxDamage": np.array(0), "type": "air"}
            for place in spaces.EQUIPMENT
        }
        equipped["mainhand"]["type"] = self.inventory.in_hand or "air"
        return {
            "damage_dealt": {"damage_dealt": np.array(0)},
            "equipped_items": equipped,
            "inventory": {item: np.array(counts[item], np.int32) for item in spaces.ITEMS},
            "life_stats": {
                "air": np.array(self._air),
                "food": np.array(20),
                "is_alive": np.array(True),
                "life": np.array(20.0),
                "saturation": np.array(5.0),
                "score": np.array(0),
                "xp": np.array(0),
            },
            "location_stats": self._location(),
            "mine_block": {name: np.array(self.broken[name]) for name in spaces.MINED_BLOCKS},
            "pickup": {item: np.array(self._picked[item]) for item in spaces.ITEMS},
            "pov": self.render_pov(),
            "use_item": {item: np.array(self._used[item]) for item in spaces.ITEMS},
        }

    # The parts of a tick

    def _location(self) -> dict[str, np.ndarray]:
        player = self.player
        light = self.world.light_at(*(math.floor(value) for value in player.eye))
        return {
            "biome_id": np.array(1),
            "biome_rainfall": np.array(0.4, np.float32),
            "biome_temperature": np.array(0.8, np.float32),
            "can_see_sky": np.array(int(light == 15)),
            "is_raining": np.array(0),
            "light_level": np.array(light),
            "pitch": np.array(player.pitch),
            "sea_level": np.array(SEA_LEVEL),
            "sky_light_level": np.array(light / 15),
            "sun_brightness": np.array(1.0),
            "xpos": np.array(player.x),
            "yaw": np.array(player.yaw),
            "ypos": np.array(player.y),
            "zpos": np.array(player.z),
        }

    def _draw(self) -> np.ndarray:
        player, target = self.player, self.target if not self.gui_open else None
        small = self._renderer.draw(
            self.world,
            player.eye,
            player.yaw,
            player.pitch,
            self.ticks,
            target.cell if target else None,
            self.break_progress if target else 0.0,
            screens.DIM if self.gui_open else 1.0,
        )
        # By whole pixels: nearest is exact repetition here.
        frame = cv2.resize(small, (screens.WIDTH, screens.HEIGHT), interpolation=cv2.INTER_NEAREST)
        if self.gui_open:
            screens.draw_inventory(frame, self.inventory, *self._pixel())
        else:
            screens.draw_hud(frame, self.inventory, self._stroke / _SWING, self._air)
        return frame

    def _pixel(self) -> tuple[float, float]:
        return self.mouse[0] * screens.HEIGHT / MOUSE_HEIGHT, self.mouse[1] * screens.HEIGHT / MOUSE_HEIGHT

    def _move_mouse(self, pitch: float, yaw: float) -> None:
        x, y = self.mouse[0] + yaw * MOUSE_PER_DEGREE, self.mouse[1] + pitch * MOUSE_PER_DEGREE
        self.mouse = min(max(x, 0.0), MOUSE_WIDTH - 1.0), min(max(y, 0.0), MOUSE_HEIGHT - 1.0)

    def _click(self) -> None:
        slot = screens.slot_at(*self._pixel())
        if slot is not None:
            self.inventory.click(slot)

    def _toggle_inventory(self) -> None:
        self.gui_open = not self.gui_open
        self.mouse = (MOUSE_WIDTH / 2, MOUSE_HEIGHT / 2)
        if not self.gui_open:
            self.inventory.put_back()

    def _attack(self, held: bool) -> None:
        self._stroke = (self._stroke + 1) % _SWING if held or self._stroke else 0
        self._break_pause = max(self._break_pause - 1, 0)
        hit = self.target if held else None
        if hit is None or b.BLOCKS[hit.block].ticks == b.UNBREAKABLE:
            self._dug = None
            return
        needed = b.BLOCKS[hit.block].ticks
        if needed and self._break_pause:
            return
        ticks = 1 + (self._dug[1] if self._dug is not None and self._dug[0] == hit.cell else 0)
        self._dug = (hit.cell, ticks)
        if ticks >= needed:
            self._break(hit.cell)
            self._dug = None
            # One more than the pause, because this tick's end counts the first off.
            self._break_pause = BREAK_PAUSE + 1 if needed else 0

    def _break(self, cell: tuple[int, int, int]) -> None:
        x, y, z = cell
        kind = b.BLOCKS[self.world.block_at(x, y, z)]
        self.broken[kind.name] += 1
        # A cell that lies in water fills with it, so that no walls of water stand.
        beside = ((x + 1, y, z), (x - 1, y, z), (x, y, z + 1), (x, y, z - 1), (x, y + 1, z))
        wet = any(self.world.block_at(*other) == b.WATER for other in beside)
        self.world.set_block(x, y, z, b.WATER if wet else b.AIR)
        if kind.drops and (kind.drop_one_in == 1 or self._drops.integers(kind.drop_one_in) == 0):
            self._picked[kind.drops] += 1 - self.inventory.add(kind.drops)
        if b.PLANT[self.world.block_at(x, y + 1, z)]:
            self._break((x, y + 1, z))

    def _use(self, held: bool, fresh: bool) -> None:
        self._use_pause = max(self._use_pause - 1, 0)
        item = self.inventory.in_hand
        if not held or (self._use_pause and not fresh) or item not in b.PLACEABLE:
            return
        hit = self.target
        if hit is None:
            return
        cell = hit.cell if b.PLANT[hit.block] else hit.before
        block = b.PLACEABLE[item]
        if not 0 < cell[1] < BUILD_LIMIT or not self._can_hold(cell, block):
            return
        self.world.set_block(*cell, block)
        self.inventory.take_one(self.inventory.selected)
        self._used[item] += 1
        self._use_pause = USE_PAUSE

    def _can_hold(self, cell: tuple[int, int, int], block: int) -> bool:
        x, y, z = cell
        if b.SOLID[self.world.block_at(x, y, z)]:
            return False
        if b.PLANT[block]:
            return self.world.block_at(x, y - 1, z) in (b.GRASS_BLOCK, b.DIRT)
        player = self.player
        return (
            abs(x + 0.5 - player.x) >= 0.5 + physics.HALF_WIDTH
            or abs(z + 0.5 - player.z) >= 0.5 + physics.HALF_WIDTH
            or y >= player.y + physics.TALL
            or y + 1 <= player.y
        )
