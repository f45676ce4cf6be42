"""Images in tar shards: WebDataset's convention, as img2dataset and `render` write it.

The members of a sample follow one another and share a key: the path up to the first dot of the file name. The
image is the member whose whole ending is one of EXTENSIONS (`KEY.jpg`; not `KEY.sketch0.png`), the first of
them where there are several. `KEY.txt` is its caption, `KEY.json` its metadata. Samples without an image are
skipped, and so are links and sparse members. Nothing is ever unpacked to disk, so a member's path cannot do
harm.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import TRUNCATED, UNREADABLE
from sketchforge.images.sources.keys import EXTENSIONS, as_text, image_key, sanitize_key
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.utils.files import open_file
from sketchforge.utils.tar_headers import BLOCK, Member, any_members

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")


def is_tar(path: str) -> bool:
    return path.lower().endswith(TAR_ENDINGS)


def images_in_tar(path: str, name: str, prefix_keys: bool) -> Iterator[ImageSource]:
    """The images of a tar, in its own order; `name` is its path relative to the input.

    A damaged tar gives the images that can be read and an unreadable one, named like the tar, so that the
    damage is counted and listed. `prefix_keys`: the tar's name is part of the key. Raises SketchforgeError
    when the file cannot be read at all.
    """
    state = FileState.now(path)
    gzipped = not path.lower().endswith(".tar")
    members: list[Member] = []
    reason = _read_headers(state, gzipped, members)
    stem = next(name[: -len(ending)] for ending in TAR_ENDINGS if name.lower().endswith(ending))
    regular = [member for member in members if member.is_plain]
    for key, sample in groupby(regular, key=lambda member: sample_key(member.name)):
        members_by_ending = {member.name[len(key) + 1 :].lower(): member for member in sample}
        ending = next((ending for ending in EXTENSIONS if ending in members_by_ending), None)
        if not key or ending is None:
            continue
        byte_sources = [
            _create_byte_source(members_by_ending.get(suffix), state, gzipped)
            for suffix in (ending, "txt", "json")
        ]
        full_key = image_key(f"{stem}/{key}.jpg") if prefix_keys else sanitize_key(key)
        assert byte_sources[0] is not None
        yield ImageSource(
            full_key, f"{as_text(name)}/{as_text(members_by_ending[ending].name)}", *byte_sources
        )
    if reason is not None:
        yield ImageSource(image_key(f"{name}.damaged"), as_text(name), ByteSource(state.size, reason=reason))


def sample_key(member: str) -> str:
    """All before the first dot of the file name, folders included; empty without a dot or a stem."""
    folder, slash, file = member.rpartition("/")
    stem, dot, _ = file.partition(".")
    return f"{folder}{slash}{stem}" if stem and dot else ""


def _create_byte_source(member: Member | None, state: FileState, gzipped: bool) -> ByteSource | None:
    return None if member is None else ByteSource(member.size, state, member.offset, gzipped)


def _read_headers(state: FileState, gzipped: bool, members: list[Member]) -> str | None:
    """Append the tar's members to `members`; return the reason if the tar is incomplete, else None."""
    try:
        with ExitStack() as files:
            file = files.enter_context(open_file(state.path))
            stream = files.enter_context(gzip.GzipFile(fileobj=file)) if gzipped else file
            for member in any_members(stream):
                members.append(member)  # one by one: the members before a damaged one count
            # tarfile takes an invalid header for the end of the tar.
            rest = stream.read(BLOCK)
            complete = not rest.strip(b"\0") and (not members or _ends_within(members[-1], state, gzipped))
    except (tarfile.TarError, EOFError, zlib.error):
        complete = False
        del members[-1:]  # its data may end early
    except gzip.BadGzipFile:  # not gzip, or a wrong checksum
        return UNREADABLE
    except OSError as error:
        raise SketchforgeError(f"{state.path}: cannot be read ({error.strerror or error})") from error
    return None if complete else TRUNCATED


def _ends_within(member: Member, state: FileState, gzipped: bool) -> bool:
    return gzipped or member.offset + member.size <= state.size
