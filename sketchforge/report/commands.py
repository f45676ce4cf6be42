"""Commands that give the same figures again, as a shell takes them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sketchforge.options import EvalCompareOptions, EvalImagesOptions, EvalSketchesOptions


def sketches_command(asked: EvalSketchesOptions) -> str:
    words: list[object] = ["sketches"]
    for path in asked.shards:
        words += ["--shards", path]
    words += ["--boundaries", asked.boundaries] if asked.boundaries else []
    for path in asked.references:
        words += ["--references", path]
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def images_command(asked: EvalImagesOptions) -> str:
    words: list[object] = ["images", "--model", asked.model, "--shards", asked.shards]
    words += ["--reference", asked.reference] if asked.reference else []
    words += [*_networks("--features", asked.features), *_networks("--lpips", asked.lpips)]
    for encoder in asked.encoders:
        words += ["--encoder", encoder]
    words += ["--tom", asked.tom] if asked.tom else []
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def compare_command(asked: EvalCompareOptions) -> str:
    words: list[object] = ["compare", asked.reference, *asked.sets]
    words += ["--shards", asked.shards] if asked.shards else []
    words += _networks("--features", asked.features)
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def _networks(option: str, asked: Sequence[tuple[str, Path | None]]) -> list[str]:
    return [word for name, path in asked for word in (option, name if path is None else f"{name}={path}")]


def _line(words: Sequence[object]) -> str:
    return shlex.join(["sketchforge", "eval", *map(str, words)])
