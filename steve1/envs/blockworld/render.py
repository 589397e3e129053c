"""The ray caster: one ray a pixel through the blocks, on the CPU. Light by face and sky, fog, water, crossed plants.

The functions here are compiled once by numba and kept in its cache. They know nothing of the game; the screens
(hot bar, inventory) are drawn by ``screens``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from steve1.envs.blockworld import blocks as b
from steve1.envs.blockworld import light as lighting
from steve1.envs.blockworld import textures

FOV = 70.0  # degrees from top to bottom, as MineRL's
VIEW = 72.0  # blocks; fog hides all beyond
_FOG_START = 36.0
_EMPTY = lighting.EMPTY
_WATER = b.WATER
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
def cast(
    out,
    field,
    light,
    top,
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
):
    """Draw the view into ``out`` (uint8 [h, w, 3]).

    ``eye`` [3], ``basis`` [3, 3] (forward, right, up), ``scale``: tangent of half the vertical angle;
    ``target`` int [3]: the cell to outline, y < 0 for none, with ``crack`` its stage or -1; ``dim``: a factor.
    """
    height, width = out.shape[0], out.shape[1]
    size, tall = field.shape[0], field.shape[1]
    wrap = size - 1
    ox, oy, oz = eye[0], eye[1], eye[2]
    start_x, start_y, start_z = int(math.floor(ox)), int(math.floor(oy)), int(math.floor(oz))
    under_water = 0 <= start_y < tall and field[start_x & wrap, start_y, start_z & wrap] == _WATER
    colour = np.zeros(3)
    texel_at = 16.0 / (scale * 2.0 / height) / 16.0  # distance where one texel is one pixel
    for row in range(height):
        v = (1.0 - (2 * row + 1.0) / height) * scale
        for column in range(width):
            u = ((2 * column + 1.0) / width - 1.0) * scale * width / height
            dx = basis[0, 0] + u * basis[1, 0] + v * basis[2, 0]
            dy = basis[0, 1] + u * basis[1, 1] + v * basis[2, 1]
            dz = basis[0, 2] + u * basis[1, 2] + v * basis[2, 2]
            length = math.sqrt(1.0 + u * u + v * v)
            limit = VIEW / length
            inv_x = 1.0 / dx if abs(dx) > 1e-9 else 1e9
            inv_y = 1.0 / dy if abs(dy) > 1e-9 else 1e9
            inv_z = 1.0 / dz if abs(dz) > 1e-9 else 1e9
            x, y, z = start_x, start_y, start_z
            t = 0.0
            axis = -1
            hit = False
            water_in = 0.0 if under_water else -1.0
            water_out = -1.0
            surface_light = 1.0
            surface = 1.0
            picture = 0
            tu = 0.0
            tv = 0.0
            shade = 1.0
            red = green = blue = 0.0
            while True:
                if y >= top:
                    if dy >= 0.0:
                        break
                    # Above everything: straight down to the highest layer.
                    t = max(t, (top - oy) * inv_y)
                    x, z = int(math.floor(ox + t * dx)), int(math.floor(oz + t * dz))
                    y = top - 1
                    axis = 1
                if y < 0 or t > limit:
                    break
                cell = field[x & wrap, y, z & wrap]
                room = 0
                if cell >= _EMPTY:
                    room = cell - _EMPTY - 1
                    if under_water and water_out < 0.0:
                        water_out = t
                elif cell == _WATER:
                    if water_in < 0.0:
                        water_in = t
                        ly = y + 1 if axis == 1 and dy < 0.0 else y
                        surface_light = glow[light[x & wrap, ly, z & wrap]] if ly < tall else 1.0
                        if axis == 1:
                            # Two slow waves over the surface's picture.
                            wx, wz = ox + t * dx, oz + t * dz
                            wave = math.sin(wx * 1.3 + tick * 0.05) + math.sin(
                                wz * 1.7 - tick * 0.04 + wx * 0.6
                            )
                            surface = 1.0 + 0.07 * wave
                elif plant[cell]:
                    lx, lz = ox - x, oz - z
                    near = 1e9
                    slope = dx - dz
                    if abs(slope) > 1e-9:
                        ta = (lz - lx) / slope
                        px, py = lx + ta * dx, oy + ta * dy - y
                        if ta > 0.0 and 0.0 <= px < 1.0 and 0.0 <= py < 1.0:
                            p = faces[cell, 0]
                            if pictures[0, p, int((1.0 - py) * 15.999), int(px * 16.0), 3]:
                                near, picture, tu, tv = ta, p, px, 1.0 - py
                    slope = dx + dz
                    if abs(slope) > 1e-9:
                        ta = (1.0 - lx - lz) / slope
                        px, py = lx + ta * dx, oy + ta * dy - y
                        if 0.0 < ta < near and 0.0 <= px < 1.0 and 0.0 <= py < 1.0:
                            p = faces[cell, 0]
                            if pictures[0, p, int((1.0 - py) * 15.999), int(px * 16.0), 3]:
                                near, picture, tu, tv = ta, p, px, 1.0 - py
                    if near < 1e8:
                        t = near
                        hit = True
                        shade = glow[light[x & wrap, y, z & wrap]]
                        axis = 3
                        break
                else:
                    hit = True
                    hx, hy, hz = ox + t * dx, oy + t * dy, oz + t * dz
                    fx, fy, fz = x, y, z
                    if axis == 1:
                        tu, tv = hx - math.floor(hx), hz - math.floor(hz)
                        picture = faces[cell, 1] if dy < 0.0 else faces[cell, 2]
                        shade = 1.0 if dy < 0.0 else 0.5
                        fy += 1 if dy < 0.0 else -1
                    elif axis == 0:
                        tu, tv = hz - math.floor(hz), y + 1.0 - hy
                        picture = faces[cell, 0]
                        shade = 0.62
                        fx += 1 if dx < 0.0 else -1
                    else:
                        tu, tv = hx - math.floor(hx), y + 1.0 - hy
                        picture = faces[cell, 0]
                        shade = 0.8
                        fz += 1 if dz < 0.0 else -1
                    if 0 <= fy < tall:
                        shade *= glow[light[fx & wrap, fy, fz & wrap]]
                    break
                # On to the border of the empty cube around this cell.
                bx = x + room + 1 if dx > 0.0 else x - room
                by = y + room + 1 if dy > 0.0 else y - room
                bz = z + room + 1 if dz > 0.0 else z - room
                tx, ty, tz = (bx - ox) * inv_x, (by - oy) * inv_y, (bz - oz) * inv_z
                if tx < ty and tx < tz:
                    t = tx
                    axis = 0
                elif ty < tz:
                    t = ty
                    axis = 1
                else:
                    t = tz
                    axis = 2
                # Rounding must not move the other two coordinates out of the cube.
                if axis == 0:
                    x = bx if dx > 0.0 else bx - 1
                else:
                    x = min(max(int(math.floor(ox + t * dx)), x - room), x + room)
                if axis == 1:
                    y = by if dy > 0.0 else by - 1
                else:
                    y = min(max(int(math.floor(oy + t * dy)), y - room), y + room)
                if axis == 2:
                    z = bz if dz > 0.0 else bz - 1
                else:
                    z = min(max(int(math.floor(oz + t * dz)), z - room), z + room)
            if hit:
                distance = t * length
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
                if t > limit and dy > 0.0:
                    _sky(dx, dy, dz, ox, oz, oy, tick, clouds, colour)
                elif dy >= 0.0:
                    _sky(dx, dy, dz, ox, oz, oy, tick, clouds, colour)
                else:
                    colour[0], colour[1], colour[2] = 190.0, 214.0, 255.0
                red, green, blue = colour[0], colour[1], colour[2]
                t = limit
            if water_in >= 0.0:
                depth = ((water_out if water_out >= 0.0 else t) - water_in) * length
                if under_water:
                    part = 0.42 + 0.58 * min(depth / 18.0, 1.0)
                    lit = 0.55
                    tint_r, tint_g, tint_b = 28.0, 78.0, 190.0
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


@njit(cache=True)
def enlarge(small, factor, out):
    """``out`` = ``small`` with every pixel ``factor`` x ``factor`` times (both uint8 [h, w, 3])."""
    height, width = small.shape[0], small.shape[1]
    for row in range(height):
        line = out[row * factor]
        for column in range(width):
            red, green, blue = small[row, column, 0], small[row, column, 1], small[row, column, 2]
            for i in range(factor):
                place = column * factor + i
                line[place, 0] = red
                line[place, 1] = green
                line[place, 2] = blue
        for i in range(1, factor):
            out[row * factor + i] = line


class Renderer:
    """Draws a world from an eye at ``width`` x ``height`` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._small = np.empty((height, width, 3), np.uint8)
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
    ) -> np.ndarray:
        """The view, uint8 [height, width, 3], in a buffer that the next call overwrites."""
        cell = np.array(target if target is not None else (0, -1, 0), np.int64)
        stage = min(int(progress * textures.CRACK_STAGES), textures.CRACK_STAGES - 1) if progress > 0 else -1
        cast(
            self._small,
            world.field,
            world.light,
            world.top,
            *self._tables,
            np.array(eye),
            view_basis(yaw, pitch),
            math.tan(math.radians(FOV / 2)),
            float(tick),
            cell,
            stage,
            dim,
        )
        return self._small
