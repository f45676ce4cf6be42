"""Work in pieces: several tasks, one folder; two renders at once; and failed images tried again."""

import dataclasses
import multiprocessing
import os
import signal

import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.render.plan import plan_render, task_range
from sketchforge.render.render import render
from sketchforge.shards.lock import FOLDER_LOCK, remove_stale_locks, task_lock
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.utils.lock import lock
from tests.helpers.folders import contents
from tests.helpers.forks import COMMAND_LINE, Forked, forked
from tests.helpers.photos import make_photos


def test_tasks_share_all_shards_evenly_and_in_order():
    for num_shards in range(20):
        for num_tasks in range(1, 9):
            ranges = [task_range(num_shards, task, num_tasks) for task in range(num_tasks)]
            assert [number for part in ranges for number in part] == list(range(num_shards))
            assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_tasks_in_any_order_leave_what_a_single_run_leaves(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out", num_tasks=2)
    last = render(dataclasses.replace(options, task_id=1))
    assert not last.complete
    assert not read_manifest(folder_at(options.shards))["complete"]
    assert render(dataclasses.replace(options, task_id=0)).complete
    assert contents(options.shards) == contents(rendered.shards)
    again = render(dataclasses.replace(options, task_id=1))
    assert again.num_images == 0
    assert again.complete


def test_a_task_that_is_not_the_last_reads_no_stats_of_others(rendered, tmp_path, monkeypatch):
    options = dataclasses.replace(rendered, shards=tmp_path / "out", num_tasks=2)
    monkeypatch.setattr("sketchforge.render.render.finished_stats", None)
    assert not render(options).complete


def test_stats_of_another_rendering_leave_the_folder_unfinished(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out", num_tasks=2)
    render(dataclasses.replace(options, task_id=1))
    path = max(options.shards.glob("*.stats.json"))
    path.write_text(path.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    assert not render(dataclasses.replace(options, task_id=0)).complete
    assert not read_manifest(folder_at(options.shards))["complete"]


def test_more_tasks_than_shards_leave_what_a_single_run_leaves(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out", num_tasks=7)
    for task in range(7):
        render(dataclasses.replace(options, task_id=task))
    assert contents(options.shards) == contents(rendered.shards)


def test_tasks_at_the_same_time_leave_what_a_single_run_leaves(rendered, tmp_path):
    def task(number):
        return Forked(
            COMMAND_LINE, "render", "--images", rendered.images, "--shards", tmp_path / "out",
            "--method", "canny", "--size", 48, "--samples-per-shard", 4, "--batch-size", 3, "--workers", 1,
            "--num-tasks", 3, "--task-id", number,
        )  # fmt: skip

    done = [run.wait() for run in [task(number) for number in range(3)]]
    assert [run.returncode for run in done] == [0, 0, 0], [run.stderr for run in done]
    assert "all tasks are done" in "".join(run.stdout for run in done)
    assert contents(tmp_path / "out") == contents(rendered.shards)


def test_a_second_render_into_the_same_folder_is_refused(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out")
    options.shards.mkdir()
    with lock(options.shards / FOLDER_LOCK):
        with pytest.raises(
            SketchforgeError, match=f"another `sketchforge render` is at work there .process {os.getpid()}"
        ):
            render(options)
        with pytest.raises(SketchforgeError, match="another"):
            render(dataclasses.replace(options, num_tasks=2))
    with lock(options.shards / FOLDER_LOCK, shared=True), lock(options.shards / task_lock(0, 2)):
        with pytest.raises(SketchforgeError, match="another"):
            render(options)
        with pytest.raises(SketchforgeError, match="another"):
            render(dataclasses.replace(options, num_tasks=2))
        render(dataclasses.replace(options, num_tasks=2, task_id=1))
    render(options)
    assert contents(options.shards) == contents(rendered.shards), "and no lock is left"


def test_a_crash_leaves_nothing_that_blocks(tmp_path):
    code = "import os, sys; from pathlib import Path; from sketchforge.utils.lock import lock\n"
    code += "with lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    path = tmp_path / FOLDER_LOCK
    assert forked(code, path).returncode == -signal.SIGKILL
    assert path.exists()
    with lock(path):
        remove_stale_locks(folder_at(tmp_path))
        assert path.exists(), "it is held"
    assert not path.exists()
    path.touch()
    remove_stale_locks(folder_at(tmp_path))
    assert not path.exists()


def _count_up(path, number):
    for _ in range(100):
        with lock(path / ".x.lock", wait=True):
            value = int((path / "n").read_text())
            (path / "n").write_text(str(value + 1))


def test_locks_exclude_even_while_their_files_come_and_go(tmp_path):
    (tmp_path / "n").write_text("0")
    processes = [multiprocessing.Process(target=_count_up, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "n").read_text() == "400"


def test_failed_images_are_tried_again_on_request(rendered, tmp_path):
    folder = make_photos(tmp_path / "in", 9)
    whole = (folder / "p000.jpg").read_bytes()
    (folder / "p000.jpg").write_bytes(
        bytes(len(whole))
    )  # the same size: nothing tells that it has been mended
    options = dataclasses.replace(rendered, images=folder, shards=tmp_path / "out")
    assert render(options).outcomes == {"ok": 8, "not an image": 1}
    (folder / "p000.jpg").write_bytes(whole)
    assert render(options).num_images == 0
    summary = render(dataclasses.replace(options, retry_failed=True))
    assert (summary.num_images, summary.num_kept, summary.outcomes) == (4, 2, {"ok": 9})
    assert verify(options.shards).problems == []
    render(dataclasses.replace(options, shards=tmp_path / "straight"))
    assert contents(options.shards) == contents(tmp_path / "straight")


def test_mistakes_are_usage_errors(rendered, tmp_path):
    options = dataclasses.replace(rendered, shards=tmp_path / "out")
    with pytest.raises(UsageError, match="--task-id 2: with --num-tasks 2 expected 0 to 1"):
        plan_render(dataclasses.replace(options, task_id=2, num_tasks=2))
    with pytest.raises(UsageError, match="--overwrite would remove what other tasks have made"):
        plan_render(dataclasses.replace(options, num_tasks=2, overwrite=True))
    assert not options.shards.exists()
