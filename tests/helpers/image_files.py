"""Image files put together byte by byte: kinds that no library at hand writes, with known levels in them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B"}  # TIFF's types of numbers


def tiff(
    levels: np.ndarray,
    photometric: int = 1,
    order: str = "<",
    planar: bool = False,
    deflate: bool = False,
    bits: int | None = None,
    **tags: Sequence[int],
) -> bytes:
    """A TIFF of H×W or H×W×C levels of any dtype; `tags` as T338=[2] (shorts), which go before all others.

    bits: of packed samples; `levels` are the packed bytes of each row then, and T256 the width.
    """
    samples = 1 if levels.ndim == 2 else levels.shape[2]
    planes = [levels[..., index] for index in range(samples)] if planar else [levels]
    strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    entries: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [levels.shape[1]]),
        257: (4, [levels.shape[0]]),
        258: (3, [bits or levels.dtype.itemsize * 8] * samples),
        259: (3, [8 if deflate else 1]),
        262: (3, [photometric]),
        277: (3, [samples]),
        278: (4, [levels.shape[0]]),
        284: (3, [2 if planar else 1]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[levels.dtype.kind]] * samples),
    }
    entries |= {int(name[1:]): (3, values) for name, values in tags.items()}
    return tiff_of(entries, strips, order)


def tiff_of(entries: Mapping[int, tuple[int, Sequence[int]]], strips: Sequence[bytes], order: str) -> bytes:
    """A TIFF of {tag: (type, values)} and strips of bytes."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    offsets = []
    for strip in strips:
        offsets.append(len(data))
        data += strip + bytes(len(strip) % 2)
    entries = {**entries, 273: (4, offsets), 279: (4, [len(strip) for strip in strips])}
    directory = b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        if len(packed) > 4:
            packed, offset = struct.pack(order + "I", len(data)), packed
            data += offset + bytes(len(offset) % 2)
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    struct.pack_into(order + "I", data, 4, len(data))
    return bytes(data) + struct.pack(order + "H", len(entries)) + directory + bytes(4)


def chunk(kind: bytes, contents: bytes, damaged: bool = False) -> bytes:
    """A chunk of a PNG; damaged: with a wrong checksum."""
    checksum = zlib.crc32(kind + contents) ^ damaged
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", checksum)


def png_of(
    rows: np.ndarray, colour_type: int, depth: int, chunks: Sequence[bytes] = (), width: int = 0
) -> bytes:
    """A PNG of rows of levels (uint8, uint16) or of packed bytes (then with its width); `chunks` before IDAT."""
    raw = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width or rows.shape[1], rows.shape[0], depth, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pack_bits(levels: np.ndarray, depth: int) -> np.ndarray:
    """H×W levels -> rows of bytes with `depth` bits a level, the most significant first."""
    bits = (levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(len(levels), -1).astype(np.uint8), axis=1)


def gif_of(
    levels: np.ndarray, corner: tuple[int, int], canvas: tuple[int, int], transparent: int | None = None
):
    """A GIF of grey levels whose only frame lies at `corner` of a larger canvas."""
    import io

    from PIL import Image

    frame = Image.fromarray(levels).convert("P")
    frame.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    buffer = io.BytesIO()
    more = {} if transparent is None else {"transparency": transparent}
    frame.save(buffer, "GIF", optimize=False, interlace=0, **more)
    data = bytearray(buffer.getvalue())
    data[6:10] = struct.pack("<HH", *canvas)
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, *frame.size))
    data[at + 1 : at + 5] = struct.pack("<HH", *corner)
    return bytes(data)
