"""Progress as a bar with rate and time left; every 30 seconds a line where stderr is no terminal."""

from __future__ import annotations

import sys
from typing import Any

from cli.verbosity import current_verbosity, log_line, print_note
from sketchforge.utils.progress import Progress

QUICK = 2.0  # seconds: a command that takes less needs no bar
TENTHS = 10  # lines of a log for a whole bar
FINDING = ("file", "tar")  # units of what comes before a command's own work, and is quick as a rule


class Bar(Progress):
    """A progress bar on stderr, none under `--quiet`.

    delay: seconds before the bar appears, so that quick commands show none; while files are looked for, QUICK.
    """

    def __init__(self, delay: float = QUICK) -> None:
        self._delay = delay
        self._bar: Any = None
        self._title: str | None = None
        self._log_handler: Any = None
        self.unit, self.total, self.done = "", 0, 0
        self.units: set[str] = set()  # all that were begun

    def stage(self, title: str) -> None:
        self._title = title or None

    def begin(self, unit: str, total: int, done: int = 0) -> None:
        from tqdm import tqdm

        self.unit, self.total, self.done = unit, total, done
        self.units.add(unit)
        self._log(f"{total:,} in all, {done:,} done" if done else f"{total:,} in all")
        interval = 0.2 if sys.stderr.isatty() else 30
        self._bar = tqdm(
            disable=current_verbosity().quiet,
            dynamic_ncols=True,
            total=total or None,
            desc=self._title,
            initial=done,
            unit=unit,
            delay=QUICK if unit in FINDING else self._delay,
            smoothing=0.05,
            mininterval=interval,
            maxinterval=2 * interval,
        )
        self._log_handler = _show_warnings(self._bar)

    def advance(self, **figures: float | str) -> None:
        self.done += 1
        postfix = ""
        if figures:
            parts = (
                value if isinstance(value, str) else f"{name} {value:.3g}" for name, value in figures.items()
            )
            postfix = ", ".join(parts)
            self._bar.set_postfix_str(postfix, refresh=False)
        self._bar.update()
        if self.total and self.done * TENTHS // self.total > (self.done - 1) * TENTHS // self.total:
            self._log(", ".join(filter(None, (f"{self.done:,} of {self.total:,}", postfix))))

    def _log(self, text: str) -> None:
        """Leave a line in the log of --log, where it stands for the bar."""
        if self.unit not in FINDING and self.total:
            log_line(": ".join(filter(None, (self._title, self.unit, text))))

    def note(self, text: str) -> None:
        if self._bar is None:
            print_note(text)
            return
        with self._bar.external_write_mode(file=sys.stdout):
            print_note(text)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            _logger().removeHandler(self._log_handler)


def _logger() -> Any:
    import logging

    return logging.getLogger("sketchforge")


def _show_warnings(bar: Any) -> Any:
    """Show the library's warnings as lines above the bar, on stderr; returns the handler that does it."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with bar.external_write_mode(file=sys.stderr):
                print(self.format(record), file=sys.stderr)

    handler = Handler(logging.WARNING)
    _logger().addHandler(handler)
    return handler
