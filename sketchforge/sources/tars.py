"""Images in tar shards: WebDataset's convention, as img2dataset writes it and as `render` does itself.

The members of a sample follow one another and share a key: the path up to the first dot of the file name. The
picture is the member whose whole ending is an image's (`KEY.jpg`; not `KEY.sketch0.png`), the first of EXTENSIONS
where there are several; `KEY.txt` is its caption, `KEY.json` its metadata. Samples without a picture are passed
over. Nothing is ever unpacked to disk, so it does not matter where a member's path would lead; links and sparse
members are passed over.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from itertools import groupby

from sketchforge.errors import SketchforgeError
from sketchforge.images import TRUNCATED, UNREADABLE
from sketchforge.sources.blob import Blob, FileState
from sketchforge.sources.image_source import ImageSource
from sketchforge.sources.keys import EXTENSIONS, as_text, image_key, kept_key

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
    members: list[tarfile.TarInfo] = []
    reason = _read_headers(state, gzipped, members)
    stem = next(name[: -len(ending)] for ending in TAR_ENDINGS if name.lower().endswith(ending))
    regular = [info for info in members if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.sparse]
    for key, sample in groupby(regular, key=lambda info: sample_key(info.name)):
        parts = {info.name[len(key) + 1 :].lower(): info for info in sample}
        ending = next((ending for ending in EXTENSIONS if ending in parts), None)
        if not key or ending is None:
            continue
        blobs = [_blob(parts.get(part), state, gzipped) for part in (ending, "txt", "json")]
        own_key = image_key(f"{stem}/{key}.jpg") if prefix_keys else kept_key(key)
        assert blobs[0] is not None
        yield ImageSource(own_key, f"{as_text(name)}/{as_text(parts[ending].name)}", *blobs)
    if reason is not None:
        yield ImageSource(image_key(f"{name}.damaged"), as_text(name), Blob(state.size, reason=reason))


def sample_key(member: str) -> str:
    """All before the first dot of the file name, folders included; empty where there is no such thing."""
    folder, slash, file = member.rpartition("/")
    stem, dot, _ = file.partition(".")
    return f"{folder}{slash}{stem}" if stem and dot else ""


def _blob(info: tarfile.TarInfo | None, state: FileState, gzipped: bool) -> Blob | None:
    return None if info is None else Blob(info.size, state, info.offset_data, gzipped)


def _read_headers(state: FileState, gzipped: bool, members: list[tarfile.TarInfo]) -> str | None:
    """Append what the tar holds to `members`; the reason if it does not end as a tar should."""
    try:
        with tarfile.open(state.path, "r:gz" if gzipped else "r:") as tar:
            while (info := tar.next()) is not None:
                members.append(info)
                tar.members.clear()  # tarfile would keep every header
            # At a header it does not understand, tarfile ends as if it were the end.
            tar.fileobj.seek(tar.offset)
            rest = tar.fileobj.read(tarfile.BLOCKSIZE)
            complete = not rest.strip(b"\0") and (not members or _ends_within(members[-1], tar, state, gzipped))
    except (tarfile.TarError, EOFError, zlib.error) as error:
        complete = False
        del members[-1:]  # its data may end early
        if not members and "file could not be opened" in str(error):
            return UNREADABLE
    except gzip.BadGzipFile:  # a checksum that does not hold
        return UNREADABLE
    except OSError as error:
        raise SketchforgeError(f"{state.path}: cannot be read ({error.strerror or error})") from error
    return None if complete else TRUNCATED


def _ends_within(info: tarfile.TarInfo, tar: tarfile.TarFile, state: FileState, gzipped: bool) -> bool:
    return gzipped or info.offset_data + info.size <= state.size
