"""Variables of the environment: SKETCHFORGE_<COMMAND>_<OPTION>, and a warning of those that nothing reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches

import click

from cli.usage_errors import variable_of
from cli.verbosity import current_verbosity, print_error

PREFIX = "SKETCHFORGE_"
# Read elsewhere than by the command line: the folder of weights, and the tests' data.
OTHER_VARIABLES = ("SKETCHFORGE_WEIGHTS", "SKETCHFORGE_TEST_DATA")


def warn_of_unknown_variables(context: click.Context) -> None:
    """Print one line for variables that look like ours and that no option reads."""
    of_command = {variable_of(context, parameter) for parameter in context.command.params}
    candidates = {name for name in os.environ if name.startswith(PREFIX)} - of_command - {*OTHER_VARIABLES}
    if not candidates or current_verbosity().quiet:
        return
    root = context.find_root()
    known = set(_known_variables(root.command, root))
    unknown = sorted(candidates - known)
    if not unknown:
        return
    nearest = get_close_matches(unknown[0], [*known, *OTHER_VARIABLES], n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
    print_error(f"warning: {unknown[0]}: no option reads this variable{more}{hint}", "WARNING")


def _known_variables(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the variables of a command's options, and of the commands in it."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield variable_of(context, parameter)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _known_variables(inner, click.Context(inner, context, info_name=name))
