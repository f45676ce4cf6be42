"""The members of a tar, by their headers alone, and with no more memory than headers are worth.

What a header says comes from a stranger: `tarfile` reads an extended header (pax, GNU's long names, sparse maps) of
whatever size into memory, a few megabytes of .tgz become gigabytes of it, and a chain of them ends in a traceback.
Here a member's headers have a limit.

Before the first sample of a shard is read, the headers of all its members are, a dozen a sample; the standard library
takes as long for them as decoding takes for a quarter of the samples. Headers as `render` writes them (USTAR, regular
files) are read here, a few times as fast; from the first one that is anything else, tarfile goes on.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_HEADERS = (
    1 << 20
)  # bytes, of one member's headers; a path and everything that backups note take some thousands
_CHECKSUM = slice(148, 156)
_DIGITS = frozenset(b"01234567")


class Member(NamedTuple):
    """Where a member's contents lie."""

    name: str
    offset: int
    size: int
    is_plain: bool  # a regular file, contents in one piece


def members(file: BinaryIO) -> Iterator[Member]:
    """Every member of a tar that begins at 0, in order; nothing is read but headers.

    At a header that makes no sense the tar is taken to end, as tarfile has it. Raises
    tarfile.TarError where the file is no tar, ends within a member or has headers beyond MAX_HEADERS, OSError when it
    cannot be read.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        found = _plain(header)
        if found is None:
            break
        name, size = found
        yield Member(name, position + BLOCK, size, True)
        position += BLOCK + -(-size // BLOCK) * BLOCK
    if position > file.seek(0, 2):
        raise tarfile.ReadError("unexpected end of data")
    file.seek(position)
    yield from any_members(file)


def any_members(file: BinaryIO) -> Iterator[Member]:
    """As `members`, by tarfile alone, for a file that need not know its own length, such as one being unpacked.

    Afterwards the file stands where the next header would be.
    """
    reader = _HeaderReader(file)
    try:
        with tarfile.open(fileobj=reader, mode="r:") as tar:
            position = -1
            while (info := tar.next()) is not None:
                tar.members.clear()  # tarfile would keep every header
                if info.size < 0 or tar.offset <= position:
                    raise tarfile.ReadError(f"{info.size} bytes in {info.name[:80]}: it would never end")
                position = tar.offset
                if sum(len(key) + len(value) for key, value in tar.pax_headers.items()) > MAX_HEADERS:
                    raise tarfile.ReadError(f"global headers of more than {MAX_HEADERS:,} bytes")
                is_plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.sparse
                yield Member(info.name, info.offset_data, info.size, is_plain)
                reader.begin_member()
            file.seek(tar.offset)
    except RecursionError:
        raise tarfile.ReadError("extended headers of extended headers without end") from None


class _HeaderReader:
    """What tarfile needs of a file, with a limit on what it reads, which is headers only, between two members."""

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
