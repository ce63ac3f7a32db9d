"""Draws tessera.png: a level map of 4 x 4 blocks as a mosaic. `python assets/icon/draw.py`; needs nothing but Python."""

import struct
import zlib
from pathlib import Path

SIZE, OVER = 256, 3  # pixels a side, samples a pixel and side
GROUND, STONE = (0x1D, 0x20, 0x26), (0xE0, 0xA4, 0x58)
LEVELS = [[1, 0.35, 0.08, 0.15], [0.35, 1, 0.5, 0.08], [0.08, 0.5, 1, 0.35], [0.15, 0.08, 0.35, 1]]


def inside(x, y, left, top, side, radius):
    """Whether a point is in a square with round corners."""
    dx = max(left + radius - x, x - (left + side - radius), 0)
    dy = max(top + radius - y, y - (top + side - radius), 0)
    return dx * dx + dy * dy <= radius * radius


def sample(x, y):
    """Red, green, blue and opacity, each from 0 to 255, at a point."""
    if not inside(x, y, 4, 4, 248, 48):
        return 0, 0, 0, 0
    column, row = int((x - 32) // 50), int((y - 32) // 50)
    if 0 <= row < 4 and 0 <= column < 4 and inside(x, y, 32 + column * 50, 32 + row * 50, 42, 9):
        level = LEVELS[row][column]
        return *(g + (s - g) * level for g, s in zip(GROUND, STONE)), 255
    return *GROUND, 255


def pixel(column, row):
    """The mean of a pixel's samples, colours weighted by opacity."""
    points = [(i + 0.5) / OVER for i in range(OVER)]
    samples = [sample(column + dx, row + dy) for dy in points for dx in points]
    alpha = sum(s[3] for s in samples)
    colour = [round(sum(s[c] * s[3] for s in samples) / alpha) if alpha else 0 for c in range(3)]
    return bytes([*colour, round(alpha / len(samples))])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(SIZE)) for y in range(SIZE))
header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
Path(__file__).with_name("tessera.png").write_bytes(png)
