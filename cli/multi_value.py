"""Options that take several values in a row: `--style a.jpg b.jpg` as well as `--style a.jpg --style b.jpg`.

Shells put a list of files in the place of an unquoted pattern, and commands without arguments of their own
can take it as it is meant.
"""

from __future__ import annotations

from typing import Any

import click


class ManyCommand(click.Command):
    """A command whose options with `multiple=True` take every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {name for one in self.get_params(ctx) if getattr(one, "multiple", False) for name in one.opts}
        return super().parse_args(ctx, _repeated(args, many))


def _repeated(words: list[str], many: set[str]) -> list[str]:
    """The option's name put before every word that follows its first value."""
    result: list[Any] = []
    name, values = "", 0
    for word in words:
        if word.startswith("-") and word != "-":
            name, values = (word if word in many else ""), 0
        elif name:
            values += 1
            if values > 1:
                result.append(name)
        result.append(word)
    return result
