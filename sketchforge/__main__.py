"""The console script. The one place in the library that knows of the command line, and that may exit."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command line and exit with its code."""
    ours = Path(__file__).resolve().parent.parent / "cli" / "__init__.py"
    try:
        import cli
    except ImportError:
        cli = None
    found = getattr(cli, "__file__", None)
    if found is None or Path(found).resolve() != ours:
        where = found or "nothing"
        sys.exit(
            f"error: expected sketchforge's own package `cli` at {ours.parent}, found {where}: another "
            "distribution has taken its name; install sketchforge into an environment of its own"
        )
    try:
        from cli.main import run

        code = run()
    except KeyboardInterrupt:  # before or after the command: there is nothing to tell
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
