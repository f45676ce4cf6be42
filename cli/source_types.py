"""Types of options: text that names files, completed by the shell; pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


def complete_words(words: Sequence[str], incomplete: str, kind: str) -> list[CompletionItem]:
    """Return the words that begin so, and let the shell complete files or folders, too.

    kind: "file" or "dir". It comes first: bash starts its list anew for it.
    """
    plain = [CompletionItem(word) for word in words if word.startswith(incomplete)]
    return [CompletionItem(incomplete, type=kind), *plain]


class SourceText(click.ParamType):
    """Text: a path, a pattern, a URL, or one of a few words.

    words: those that are no paths, such as "builtin".
    """

    name = "source"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete_words(self.words, incomplete, "file")


class Names(click.ParamType):
    """Names with commas between them, as a tuple."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        names = tuple(str(word).strip() for word in words)
        if not all(names):
            self.fail(
                f"{value!r} has an empty name in it; expected names with commas between them", param, ctx
            )
        return names


class Pixels(click.IntRange):
    """A side in pixels; "512x512" is answered, not only refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip().lstrip("-+").isdigit():
            self.fail(
                f"{value!r} is not a number of pixels, such as 256; images and sketches are square",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)
