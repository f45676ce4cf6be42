"""Options that take several values in a row: `--style a.jpg b.jpg` as well as `--style a.jpg --style b.jpg`.

A shell replaces an unquoted pattern by a list of files. A command without arguments can take all of them as values
of the option before them.
"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command


class ManyCommand(Command):
    """A command whose options with `multiple=True` take every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {
            name
            for option in self.get_params(ctx)
            if getattr(option, "multiple", False)
            for name in option.opts
        }
        return super().parse_args(ctx, _repeat_options(args, repeatable))


def _repeat_options(words: list[str], repeatable: set[str]) -> list[str]:
    """Put the option's name before every value after its first.

    ["--style", "a.jpg", "b.jpg"] -> ["--style", "a.jpg", "--style", "b.jpg"]
    """
    arguments: list[Any] = []
    name, num_values = "", 0
    for word in words:
        if word.startswith("-") and word != "-":
            name, num_values = (word if word in repeatable else ""), 0
        elif name:
            num_values += 1
            if num_values > 1:
                arguments.append(name)
        arguments.append(word)
    return arguments
