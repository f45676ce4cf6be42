"""The command line and Python in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """For subprocesses: this checkout first, one thread each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKETCHFORGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run_python(code: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process and group of its own. Waits until every process holding its output is gone."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(**more),
        start_new_session=True,
    )


def run_cli(*arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m sketchforge` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "sketchforge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=environment(**more),
    )
