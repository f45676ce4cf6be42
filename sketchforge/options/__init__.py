"""One frozen dataclass per command: its fields are the options, its values their defaults.

Free of torch, so that `--help` stays quick. Paths are None where the built-in samples or weights serve.
"""

from __future__ import annotations

from sketchforge.options.app import AppOptions
from sketchforge.options.evaluation import (
    FEATURES,
    EvalCompareOptions,
    EvalImagesOptions,
    EvalReportOptions,
    EvalSketchesOptions,
)
from sketchforge.options.rendering import (
    TOM_LOW_THRESHOLD,
    ConvertOptions,
    GalleryOptions,
    InspectOptions,
    RenderOptions,
    default_draw_size,
)
from sketchforge.options.synthesis import (
    ExportOptions,
    MixOptions,
    SynthesisOptions,
    SynthesizeOptions,
    TransferOptions,
)
from sketchforge.options.training import (
    AeTrainOptions,
    DiffSketchingTrainOptions,
    EncoderTrainOptions,
    GanTrainOptions,
    ImageTrainOptions,
    SeginTrainOptions,
    Style2PaintsTrainOptions,
    TomTrainOptions,
)

__all__ = [
    "FEATURES",
    "TOM_LOW_THRESHOLD",
    "AeTrainOptions",
    "AppOptions",
    "ConvertOptions",
    "DiffSketchingTrainOptions",
    "EncoderTrainOptions",
    "EvalCompareOptions",
    "EvalImagesOptions",
    "EvalReportOptions",
    "EvalSketchesOptions",
    "ExportOptions",
    "GalleryOptions",
    "GanTrainOptions",
    "ImageTrainOptions",
    "InspectOptions",
    "MixOptions",
    "RenderOptions",
    "SeginTrainOptions",
    "Style2PaintsTrainOptions",
    "SynthesisOptions",
    "SynthesizeOptions",
    "TomTrainOptions",
    "TransferOptions",
    "default_draw_size",
]
