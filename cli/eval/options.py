"""Options that the commands that measure share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cli.json_output import json_option
from cli.options import (
    ENCODER,
    FILE,
    FOLDER,
    LocalPath,
    computing_options,
    option,
    overwrite_option,
    stack_options,
)


class Weighted(click.ParamType):
    """NAME or NAME=FILE: a network and its weights file. The library checks the names."""

    name = "weights"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Path | None]:
        if isinstance(value, tuple):
            return value
        name, separator, path = value.partition("=")
        if separator and not path:
            self.fail(f"{value!r} names no file; expected NAME or NAME=FILE", param, ctx)
        return name, Path(path) if separator else None


def weighted_option(
    flag: str, default: Sequence[tuple[str, Path | None]], metavar: str, help: str, name: str | None = None
) -> Callable[[Any], Any]:
    """Make a repeatable option of networks with their weights files."""
    default_names = " ".join(network for network, _ in default)
    names = (flag,) if name is None else (flag, name)
    return option(
        *names,
        group="Measures",
        type=Weighted(),
        multiple=True,
        default=default,
        metavar=metavar,
        help=f"{help} Repeatable.  [default: {default_names}]",
    )


def features_option(default: Sequence[tuple[str, Path | None]]) -> Callable[[Any], Any]:
    return weighted_option(
        "--features",
        default,
        "NAME[=FILE]",
        "Networks whose features are compared, and their weights files: inception (FID, KID), builtin, "
        "mobilenet_v2, squeezenet, efficientnet-lite0.",
    )


def lpips_option(default: Sequence[tuple[str, Path | None]], more: str = "") -> Callable[[Any], Any]:
    """Make --lpips.

    more: a sentence on what else the backbones are for.
    """
    text = f"Backbones of LPIPS and their weights files: alex, vgg, squeeze. {more}".rstrip()
    return weighted_option("--lpips", default, "NAME[=FILE]", text)


def tom_option() -> Callable[[Any], Any]:
    return option(
        "--tom",
        group="Measures",
        type=LocalPath("builtin"),
        metavar="RUN|builtin",
        help="Skt-Rec: the run that drew the shards.  [default: runs/tom or the built-in snapshots]",
    )


def measuring_options(defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Add --cache, --seed, --threads and --device."""
    return stack_options(_cache_option(), computing_options(defaults, seed_group="Measures"))


def output_files_options() -> Callable[[Any], Any]:
    """Add --json, --html and --overwrite."""
    return stack_options(
        json_option("Write all figures as JSON."),
        option(
            "--html",
            group="Output",
            type=FILE,
            metavar="FILE",
            help="Write a web page: one file that needs nothing beside it.",
        ),
        overwrite_option("Replace files that are not sketchforge's."),
    )


def check_output_files(options: Any) -> None:
    """Refuse at once output files that could not be written at the end."""
    from sketchforge.utils.outputs import check_output

    check_output(options.json, "--json", options.overwrite)
    check_output(options.html, "--html", options.overwrite)


def _cache_option() -> Callable[[Any], Any]:
    return option(
        "--cache",
        group="Machine",
        type=FOLDER,
        metavar="DIR",
        help="Where the reference's features are kept.  [default: in the user's cache folder]",
    )


def encoders_option(default: Sequence[str]) -> Callable[[Any], Any]:
    return option(
        "--encoder",
        "encoders",
        group="Measures",
        type=ENCODER,
        multiple=True,
        default=default,
        metavar="NAME|FILE",
        help="Encoders of SR: builtin, vgg16, vgg19 or a weights file. Repeatable.  "
        f"[default: {' '.join(default)}]",
    )
