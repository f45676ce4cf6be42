"""Where a tar's members lie, as Python's own tarfile finds it."""

import io
import tarfile

import pytest

from sketchforge.utils.tar_headers import BLOCK, members

FILES = {"a.jpg": b"x" * 700, "a.json": b"", "b.jpg": b"y" * 512, "d/c.txt": b"z"}


def tar_of(
    files: dict[str, bytes], form: int = tarfile.USTAR_FORMAT, odd: tarfile.TarInfo | None = None
) -> bytes:
    """A tar of `files`, with `odd` before the last of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, data) in enumerate(files.items()):
            if odd is not None and number == len(files) - 1:
                tar.addfile(odd)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def by_tarfile(data: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info.name, info.offset_data, info.size) for info in tar]


def link() -> tarfile.TarInfo:
    found = tarfile.TarInfo("link")
    found.type, found.linkname = tarfile.SYMTYPE, "a.jpg"
    return found


def folder() -> tarfile.TarInfo:
    found = tarfile.TarInfo("folder")
    found.type = tarfile.DIRTYPE
    return found


def test_contents_are_where_it_says():
    data = tar_of(FILES)
    assert {name: data[start : start + size] for name, start, size, _ in members(io.BytesIO(data))} == FILES


@pytest.mark.parametrize(
    "data",
    [
        tar_of(FILES),
        tar_of({}),
        tar_of(FILES, tarfile.GNU_FORMAT),
        tar_of(FILES, tarfile.PAX_FORMAT),
        tar_of({f"{'n' * 99}.jpg": b"1", "a.jpg": b"2"}, tarfile.GNU_FORMAT),
        tar_of({f"{'n' * 99}.jpg": b"1", "a.jpg": b"2"}, tarfile.PAX_FORMAT),
        tar_of({f"{'d' * 60}/{'n' * 99}": b"1", "n" * 100: b"2"}),
        tar_of({"日本.jpg": b"1", "b.jpg": b"2"}),
        tar_of(FILES, odd=link()),
        tar_of(FILES, odd=folder()),
    ],
    ids=["ours", "empty", "gnu", "pax", "gnu long", "pax long", "prefix", "not ascii", "link", "folder"],
)
def test_as_tarfile_finds_it(data):
    assert [member[:3] for member in members(io.BytesIO(data))] == by_tarfile(data)


@pytest.mark.parametrize("place", [0, 1, 130, 150, 156, 260, 345, 500])
@pytest.mark.parametrize("number", [0, 2])
def test_a_damaged_header_ends_it_as_tarfile_would(place, number):
    """And is never taken for a whole one: the checksum covers every byte."""
    data = bytearray(tar_of(FILES))
    start = by_tarfile(bytes(data))[number][1] - BLOCK
    data[start + place] ^= 0x10
    try:
        expected = by_tarfile(bytes(data))
    except tarfile.TarError:
        with pytest.raises(tarfile.TarError):
            list(members(io.BytesIO(data)))
    else:
        assert [member[:3] for member in members(io.BytesIO(data))] == expected
        assert len(expected) == number


@pytest.mark.parametrize("kept", [300, BLOCK + 300, 5 * BLOCK])
def test_an_end_within_a_member_is_an_error(kept):
    with pytest.raises(tarfile.TarError):
        list(members(io.BytesIO(tar_of(FILES)[:kept])))


def test_an_empty_file_and_one_that_is_no_tar():
    for data in (b"", b"no tar" * 200):
        with pytest.raises(tarfile.TarError):
            list(members(io.BytesIO(data)))
