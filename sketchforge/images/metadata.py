"""PNG and JPEG files without the metadata that Pillow stumbles over: the pixels are sound whatever a text says.

Pillow refuses a PNG whose texts unpack to more than a megabyte or have a wrong checksum, and a JPEG with a
malformed application segment. What the pixels depend on is kept: orientation, colour profile, transparency.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MAX_EXIF = 1 << 20  # bytes; larger blocks are dropped, and so is a text that holds one
MAX_PROFILE = 16 << 20  # bytes; profiles of printers have some
_LOOKED_AT = (b"tRNS", b"iCCP", b"eXIf", b"tEXt", b"zTXt")  # the ancillary chunks that may matter
_EXIF_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")  # ImageMagick's, before PNG had eXIf


@dataclass(frozen=True)
class PlainPng:
    """A PNG of critical chunks, palette transparency and EXIF only, and what the other chunks said."""

    data: bytes
    profile: bytes | None  # ICC
    transparent: tuple[int, ...] | None  # the grey level or RGB colour that means "transparent"
    depth: int  # bits a sample; the unit of `transparent`


def strip_png(data: bytes) -> PlainPng:
    """A PNG file without text, animation and damaged ancillary chunks.

    Raises ValueError where the transparent colour, which decides pixels, has a wrong checksum.
    """
    depth, colour_type = (data[24], data[25]) if len(data) > 25 else (8, 2)
    kept, profile, transparent = [data[:8]], None, None
    position = 8
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            kept.append(data[position:])  # cut off, which Pillow reports
            break
        kind = data[position + 4 : position + 8]
        if not kind[0] & 0x20:  # a capital first letter: a critical chunk
            kept.append(data[position:end])
        elif kind in _LOOKED_AT:
            contents = data[position + 8 : end - 4]
            is_sound = zlib.crc32(contents, zlib.crc32(kind)) == int.from_bytes(data[end - 4 : end], "big")
            if kind == b"tRNS" and not is_sound:
                raise ValueError("broken PNG file: wrong checksum of its transparent colour")
            if kind == b"tRNS" and colour_type in (0, 2):
                transparent = _read_levels(contents, 1 if colour_type == 0 else 3, depth)
            elif kind == b"iCCP" and is_sound:
                profile = _inflate(contents.partition(b"\0")[2][1:], MAX_PROFILE)
            elif kind == b"tRNS" or (is_sound and _holds_exif(kind, contents)):
                kept.append(data[position:end])
        if kind == b"IEND":
            break
        position = end
    return PlainPng(b"".join(kept), profile, transparent, depth)


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG file without comments and application segments, but for sound EXIF, ICC and Adobe segments."""
    kept, position = [data[:2]], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA or marker < 0xC0 or 0xD0 <= marker <= 0xD9:  # the pixels begin, or damage
            break
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        contents = data[position + 4 : end]
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        is_needed = (
            (marker == 0xE1 and contents.startswith(b"Exif\0\0"))
            or (marker == 0xE2 and contents.startswith(b"ICC_PROFILE\0") and len(contents) >= 14)
            or (marker == 0xEE and contents.startswith(b"Adobe") and len(contents) >= 12)
        )
        if not is_metadata or is_needed:
            kept.append(data[position:end])
        position = end
    return b"".join((*kept, data[position:]))


def _read_levels(contents: bytes, count: int, depth: int) -> tuple[int, ...] | None:
    """Read 16-bit numbers, of which the lower `depth` bits count; None for too few bytes."""
    if len(contents) < 2 * count:
        return None
    levels = (int.from_bytes(contents[2 * index : 2 * index + 2], "big") for index in range(count))
    return tuple(level & ((1 << depth) - 1) for level in levels)


def _holds_exif(kind: bytes, contents: bytes) -> bool:
    """Whether a chunk holds an EXIF block of at most MAX_EXIF bytes."""
    if kind == b"eXIf":
        return len(contents) <= MAX_EXIF
    name, text = contents[:22], contents[22:]
    if kind not in (b"tEXt", b"zTXt") or name not in _EXIF_TEXTS:
        return False
    return len(text) <= MAX_EXIF if kind == b"tEXt" else _inflate(text[1:], MAX_EXIF) is not None


def _inflate(packed: bytes, limit: int) -> bytes | None:
    """Unpack a zlib stream; None where it is damaged or longer than `limit` bytes."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, limit)
    except zlib.error:
        return None
    return data if stream.eof else None
