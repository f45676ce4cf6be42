"""How much is printed, and where: `--quiet`, `--verbose` and `--log`, of every command."""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sketchforge.utils.stderr import open_stderr

if TYPE_CHECKING:
    from cli.log import LogFile

LOGGERS = ("sketchforge", "trainers", "cli")


@dataclass
class Verbosity:
    """What `--verbose`, `--quiet`, `--log` and `--json` ask for: the object of the command line's context (`Context.obj`)."""

    verbose: bool = False
    quiet: bool = False
    stdout_is_json: bool = False  # all that is for people goes to stderr
    log: LogFile | None = None
    arguments: list[str] = field(default_factory=list)  # of the command line


def current_verbosity() -> Verbosity:
    """Return the settings of the running command, the default ones outside of any."""
    context = click.get_current_context(silent=True)
    return Verbosity() if context is None else context.find_root().ensure_object(Verbosity)


def print_note(text: str) -> None:
    """Print a line that is no result: what was chosen, what comes next. Not under `--quiet`."""
    settings = current_verbosity()
    if settings.quiet:
        _log(settings, "INFO", text)
    else:
        print_result(text)


def print_result(text: str) -> None:
    """Print a line that was asked for: on stderr where stdout holds JSON, and then not under `--quiet`."""
    settings = current_verbosity()
    if not settings.stdout_is_json:
        click.echo(text)  # what stdout gets is logged
        return
    _log(settings, "INFO", text)
    if not settings.quiet:
        click.echo(text, err=True)


def print_error(text: str, level: str = "ERROR") -> None:
    """Print a line on stderr, under `--quiet`, too."""
    _log(current_verbosity(), level, text)
    with open_stderr():
        click.echo(text, err=True)


def log_line(text: str) -> None:
    """Leave a line in the log, if there is one, and nowhere else."""
    _log(current_verbosity(), "INFO", text)


def _log(settings: Verbosity, level: str, text: str) -> None:
    if settings.log is not None:
        settings.log.write(level, text)


def print_next_step(*arguments: str | Path) -> None:
    """Print the command that goes on from a result, to be copied.

    ("gallery", "out", "--html", "a.html") -> next: sketchforge gallery out --html a.html
    """
    print_note(f"next: {shlex.join(['sketchforge', *map(str, arguments)])}")


def add_verbosity_options(command: click.Command, option_class: type[click.Option]) -> None:
    """Add -v/--verbose, -q/--quiet and --log, which act at once and reach no command as arguments."""
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
    command.params.append(
        option_class(
            ["--log"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_set_log,
            help="Append what is said and done to a file, errors included, each line with its time.",
        )
    )


def begin_logging(context: click.Context) -> None:
    """Open what --log names, and let everything go there until the command line's context closes.

    Raises UsageError where the file cannot be written.
    """
    root = context.find_root()
    settings = root.ensure_object(Verbosity)
    if settings.log is not None:
        from cli.log import begin_log

        for undo in begin_log(settings.log, settings.arguments, LOGGERS):
            root.call_on_close(undo)


def _set_log(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None and not context.resilient_parsing:
        from cli.log import LogFile

        context.find_root().ensure_object(Verbosity).log = LogFile(path)


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
    from cli.log import attach

    handler = _StderrHandler()
    for name in LOGGERS:
        root.call_on_close(attach(logging.getLogger(name), handler))
