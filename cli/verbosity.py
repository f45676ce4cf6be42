"""How much is printed: `--quiet` leaves results and errors, `--verbose` adds what the library logs."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

LOGGERS = ("sketchforge", "trainers", "cli")


@dataclass
class Verbosity:
    """What `--verbose` and `--quiet` ask for: the object of the command line's context (`Context.obj`)."""

    verbose: bool = False
    quiet: bool = False


def current_verbosity() -> Verbosity:
    """Return the settings of the running command, the default ones outside of any."""
    context = click.get_current_context(silent=True)
    return Verbosity() if context is None else context.find_root().ensure_object(Verbosity)


def print_note(text: str) -> None:
    """Print a line that is no result: what was chosen, what comes next. Not under `--quiet`."""
    if not current_verbosity().quiet:
        click.echo(text)


def print_next_step(*arguments: str | Path) -> None:
    """Print the command that goes on from a result, to be copied.

    ("gallery", "out", "--html", "a.html") -> next: sketchforge gallery out --html a.html
    """
    print_note(f"next: {shlex.join(['sketchforge', *map(str, arguments)])}")


def add_verbosity_options(command: click.Command, option_class: type[click.Option]) -> None:
    """Add -v/--verbose and -q/--quiet, which act at once and reach no command as arguments."""
    for name, help in (
        ("verbose", "Also say what was decided, each failed image as it fails, and how long it took."),
        ("quiet", "Print results and errors only: no progress, no notes."),
    ):
        command.params.append(
            option_class(
                [f"-{name[0]}", f"--{name}"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_set_verbosity,
                help=help,
            )
        )


def _set_verbosity(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    settings = context.find_root().ensure_object(Verbosity)
    setattr(settings, str(option.name), True)
    if settings.verbose and settings.quiet:
        raise click.UsageError("--verbose and --quiet exclude each other; leave one out", context)
    if settings.verbose:
        _show_logs(context)


class _StderrHandler(logging.Handler):
    """Prints log records on stderr, above a progress bar if there is one; each text once."""

    def __init__(self) -> None:
        super().__init__()
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if text in self._printed:
            return
        self._printed.add(text)
        tqdm: Any = sys.modules.get("tqdm")
        if tqdm is None:
            click.echo(text, err=True)
            return
        with tqdm.tqdm.external_write_mode(file=sys.stderr):
            click.echo(text, err=True)


def _show_logs(context: click.Context) -> None:
    """Print what the packages log until the command line's context closes."""
    root = context.find_root()
    if root.meta.setdefault("sketchforge.logs", False):
        return
    root.meta["sketchforge.logs"] = True
    handler = _StderrHandler()
    for name in LOGGERS:
        root.call_on_close(_attach(logging.getLogger(name), handler))


def _attach(logger: logging.Logger, handler: logging.Handler) -> Callable[[], None]:
    """Attach a handler; return the function that restores the logger."""
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def detach() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    return detach
