"""Stop a rendering anywhere, by any means: nothing half done stays, and the same command again completes it.

The signals are real, sent to a real process by itself at a chosen moment: a patch before the command starts
counts records and renames, so that moments are exact and nothing waits for a clock.
"""

import dataclasses
import errno
import os
import random
import signal
import sys
import time

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.writer import ShardWriter
from sketchforge.storage.folder import folder_at
from sketchforge.utils import files
from tests.helpers.commands import ROOT, run_python
from tests.helpers.folders import contents
from tests.helpers.forks import forked
from tests.helpers.inline_pool import replace_single_workers
from tests.helpers.photos import make_photos

pytestmark = pytest.mark.usefixtures("worker_processes")

# Arguments: moment ("record", "submit", "before" or "after" a rename), number, signal, whom (1: its group).
SCRIPT = """
import os, signal, sys
moment, number, sent, group = sys.argv[1], *map(int, sys.argv[2:5])
from sketchforge.utils import worker_pool as workers
from sketchforge.shards import writer
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
count = 0
def strike(now):
    global count
    count += now == moment
    if now == moment and count == number:
        (os.killpg if group else os.kill)(os.getpgid(0) if group else os.getpid(), sent)
add, replace, submit = writer.ShardWriter.add, os.replace, workers.WorkerPool.submit
def counted_add(self, record):
    add(self, record)
    strike("record")
def counted_replace(*paths):
    strike("before")
    replace(*paths)
    strike("after")
def counted_submit(self, *arguments):
    future = submit(self, *arguments)
    strike("submit")
    return future
writer.ShardWriter.add, os.replace, workers.WorkerPool.submit = counted_add, counted_replace, counted_submit
if __name__ == "__main__":
    from cli.main import run
    sys.exit(run(sys.argv[5:]))
"""

NUM_IMAGES, PER_SHARD = (
    7,
    3,
)  # three shards; a manifest, three files a shard and the manifest again: eleven renames


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Options of a rendering, and what it leaves when nothing stops it."""
    folder = tmp_path_factory.mktemp("interruptions")
    options = RenderOptions(
        shards=folder / "straight",
        images=make_photos(folder / "in", NUM_IMAGES),
        method="canny",
        size=48,
        samples_per_shard=PER_SHARD,
        batch_size=2,
        workers=2,
    )
    render(options)
    return options, contents(options.shards)


def arguments(options):
    given = {
        "--images": options.images,
        "--shards": options.shards,
        "--method": options.method,
        "--size": options.size,
    }
    given |= {
        "--samples-per-shard": options.samples_per_shard,
        "--batch-size": options.batch_size,
        "--workers": 2,
    }
    return [part for pair in given.items() for part in pair]


def struck(options, moment, number, sent, group=0):
    return forked(SCRIPT, moment, number, int(sent), group, "render", *arguments(options))


def completed(options):
    """The same command again, in this process alone: who does the work has no say in what is left."""
    with pytest.MonkeyPatch.context() as patch:
        replace_single_workers(patch)
        render(dataclasses.replace(options, workers=1))
    return contents(options.shards)


def some_moments():
    moments = [("record", number) for number in range(1, NUM_IMAGES + 1)]
    moments += [(when, number) for when in ("before", "after") for number in range(1, 12)]
    return random.Random(20).sample(moments, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("moment", "number"), [*some_moments(), ("before", 1), ("after", 10)])
def test_kill_9_anywhere_then_the_same_command_again(straight, tmp_path, moment, number):
    options, whole = straight
    options = dataclasses.replace(options, shards=tmp_path / "out")
    assert struck(options, moment, number, signal.SIGKILL).returncode == -signal.SIGKILL
    left = contents(options.shards)
    assert left != whole or (moment, number) == ("after", 11)
    # What has appeared under its final name is final, but for the manifest.
    final = {
        name: data for name, data in left.items() if not name.startswith(".") and name != "manifest.json"
    }
    assert final.items() <= whole.items()
    assert completed(options) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_rendering_killed_again_and_again_gets_done(straight, tmp_path):
    """Each run is killed as soon as it has finished one more shard; in the end nothing is left to do."""
    options, whole = straight
    options = dataclasses.replace(options, shards=tmp_path / "out")
    assert [struck(options, "after", 4, signal.SIGKILL).returncode for _ in range(3)] == [-signal.SIGKILL] * 3
    assert len(list(options.shards.glob("*.tar"))) == 3
    assert struck(options, "after", 99, signal.SIGKILL).returncode == 0
    assert contents(options.shards) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("group", [0, 1], ids=["self", "group"])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_polite_signals_leave_finished_shards_and_say_so(straight, tmp_path, sent, code, group):
    options, whole = straight
    options = dataclasses.replace(options, shards=tmp_path / "out")
    done = struck(options, "record", PER_SHARD + 2, sent, group)
    assert done.returncode == code
    assert "1 of 3 shards" in done.stderr
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    left = contents(options.shards)
    assert sorted(left) == ["00000.jsonl", "00000.stats.json", "00000.tar", "manifest.json"]
    assert completed(options) == whole


# A suite begun as a shell's background job: with SIGINT ignored, in another folder, without a home or stdin.
BACKGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.chdir("/")
os.environ.pop("HOME", None)
os.close(0)
sys.path.insert(0, sys.argv[1])
import tests.conftest
from tests.helpers.commands import run_python
print(run_python(sys.argv[2]).stdout)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_children_of_a_suite_in_the_background_hear_ctrl_c():
    hears = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert run_python(BACKGROUND, ROOT, hears).stdout.split() == ["True"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [1, 2])
def test_ctrl_c_while_workers_are_starting(straight, tmp_path, number):
    """The signal reaches them, too, before they could have said that they do not want it."""
    options = dataclasses.replace(straight[0], shards=tmp_path / "out")
    done = struck(options, "submit", number, signal.SIGINT, group=1)
    assert done.returncode == 130
    assert "0 of 3 shards" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(contents(options.shards)) == ["manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_a_rendering_whose_workers_hang(straight, tmp_path, sent, code):
    options = dataclasses.replace(straight[0], shards=tmp_path / "out")
    hangs = """
import sys
from tests.helpers import fatal_images
from sketchforge.render import pipeline
pipeline.prepare = fatal_images.hang
"""
    start = time.monotonic()
    done = forked(hangs + SCRIPT, "submit", NUM_IMAGES, int(sent), 0, "render", *arguments(options))
    assert done.returncode == code
    assert "0 of 3 shards" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 40, "the workers would have hung for 60 seconds"
    assert list(contents(options.shards)) == ["manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_workers_that_die_are_replaced_and_nothing_is_lost(straight, tmp_path):
    options, whole = straight
    options = dataclasses.replace(options, shards=tmp_path / "out")
    code = """
import multiprocessing, os, signal, sys
from sketchforge.utils import worker_pool as workers
submit, count = workers.WorkerPool.submit, 0
def murder(self, *arguments):
    global count
    count += 1
    if count == 8:  # the first sketch is about to be encoded, all images have been taken in
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
    return submit(self, *arguments)
workers.WorkerPool.submit = murder
if __name__ == "__main__":
    from cli.main import run
    sys.exit(run(sys.argv[1:]))
"""
    done = forked(code, "render", *arguments(options))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert contents(options.shards) == whole


@pytest.mark.parametrize("place", ["tar", "sidecar", "stats", "manifest", "rename"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_done(straight, tmp_path, monkeypatch, place):
    options, whole = straight
    options = dataclasses.replace(options, shards=tmp_path / "out")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write_bytes, add, replace = files.write_bytes, ShardWriter.add, os.replace

    def full_for(path, data, sweep=True):
        if {"sidecar": "00001.jsonl", "stats": "00001.stats.json", "manifest": "manifest.json"}[
            place
        ] == path.name:
            raise full
        write_bytes(path, data)

    def no_rename(partial, path):
        if path.name == "00001.tar":
            raise full
        replace(partial, path)

    def full_tar(self, record):
        if self._address.endswith("00001.tar"):
            monkeypatch.setattr(self._stream, "write", lambda data: (_ for _ in ()).throw(full))
        add(self, record)

    with monkeypatch.context() as patch:
        if place == "rename":
            patch.setattr(os, "replace", no_rename)
        elif place == "tar":
            patch.setattr(ShardWriter, "add", full_tar)
        else:
            patch.setattr(files, "write_bytes", full_for)
        replace_single_workers(patch)
        with pytest.raises(SketchforgeError, match="No space left on device") as error:
            render(dataclasses.replace(options, workers=1))
    assert error.value.exit_code == 1
    assert "\n" not in str(error.value)
    named = {"tar": "00001.tar", "rename": "00001.tar", "sidecar": "00001.jsonl", "stats": "00001.stats.json"}
    assert named.get(place, "manifest.json") in str(error.value)
    left = contents(options.shards)
    assert not [name for name in left if name.startswith(".")]
    if place != "manifest":
        assert {"00000.tar", "00000.jsonl", "00000.stats.json"} <= set(left)
        assert "00001.stats.json" not in left
    assert completed(options) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("size", [10, 3 << 20], ids=["on closing", "on writing"])
def test_a_disk_that_really_refuses(tmp_path, size):
    """The system refuses when buffers are flushed: on closing or before, and then again while unwinding."""
    import resource

    from sketchforge.shards import writer

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))
    try:
        with (
            pytest.raises(SketchforgeError, match="00000.tar: could not be written .File too large"),
            writer.write_shard(folder_at(tmp_path), 0, "x", "y") as shard,
        ):
            shard.add(writer.Record("key", "source", 1, image=bytes(size), sketches=[b"png"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(straight, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(SketchforgeError, match="Permission denied"):
        render(dataclasses.replace(straight[0], shards=tmp_path / "locked" / "out"))


def test_the_checkout_under_test_is_this_one():
    done = run_python("import sketchforge.render.render as render; print(render.__file__)")
    assert done.stdout.strip() == str(ROOT / "sketchforge" / "render" / "render.py")
