"""`--log FILE`: what a command says and does, line by line with its time, at the end of a file.

A line is one write to the end of the file, so several processes may share it: ranks, tasks, several commands. What
draws over itself, a progress bar, is no line; in its place there is one for every tenth.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.utils.outputs import check_local
from sketchforge.utils.versions import installed_version

_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \[\d+\] [A-Z]+ ")
_PASSWORD = re.compile(r"(?<=://)[^/\s@]+(?=@)")  # and the name before it, in a URL


class LogFile:
    """A file that lines are appended to. It is opened when the first line comes; it is never cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._given_up = False  # the disk is full or gone: work goes on without a log

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def open(self) -> None:
        """Open the file. Raises UsageError where that cannot be done, or where it holds something else."""
        if self._descriptor is not None:
            return
        self._given_up = True  # unless it succeeds: an error of the log cannot be logged
        check_local(self.path, "--log")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and not _is_log(self.path):
                raise UsageError(
                    f"{self.path}: is there already and no log of sketchforge's; name another --log"
                )
            # A named pipe that nobody reads is refused in place of being waited for.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
            self._descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise UsageError(f"--log {self.path}: cannot be written ({error.strerror or error})") from error
        self._given_up = False

    def write(self, level: str, text: str) -> None:
        """Append a text, each of its lines as one of the log. An error ends the log, not the work."""
        if self._given_up:
            return
        self.open()
        assert self._descriptor is not None
        head = f"{datetime.now(UTC).isoformat(timespec='seconds')} [{os.getpid()}] {level} "
        lines = [head + _clean(line) for line in text.splitlines() if line.strip()]
        try:
            for line in lines:
                os.write(self._descriptor, f"{line}\n".encode(errors="replace"))
        except OSError as error:
            self._given_up = True
            with suppress(OSError):
                print(
                    f"warning: --log {self.path}: {error.strerror or error}; not logged further",
                    file=sys.stderr,
                )


def _is_log(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(100)
    return not start or bool(_LINE.match(start))


def _clean(line: str) -> str:
    """The line without passwords of URLs and without characters that would command a terminal."""
    line = _PASSWORD.sub("***", line)
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in line)


def begin_log(log: LogFile, arguments: list[str], loggers: tuple[str, ...]) -> list[Callable[[], None]]:
    """Open the log and let all go to it that is logged and printed; return what ends that.

    Raises UsageError where the file cannot be written.
    """
    log.open()
    version = installed_version("sketchforge", missing="unknown")
    log.write("INFO", f"sketchforge {version}: {shlex.join(['sketchforge', *arguments])}")
    handler = _Handler(log)
    undo = [attach(logging.getLogger(name), handler) for name in loggers]
    before, sys.stdout = sys.stdout, _Logged(sys.stdout, log)

    def restore() -> None:
        sys.stdout = before

    return [*undo, restore]


def log_error(log: LogFile, message: str, error: BaseException) -> None:
    """Append an error and, where it is a fault of the program, where it happened."""
    with suppress(UsageError):
        log.write("ERROR", message)
        if message.startswith("unexpected "):
            log.write("DEBUG", "".join(traceback.format_exception(error)))


def attach(logger: logging.Logger, handler: logging.Handler) -> Callable[[], None]:
    """Attach a handler that sees all; return the function that restores the logger."""
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def detach() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    return detach


class _Handler(logging.Handler):
    """Appends records to the log. Warnings that nobody else shows are printed, as they are without a log."""

    def __init__(self, log: LogFile) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(record.levelname, f"{record.name}: {self.format(record)}")
        resort = logging.lastResort
        if resort and record.levelno >= resort.level and self._is_alone(record.name):
            resort.handle(record)

    def _is_alone(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True


class _Logged:
    """Standard output that leaves a copy of every whole line in the log."""

    def __init__(self, stream: Any, log: LogFile) -> None:
        self._stream, self._log, self._rest = stream, log, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._log.write("INFO", "\n".join(lines))
        return int(written)
