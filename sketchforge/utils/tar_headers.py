"""The members of a tar, read from their headers alone and in bounded memory.

Headers are not trusted: `tarfile` reads an extended header (pax, GNU's long names, sparse maps) of any size
into memory, a few megabytes of .tgz become gigabytes of it, and a chain of them ends in a traceback. This
module limits the size of a member's headers.

A reader parses the headers of all members of a shard, a dozen a sample, before it reads the first sample. The
standard library takes as long for them as decoding takes for a quarter of the samples. This module parses
headers as `render` writes them (USTAR, regular files), a few times as fast; from the first other header on,
tarfile parses.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_HEADERS = 1 << 20  # bytes of one member's headers; a path and all metadata of backups take some thousands
FILE, FOLDER, LINK, SPARSE, SPECIAL = "file", "folder", "link", "sparse", "special"
_CHECKSUM_FIELD = slice(148, 156)
_DIGITS = frozenset(b"01234567")


class Member(NamedTuple):
    """Where a member's contents lie."""

    name: str
    offset: int
    size: int
    kind: str  # FILE (a regular one, contents in one piece), FOLDER, LINK, SPARSE or SPECIAL

    @property
    def is_plain(self) -> bool:
        return self.kind == FILE


def members(file: BinaryIO) -> Iterator[Member]:
    """Yield every member of a tar that begins at 0, in order; only headers are read.

    The tar ends at the first invalid header, as it does for tarfile. Raises tarfile.TarError where the file
    is no tar, ends within a member or has headers beyond MAX_HEADERS, and OSError when it cannot be read.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        name_and_size = _parse_plain_header(header)
        if name_and_size is None:
            break
        name, size = name_and_size
        yield Member(name, position + BLOCK, size, FILE)
        position += BLOCK + -(-size // BLOCK) * BLOCK
    if position > file.seek(0, 2):
        raise tarfile.ReadError("unexpected end of data")
    file.seek(position)
    yield from any_members(file)


def any_members(file: BinaryIO) -> Iterator[Member]:
    """As `members`, by tarfile alone, for a file of unknown length, such as a gzip stream.

    Afterwards the file's position is where the next header would be.
    """
    reader = _HeaderReader(file)
    try:
        with tarfile.open(fileobj=reader, mode="r:") as tar:  # type: ignore[call-overload]  # it reads, seeks and tells
            last_offset = -1
            while (info := tar.next()) is not None:
                tar.members.clear()  # tarfile would keep every header
                if info.size < 0 or tar.offset <= last_offset:
                    raise tarfile.ReadError(f"{info.size} bytes in {info.name[:80]}: it would never end")
                last_offset = tar.offset
                if sum(len(key) + len(value) for key, value in tar.pax_headers.items()) > MAX_HEADERS:
                    raise tarfile.ReadError(f"global headers of more than {MAX_HEADERS:,} bytes")
                yield Member(info.name, info.offset_data, info.size, _name_kind(info))
                reader.begin_member()
            file.seek(tar.offset)
    except RecursionError:
        raise tarfile.ReadError("extended headers of extended headers without end") from None


def _name_kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return SPARSE
    if info.issym() or info.islnk():
        return LINK
    if info.isdir():
        return FOLDER
    return FILE if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else SPECIAL


class _HeaderReader:
    """The part of a file that tarfile uses; it limits the bytes read (headers only) between two members."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self._read = 0

    def begin_member(self) -> None:
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self._read + size > MAX_HEADERS:
            raise tarfile.ReadError(f"a member whose headers have more than {MAX_HEADERS:,} bytes")
        data = self._file.read(size)
        self._read += len(data)
        return data


def _parse_plain_header(header: bytes) -> tuple[str, int] | None:
    """(name, bytes) of a regular file's USTAR header; None for the end, a damaged header or another kind."""
    if len(header) != BLOCK or header[257:265] != b"ustar\x0000" or header[156:157] != b"0" or header[345]:
        return None
    size, checksum = header[124:135], header[148:154]
    if not (_DIGITS.issuperset(size) and _DIGITS.issuperset(checksum)):
        return None
    if int(checksum, 8) != sum(header) - sum(header[_CHECKSUM_FIELD]) + 8 * ord(" "):
        return None
    name = header[: header.find(b"\0", 0, 101) if b"\0" in header[:100] else 100]
    return (name.decode("ascii"), int(size, 8)) if name.isascii() else None
