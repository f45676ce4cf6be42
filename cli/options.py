"""What commands share: options, each defined once, their defaults, and the message on an interrupt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """A path. A URL is refused, for it would become folders of that name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from sketchforge.utils.outputs import check_local

        option = param.opts[0] if isinstance(param, click.Option) else "DIR"
        check_local(value, option)
        return super().convert(value, param, ctx)


# The library checks existence: its errors say what to do next.
FOLDER = LocalPath(file_okay=False)
FILE = LocalPath(dir_okay=False)
PATH = LocalPath()


def defaults_of(options: type) -> dict[str, Any]:
    """Return the defaults of an options dataclass by field name; fields without a default are left out."""
    fields = dataclasses.fields(options)
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}


def images_option(help: str) -> Callable[[Any], Any]:
    # Text, not a path: it may be a pattern. The library resolves it (sketchforge/images/sources/find.py).
    return click.option("--images", metavar="SRC", help=help)


def device_option(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--device",
        default=default,
        show_default=True,
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where torch computes.",
    )


def threads_option(default: int) -> Callable[[Any], Any]:
    return click.option(
        "--threads",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="N",
        help="CPU threads of torch; 0: one per core. Part of what makes results repeatable.",
    )


def overwrite_option(help: str) -> Callable[[Any], Any]:
    return click.option("--overwrite", is_flag=True, help=help)


def seed_option(default: int) -> Callable[[Any], Any]:
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="N",
        help="Equal seeds, options and inputs give equal results.",
    )


@contextmanager
def on_interrupt(explain: Callable[[], str], speaks: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, print what was kept and how to go on, then raise KeyboardInterrupt again.

    speaks: whether this process prints.
    """
    try:
        yield
    except KeyboardInterrupt:
        if speaks():
            click.echo(f"\ninterrupted: {explain()}", err=True)
        raise
