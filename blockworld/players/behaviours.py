"""Scripted players: each shows one behaviour in BlockWorld, an action a tick, from the world's state.

Made to be imitated by a small policy: camera moves are the angles of the policy's own bins, taken greedily
towards what is looked at; rhythms are fixed; hardly any action is null, since null frames are dropped from
recordings. Each behaviour has its own look and its own measure (sky: pitch; dig: blocks dug; tree: ticks on
logs; seeds: grass broken; explore: distance; swim: time in water; inventory: time with the screen open; leaves:
leaves broken).

The order of behaviours, wandering and disturbances are the director's (director.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from blockworld import blocks as b
from blockworld.players import walking
from blockworld.players.behaviour import Action, Behaviour, action, towards, turn_between

_HEADINGS = (0, 15, -15, 30, -30, 45, -45, 60, -60, 80, -80, 100, -100, 130, -130, 160, -160)


class LookAtSky(Behaviour):
    """Raises the head, then keeps it up while turning slowly to the right."""

    frames = (50, 80)

    def begin(self) -> None:
        self.height = self.rng.uniform(-76, -64)
        self.move_to(self._sky_above, self.ground(), (0.0, 0.7))

    def _sky_above(self) -> bool:
        """No leaves within the view upwards."""
        env = self.env
        x, y, z = (math.floor(value) for value in env.player.eye)
        column = (
            env.world.block_at(x + i, y + up, z + k)
            for i in (-1, 0, 1)
            for k in (-1, 0, 1)
            for up in range(7)
        )
        return self.in_the_open() and not any(b.SOLID[block] for block in column)

    def act(self) -> Action:
        self.shown = self.shown or self.env.player.pitch < -35
        view = self.look(self.env.player.yaw, self.height)
        return action(pitch=view["pitch"], yaw=towards(1.6, 1.7))


class DigDown(Behaviour):
    """Looks straight down and holds attack; falls as the ground goes."""

    frames = (80, 110)

    def begin(self) -> None:
        self.depth_of_view = self.rng.uniform(81, 88)
        self.move_to(self._dry_earth, self.ground(), (0.0, 0.7))
        # Half a block aside a neighbouring block would carry the player over the hole.
        player = self.env.player
        self.env.teleport(math.floor(player.x) + 0.5, player.y, math.floor(player.z) + 0.5)
        player.on_ground = True

    def _dry_earth(self) -> bool:
        env = self.env
        x, y, z = (math.floor(value) for value in (env.player.x, env.player.y + 0.01, env.player.z))
        soil = all(env.world.block_at(x, y - down, z) in (b.GRASS_BLOCK, b.DIRT) for down in (1, 2, 3))
        around = (
            env.world.block_at(x + i, y - j, z + k) for i in (-2, 0, 2) for k in (-2, 0, 2) for j in range(5)
        )
        return soil and self.in_the_open() and b.WATER not in around

    @property
    def steady(self) -> float:
        # In the pauses between two blocks, so that digging gets on.
        if self.env.player.pitch < 60:
            return self.disturbed
        return 0.1 if self.env.break_progress == 0 else 0.0

    def act(self) -> Action:
        player = self.env.player
        self.shown = self.shown or player.pitch > 60
        return action("attack", **self.look(player.yaw, self.depth_of_view))


class ChopTree(Behaviour):
    """Walks to a trunk, stands before it and holds attack on one log after the other; comes back where it slipped."""

    frames = (80, 115)
    slips = 0.5  # share of the disturbances near a trunk that shove the player instead of turning its head

    def begin(self) -> None:
        logs = walking.cells_of(self.env, b.LOGS)
        lower = [self.env.world.block_at(x, y - 1, z) not in b.LOGS for x, y, z in logs]
        self._trunks = logs[np.array(lower, dtype=bool)]
        self._trunk: tuple[int, int, int] | None = None
        self.move_to(self._find, self._trunks, (3.0, 7.0))

    def _find(self) -> bool:
        """Choose the nearest trunk with a free way to it."""
        env, player = self.env, self.env.player
        for x, y, z in walking.near(env, self._trunks, 9.0).tolist():
            if abs(y - player.y) > 1.5 or env.world.block_at(x, y, z) not in b.LOGS:
                continue
            yaw, _ = env.angles_to(x + 0.5, y + 0.5, z + 0.5)
            distance = math.hypot(x + 0.5 - player.x, z + 0.5 - player.z)
            if distance > 1.2 and walking.walkable(env, yaw, distance - 1.2) >= distance - 1.2:
                self._trunk = x, y, z
                return not player.in_water
        return False

    @property
    def bearing(self) -> float | None:
        if self._trunk is None:
            return None
        x, y, z = self._trunk
        return self.env.angles_to(x + 0.5, y + 0.5, z + 0.5)[0]

    def _log(self) -> tuple[int, int, int] | None:
        """The log to hit: the one before the face, then the lower one, then those above."""
        if self._trunk is None:
            return None
        x, y, z = self._trunk
        for up in (1, 0, 2, 3):
            if self.env.world.block_at(x, y + up, z) in b.LOGS:
                return x, y + up, z
        return None

    @property
    def steady(self) -> float:
        # Often while a log is young, and never when it is half broken, so that logs do break.
        progress = self.env.break_progress
        return self.disturbed if progress == 0 else 0.04 if progress < 0.5 else 0.0

    def disturb(self) -> None:
        """Near its trunk the player may be shoved aside or back instead, the view askew, as one that slips past it."""
        env, player = self.env, self.env.player
        log = self._log()
        if log is not None and self.rng.random() < self.slips:
            away = math.hypot(log[0] + 0.5 - player.x, log[2] + 0.5 - player.z)
            aside, back = self.rng.uniform(0.3, 0.9) * self.rng.choice((-1, 1)), self.rng.uniform(0.0, 0.6)
            if away < 2.6 and walking.shove(env, aside, back):
                env.set_view(player.yaw + self.rng.uniform(-25, 25), player.pitch + self.rng.uniform(-20, 20))
                return
        super().disturb()

    def act(self) -> Action:
        env, player = self.env, self.env.player
        log = self._log()
        if log is None or self._blocked > 15:
            self._blocked = 0
            if not self._find():
                return action(**self.look(player.yaw + 45, 10.0))
            log = self._log()
            assert log is not None
        yaw, pitch = env.angles_to(*(value + 0.5 for value in log))
        distance = math.hypot(log[0] + 0.5 - player.x, log[2] + 0.5 - player.z)
        hit = env.target
        on_wood = hit is not None and (hit.block in b.LOGS or (hit.block in b.LEAVES and distance < 2.5))
        self.shown = self.shown or distance < 3.5
        keys: tuple[str, ...] = ()
        if distance > 1.7 and abs(turn_between(player.yaw, yaw)) < 30:
            keys = self.step()
        return action(*keys, *(("attack",) if on_wood else ()), **self.look(yaw, pitch))


class CollectSeeds(Behaviour):
    """Walks from one tuft of tall grass to the next with the eyes on the ground, attack held."""

    frames = (70, 110)

    def begin(self) -> None:
        self._grass = walking.cells_of(self.env, (b.TALL_GRASS,))
        self._tuft: tuple[int, int, int] | None = None
        self.move_to(self._plenty, self._grass, (2.0, 4.0))

    def _plenty(self) -> bool:
        return len(walking.near(self.env, self._grass, 6.0)) >= 8 and self._find() and self.in_the_open()

    def _find(self) -> bool:
        """Choose the tuft that takes least walking and turning."""
        env, player = self.env, self.env.player
        best, least = None, math.inf
        for x, y, z in walking.near(env, self._grass, 8.0)[:40].tolist():
            if abs(y - player.y) > 1.5 or env.world.block_at(x, y, z) != b.TALL_GRASS:
                continue
            yaw, _ = env.angles_to(x + 0.5, y + 0.5, z + 0.5)
            distance = math.hypot(x + 0.5 - player.x, z + 0.5 - player.z)
            cost = distance + abs(turn_between(player.yaw, yaw)) / 25
            if cost < least and walking.walkable(env, yaw, distance) >= distance - 0.5:
                best, least = (x, y, z), cost
        self._tuft = best
        return best is not None

    def act(self) -> Action:
        env, player = self.env, self.env.player
        gone = self._tuft is None or env.world.block_at(*self._tuft) != b.TALL_GRASS
        if (gone or self._blocked > 10) and not self._find():
            heading, _ = walking.best_heading(
                lambda yaw: walking.walkable(env, yaw, 6), player.yaw, 6, _HEADINGS
            )
            return action(*self.step(), "attack", **self.look(heading, 30.0))
        assert self._tuft is not None
        x, y, z = self._tuft
        yaw, pitch = env.angles_to(x + 0.5, y + 0.4, z + 0.5)
        distance = math.hypot(x + 0.5 - player.x, z + 0.5 - player.z)
        if distance < 0.4:
            yaw = player.yaw
        if distance > 3.0:
            pitch = max(pitch, 25.0)
        self.shown = self.shown or (distance < 3.0 and player.pitch > 15)
        keys = self.step() if distance > 1.3 and abs(turn_between(player.yaw, yaw)) < 40 else ()
        return action("attack", *keys, **self.look(yaw, min(pitch, 75.0)))


class BreakLeaves(Behaviour):
    """Walks under a tree's crown and holds attack on one leaf after the other. In no recording unless asked for."""

    frames = (90, 130)

    def begin(self) -> None:
        self._leaves = walking.cells_of(self.env, b.LEAVES)
        self._leaf: tuple[int, int, int] | None = None
        self.move_to(self._find, self._leaves, (2.0, 6.0))

    def _away(self, cell: tuple[int, int, int]) -> tuple[float, float]:
        """How far a leaf is: across, and from the eye."""
        player = self.env.player
        across = math.hypot(cell[0] + 0.5 - player.x, cell[2] + 0.5 - player.z)
        return across, math.hypot(across, cell[1] + 0.5 - player.eye[1])

    def _find(self) -> bool:
        """Choose the leaf that takes least walking and turning, among those that can be reached from the ground."""
        env, player = self.env, self.env.player
        best, least = None, math.inf
        for x, y, z in walking.near(env, self._leaves, 7.0)[:80].tolist():
            if not 0.5 < y - player.y < 4.5 or env.world.block_at(x, y, z) not in b.LEAVES:
                continue
            yaw, _ = env.angles_to(x + 0.5, y + 0.5, z + 0.5)
            across, away = self._away((x, y, z))
            cost = away + abs(turn_between(player.yaw, yaw)) / 25
            way = max(across - 1.5, 0.0)
            if across > 0.7 and cost < least and walking.walkable(env, yaw, way) >= way - 0.5:
                best, least = (x, y, z), cost
        self._leaf = best
        return best is not None and not player.in_water

    def act(self) -> Action:
        env, player = self.env, self.env.player
        gone = self._leaf is None or env.world.block_at(*self._leaf) not in b.LEAVES
        if (gone or self._blocked > 10) and not self._find():
            return action("forward", **self.look(player.yaw + 45, -10.0))
        assert self._leaf is not None
        x, y, z = self._leaf
        yaw, pitch = env.angles_to(x + 0.5, y + 0.5, z + 0.5)
        _, away = self._away(self._leaf)
        hit = env.target
        self.shown = self.shown or away < 4.5
        keys = self.step() if away > 3.5 and abs(turn_between(player.yaw, yaw)) < 40 else ()
        attack = ("attack",) if hit is not None and hit.block in b.LEAVES else ()
        return action(*keys, *attack, **self.look(yaw, pitch))


class Explore(Behaviour):
    """Sprints and jumps far ahead over the land, turning only where the way is barred."""

    frames = (60, 100)

    def begin(self) -> None:
        self.pitch = self.rng.uniform(2, 12)
        self.move_to(self._far, self.ground(), (0.0, 0.7))
        self._heading, _ = self._choose()
        self._ticks = 0

    def _free(self, yaw: float) -> float:
        return walking.walkable(self.env, yaw, 14.0, tall=3)

    def _choose(self) -> tuple[float, float]:
        return walking.best_heading(self._free, self.env.player.yaw, 14.0, _HEADINGS)

    def _far(self) -> bool:
        return self.in_the_open() and self._choose()[1] >= 14.0

    def act(self) -> Action:
        player = self.env.player
        self._ticks += 1
        turned = abs(turn_between(player.yaw, self._heading))
        if player.on_ground and (self._free(self._heading) < 5.0 or turned > 25):
            self._heading, _ = self._choose()
        self.shown = self._ticks > 6
        return action("forward", "sprint", "jump", **self.look(self._heading, self.pitch))


class Swim(Behaviour):
    """Walks into the nearest lake and swims about in it, keeping the head above water."""

    frames = (80, 120)

    def begin(self) -> None:
        self.pitch = self.rng.uniform(8, 20)
        beach = walking.cells_of(self.env, (b.SAND,))
        self._heading = self.env.player.yaw
        self.move_to(self._find, beach, (0.0, 4.0))

    def _find(self) -> bool:
        """Choose the heading of the nearest shore with a lake behind it."""
        nearest = 7.0
        found = False
        for yaw in range(0, 360, 15):
            way = walking.shore(self.env, yaw, nearest)
            if way is not None and walking.water_ahead(self.env, yaw, way + 1.5, 6.0) >= 6.0:
                self._heading, nearest, found = float(yaw), max(way, 1.0), True
        return found and not self.env.player.in_water

    @property
    def bearing(self) -> float | None:
        ashore = not self.env.player.in_water
        return self._heading if ashore and walking.shore(self.env, self._heading, 9.0) is not None else None

    def _lake(self, yaw: float) -> float:
        return walking.water_ahead(self.env, yaw, 0.5, 7.0)

    def act(self) -> Action:
        player = self.env.player
        self.shown = self.shown or player.in_water
        turned = abs(turn_between(player.yaw, self._heading)) > 25
        if player.in_water and (turned or self._lake(self._heading) < 2.5):
            self._heading, _ = walking.best_heading(self._lake, player.yaw, 7.0, _HEADINGS)
        elif not player.in_water and player.on_ground and walking.shore(self.env, self._heading, 9.0) is None:
            self._find()
        keys: tuple[str, ...] = ("forward", "jump") if player.in_water else self.step()
        if player.in_water and abs(turn_between(player.yaw, self._heading)) > 45:
            keys = ("jump",)  # turned away from the lake, swimming on would end ashore
        return action(*keys, **self.look(self._heading, self.pitch))


class OpenInventory(Behaviour):
    """Opens the inventory, moves the cursor round in it, closes it, and opens it again soon."""

    frames = (60, 100)

    def begin(self) -> None:
        self.move_to(self.in_the_open, self.ground(), (0.0, 0.7))
        self._left = int(self.rng.integers(2, 6))
        self._hovering = 0

    @property
    def steady(self) -> float:
        return 0.0 if self.env.gui_open else self.disturbed

    def act(self) -> Action:
        self.shown = self.shown or self.env.gui_open
        self._left -= 1
        if self._left < 0:
            opening = not self.env.gui_open
            self._left = int(self.rng.integers(9, 26) if opening else self.rng.integers(3, 7))
            self._hovering = 0
            return action("inventory")
        if self.env.gui_open:
            self._hovering += 1
            return hover(self._hovering)
        player = self.env.player
        return action(pitch=self.look(player.yaw, 10.0)["pitch"], yaw=towards(1.6, 1.7))


def hover(tick: int) -> Action:
    """The cursor's move at a tick of an open screen: round a square, five ticks a side."""
    pitch, yaw = ((0, -1), (-1, 0), (0, 1), (1, 0))[(tick + 2) // 5 % 4]
    return action(pitch=pitch * towards(3.2, 3.3), yaw=yaw * towards(3.2, 3.3))


PLAYERS: dict[str, type[Behaviour]] = {
    "sky": LookAtSky,
    "dig": DigDown,
    "tree": ChopTree,
    "seeds": CollectSeeds,
    "explore": Explore,
    "swim": Swim,
    "inventory": OpenInventory,
    "leaves": BreakLeaves,
}


def unknown(behaviours: Iterable[str]) -> list[str]:
    """Those names that no player has."""
    return [name for name in behaviours if name not in PLAYERS]
