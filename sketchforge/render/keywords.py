"""The options of `render` as keywords of Python functions: typed, and checked as the command line checks its own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.storage.filesystems import is_url


class SketchKeywords(TypedDict, total=False):
    """The options that decide what an image's sketches look like, as in `RenderOptions`, and the machine's."""

    method: Literal["tom", "canny", "hed", "pidinet", "teed"]
    tom: str | Path | None
    checkpoints: int
    size: int
    draw_size: int | None
    fit: Literal["crop", "pad", "keep"]
    sketch_format: Literal["png1", "png"]
    grey_levels: int
    thin: bool
    threshold: float
    low_threshold: float | None
    hands: str | Path | None
    styles: tuple[str, ...] | list[str] | None
    hands_seed: int
    masks: str | Path | None
    canny_low: float | None
    canny_high: float | None
    canny_blur: float
    edge_weights: str | Path | None
    threads: int
    device: str
    precision: Literal["float32", "bfloat16"]


class RenderKeywords(SketchKeywords, total=False):
    """All options of `RenderOptions` but the images and the folder."""

    prefix_keys: bool
    frames: int | None
    labels: str | Path | None
    split: str | None
    shuffle_seed: int | None
    limit: int | None
    strokes: bool
    samples_per_shard: int | None
    batch_size: int
    workers: int
    max_failures: int | None
    timeout: float
    task_id: int
    num_tasks: int
    engine: Literal["local", "ray"]
    address: str | None
    engine_workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    check_digests: bool
    retry_failed: bool
    drop_blank: bool
    append: bool
    overwrite: bool


# Bounds of numbers: least, most (None: any) and whether the bound itself is left out, as (least, most).
LIMITS: Mapping[str, tuple[float, float | None, tuple[bool, bool]]] = {
    "size": (16, 4096, (False, False)),
    "draw_size": (16, 4096, (False, False)),
    "grey_levels": (2, 256, (False, False)),
    "threshold": (0, 1, (False, True)),
    "low_threshold": (0, 1, (False, True)),
    "timeout": (0, None, (True, False)),
    **dict.fromkeys(
        ("checkpoints", "limit", "frames", "samples_per_shard", "batch_size", "num_tasks"),
        (1, None, (False, False)),
    ),
    **dict.fromkeys(
        ("shuffle_seed", "hands_seed", "workers", "threads", "max_failures", "task_id", "engine_workers"),
        (0, None, (False, False)),
    ),
    **dict.fromkeys(
        ("canny_low", "canny_high", "canny_blur", "cpus_per_worker", "gpus_per_worker"),
        (0, None, (False, False)),
    ),
}
_PATHS = ("tom", "edge_weights")  # Path in RenderOptions; other options that may be a path are text there
_TEXTS = ("hands", "labels", "masks")


def parse_keywords(function: str, kind: type, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Values of RenderOptions from keywords; `kind` is the TypedDict that lists those of `function`.

    Raises TypeError for an unknown keyword, UsageError for a value that its option cannot have.
    """
    hints = get_type_hints(kind)
    for name, value in keywords.items():
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"{function}() has no option {name!r}{meant}")
        _check(name, value, hints[name])
    return {name: _convert(name, value) for name, value in keywords.items()}


def render_options(
    images: str | Path | None, shards: str | Path, keywords: Mapping[str, Any]
) -> RenderOptions:
    """RenderOptions from the arguments of `sketchforge.render`; raises as `parse_keywords` does."""
    values = parse_keywords("render", RenderKeywords, keywords)
    return RenderOptions(
        shards=shards if is_url(shards) else Path(shards),
        images=None if images is None else _convert("images", images),
        **values,
    )


def _check(name: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise UsageError(f"{name}={value!r}: expected {_describe(hint)}")
    if name in LIMITS and value is not None:
        least, most, (above, below) = LIMITS[name]
        too_low = value < least or (above and value == least)
        too_high = most is not None and (value > most or (below and value == most))
        if too_low or too_high or value != value:
            bounds = f"{'more than' if above else 'at least'} {least:g}"
            if most is not None:
                bounds += f" and {'less than' if below else 'at most'} {most:g}"
            raise UsageError(f"{name}={value!r}: expected {bounds}")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, inner) for inner in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin in (tuple, list):
        return isinstance(value, origin) and all(isinstance(item, str) and item for item in value)
    if hint in (int, float):  # NumPy's numbers are welcome, truth values are no numbers
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(_describe(inner) for inner in get_args(hint))
    if origin is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if origin in (tuple, list):
        return f"a {origin.__name__} of names"
    names = {int: "a whole number", float: "a number", str: "a text", Path: "a path", bool: "True or False"}
    return names.get(hint, "None")


def _convert(name: str, value: Any) -> Any:
    """The value as RenderOptions has it: one type for each option, Python's own numbers."""
    if value is None or isinstance(value, bool):
        return value
    if name in _PATHS:
        return Path(value)
    if name in _TEXTS or isinstance(value, Path):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return tuple(value) if isinstance(value, list) else value
