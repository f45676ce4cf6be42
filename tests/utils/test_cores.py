"""How many cores there are to compute with: affinity, quotas of control groups, and OMP_NUM_THREADS."""

import pytest

from sketchforge.utils import device
from sketchforge.utils.cpu_quota import cpu_quota
from tests.conftest import pytest_xdist_auto_num_workers


def system(root, groups, **files):
    """A root folder with these lines in /proc/self/cgroup, and files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000", "cpu.max": "max 1"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "400000 100000"}, 2),
        ("0::/host/path\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/../..\n", {"cpu.max": "300000 100000"}, 3),
        (
            "4:memory:/x\n3:cpu,cpuacct:/docker/1\n0::/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        (
            "1:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("1:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "1", "cpuset/cpu.cfs_period_us": "1"}, None),
        ("0::/\n", {"cpu.max": "1 0"}, None),
        ("0::/\n", {"cpu.max": "what"}, None),
        ("\n:\nx", {}, None),
    ],
)
def test_the_tightest_quota_of_the_control_groups_counts(tmp_path, groups, files, quota):
    assert cpu_quota(system(tmp_path, groups, **files)) == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "cores"), [(None, 6), (0.2, 1), (1.0, 1), (1.5, 2), (5.9, 6), (64.0, 6)], ids=str
)
def test_usable_cores_are_those_of_the_process_within_the_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(device, "cpu_quota", lambda: quota)
    assert device.usable_cores() == cores


@pytest.mark.parametrize(("cores", "processes"), [(1, 2), (2, 3), (64, 8)])
def test_these_tests_take_a_process_more_than_there_are_usable_cores_up_to_eight(
    monkeypatch, cores, processes
):
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    assert pytest_xdist_auto_num_workers() == processes


@pytest.mark.parametrize(
    ("value", "threads"),
    [(None, 6), ("", 6), ("0", 6), ("what", 6), ("-1", 6), ("1", 1), (" 4,2", 4), ("99", 6)],
)
def test_omp_num_threads_decides_where_no_number_is_asked_for(monkeypatch, value, threads):
    monkeypatch.setattr(device, "usable_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert device.default_threads() == threads
