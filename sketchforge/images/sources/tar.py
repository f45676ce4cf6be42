"""Images in tar shards: WebDataset's convention, as img2dataset and `render` write it.

The members of a sample share a key, the path up to the first dot of the file name, and may lie anywhere in the
tar. The sample's image is

    KEY.jpg          the member whose whole ending is an image's, the first of EXTENSIONS where there are several;
    KEY.any.jpg      where there is none: the only member that ends like an image (`IMG_2020.01.02.jpg`).

All other images of a key are counted and passed over: `KEY.input.jpg` or `KEY.mask.png` beside `KEY.jpg`, and
several of `KEY.1.jpg`, `KEY.2.jpg` without a `KEY.jpg`, for those may be one sample or several. A lone
`KEY.sketch0.png` is a sketch, no image. `KEY.txt` is the caption, `KEY.json` the metadata; of `KEY.any.jpg` first
`KEY.any.txt` and `KEY.any.json`. The sample is named KEY, and in the second case after the whole path, for keys
have no dots. Of members of one name the last counts, as when a tar is unpacked.

Links, sparse and special members are passed over and counted. Nothing is ever unpacked to disk, so a member's path
cannot do harm.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO, cast

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import TRUNCATED, UNREADABLE
from sketchforge.images.sources.keys import as_text, image_key, readable_extensions, sanitize_key
from sketchforge.images.sources.passed_over import (
    FURTHER_IMAGES,
    LINKS,
    REPLACED,
    SHARED_KEYS,
    SPARSE_MEMBERS,
    SPECIAL_FILES,
    WITHOUT_IMAGE,
    count_ending,
)
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource, open_state
from sketchforge.utils.tar_headers import BLOCK, LINK, SPARSE, SPECIAL, Member, any_members, members

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")
_KINDS = {LINK: LINKS, SPARSE: SPARSE_MEMBERS, SPECIAL: SPECIAL_FILES}
_SKETCH = re.compile(r"(.*\.)?sketch\d+\.png")


def is_tar(path: str) -> bool:
    return path.lower().endswith(TAR_ENDINGS)


def is_gzipped(path: str) -> bool:
    """Whether a tar's name says that it is."""
    return not path.lower().endswith(".tar")


def images_in_tar(
    path: str, name: str, prefix_keys: bool, passed_over: Counter[str]
) -> Iterator[ImageSource]:
    """The images of a tar, in the order of their samples; `name` is its path relative to the input.

    A damaged tar gives the images that can be read and an unreadable one, named like the tar, so that the
    damage is counted and listed. `prefix_keys`: the tar's name is part of the key. What is passed over is
    counted in `passed_over`. Raises SketchforgeError when the file cannot be read at all.
    """
    state = FileState.now(path)
    gzipped = is_gzipped(path)
    whole: list[Member] = []
    reason = _read_headers(state, gzipped, whole)
    stem = next(name[: -len(ending)] for ending in TAR_ENDINGS if name.lower().endswith(ending))
    for key, sample in _group_members(whole, passed_over).items():
        ending = _choose_image(sample)
        beside = [_find_beside(sample, ending, suffix) for suffix in ("txt", "json")]
        used = {ending, *beside}
        _count_unused(sample, used, FURTHER_IMAGES if ending else SHARED_KEYS, passed_over)
        if ending is None:
            continue
        member = sample[ending]
        if "." in ending:
            full_key = image_key(f"{stem}/{member.name}" if prefix_keys else member.name)
        else:
            full_key = image_key(f"{stem}/{key}.jpg") if prefix_keys else sanitize_key(key)
        yield ImageSource(
            full_key,
            f"{as_text(name)}/{as_text(member.name)}",
            _create_byte_source(member, state, gzipped),
            *(_create_byte_source(sample[other], state, gzipped) if other else None for other in beside),
        )
    if reason is not None:
        yield ImageSource(image_key(f"{name}.damaged"), as_text(name), ByteSource(state.size, reason=reason))


def sample_key(member: str) -> str:
    """All before the first dot of the file name, folders included; empty without a dot or a stem."""
    folder, slash, file = member.rpartition("/")
    stem, dot, _ = file.partition(".")
    return f"{folder}{slash}{stem}" if stem and dot else ""


def _group_members(members: list[Member], passed_over: Counter[str]) -> dict[str, dict[str, Member]]:
    """Group the regular members: key -> ending in small letters -> member, in the order of first appearance."""
    samples: dict[str, dict[str, Member]] = {}
    for member in members:
        key = sample_key(member.name)
        if not member.is_plain:
            if member.kind in _KINDS:
                passed_over[_KINDS[member.kind]] += 1
        elif key:
            sample = samples.setdefault(key, {})
            ending = member.name[len(key) + 1 :].lower()
            if ending in sample:
                passed_over[REPLACED] += 1
            sample[ending] = member
        elif not member.name.rpartition("/")[2].startswith("."):
            count_ending(passed_over, "")
    return samples


def _choose_image(sample: Mapping[str, Member]) -> str | None:
    """Choose the ending of a sample's image; None where there is none, or none that is clearly it."""
    extensions = readable_extensions()
    whole = next((ending for ending in extensions if ending in sample), None)
    if whole is not None:
        return whole
    dotted = [ending for ending in sample if _is_image(ending)]
    return dotted[0] if len(dotted) == 1 and not _SKETCH.fullmatch(dotted[0]) else None


def _is_image(ending: str) -> bool:
    return ending.rpartition(".")[2] in readable_extensions()


def _find_beside(sample: Mapping[str, Member], ending: str | None, suffix: str) -> str | None:
    """Find the ending of the caption or metadata (`suffix`) of the image with an ending."""
    if ending is None:
        return None
    inner = ending.rpartition(".")[0]
    candidates = (f"{inner}.{suffix}", suffix) if inner else (suffix,)
    return next((candidate for candidate in candidates if candidate in sample), None)


def _count_unused(
    sample: Mapping[str, Member], used: Container[str | None], images: str, passed_over: Counter[str]
) -> None:
    """Count the members of a sample that are not used; `images`: what its other images count as."""
    for ending in sample:
        if ending in used:
            continue
        last = ending.rpartition(".")[2]
        if _is_image(ending):
            passed_over[FURTHER_IMAGES if _SKETCH.fullmatch(ending) else images] += 1
        elif last in WITHOUT_IMAGE:
            passed_over[WITHOUT_IMAGE[last]] += 1
        else:
            count_ending(passed_over, last)


def _create_byte_source(member: Member, state: FileState, gzipped: bool) -> ByteSource:
    return ByteSource(member.size, state, member.offset, gzipped)


def _read_headers(state: FileState, gzipped: bool, whole: list[Member]) -> str | None:
    """Append the tar's members to `whole`; return the reason if the tar is incomplete, else None."""
    try:
        with ExitStack() as files:
            file = files.enter_context(open_state(state))
            stream: BinaryIO = file
            if gzipped:
                stream = cast(BinaryIO, files.enter_context(gzip.GzipFile(fileobj=file)))
            for member in any_members(stream) if gzipped else members(stream):
                whole.append(member)  # one by one: the members before a damaged one count
            # tarfile takes an invalid header for the end of the tar.
            rest = stream.read(BLOCK)
            complete = not rest.strip(b"\0") and (not whole or _ends_within(whole[-1], state, gzipped))
    except (tarfile.TarError, EOFError, zlib.error):
        complete = False
        del whole[-1:]  # its data may end early
    except gzip.BadGzipFile:  # not gzip, or a wrong checksum
        return UNREADABLE
    except OSError as error:
        raise SketchforgeError(f"{state.path}: cannot be read ({error.strerror or error})") from error
    return None if complete else TRUNCATED


def _ends_within(member: Member, state: FileState, gzipped: bool) -> bool:
    return gzipped or member.offset + member.size <= state.size
