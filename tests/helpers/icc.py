"""Small ICC profiles (version 2), made by hand so that tests know what is in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

# Colorants relative to D50, columns red, green, blue.
ADOBE_RGB = [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
SRGB = [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]


def rgb_profile(colorants: Sequence[Sequence[float]], gamma: float) -> bytes:
    """Three primaries (XYZ rows, RGB columns) and one exponent."""
    red, green, blue = zip(*colorants, strict=True)
    tags = {b"rXYZ": _xyz(*red), b"gXYZ": _xyz(*green), b"bXYZ": _xyz(*blue)}
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", tags | {name: _gamma(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    )


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile(inks: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> bytes:
    """{(c, m, y, k) of 0 or 1: (L 0..100, a, b)}; combinations left out are black. Linear between them."""
    table = bytearray()
    for number in range(16):
        corner = tuple(int(bit) for bit in f"{number:04b}")  # the last channel varies fastest
        lightness, a, b = inks.get(corner, (0, 0, 0))
        table += bytes([round(lightness * 2.55), a + 128, b + 128])
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(table) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78),
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"cprt": b"text" + bytes(4) + b"none\0",
        **tags,
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI", start + len(body), b"test", 0x02100000) + kind + space + connection
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head.ljust(128, b"\0") + table + body


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))


def _gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)
