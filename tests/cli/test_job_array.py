"""A rendering finds its task in a SLURM array or an indexed Kubernetes Job, unless it is told."""

import click
import pytest

from cli.job_array import task_of_job_array
from cli.shards.render import render_command
from sketchforge.errors import UsageError
from tests.helpers.forks import forked_cli
from tests.helpers.photos import make_photos

SLURM = {
    "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "10", "SLURM_ARRAY_TASK_MIN": "0",
    "SLURM_ARRAY_TASK_MAX": "9",
}  # fmt: skip
KUBERNETES = {"JOB_COMPLETION_INDEX": "2"}


def task_of(environ, *words) -> dict[str, int]:
    context = render_command.make_context("render", ["--shards", "out", *words])
    with context:
        return task_of_job_array(click.get_current_context(), environ)


def numbered(task, count, first, last, step=None):
    names = {"ID": task, "COUNT": count, "MIN": first, "MAX": last} | ({} if step is None else {"STEP": step})
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in names.items()}


def test_outside_of_arrays_there_is_no_task():
    assert task_of({}) == {}


@pytest.mark.parametrize(
    ("environ", "task", "count"),
    [
        (SLURM, 3, 10),
        (numbered(1, 10, 1, 10), 0, 10),
        (numbered(10, 10, 1, 10), 9, 10),
        (numbered(8, 5, 2, 10, 2), 3, 5),
        (numbered(7, 1, 7, 7, 1), 0, 1),
    ],
)
def test_a_slurm_array_tells_task_and_count_from_whatever_number_on(environ, task, count):
    assert task_of(environ) == {"task_id": task, "num_tasks": count}


@pytest.mark.parametrize("words", [("--num-tasks", "4", "--task-id", "1"), ("--num-tasks", "1")])
@pytest.mark.parametrize("environ", [SLURM, KUBERNETES])
def test_what_is_told_counts(environ, words):
    assert task_of(environ, *words) == {}


def test_a_count_that_is_told_goes_before_the_arrays():
    assert task_of(SLURM, "--num-tasks", "20") == {"task_id": 3, "num_tasks": 20}


def test_a_kubernetes_job_tells_its_index_beside_a_count():
    assert task_of(KUBERNETES, "--num-tasks", "5") == {"task_id": 2, "num_tasks": 5}
    assert task_of(KUBERNETES) == {}


@pytest.mark.parametrize("environ", [numbered(5, 3, 1, 9), numbered(4, 3, 1, 5, 2)])
def test_an_uneven_array_is_refused(environ):
    with pytest.raises(UsageError, match="3 tasks are not numbered evenly .*--array=0-2"):
        task_of(environ)


@pytest.mark.parametrize("text", ["", "-1", "two"])
def test_a_number_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=f"SLURM_ARRAY_TASK_COUNT: found '{text}', expected a number"):
        task_of(SLURM | {"SLURM_ARRAY_TASK_COUNT": text})


def test_a_task_of_an_array_renders_its_shards_and_says_so(tmp_path, monkeypatch):
    for name, value in numbered(2, 2, 1, 2).items():
        monkeypatch.setenv(name, value)
    photos = make_photos(tmp_path / "photos", 4)
    done = forked_cli(
        "render", "--images", photos, "--shards", tmp_path / "out", "--method", "canny", "--size", 32,
        "--samples-per-shard", 2, "--workers", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "task 1 of 0 to 1, by SLURM_ARRAY_TASK_ID" in done.stderr + done.stdout
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["00001.tar"]
