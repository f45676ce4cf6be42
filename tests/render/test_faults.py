"""The disk refuses: every single write, flush to the disk and rename of a rendering fails once."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import io
import os
import re
from contextlib import contextmanager

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.utils.progress import Progress
from tests.helpers.folders import contents, lines
from tests.helpers.photos import make_photos


class Disk:
    """Counts operations below a folder, and refuses the one with number `fails` (from 1)."""

    def __init__(self, folder, fails=0, error=errno.ENOSPC):
        self.folder, self.fails, self.error = str(folder), fails, error
        self.operations: list[str] = []

    def happens(self, operation: str, path) -> None:
        if str(path).startswith(self.folder):
            name = re.sub(r"\.[0-9a-f]{16}\.part$", ".part", os.path.basename(path))
            self.operations.append(f"{operation} {name}")
            if len(self.operations) == self.fails:
                raise OSError(self.error, os.strerror(self.error))

    @contextmanager
    def patched(self):
        with pytest.MonkeyPatch.context() as patch:
            real_open, real_fsync, real_replace, real_mkdir = io.open, os.fsync, os.replace, os.mkdir
            real_create = os.open
            paths = {}

            def opened(file, mode="r", *arguments, **more):
                if not {*mode} & {*"wax+"}:
                    return real_open(file, mode, *arguments, **more)
                if not isinstance(file, int):
                    self.happens("open", file)
                stream = real_open(file, mode, *arguments, **more)
                if isinstance(file, int):  # opened below, under a name of its own
                    file = os.readlink(f"/proc/self/fd/{file}")
                paths[stream.fileno()] = file
                write = stream.write

                def counted(data):
                    self.happens("write", file)
                    return write(data)

                class Counted:
                    def __getattr__(self, name):
                        return counted if name == "write" else getattr(stream, name)

                    def __enter__(self):
                        return self

                    def __exit__(self, *_):
                        stream.close()

                return Counted()

            def created(path, flags, *arguments, **more):
                if str(path).endswith(".part") and flags & os.O_CREAT:
                    self.happens("open", path)
                return real_create(path, flags, *arguments, **more)

            def fsync(descriptor):
                self.happens("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
                real_fsync(descriptor)

            def replace(partial, path):
                self.happens("rename", path)
                real_replace(partial, path)

            def mkdir(path, *arguments, **more):
                if not os.path.exists(path):  # else pathlib takes any error for "it is there already"
                    self.happens("mkdir", path)
                real_mkdir(path, *arguments, **more)

            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            patch.setattr(os, "open", created)
            patch.setattr(os, "fsync", fsync)
            patch.setattr(os, "replace", replace)
            patch.setattr(os, "mkdir", mkdir)
            yield


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Options of a rendering, what it leaves when nothing fails, and the operations it takes."""
    folder = tmp_path_factory.mktemp("faults")
    options = RenderOptions(
        shards=folder / "straight",
        images=make_photos(folder / "in", 4),
        method="canny",
        size=40,
        samples_per_shard=2,
    )
    disk = Disk(options.shards)
    with disk.patched():
        render(options)
    return options, contents(options.shards), disk.operations


def test_the_faults_cover_every_kind_of_operation(straight):
    _, _, operations = straight
    for file in ("manifest.json", "00000.tar", "00000.jsonl", "00000.stats.json", "00001.tar"):
        assert operations.count(f"rename {file}") == 1 + (file == "manifest.json")
        assert any(line == f"write .{file}.part" for line in operations)
        assert any(line == f"fsync .{file}.part" for line in operations)
    assert "mkdir straight" in operations
    assert "fsync straight" in operations


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize(
    ("error", "every"),
    [
        (errno.ENOSPC, 1),
        (errno.EIO, 3),
        pytest.param(
            errno.EIO, 1, marks=pytest.mark.slow
        ),  # nothing that is written looks at which error it is
    ],
    ids=["ENOSPC", "EIO at each third", "EIO"],
)
def test_every_operation_may_fail(straight, tmp_path, error, every):
    options, whole, operations = straight
    for number in range(1, len(operations) + 1, every):
        options = dataclasses.replace(options, shards=tmp_path / str(number) / "straight")
        options.shards.parent.mkdir()
        disk = Disk(options.shards, number, error)
        with disk.patched(), pytest.raises(SketchforgeError) as caught:
            render(options)
        what = disk.operations[-1] if len(disk.operations) == number else disk.operations[number - 1]
        said = str(caught.value)
        assert os.strerror(error) in said, what
        assert "\n" not in said, what
        assert caught.value.exit_code == 1, what
        assert what.split()[1].strip(".").removesuffix(".part") in said, (what, said)
        left = contents(options.shards) if options.shards.exists() else {}
        assert not [name for name in left if name.startswith(".")], what
        assert {
            name: data for name, data in left.items() if name != "manifest.json"
        }.items() <= whole.items(), what
        render(options)
        assert contents(options.shards) == whole, what


def test_sources_that_go_or_change_while_drawing_are_named_and_come_again(tmp_path):
    folder = make_photos(tmp_path / "in", 6)
    options = RenderOptions(
        shards=tmp_path / "out", images=folder, method="canny", size=40, samples_per_shard=2, workers=1
    )
    gone, changed = folder / "p000.jpg", folder / "p001.jpg"
    whole = gone.read_bytes()

    class Meddling(Progress):
        def begin(self, unit, total, done=0):
            if unit == "image":  # the files have been found
                gone.unlink()
                changed.write_bytes(whole)

    assert render(options, Meddling()).outcomes == {"ok": 4, "gone": 1, "changed": 1}
    reasons = {line["source"]: line["reason"] for line in lines(options.shards) if line["reason"]}
    assert reasons == {"p000.jpg": "gone", "p001.jpg": "changed"}
    gone.write_bytes(whole)
    summary = render(dataclasses.replace(options, retry_failed=True))
    assert summary.outcomes == {"ok": 6}
    assert summary.num_kept == 1
    render(dataclasses.replace(options, shards=tmp_path / "straight"))
    assert contents(options.shards) == contents(tmp_path / "straight")
