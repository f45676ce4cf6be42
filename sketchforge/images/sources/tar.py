"""Images in tar shards: WebDataset's convention, as img2dataset writes it and as `render` does itself.

The members of a sample follow one another and share a key: the path up to the first dot of the file name. The
image is the member whose whole ending is an image's (`KEY.jpg`; not `KEY.sketch0.png`), the first of EXTENSIONS
where there are several; `KEY.txt` is its caption, `KEY.json` its metadata. Samples without an image are passed
over. Nothing is ever unpacked to disk, so it does not matter where a member's path would lead; links and sparse
members are passed over.
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
from sketchforge.utils.tar_headers import BLOCK, Member, any_members

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")


def is_tar(path: str) -> bool:
    return path.lower().endswith(TAR_ENDINGS)


def images_in_tar(path: str, name: str, prefix_keys: bool) -> Iterator[ImageSource]:
    """The images of a tar, in its own order; `name` is its path relative to the input.

    A tar that is damaged gives what can be read of it and one more image, named like the tar, that cannot: so
    it is counted and listed. `prefix_keys`: the tar's name is part of the key. Raises SketchforgeError when the
    file cannot be read at all.
    """
    state = FileState.now(path)
    gzipped = not path.lower().endswith(".tar")
    members: list[Member] = []
    reason = _read_headers(state, gzipped, members)
    stem = next(name[: -len(ending)] for ending in TAR_ENDINGS if name.lower().endswith(ending))
    regular = [member for member in members if member.is_plain]
    for key, sample in groupby(regular, key=lambda member: sample_key(member.name)):
        parts = {member.name[len(key) + 1 :].lower(): member for member in sample}
        ending = next((ending for ending in EXTENSIONS if ending in parts), None)
        if not key or ending is None:
            continue
        byte_sources = [_byte_source(parts.get(part), state, gzipped) for part in (ending, "txt", "json")]
        own_key = image_key(f"{stem}/{key}.jpg") if prefix_keys else sanitize_key(key)
        assert byte_sources[0] is not None
        yield ImageSource(own_key, f"{as_text(name)}/{as_text(parts[ending].name)}", *byte_sources)
    if reason is not None:
        yield ImageSource(image_key(f"{name}.damaged"), as_text(name), ByteSource(state.size, reason=reason))


def sample_key(member: str) -> str:
    """All before the first dot of the file name, folders included; empty where there is no such thing."""
    folder, slash, file = member.rpartition("/")
    stem, dot, _ = file.partition(".")
    return f"{folder}{slash}{stem}" if stem and dot else ""


def _byte_source(member: Member | None, state: FileState, gzipped: bool) -> ByteSource | None:
    return None if member is None else ByteSource(member.size, state, member.offset, gzipped)


def _read_headers(state: FileState, gzipped: bool, members: list[Member]) -> str | None:
    """Append what the tar holds to `members`; the reason if it does not end as a tar should."""
    try:
        with ExitStack() as files:
            file = files.enter_context(open(state.path, "rb"))
            stream = files.enter_context(gzip.GzipFile(fileobj=file)) if gzipped else file
            for member in any_members(stream):
                members.append(member)  # one by one: those before a damaged one count
            # At a header it does not understand, tarfile ends as if it were the end.
            rest = stream.read(BLOCK)
            complete = not rest.strip(b"\0") and (not members or _ends_within(members[-1], state, gzipped))
    except (tarfile.TarError, EOFError, zlib.error):
        complete = False
        del members[-1:]  # its data may end early
    except gzip.BadGzipFile:  # not packed, or a checksum that does not hold
        return UNREADABLE
    except OSError as error:
        raise SketchforgeError(f"{state.path}: cannot be read ({error.strerror or error})") from error
    return None if complete else TRUNCATED


def _ends_within(member: Member, state: FileState, gzipped: bool) -> bool:
    return gzipped or member.offset + member.size <= state.size
