"""The ray caster: one ray a pixel through the blocks, on the CPU. Light by face and sky, fog, water, crossed plants.

The functions here are compiled once by numba and kept in its cache. They know nothing of the game; the screens
(hot bar, inventory) are drawn by ``screens``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from blockworld import blocks as b
from blockworld import light as lighting
from blockworld.drawing import textures
from blockworld.drawing.sprites import draw_things
from blockworld.things import Thing

FOV = 70.0  # degrees from top to bottom, as MineRL's
SCALE = math.tan(math.radians(FOV / 2))
VIEW = 64.0  # blocks; fog hides all beyond
_FOG_START = 32.0
_FLAT, _BLOCK, _WET, _SKY = lighting.FLAT, lighting.BLOCK, lighting.WATER, lighting.SKY
_ASPECT = 640 / 360  # of the picture, whatever the shape of the pixels that rays are cast for
_TILE = 8
_STEEPEST = 1 / 2048  # a ray runs at least this much along each axis, an eighth of a pixel
_CLOUD_Y = 90.0
_LIGHT = np.array([0.16 + 0.84 * (level / 15) ** 1.3 for level in range(16)])


def view_basis(yaw: float, pitch: float) -> np.ndarray:
    """Rows forward, right, up of a view, float64 [3, 3]; degrees as Minecraft's: yaw 0 is +z, pitch 90 is down."""
    yaw, pitch = math.radians(yaw), math.radians(pitch)
    forward = (-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch))
    right = (-math.cos(yaw), 0.0, -math.sin(yaw))
    up = (-math.sin(yaw) * math.sin(pitch), math.cos(pitch), math.cos(yaw) * math.sin(pitch))
    return np.array([forward, right, up])


@njit(cache=True)
def _sky(dx, dy, dz, ox, oz, oy, tick, clouds, colour):
    """The sky's colour along a direction (not of unit length), into ``colour``."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    rise = dy / length
    up = min(max(rise, 0.0) * 1.6, 1.0)
    red, green, blue = 190.0 - 84.0 * up, 214.0 - 60.0 * up, 255.0 - 4.0 * up
    # The sun: a bright square with a glow, high in the south-west.
    along = (-0.42 * dx + 0.64 * dy + 0.643 * dz) / length
    if along > 0.9:
        side_a = abs(0.837 * dx + 0.547 * dz) / length
        side_b = abs(0.351 * dx + 0.768 * dy - 0.535 * dz) / length
        if side_a < 0.085 and side_b < 0.085:
            red, green, blue = 255.0, 250.0, 214.0
        else:
            glow = (along - 0.9) * 5.0
            red, green = red + (255.0 - red) * glow, green + (244.0 - green) * glow
    if dy > 0.02 * length:
        reach = (_CLOUD_Y - oy) / dy
        cx = math.floor((ox + dx * reach + tick * 0.03) / 10.0)
        cz = math.floor((oz + dz * reach) / 10.0)
        if clouds[int(cx) & 31, int(cz) & 31]:
            strength = min(0.85, (rise - 0.02) * 4.0)
            red += (255.0 - red) * strength
            green += (255.0 - green) * strength
            blue += (255.0 - blue) * strength
    colour[0], colour[1], colour[2] = red, green, blue


@njit(cache=True)
def _beam(field, size, tall, place, corners, limit, work):
    """How far all rays between four run through nothing; -1 where they all end in the sky.

    ``place`` [3]: the eye; ``corners`` [4, 3]; ``work`` [3, 3]: room to work in. At any distance the rays between lie
    within the box around the four, so as long as an empty box of the field holds that one, nothing is in any ray's
    way. Stops early rather than look closer.
    """
    # Mirrored so that all run up: the start, and the least and greatest rise along each axis.
    start, low, high = work[0], work[1], work[2]
    octant = 0
    for i in range(3):
        down = corners[0, i] < 0.0
        octant = 2 * octant + (1 if down else 0)
        start[i], low[i], high[i] = (-place[i] if down else place[i]), 1e9, 0.0
        for k in range(4):
            rise = -corners[k, i] if down else corners[k, i]
            if rise < _STEEPEST:
                return 0.0
            low[i], high[i] = min(low[i], rise), max(high[i], rise)
    mx, my, mz = -(octant >> 2 & 1), -(octant >> 1 & 1), -(octant & 1)
    t = 0.0
    while True:
        cx = math.floor(start[0] + t * low[0])
        cy = math.floor(start[1] + t * low[1])
        cz = math.floor(start[2] + t * low[2])
        x, y, z = (cx ^ mx) & (size - 1), cy ^ my, (cz ^ mz) & (size - 1)
        room = field[((octant * size + x) * tall + y) * size + z]
        if room == _SKY:
            return -1.0
        if room >= _BLOCK:
            return t
        side = np.int64(room & 15)
        leave = min((cx + side - start[0]) / high[0], (cz + side - start[2]) / high[2])
        leave = min(leave, (cy + (1 if room & _FLAT else side) - start[1]) / high[1])
        if leave >= limit:
            return -1.0
        if leave < t + 1e-3:
            return t
        t = leave - 1e-5


@njit(cache=True)
def cast(
    out,
    field,
    light,
    pictures,
    faces,
    plant,
    cracks,
    clouds,
    glow,
    eye,
    basis,
    scale,
    tick,
    target,
    crack,
    dim,
    away,
):
    """Draw the view into ``out`` (uint8 [h, w, 3]), and how many blocks away that is into ``away`` (float32 [h, w]).

    ``field``: see ``light.empty_boxes``, flattened; ``eye`` [3], ``basis`` [3, 3] (forward, right, up),
    ``scale``: tangent of half the vertical angle; ``target`` int [3]: the cell to outline, y < 0 for none, with
    ``crack`` its stage or -1; ``dim``: a factor for all.

    A ray walks in fixed point (positions in 2^-32, its parameter t in 2^-20 blocks) through a copy of the world that
    is mirrored so that it runs up in x, y and z; a step takes it to the far side of the empty box before it. All
    roundings are upward, so that it never stops short of a border.
    """
    height, width = out.shape[0], out.shape[1]
    size, tall = light.shape[0], light.shape[1]
    wrap = size - 1
    ox, oz = eye[0] - math.floor(eye[0] / size) * size, eye[2] - math.floor(eye[2] / size) * size
    oy = min(max(eye[1], 0.01), tall - 0.01)
    inside = field[(math.floor(ox) * tall + math.floor(oy)) * size + math.floor(oz)]
    under_water = _WET <= inside < _SKY
    colour = np.zeros(3)
    texel_at = height / (scale * 2.0) / 16.0  # distance where one texel is one pixel
    corners, work, place = np.empty((4, 3)), np.empty((3, 3)), np.array([ox, oy, oz])
    wide = scale * _ASPECT
    for tile in range(((height + _TILE - 1) // _TILE) * ((width + _TILE - 1) // _TILE)):
        first_row = tile // ((width + _TILE - 1) // _TILE) * _TILE
        first_column = tile % ((width + _TILE - 1) // _TILE) * _TILE
        last_row, last_column = min(first_row + _TILE, height) - 1, min(first_column + _TILE, width) - 1
        nearest = 1e9
        for k in range(4):
            v = (1.0 - (2 * (first_row if k < 2 else last_row) + 1.0) / height) * scale
            u = ((2 * (first_column if k % 2 else last_column) + 1.0) / width - 1.0) * wide
            nearest = min(nearest, math.sqrt(1.0 + u * u + v * v))
            for i in range(3):
                corners[k, i] = basis[0, i] + u * basis[1, i] + v * basis[2, i]
        limit = VIEW / nearest
        clear = _beam(field, size, tall, place, corners, limit, work)
        stop = int(limit * 1048576.0)
        for pixel in range(_TILE * _TILE):
            row, column = first_row + pixel // _TILE, first_column + pixel % _TILE
            if row >= height or column >= width:
                continue
            v = scale - (2 * row + 1.0) * (scale / height)
            u = (2 * column + 1.0) * (wide / width) - wide
            dx = basis[0, 0] + u * basis[1, 0] + v * basis[2, 0]
            dy = basis[0, 1] + u * basis[1, 1] + v * basis[2, 1]
            dz = basis[0, 2] + u * basis[1, 2] + v * basis[2, 2]
            length = math.sqrt(1.0 + u * u + v * v)
            hit = False
            water_in = 0.0 if under_water else -1.0
            water_out = -1.0
            surface_light = 1.0
            surface = 1.0
            picture = 0
            tu = 0.0
            tv = 0.0
            shade = 1.0
            axis = 3
            near = 0.0
            red = green = blue = 0.0
            x = y = z = 0
            if clear >= 0.0:
                ax, ay, az = max(abs(dx), _STEEPEST), max(abs(dy), _STEEPEST), max(abs(dz), _STEEPEST)
                inv_x, inv_y, inv_z = 1.0 / ax, 1.0 / ay, 1.0 / az
                mx = 0 if dx > 0.0 else -1
                my = 0 if dy > 0.0 else -1
                mz = 0 if dz > 0.0 else -1
                sx = ox if dx > 0.0 else -ox
                sy = oy if dy > 0.0 else -oy
                sz = oz if dz > 0.0 else -oz
                # Fixed point: start, direction and inverse of each axis.
                px, py, pz = int(sx * 4294967296.0), int(sy * 4294967296.0), int(sz * 4294967296.0)
                ix, iy, iz = (
                    int(ax * 4294967296.0) + 1,
                    int(ay * 4294967296.0) + 1,
                    int(az * 4294967296.0) + 1,
                )
                jx, jy, jz = (
                    int(inv_x * 1048576.0) + 1,
                    int(inv_y * 1048576.0) + 1,
                    int(inv_z * 1048576.0) + 1,
                )
                octant = ((mx & 4) | (my & 2) | (mz & 1)) * size * tall * size
                t = int(clear * 1048576.0)
                while t < stop:
                    cx = (px + ((t * ix) >> 20)) >> 32
                    cy = (py + ((t * iy) >> 20)) >> 32
                    cz = (pz + ((t * iz) >> 20)) >> 32
                    x, y, z = (cx ^ mx) & wrap, cy ^ my, (cz ^ mz) & wrap
                    cell: Any = np.int64(field[np.uint64(octant + ((x * tall + y) * size + z))])
                    room = cell & 15
                    tall_room = 1 if cell & _FLAT else room
                    if cell >= _BLOCK:
                        if cell == _SKY:
                            break
                        # Where the ray came in: the last of the three near sides that it crossed.
                        tx, ty, tz = (cx - sx) * inv_x, (cy - sy) * inv_y, (cz - sz) * inv_z
                        if tx > ty and tx > tz:
                            near, axis = tx, 0
                        elif ty > tz:
                            near, axis = ty, 1
                        else:
                            near, axis = tz, 2
                        near = max(near, 0.0)
                        if cell >= _WET:
                            tall_room = room
                            if water_in < 0.0:
                                water_in = near
                                ly = y + 1 if axis == 1 and my else y
                                surface_light = glow[light[x, ly, z]] if ly < tall else 1.0
                                if axis == 1:
                                    # Two slow waves over the surface.
                                    wx, wz = ox + near * dx, oz + near * dz
                                    wave = math.sin(wx * 1.3 + tick * 0.05)
                                    wave += math.sin(wz * 1.7 - tick * 0.04 + wx * 0.6)
                                    surface = 1.0 + 0.07 * wave
                        elif plant[cell - _BLOCK]:
                            cell -= _BLOCK
                            room = tall_room = 1
                            if under_water and water_out < 0.0:
                                water_out = near
                            lx, lz = ox - (cx ^ mx), oz - (cz ^ mz)
                            near = 1e9
                            picture = faces[cell, 0]
                            for side in range(2):
                                slope = dx - dz if side == 0 else dx + dz
                                if abs(slope) > 1e-9:
                                    s = (lz - lx) / slope if side == 0 else (1.0 - lx - lz) / slope
                                    across, rise = lx + s * dx, oy + s * dy - y
                                    if (
                                        0.0 < s < near
                                        and 0.0 <= across < 1.0
                                        and 0.0 <= rise < 1.0
                                        and pictures[
                                            0, picture, int((1.0 - rise) * 15.999), int(across * 16.0), 3
                                        ]
                                    ):
                                        near, tu, tv = s, across, 1.0 - rise
                            if near < 1e8:
                                hit = True
                                axis = 3
                                shade = glow[light[x, y, z]]
                                break
                        else:
                            hit = True
                            cell -= _BLOCK
                            hx, hy, hz = ox + near * dx, oy + near * dy, oz + near * dz
                            fx, fy, fz = cx, cy, cz
                            if axis == 1:
                                tu, tv = hx - math.floor(hx), hz - math.floor(hz)
                                picture = faces[cell, 1] if my else faces[cell, 2]
                                shade = 1.0 if my else 0.5
                                fy -= 1
                            elif axis == 0:
                                tu, tv = hz - math.floor(hz), y + 1.0 - hy
                                picture = faces[cell, 0]
                                shade = 0.62
                                fx -= 1
                            else:
                                tu, tv = hx - math.floor(hx), y + 1.0 - hy
                                picture = faces[cell, 0]
                                shade = 0.8
                                fz -= 1
                            fy ^= my
                            if 0 <= fy < tall:
                                shade *= glow[light[(fx ^ mx) & wrap, fy, (fz ^ mz) & wrap]]
                            break
                    elif under_water and water_out < 0.0:
                        water_out = t / 1048576.0
                    # On to the far side of the empty box: (border - start) * inverse, the least of the three.
                    far_x = ((((cx + room) << 32) - px + 4095) >> 12) * jx
                    far_y = ((((cy + tall_room) << 32) - py + 4095) >> 12) * jy
                    far_z = ((((cz + room) << 32) - pz + 4095) >> 12) * jz
                    t = max(min(min(far_x, far_y), far_z) >> 20, t) + 2
            if hit:
                distance = near * length
                level = 0
                if axis != 3 and distance > texel_at:
                    level = 1 if distance < 2.0 * texel_at else (2 if distance < 4.0 * texel_at else 3)
                iu, iv = min(int(tu * 16.0), 15), min(max(int(tv * 16.0), 0), 15)
                texel = pictures[level, picture, iv, iu]
                if y == target[1] and x == target[0] and z == target[2] and axis != 3:
                    if crack >= 0:
                        shade *= cracks[crack, iv, iu]
                    if tu < 0.02 or tu > 0.98 or tv < 0.02 or tv > 0.98:
                        shade *= 0.35
                red, green, blue = texel[0] * shade, texel[1] * shade, texel[2] * shade
                if distance > _FOG_START and not under_water:
                    fog = min((distance - _FOG_START) / (VIEW - 4.0 - _FOG_START), 1.0)
                    red += (190.0 - red) * fog
                    green += (214.0 - green) * fog
                    blue += (255.0 - blue) * fog
            else:
                _sky(dx, dy, dz, eye[0], eye[2], oy, tick, clouds, colour)
                red, green, blue = colour[0], colour[1], colour[2]
                near = limit
            away[row, column] = near * length
            if water_in >= 0.0:
                depth = ((water_out if water_out >= 0.0 else near) - water_in) * length
                if under_water:
                    part = 0.42 + 0.58 * min(depth / 18.0, 1.0)
                    lit = 0.85
                    tint_r, tint_g, tint_b = 34.0, 88.0, 200.0
                else:
                    part = 0.5 + 0.5 * depth / (depth + 5.0)
                    lit = surface_light * surface
                    tint_r, tint_g, tint_b = 44.0, 92.0, 208.0
                    distance = water_in * length
                    if distance > _FOG_START:
                        fog = min((distance - _FOG_START) / (VIEW - 4.0 - _FOG_START), 1.0)
                        tint_r += (190.0 - tint_r) * fog
                        tint_g += (214.0 - tint_g) * fog
                        tint_b += (255.0 - tint_b) * fog
                red += (tint_r * lit - red) * part
                green += (tint_g * lit - green) * part
                blue += (tint_b * lit - blue) * part
            out[row, column, 0] = min(int(red * dim), 255)
            out[row, column, 1] = min(int(green * dim), 255)
            out[row, column, 2] = min(int(blue * dim), 255)


class Renderer:
    """Draws a world from an eye at ``width`` x ``height`` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._small = np.empty((height, width, 3), np.uint8)
        self._away = np.empty((height, width), np.float32)
        self._tables = (
            textures.pictures(),
            textures.faces(),
            b.PLANT,
            textures.cracks(),
            textures.clouds(),
            _LIGHT,
        )

    def draw(
        self,
        world,
        eye: tuple[float, float, float],
        yaw: float,
        pitch: float,
        tick: int,
        target: tuple[int, int, int] | None = None,
        progress: float = 0.0,
        dim: float = 1.0,
        things: Iterable[Thing] = (),
    ) -> np.ndarray:
        """The view, uint8 [height, width, 3], in a buffer that the next call overwrites."""
        basis = view_basis(yaw, pitch)
        cell = np.array(target if target is not None else (0, -1, 0), np.int64)
        cell[[0, 2]] %= world.light.shape[0]
        stage = min(int(progress * textures.CRACK_STAGES), textures.CRACK_STAGES - 1) if progress > 0 else -1
        cast(
            self._small,
            world.field.reshape(-1),
            world.light,
            *self._tables,
            np.array(eye),
            basis,
            SCALE,
            float(tick),
            cell,
            stage,
            dim,
            self._away,
        )
        draw_things(self._small, self._away, world, eye, basis, SCALE, things, dim)
        return self._small
