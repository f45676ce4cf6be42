"""All checks, one after another: whatever goes wrong in one is its finding, and the next goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sketchforge.doctor.drawing import check_drawing, check_worker
from sketchforge.doctor.finding import FAIL, Finding, Findings, hide_home
from sketchforge.doctor.installation import check_extras, check_packages, check_python, check_weights
from sketchforge.doctor.machine import check_cores, check_devices, check_disks

FORMAT, VERSION = "sketchforge-doctor", 1
CHECKS: Sequence[tuple[str, Callable[[], Findings]]] = (
    ("python", check_python),
    ("packages", check_packages),
    ("extras", check_extras),
    ("cores", check_cores),
    ("devices", check_devices),
    ("disks", check_disks),
    ("weights", check_weights),
    ("workers", check_worker),
    ("drawing", check_drawing),
)


def check_health(checks: Sequence[tuple[str, Callable[[], Findings]]] = CHECKS) -> Iterator[Finding]:
    """Yield what is found out, in order, as it is found."""
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:
            line = str(error).splitlines()[0] if str(error) else ""
            text = hide_home(f"{type(error).__name__}{f': {line}' if line else ''}")
            yield Finding(
                FAIL, name, text, "`sketchforge --verbose doctor` shows more; report it with these lines"
            )
