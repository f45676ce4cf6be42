"""The group of commands, which are found by name and imported when used, and the exit code of every error."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path

import click

from cli.command import LazyGroup, Option
from cli.config import read_config
from cli.interruptions import Terminated, find_interruption, raise_on_signals
from cli.usage_errors import CONFIG, describe_usage_error
from cli.verbosity import Verbosity
from sketchforge.errors import SketchforgeError
from sketchforge.utils.versions import installed_version

# Every command: its name and the module that defines it. Modules are imported when a command is used or listed,
# so none of them may import torch, cv2 or numpy at its head.
COMMANDS = {
    "tom-train": "cli.train.tom:tom_train_command",
    "index": "cli.shards.index:index_command",
    "render": "cli.shards.render:render_command",
    "convert": "cli.shards.convert:convert_command",
    "verify": "cli.shards.verify:verify_command",
    "inspect": "cli.shards.inspect:inspect_command",
    "gallery": "cli.shards.gallery:gallery_command",
    "eval": "cli.eval.group:eval_command",
    "ae-train": "cli.train.autoencoder:ae_train_command",
    "gan-train": "cli.train.gan:gan_train_command",
    "style2paints-train": "cli.train.style2paints:style2paints_train_command",
    "segin-train": "cli.train.segin:segin_train_command",
    "diffsketching-train": "cli.train.diffsketching:diffsketching_train_command",
    "synthesize": "cli.synthesis.synthesize:synthesize_command",
    "mix": "cli.synthesis.mix:mix_command",
    "transfer": "cli.synthesis.transfer:transfer_command",
    "export": "cli.synthesis.export:export_command",
    "app": "cli.app:app_command",
    "encoder-train": "cli.train.encoder:encoder_train_command",
    "weights": "cli.weights:weights_command",
    "doctor": "cli.doctor:doctor_command",
    "help": "cli.help:help_command",
}

# The commands by the way of the data, as `--help` lists them.
SECTIONS = {
    "Sketches": ("tom-train", "index", "render", "verify", "convert"),
    "Look": ("app", "inspect", "gallery"),
    "Models": (
        "ae-train",
        "gan-train",
        "style2paints-train",
        "segin-train",
        "diffsketching-train",
        "synthesize",
        "mix",
        "transfer",
        "export",
    ),
    "Measure": ("eval",),
    "Weights": ("weights", "encoder-train"),
    "Help": ("help", "doctor"),
}
HELP_COLUMNS = 120  # help is as wide as the terminal, up to this
_INTERRUPTED, _TERMINATED = 130, 143  # 128 + the signal's number, as shells have it


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"sketchforge {installed_version('sketchforge', missing='unknown (not installed)')}")
        ctx.exit()


def _load_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        group = ctx.command
        assert isinstance(group, click.Group)
        ctx.default_map = read_config(path, ctx, group)
        ctx.meta[CONFIG] = path


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    sections=SECTIONS,
    context_settings={
        "auto_envvar_prefix": "SKETCHFORGE",
        "help_option_names": ["-h", "--help"],
        "max_content_width": HELP_COLUMNS,
    },
    epilog="Example: sketchforge render --images photos/ --shards out/",
)
@click.option(
    "--version",
    cls=Option,
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print it.",
)
@click.option(
    "--config",
    cls=Option,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    help="Options from a file: a table per command, `[render]` with `size = 256`.",
)
def main() -> None:
    """Turn any collection of images into sketch-image pairs, and train on them.

    Options come from the command line, else from variables such as SKETCHFORGE_RENDER_SIZE, else from
    --config, else from the defaults shown.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run the command line (default: sys.argv) and return the exit code: 0, 1, 2, 130 or 143.

    Every error is one line on stderr. Under `--verbose`, an error that is a fault of the program is raised.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    settings = Verbosity(arguments=list(arguments))
    started = time.perf_counter()
    code = _run(arguments, settings)
    if settings.log is not None and settings.log.is_open:  # not of --help
        settings.log.write("INFO", f"ended after {time.perf_counter() - started:.1f} s, exit code {code}")
    return code


def _run(arguments: list[str], settings: Verbosity) -> int:
    try:
        raise_on_signals()
        if not arguments:
            main.main(["--help"], prog_name="sketchforge", standalone_mode=False)
            return 2
        code = main.main(arguments, prog_name="sketchforge", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        interruption = find_interruption(error.__cause__ if isinstance(error, click.Abort) else error)
        if interruption is not None or isinstance(error, click.Abort):
            return _TERMINATED if isinstance(interruption, Terminated) else _INTERRUPTED
        if settings.verbose and not isinstance(error, (SketchforgeError, click.ClickException, OSError)):
            raise
        message, code = _describe_error(error)
        if settings.log is not None:
            from cli.log import log_error

            log_error(settings.log, message, error)
        return _fail(message, code)


def _describe_error(error: BaseException) -> tuple[str, int]:
    """One line on an error, and the exit code."""
    if isinstance(error, SketchforgeError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError):
        return describe_usage_error(error), error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, OSError):  # a full disk, a folder without permission: for the user to mend
        path = f"{error.filename}: " if error.filename else ""
        return f"{path}{error.strerror or error}; what was finished before is kept", 1
    return _describe_unexpected(error), 1


def _describe_unexpected(error: BaseException) -> str:
    """Say whether the installation, the machine's memory or the program is at fault."""
    if isinstance(error, ImportError) and "shared object file" in str(error):
        packages = "apt-get install libglib2.0-0 libgl1"
        return f"a system library is missing ({error}); on Debian or Ubuntu: {packages}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name} is not installed; install sketchforge again, with what it needs"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch has its own
        return "out of memory; what was finished before is kept: try smaller batches or images"
    return (
        f"unexpected {type(error).__name__}: {error}; this is a fault of sketchforge: the same command with "
        "--verbose shows where"
    )


def _fail(message: str, code: int) -> int:
    try:
        click.echo(f"error: {' '.join(message.split())}", err=True)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
    return code
