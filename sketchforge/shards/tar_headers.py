"""Where the members of a tar lie, found quickly.

Before the first sample of a shard is read, the headers of all its members are, a dozen a sample; the standard library
takes as long for them as decoding takes for a quarter of the samples. Headers as `render` writes them (USTAR, regular
files) are read here, a few times as fast; from the first one that is anything else, tarfile goes on.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

BLOCK = tarfile.BLOCKSIZE
_CHECKSUM = slice(148, 156)
_DIGITS = frozenset(b"01234567")


def members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """(name, offset of the contents, bytes) of every member, in order.

    Raises tarfile.TarError where the file is no tar or ends within a member, OSError when it cannot be read.
    """
    position = end = 0
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        found = _plain(header)
        if found is None:
            break
        name, size = found
        yield name, position + BLOCK, size
        end = position + BLOCK + size
        position += BLOCK + -(-size // BLOCK) * BLOCK
    if end > file.seek(0, 2):
        raise tarfile.ReadError("unexpected end of data")
    file.seek(position)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # tarfile would keep every header
            yield info.name, info.offset_data, info.size


def _plain(header: bytes) -> tuple[str, int] | None:
    """(name, bytes) of a regular file's USTAR header; None for the end, whatever is damaged, and all else."""
    if len(header) != BLOCK or header[257:265] != b"ustar\x0000" or header[156:157] != b"0" or header[345]:
        return None
    size, checksum = header[124:135], header[148:154]
    if not (_DIGITS.issuperset(size) and _DIGITS.issuperset(checksum)):
        return None
    if int(checksum, 8) != sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" "):
        return None
    name = header[: header.find(b"\0", 0, 101) if b"\0" in header[:100] else 100]
    return (name.decode("ascii"), int(size, 8)) if name.isascii() else None
