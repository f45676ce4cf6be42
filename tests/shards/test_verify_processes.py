"""`verify` by several processes: the same report as by one, in the same order, whatever becomes of a process."""

import dataclasses
import shutil
from contextlib import contextmanager

import pytest

from sketchforge.shards import verify as verifying
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.utils.worker_pool import DIED, WorkerLost
from tests.helpers.recorded_progress import RecordedProgress


@pytest.fixture
def spoilt(rendered, tmp_path):
    """Ten samples in three shards: one cut off, one a copy of another, so that its keys are there twice."""
    folder = tmp_path / "out"
    shutil.copytree(rendered.shards, folder)
    tars = sorted(folder.glob("*.tar"))
    tars[1].write_bytes(tars[1].read_bytes()[:-2000])
    shutil.copy(tars[0], tars[2])
    return folder


def test_two_processes_find_what_one_finds(spoilt):
    reports, counted = [], []
    for workers in (1, 2):
        progress = RecordedProgress()
        reports.append(dataclasses.asdict(verify(spoilt, progress, workers)))
        counted.append(len(progress.figures))
    assert reports[0] == reports[1]
    assert counted[0] == counted[1] == reports[0]["num_samples"]
    assert any("keys must be unique" in problem for problem in reports[0]["problems"])


class Pool:
    """Runs everything at once, but for one shard, whose process dies."""

    def __init__(self, lost):
        self.lost, self.numbers, self.ahead = lost, [], []

    def submit(self, function, folder, number, entry, manifest):
        assert "shards" not in manifest
        self.numbers.append(number)
        return number, lambda: function(folder, number, entry, manifest)

    def result(self, task, name):
        number, call = task
        self.ahead.append(len(self.numbers) - number)
        if number == self.lost:
            raise WorkerLost(DIED)
        return call()


def verify_with(pool, folder, monkeypatch):
    @contextmanager
    def worker_pool(workers, timeout):
        yield pool

    monkeypatch.setattr(verifying, "worker_pool", worker_pool)
    return verify(folder, workers=2)


def test_a_shard_that_a_process_dies_of_is_told_and_the_others_are_checked(rendered, monkeypatch):
    report = verify_with(Pool(lost=1), rendered.shards, monkeypatch)
    assert report.problems == ["00001.tar: could not be checked (worker died)"]
    samples = [entry["samples"] for entry in read_manifest(folder_at(rendered.shards))["shards"]]
    assert report.num_samples == samples[0] + samples[2]


def test_no_more_shards_are_begun_than_processes_will_take_up(rendered, monkeypatch):
    pool = Pool(lost=None)
    many = {number: {"samples": 0, "failed": 0} for number in range(40)}
    monkeypatch.setattr(verifying, "list_problems", lambda *given: [])
    monkeypatch.setattr(verifying, "worker_pool", contextmanager(lambda *given: iter([pool])))
    found = verifying._find_problems(rendered.shards, {}, many, 3)
    assert [number for number, _ in found] == list(range(40))
    assert max(pool.ahead) <= 2 * 3 + 1


@pytest.mark.parametrize(
    ("asked", "samples", "shards", "expected"),
    [(0, 10, 9, 1), (0, 10_000, 9, 4), (0, 10_000, 3, 3), (8, 10, 3, 3), (2, 10, 3, 2), (5, 0, 0, 1)],
)
def test_as_many_processes_as_pay_and_no_more_than_shards(monkeypatch, asked, samples, shards, expected):
    monkeypatch.setattr(verifying, "usable_cores", lambda: 4)
    entries = {number: {"samples": samples // shards} for number in range(shards)}
    assert verifying._choose_workers(asked, entries) == expected
