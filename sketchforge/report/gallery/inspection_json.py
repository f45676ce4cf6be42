"""What a shard folder holds, as JSON."""

from __future__ import annotations

from typing import Any

from sketchforge.report.gallery.inspect import Inspection, StyleInk

FORMAT, VERSION = "sketchforge-inspection", 1


def inspection_json(place: str, contents: Inspection | None, error: str | None) -> dict[str, Any]:
    """A folder's entry in a document of FORMAT; a folder that could not be read has an error, and no contents.

    Ink shares are in [0, 1] and have six digits.
    """
    return {"folder": place, "error": error, "contents": None if contents is None else _encode(contents)}


def _encode(contents: Inspection) -> dict[str, Any]:
    manifest = contents.manifest
    return {
        "manifest": {
            name: manifest[name] for name in ("format", "version", "complete", "options", "passed_over")
        },
        "shards": {"finished": contents.num_finished, "count": manifest["num_shards"]},
        "samples": contents.num_samples,
        "failed": dict(contents.failed),
        "bytes": contents.num_bytes,
        "splits": dict(contents.splits),
        # Of the samples that were read.
        "read": {
            "samples": contents.num_read,
            "shards": contents.num_looked_into,
            "captions": contents.num_captions,
            "classes": dict(contents.num_classes),
            "coverage": None if contents.coverage is None else _round(contents.coverage),
            "strokes": contents.num_strokes,
            "sizes": [
                {"width": width, "height": height, "samples": count}
                for (width, height), count in sorted(contents.sizes.items())
            ],
            "styles": [_encode_style(style) for style in contents.styles],
        },
    }


def _encode_style(style: StyleInk) -> dict[str, Any]:
    return {
        "name": style.style,
        "ink": {"mean": _round(style.mean), "p10": _round(style.low), "p90": _round(style.high)},
        "blank": style.num_blank,
        "mean_bytes": _round(style.mean_bytes),
    }


def _round(value: float) -> float:
    return float(f"{value:.6g}")
