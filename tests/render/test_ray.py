"""Ray makes the folder that one process makes, whatever happens to its workers."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from pathlib import Path

import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.ray_engine import _cause_of_start, check_same_libraries
from sketchforge.render.render import render
from tests.helpers.commands import run_cli
from tests.helpers.folders import contents

ray = pytest.importorskip("ray", reason="needs Ray (the extra `ray`)")


@pytest.fixture(scope="module")
def cluster():
    """A small cluster on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80 << 20,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield
        ray.shutdown()


@pytest.fixture
def by_ray(rendered, tmp_path) -> RenderOptions:
    return dataclasses.replace(rendered, shards=tmp_path / "out", engine="ray", engine_workers=2)


def renderers() -> list[int]:
    """The processes in which shards are being made."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::") and b"render_shard" in title:
                found.append(int(folder.name))
    return found


def test_two_workers_make_the_folder_that_one_process_makes(cluster, by_ray, rendered):
    summary = render(by_ray)
    assert (summary.num_images, summary.complete) == (10, True)
    assert contents(by_ray.shards) == contents(rendered.shards)


@pytest.mark.slow
def test_what_is_finished_is_kept(cluster, by_ray, rendered):
    render(by_ray)
    (by_ray.shards / "00001.stats.json").unlink()
    before = (by_ray.shards / "00000.tar").stat().st_ino
    summary = render(by_ray)
    assert (summary.num_kept, summary.num_images) == (2, 4)
    assert (by_ray.shards / "00000.tar").stat().st_ino == before
    assert contents(by_ray.shards) == contents(rendered.shards)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_worker_killed_within_a_shard_changes_nothing(cluster, by_ray, rendered):
    """Killed as soon as a tar has been begun: Ray starts it anew, and its shard, too."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not killed and not ended.wait(0.002):
            if list(by_ray.shards.glob(".*.tar.*.part")) and (at_work := renderers()):
                os.kill(at_work[0], signal.SIGKILL)
                killed.append(at_work[0])

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        render(by_ray)
    finally:
        ended.set()
        killer.join()
    assert killed
    assert contents(by_ray.shards) == contents(rendered.shards)


def test_what_a_shard_fails_of_is_one_line(cluster, by_ray, tmp_path):
    by_ray.shards.mkdir()
    os.mkfifo(tmp_path / "weights.safetensors")
    options = dataclasses.replace(by_ray, method="hed", edge_weights=tmp_path / "weights.safetensors")
    with pytest.raises(SketchforgeError) as error:
        render(options)
    assert "\n" not in str(error.value)


def test_failures_are_counted_over_workers(cluster, by_ray, photos, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    for path in sorted(photos.glob("*.png"))[:4]:
        (images / path.name).write_bytes(path.read_bytes())
    for name in ("a.jpg", "zz.jpg"):
        (images / name).write_bytes(b"no image")
    summary = render(dataclasses.replace(by_ray, images=images))
    assert (summary.num_failed, sorted(source for source, _ in summary.some_failed)) == (
        2,
        ["a.jpg", "zz.jpg"],
    )
    with pytest.raises(SketchforgeError, match="2 images failed .*more than --max-failures 1"):
        render(dataclasses.replace(by_ray, images=images, shards=tmp_path / "few", max_failures=1))


def test_a_worker_that_cannot_begin_says_why_in_its_own_line():
    """Ray gives the whole traceback of an actor whose __init__ failed."""
    told = "The actor died\n  File x\nsketchforge.errors.SketchforgeError: numpy 1 on b, but 2 here\n\nmore"
    assert _cause_of_start(RuntimeError(told)) == "numpy 1 on b, but 2 here"
    assert _cause_of_start(RuntimeError("The actor died")) is None


def test_another_version_on_a_machine_is_refused():
    with pytest.raises(SketchforgeError, match="but 0.0.1 where the rendering was begun"):
        check_same_libraries({"numpy": "0.0.1"})


def test_a_cluster_that_is_not_there_is_wrong_usage(photos, tmp_path):
    words = (
        "render",
        "--images",
        photos,
        "--shards",
        tmp_path / "out",
        "--method",
        "canny",
        "--engine",
        "ray",
    )
    result = run_cli(*words, "--address", "127.0.0.1:1")
    assert result.returncode == 2
    assert "--address 127.0.0.1:1: no Ray cluster could be reached there" in result.stderr
    assert "Traceback" not in result.stderr


def test_more_gpus_than_the_cluster_has_are_refused(cluster, by_ray):
    with pytest.raises(UsageError, match="--gpus-per-worker 99: the cluster has 0 GPUs"):
        render(dataclasses.replace(by_ray, gpus_per_worker=99.0))
