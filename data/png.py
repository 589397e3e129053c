"""Decoding stored PNGs quickly: most of a PNG's time is inflating it, and libpng inflates row by row.

Reads what data/episode_files.py writes: 8-bit RGB, not interlaced, every row with the filter "Sub" (PNG
specification, section 9.2). Anything else, damage too, is answered with False: OpenCV reads or refuses it.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from isal import isal_zlib  # inflates twice as fast as zlib (benchmarks/loader.py)

_DAMAGED: Any = isal_zlib.error  # isal's type stubs take it for an instance
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SUB = 1  # each byte is stored as its difference from the pixel to its left


def decode_into(coded: bytes, out: np.ndarray) -> bool:
    """Decode a PNG into ``out`` (uint8 [H, W, 3] RGB); return False where it is not of the kind read here.

    ``out`` is then left as it was. What is read is checked by zlib's own checksum of the pixels.
    """
    height, width, _ = out.shape
    header = struct.pack(">8s I4s II5B", _SIGNATURE, 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    if not coded.startswith(header):
        return False
    parts, place = [], len(header) + 4
    while place + 8 <= len(coded):
        length, kind = struct.unpack_from(">I4s", coded, place)
        if kind == b"IDAT":
            parts.append(coded[place + 8 : place + 8 + length])
        elif (
            kind != b"IEND" and not kind[0] & 0x20
        ):  # a capital letter: the chunk changes how pixels are read
            return False
        place += 12 + length
    size = height * (1 + 3 * width)
    try:
        rows = isal_zlib.decompress(parts[0] if len(parts) == 1 else b"".join(parts), 15, size)
    except (_DAMAGED, IndexError):
        return False
    if len(rows) != size:
        return False
    stored = np.frombuffer(rows, np.uint8).reshape(height, 1 + 3 * width)
    if (stored[:, 0] != _SUB).any():
        return False
    np.cumsum(stored[:, 1:].reshape(out.shape), axis=1, dtype=np.uint8, out=out)
    return True
