"""Five hundred damaged inputs and a thousand corruptions; `make soak` brings more (docs/reliability.md)."""

import random
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from tests.helpers.fuzz import Targets, corrupt, fuzz
from tests.helpers.photos import make_photos


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    images = make_photos(folder / "in", 7)
    (images / "p000.txt").write_text("a caption")
    (images / "p001.jpg").write_bytes(b"no image")
    render(
        RenderOptions(
            shards=folder / "out", images=images, method="canny", size=40, samples_per_shard=3, workers=1
        )
    )
    return folder / "out"


ROOM = 4 << 30  # bytes: an image at our limit takes 0.5 GiB as RGB, and several copies while it is converted


@contextmanager
def limited_memory(room: int) -> Iterator[None]:
    """Let this process take `room` more bytes of addresses; an allocation beyond them fails."""
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux
        yield
        return
    taken = next(line for line in status.read_text().splitlines() if line.startswith("VmSize"))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(taken.split()[1]) * 1024 + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_the_limit_of_memory_holds():
    with limited_memory(1 << 28), pytest.raises(MemoryError):
        bytearray(1 << 30)


def test_no_damaged_input_crashes_hangs_or_swells(shards, tmp_path, pytestconfig, capsys):
    count = pytestconfig.getoption("--fuzz")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with limited_memory(ROOM):
        seen = fuzz(
            Targets(tmp_path, shards, shards.parent / "in"), count, pytestconfig.getoption("--campaign-seed")
        )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    assert seen.total() == count
    assert len(seen) > 10
    with capsys.disabled():
        print(
            f"\n{count} inputs, {grown:.2f} GiB more: "
            + ", ".join(f"{n} {what}" for what, n in seen.most_common())
        )


def test_verify_finds_every_corruption(shards, tmp_path, pytestconfig):
    assert verify(shards).problems == []
    count, found = pytestconfig.getoption("--fuzz"), 0
    for number in range(count):
        rng = random.Random(f"{pytestconfig.getoption('--campaign-seed')} corruption {number}")
        copy = tmp_path / "copy"
        shutil.copytree(shards, copy)
        done = ""
        while not done:
            done = corrupt(copy, rng)
        try:
            noticed = bool(verify(copy).problems)
        except SketchforgeError:
            noticed = True
        assert noticed, f"corruption {number}: {done}"
        found += 1
        shutil.rmtree(copy)
    assert found == count
