"""What the pages on pictures say alike: what was measured, with what, on what."""

from __future__ import annotations

from typing import Any

from sketchforge.metrics.image_evaluation import ImageEvaluation
from sketchforge.report.hardware import hardware, versions
from sketchforge.utils.device import choose_device


def image_settings(found: ImageEvaluation) -> list[tuple[str, dict[str, str]]]:
    """Titled lists of names and values: options, what was compared, and what computed it."""
    device = choose_device(str(found.options["device"]))
    compared = {"reference": _reference(found)}
    for model in found.models:
        refined = ", refined" if model["refined"] else ""
        described = f"{model['source']}, {model['size']} pixels{refined}, weights {str(model['digest'])[:16]}"
        compared[f"model {model['name']}"] = described
    return [
        ("Settings", {name: _shown(value) for name, value in found.options.items()}),
        ("What was compared", compared),
        ("Hardware and versions", versions(hardware(device), found.libraries)),
    ]


def reference_told(found: ImageEvaluation) -> str:
    """The reference in a few words."""
    reference = found.reference
    return f"{reference['name']} ({reference['count']:,} images, {reference['sizes']})"


def _reference(found: ImageEvaluation) -> str:
    reference = found.reference
    count = f"{reference['count']:,} of {reference['found']:,} images"
    return f"{reference['source']}, {count}, {reference['sizes']}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not given" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
