"""What the head of a dataset card says of a folder's files and columns, for Hugging Face's `datasets`: lines of YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sketchforge.shards import schema
from sketchforge.shards.splits import shards_by_split
from sketchforge.strokes.stored import SHAPE as STROKES_SHAPE

_TYPES = {str: "string", int: "int64", float: "float64", bool: "bool"}


def write_data_files(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Which tars are which split: all are train where the folder has no splits. Empty ones cannot be loaded."""
    if not manifest["splits"]:
        yield from ("  - split: train", '    path: "*.tar"')
    for name, numbers in shards_by_split(manifest["splits"]).items():
        if numbers:
            yield from (f"  - split: {name}", "    path:")
            yield from (f'    - "{schema.shard_name(number)}.tar"' for number in numbers)


def write_features(manifest: Mapping[str, Any]) -> Iterator[str]:
    for name in schema.sample_members("", len(manifest["styles"]), manifest["captioned"], manifest["extras"]):
        yield f"- name: {name.removeprefix('.')}"
        if name == schema.metadata_member(""):
            yield from _write_type(schema.sample_shape(manifest), "  ")
        elif name == schema.extra_member("", schema.STROKES):
            yield from _write_type(STROKES_SHAPE, "  ")
        elif name == schema.extra_member("", schema.CLASS):
            yield from ("  dtype:", "    class_label:", "      names:")
            # JSON's text in quotes is YAML's, too, so that no name of a class can be anything else.
            yield from (
                f"        '{number}': {json.dumps(name)}" for number, name in enumerate(manifest["classes"])
            )
        else:
            yield "  dtype: string" if name == schema.caption_member("") else "  dtype: image"
    yield from ("- name: __key__", "  dtype: string", "- name: __url__", "  dtype: string")


def _write_type(shape: object, indent: str) -> Iterator[str]:
    """The type of a column from the shape of its JSON, as in `files.has_shape`."""
    if isinstance(shape, dict):
        yield f"{indent}struct:"
        for entry, inner in sorted(shape.items()):
            yield f"{indent}- name: {entry}"
            yield from _write_type(inner, f"{indent}  ")
    elif isinstance(shape, list):
        # `sequence` is read by all versions of `datasets`, `list` by newer ones alone.
        if isinstance(shape[0], type):
            yield f"{indent}sequence: {_TYPES[shape[0]]}"
        else:
            yield f"{indent}sequence:"
            yield from _write_type(shape[0], f"{indent}  ")
    elif isinstance(shape, type):
        yield f"{indent}dtype: {_TYPES[shape]}"
