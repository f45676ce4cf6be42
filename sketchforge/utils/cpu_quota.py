"""How many processors' time a container or batch system allows: Linux's control groups, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The CPUs that the control groups of this process may use at a time, 1.5 for instance; None: no limit.

    root: where the file system begins.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return None
    mounts = root / "sys/fs/cgroup"
    quotas = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            quotas += [_read_quota(folder / "cpu.max") for folder in _list_groups(mounts, path)]
        elif "cpu" in controllers.split(","):
            for mount in {controllers, "cpu"}:
                quotas += [
                    _read_quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
                    for folder in _list_groups(mounts / mount, path)
                ]
    return min((quota for quota in quotas if quota is not None), default=None)


def _list_groups(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folders of a group and of all above it: each may set a limit.

    In a container the path may be the host's, of which only the mounted folder itself exists.
    """
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    for count in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:count])


def _read_quota(*files: Path) -> float | None:
    """Read microseconds of CPU time per period, from one file with both numbers or one of each."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # not there, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None
