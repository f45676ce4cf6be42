"""The console script. The one place in the library that knows of the command line, and that may exit."""

from __future__ import annotations

import sys
from pathlib import Path

from sketchforge.utils.standard_streams import open_standard_streams


def main() -> None:
    """Run the command line and exit with its code."""
    open_standard_streams()
    ours = Path(__file__).resolve().parent.parent / "cli" / "__init__.py"
    try:
        import cli
    except ImportError:
        found = None
    else:
        found = cli.__file__
    if found is None or Path(found).resolve() != ours:
        sys.exit(_explain_other_package(ours, found))
    try:
        from cli.main import run

        code = run()
    except KeyboardInterrupt:  # before or after the command: there is nothing to tell
        code = 130
    sys.exit(code)


def _explain_other_package(ours: Path, found: str | None) -> str:
    """Say which file stands in the way of our package `cli`, and what to do."""
    if found is None:
        return (
            f"error: expected sketchforge's package `cli` at {ours.parent}, found nothing; install it again"
        )
    other = Path(found).resolve()
    shadows = f"error: {other} shadows sketchforge's own package `cli` ({ours.parent})"
    folder = other.parent.parent if other.name == "__init__.py" else other.parent
    if folder == Path.cwd():  # `python -m` looks there first
        return f"{shadows}: rename it, or type `sketchforge …` in place of `python -m sketchforge …`"
    return (
        f"{shadows}: another distribution has taken the name; install sketchforge into an environment of "
        "its own"
    )


if __name__ == "__main__":
    main()
