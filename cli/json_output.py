"""`--json [FILE]`: figures as JSON in a file, or on stdout, which then holds nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from cli.options import LocalPath, option
from cli.verbosity import current_verbosity, print_result

STDOUT = Path("-")


class _JsonFile(LocalPath):
    """A file that ends in .json, or "-"."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        if path != STDOUT and path.suffix.lower() != ".json":
            self.fail(
                f"{value}: expected a name that ends in .json; --json for stdout comes last, or is `--json -`",
                param,
                ctx,
            )
        return STDOUT if path == STDOUT else super().convert(value, param, ctx)


def json_option(help: str) -> Callable[[Any], Any]:
    """Add --json, whose value may be left out: then JSON goes to stdout, and all else that is printed to stderr."""
    return option(
        "--json",
        group="Output",
        type=_JsonFile(),
        is_flag=False,
        flag_value=str(STDOUT),
        callback=_claim_stdout,
        metavar="[FILE]",
        help=f"{help} Without FILE: on stdout, and tables on stderr.",
    )


def _claim_stdout(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    if path == STDOUT and not context.resilient_parsing:
        current_verbosity().stdout_is_json = True
    return path


def without_stdout(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a command's options with `json` as a file, or None."""
    return {**values, "json": None if values["json"] == STDOUT else values["json"]}


def check_json_output(path: Path | None) -> None:
    """Refuse at once a file that is not ours."""
    from sketchforge.utils.outputs import check_output

    check_output(None if path == STDOUT else path, "--json", overwrite=False)


def write_json_output(path: Path | None, make: Callable[[], Mapping[str, Any]]) -> None:
    """Write the document as --json wants it, and print the file's name; nothing where it was not given."""
    if path is None:
        return
    from sketchforge.utils.files import encode_json, write_json

    if path == STDOUT:
        click.echo(encode_json(make()), nl=False)
    else:
        write_json(path, make())
        print_result(str(path))
