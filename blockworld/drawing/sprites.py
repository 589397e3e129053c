"""Things that lie in the world, drawn over the ray caster's picture: blocks as small cubes that turn, the rest flat."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from blockworld import blocks as b
from blockworld.drawing import textures
from blockworld.things import Thing
from blockworld.world import SIZE

VIEW = 16.0  # blocks; farther things are not drawn, as in Minecraft
_HALF, _FLAT_HALF = 0.125, 0.22
_UNDER_WATER = 34.0, 88.0, 200.0


@functools.lru_cache(maxsize=64)
def _images(item: str) -> tuple[bool, np.ndarray]:
    """Whether an item is drawn as a cube, and its pictures of sides, top and bottom, uint8 [3, 16, 16, 4]."""
    block = b.BY_NAME.get(item)
    if block is None or b.BLOCKS[block].plant:
        return False, np.stack([textures.icon(item)] * 3)
    return True, np.ascontiguousarray(textures.pictures()[0][textures.faces()[block]])


def draw_things(
    out: np.ndarray,
    away: np.ndarray,
    world: Any,
    eye: tuple[float, float, float],
    basis: np.ndarray,
    scale: float,
    things: Iterable[Thing],
    dim: float,
) -> None:
    """Draw things into ``out`` uint8 [h, w, 3] where ``away`` [h, w] (blocks) has nothing nearer; it follows.

    ``basis``, ``scale``: the view, see ``render.cast``; ``dim``: a factor for all.
    """
    aspect = 640 / 360
    for thing in things:
        cube, images = _images(thing.item)
        half = _HALF if cube else _FLAT_HALF
        # It hovers up and down and turns, as Minecraft's.
        rise = half + 0.1 + 0.1 * math.sin(thing.age / 10)
        offset = np.array([thing.x - eye[0], thing.y + rise - eye[1], thing.z - eye[2]])
        offset[[0, 2]] -= SIZE * np.round(offset[[0, 2]] / SIZE)
        if float(offset @ offset) > VIEW * VIEW:
            continue
        cell = math.floor(thing.x), math.floor(thing.y + 0.2), math.floor(thing.z)
        shade = dim * (0.16 + 0.84 * (world.light_at(*cell) / 15) ** 1.3)
        wet = world.block_at(*cell) == b.WATER
        turn = thing.age / 20 if cube else math.atan2(offset[0], offset[2])
        _draw(out, away, basis, scale, scale * aspect, offset, half, cube, turn, images, shade, dim, wet)


@njit(cache=True)
def _draw(out, away, basis, scale, wide, offset, half, cube, turn, images, shade, dim, wet):
    """Cast rays at one thing; ``offset`` [3]: its middle from the eye, ``turn``: its angle about the vertical."""
    height, width = out.shape[0], out.shape[1]
    ahead = basis[0, 0] * offset[0] + basis[0, 1] * offset[1] + basis[0, 2] * offset[2]
    right = basis[1, 0] * offset[0] + basis[1, 1] * offset[1] + basis[1, 2] * offset[2]
    up = basis[2, 0] * offset[0] + basis[2, 1] * offset[1] + basis[2, 2] * offset[2]
    around = half * 1.75
    if ahead < -around:
        return
    first_row, last_row, first_column, last_column = 0, height, 0, width
    if ahead > 2.0 * around:
        # The picture of the ball around it.
        least, most = ahead - around, ahead + around
        left, rightmost = right - around, right + around
        low, high = up - around, up + around
        left /= least if left < 0.0 else most
        rightmost /= least if rightmost > 0.0 else most
        low /= least if low < 0.0 else most
        high /= least if high > 0.0 else most
        first_column = max(int((left / wide + 1.0) * width / 2.0) - 1, 0)
        last_column = min(int((rightmost / wide + 1.0) * width / 2.0) + 2, width)
        first_row = max(int((1.0 - high / scale) * height / 2.0) - 1, 0)
        last_row = min(int((1.0 - low / scale) * height / 2.0) + 2, height)
    cos, sin = math.cos(turn), math.sin(turn)
    # The eye as the thing sees it: moved and turned, so that its sides lie along the axes.
    ex, ey, ez = -offset[0] * cos + offset[2] * sin, -offset[1], -offset[0] * sin - offset[2] * cos
    for row in range(first_row, last_row):
        v = scale - (2 * row + 1.0) * (scale / height)
        for column in range(first_column, last_column):
            u = (2 * column + 1.0) * (wide / width) - wide
            gx = basis[0, 0] + u * basis[1, 0] + v * basis[2, 0]
            dy = basis[0, 1] + u * basis[1, 1] + v * basis[2, 1]
            gz = basis[0, 2] + u * basis[1, 2] + v * basis[2, 2]
            dx, dz = gx * cos - gz * sin, gx * sin + gz * cos
            near, axis = -1.0, 2
            if cube:
                enter, leave = 0.0, 1e9
                for i in range(3):
                    start = ex if i == 0 else (ey if i == 1 else ez)
                    step = dx if i == 0 else (dy if i == 1 else dz)
                    if abs(step) < 1e-9:
                        if abs(start) > half:
                            leave = -1.0
                        continue
                    first, last = (-half - start) / step, (half - start) / step
                    if first > last:
                        first, last = last, first
                    if first > enter:
                        enter, axis = first, i
                    leave = min(leave, last)
                if 0.0 < enter < leave:
                    near = enter
            elif abs(dz) > 1e-9:
                near = -ez / dz
            if near <= 0.0:
                continue
            distance = near * math.sqrt(1.0 + u * u + v * v)
            if distance >= away[row, column]:
                continue
            hx, hy, hz = ex + near * dx, ey + near * dy, ez + near * dz
            if abs(hx) > half + 1e-6 or abs(hy) > half + 1e-6:
                continue
            side = 0
            light = shade
            if axis == 1:
                side = 1 if dy < 0.0 else 2
                tu, tv = hx, hz
                light *= 1.0 if dy < 0.0 else 0.5
            elif axis == 0:
                tu, tv = hz, -hy
                light *= 0.7
            else:
                # A flat thing faces the eye; there x runs to the left.
                tu, tv = -hx, -hy
                light *= 0.85 if cube else 1.0
            texel = images[
                side,
                min(max(int((tv / half + 1.0) * 8.0), 0), 15),
                min(max(int((tu / half + 1.0) * 8.0), 0), 15),
            ]
            if texel[3] < 128:
                continue
            away[row, column] = distance
            for i in range(3):
                value = texel[i] * light
                if wet:
                    value += (_UNDER_WATER[i] * 0.85 * dim - value) * 0.55
                out[row, column, i] = min(int(value), 255)
