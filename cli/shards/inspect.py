"""`sketchforge inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.command import Command
from cli.json_output import json_option
from cli.options import SHARDS, defaults_of, option
from cli.progress import Bar
from cli.shards.folders import look_at_each
from cli.tables import align, fact
from cli.verbosity import print_result
from sketchforge.options import InspectOptions
from sketchforge.utils.text import count_noun

DEFAULTS = defaults_of(InspectOptions)
MAX_CLASSES = 8  # so many are listed
MAX_SIZES = 4  # up to this number, image sizes are listed one by one


@click.command(
    "inspect",
    cls=Command,
    short_help="Say what shards hold, and how much ink.",
    epilog="Example: sketchforge inspect out/",
)
@click.argument("folders", type=SHARDS, nargs=-1, required=True, metavar="DIR|URL...")
@option(
    "--samples",
    group="Input",
    type=click.IntRange(min=0),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="How many samples to read, spread evenly over all; 0: every one.",
)
@json_option("Write it all as JSON.")
def inspect_command(folders: tuple[str | Path, ...], samples: int, json: Path | None) -> int:
    """Say what the shards in DIR hold: counts, bytes, image sizes, and how much ink each style uses."""
    from sketchforge.report.gallery.inspect import Inspection, inspect
    from sketchforge.report.gallery.inspection_json import FORMAT, VERSION, inspection_json

    def look(folder: str | Path) -> Inspection:
        contents = inspect(InspectOptions(folder, samples), Bar())
        if folder != folders[0]:
            print_result("")
        for line in [*_list_facts(folder, contents), "", *_list_ink(contents)]:
            print_result(line)
        return contents

    return look_at_each(folders, look, inspection_json, {"format": FORMAT, "version": VERSION}, json)


def _list_facts(folder: str | Path, contents: Any) -> list[str]:
    from sketchforge.images.sources import describe_passed_over
    from sketchforge.render.summary import reasons
    from sketchforge.shards.schema import BLANK, num_failed

    manifest, options = contents.manifest, contents.manifest["options"]
    shards = manifest["num_shards"]
    if manifest["complete"]:
        state = f"complete, {count_noun(shards, 'shard')}"
    else:
        state = f"unfinished, {contents.num_finished:,} of {count_noun(shards, 'shard')}"
    num_styles = len(manifest["styles"])
    threshold = f", threshold {options['threshold']}" if "threshold" in options else ""
    levels = f", {options['grey_levels']} greys" if "grey_levels" in options else ""
    thin = ", thin" if options.get("thin") else ""
    fit = options.get("fit")
    geometry = (
        "original sizes (fit keep)" if fit == "keep" else f"size {options.get('size')} pixels, fit {fit}"
    )
    failed, blank = reasons(contents.failed), contents.failed.get(BLANK)
    passed_over = describe_passed_over(manifest["passed_over"]).removeprefix("passed over: ")
    rows = [
        ("folder", f"{folder}: {state}"),
        ("format", f"{manifest['format']}, version {manifest['version']}"),
        ("method", f"{options.get('method')}, {count_noun(num_styles, 'style')}"),
        ("geometry", geometry),
        ("sketches", f"{options.get('sketch_format')}{threshold}{levels}{thin}"),
        ("samples", f"{contents.num_samples:,}"),
        ("failed", f"{count_noun(num_failed(contents.failed), 'input')}: {failed}" if failed else "0"),
        *([("left out", f"{count_noun(blank, 'input')}: blank sketches only")] if blank else []),
        *([("not read", passed_over)] if passed_over else []),
        ("bytes", f"{contents.num_bytes:,}, {contents.num_bytes / contents.num_samples:,.0f} a sample"),
        ("images", _describe_sizes(contents.sizes)),
        ("captions", f"{contents.num_captions:,}"),
    ]
    if contents.num_strokes is not None:
        rows.append(("strokes", f"{contents.num_strokes / contents.num_read:,.0f} traced in an image"))
    if contents.splits:
        rows.append(("splits", ", ".join(f"{name} {count:,}" for name, count in contents.splits.items())))
    if contents.num_classes:
        rows.append(("classes", _describe_classes(contents.num_classes)))
    if contents.coverage is not None:
        rows.append(("masks", f"{contents.coverage:.0%} of an image is subject, in the mean"))
    extent = f"{contents.num_read:,} of {count_noun(contents.num_samples, 'sample')}, spread evenly"
    if contents.num_looked_into < contents.num_finished:
        extent += f" over {contents.num_looked_into:,} of {count_noun(contents.num_finished, 'shard')}"
    if contents.num_read == contents.num_samples:
        extent = "all samples"
    rows.append(("", f"images, captions, classes, masks and ink are those of {extent}"))
    return [fact(name, value, 10) for name, value in rows]


def _describe_classes(counts: dict[str, int]) -> str:
    """List the largest classes with their counts."""
    common = sorted(counts, key=lambda name: (-counts[name], name))[:MAX_CLASSES]
    listed = ", ".join(f"{name} {counts[name]:,}" for name in common)
    rest = len(counts) - len(common)
    return f"{len(counts):,}: {listed}{f' and {rest:,} more' if rest else ''}"


def _describe_sizes(sizes: dict[tuple[int, int], int]) -> str:
    """List each size with its share if there are at most MAX_SIZES, else give the ranges of width and height."""
    if len(sizes) == 1:
        ((width, height),) = sizes
        return f"{width} x {height} pixels"
    total = sum(sizes.values())
    if len(sizes) <= MAX_SIZES:
        common = sorted(sizes, key=lambda size: (-sizes[size], size))
        shares = (f"{width} x {height} ({sizes[width, height] / total:.0%})" for width, height in common)
        return f"{', '.join(shares)} pixels"
    return (
        f"{len(sizes):,} sizes; width {_describe_range(sizes, 0)}, height {_describe_range(sizes, 1)} pixels"
    )


def _describe_range(sizes: dict[tuple[int, int], int], axis: int) -> str:
    """Give the smallest, largest and median width (axis 0) or height (axis 1)."""
    ordered = sorted(size[axis] for size, count in sizes.items() for _ in range(count))
    return f"{ordered[0]} to {ordered[-1]}, median {ordered[len(ordered) // 2]}"


def _list_ink(contents: Any) -> list[str]:
    binary = contents.manifest["options"].get("sketch_format") == "png1"
    kind = "share of pixels darker than mid-grey" if binary else "mean darkness, black 100 %"
    table = [("style", "ink %", "10th", "90th", "blank", "PNG bytes")]
    for style in contents.styles:
        shares = (f"{100 * share:.2f}" for share in (style.mean, style.low, style.high))
        table.append((style.style, *shares, f"{style.num_blank:,}", f"{style.mean_bytes:,.0f}"))
    explanation = f"ink: {kind}; mean, 10th and 90th percentile over images; blank: below 0.1 %"
    return [*align(table), explanation]
