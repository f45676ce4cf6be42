"""What commands share: options, each defined once, their defaults, and the message on an interrupt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli.command import Option
from cli.interruptions import find_interruption
from cli.source_types import SourceText, complete_words
from cli.verbosity import print_error


class LocalPath(click.Path):
    """A path. A URL is refused, for it would become folders of that name.

    words: what may stand in place of a path, such as "builtin".
    """

    def __init__(self, *words: str, **options: Any) -> None:
        super().__init__(path_type=Path, **options)
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from sketchforge.utils.outputs import check_local

        option = param.opts[0] if isinstance(param, click.Option) else "DIR"
        check_local(value, option)
        return super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        return complete_words(self.words, incomplete, "file" if self.file_okay else "dir")


class PlaceOfShards(LocalPath):
    """A folder of shards, or the URL of one in a store, as text."""

    def __init__(self) -> None:
        super().__init__(file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from sketchforge.storage.filesystems import is_url

        return value if is_url(value) else super().convert(value, param, ctx)


# The library checks existence: its errors say what to do next.
SHARDS = PlaceOfShards()
FOLDER = LocalPath(file_okay=False)
FILE = LocalPath(dir_okay=False)
PATH = LocalPath()
TOM_RUN = LocalPath("builtin", file_okay=False)  # a run of tom-train
MODEL = LocalPath("builtin")  # a model that makes images
ENCODER = SourceText("builtin", "vgg16", "vgg19")
SEVERAL = "name several as a list (.txt) or a quoted pattern"


def option(*names: str, group: str, **attributes: Any) -> Callable[[Any], Any]:
    """Add an option under a heading of the command's help."""
    return click.option(*names, cls=Option, group=group, **attributes)


def stack_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Combine several option decorators, which `--help` lists in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(options):
            command = decorator(command)
        return command

    return decorate


def defaults_of(options: type) -> dict[str, Any]:
    """Return the defaults of an options dataclass by field name; fields without a default are left out."""
    fields = dataclasses.fields(options)
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}


def images_option(help: str) -> Callable[[Any], Any]:
    # Text, not a path: it may be a pattern. The library resolves it (sketchforge/images/sources/find.py).
    return option("--images", group="Input", type=SourceText(), several=SEVERAL, metavar="SRC", help=help)


def device_option(default: str) -> Callable[[Any], Any]:
    return option(
        "--device",
        group="Machine",
        default=default,
        show_default=True,
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where torch computes.",
    )


def processes_option(help: str) -> Callable[[Any], Any]:
    """Add --workers, of commands whose processes take a file each."""
    return option(
        "--workers",
        group="Machine",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help=f"{help}; 0: as many as pay, one per core at most.",
    )


def threads_option(default: int) -> Callable[[Any], Any]:
    return option(
        "--threads",
        group="Machine",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="N",
        help="CPU threads of torch; 0: OMP_NUM_THREADS, else one per usable core. Part of what makes results repeatable.",
    )


def overwrite_option(help: str) -> Callable[[Any], Any]:
    return option("--overwrite", group="Output", is_flag=True, help=help)


def dry_run_option() -> Callable[[Any], Any]:
    return option("--dry-run", group="Output", is_flag=True, help="Say what would be done, write nothing.")


def seed_option(default: int, group: str = "Training") -> Callable[[Any], Any]:
    return option(
        "--seed",
        group=group,
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="N",
        help="Equal seeds, options and inputs give equal results.",
    )


def run_options(default: Path) -> Callable[[Any], Any]:
    """Add what every training has that works in a run folder: --run, --overwrite and --dry-run."""
    return stack_options(
        option(
            "--run",
            group="Output",
            type=FOLDER,
            default=default,
            show_default=True,
            metavar="DIR",
            help="Where all goes.",
        ),
        overwrite_option("Discard what the run folder holds and begin anew."),
        dry_run_option(),
    )


def computing_options(defaults: Mapping[str, Any], seed_group: str = "Training") -> Callable[[Any], Any]:
    """Add --seed, --threads and --device."""
    return stack_options(
        seed_option(defaults["seed"], seed_group),
        threads_option(defaults["threads"]),
        device_option(defaults["device"]),
    )


@contextmanager
def on_interrupt(explain: Callable[[], str], speaks: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, print what was kept and how to go on, then raise KeyboardInterrupt again.

    speaks: whether this process prints.
    """
    try:
        yield
    except BaseException as error:
        interruption = find_interruption(error)
        if interruption is None:
            raise
        if speaks():
            print_error(f"\ninterrupted: {explain()}")
        raise interruption from None
