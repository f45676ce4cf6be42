"""The measurement of sketches: content, realism, variety and strokes of every style, beside those of people.

`measure_sketch` measures each sketch, `measure_sets` collects the small results of a set, and `summary` makes
rows of them. Every figure comes with its percentile-bootstrap interval over images and the number of images
that it rests on. The reference set is not resampled. The human baseline is people against people. What could
not be measured becomes a MissingMetric with the reason.
"""

from __future__ import annotations

import importlib.util

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.sketches.inputs import (
    drawn_more_than_once,
    find_annotations,
    find_drawings,
    find_shards,
)
from sketchforge.metrics.sketches.measure_sets import Measuring, builtin_encoder, processes
from sketchforge.metrics.sketches.result import SketchEvaluation, as_json
from sketchforge.metrics.sketches.summary import summarize
from sketchforge.options import EvalSketchesOptions
from sketchforge.utils.device import default_threads
from sketchforge.utils.progress import Progress
from sketchforge.utils.versions import installed_version

__all__ = ["as_json", "evaluate_sketches"]

WORTH_A_PROCESS = 50  # sketches; for fewer, starting one takes longer than measuring them
LIBRARIES = (
    "sketchforge",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "opencv-python-headless",
    "pillow",
    "torch",
)


def evaluate_sketches(options: EvalSketchesOptions, progress: Progress | None = None) -> SketchEvaluation:
    """Measure the sketches in `options.shards`; `progress` counts sketches and drawings.

    Raises UsageError where there is nothing to measure or no annotation fits, SketchforgeError for damaged
    data and for missing libraries.
    """
    progress = progress or Progress()
    _check_libraries()
    from sketchforge.checkpoints.encoder import encoder_digest

    shards = find_shards(options.shards, options.samples)
    annotations = find_annotations(options.boundaries, shards) if options.boundaries else [{} for _ in shards]
    drawings = [find_drawings(folder, options.samples) for folder in options.references]
    num_sketches = sum(len(sketch_input.chosen) * len(sketch_input.styles) for sketch_input in shards) + sum(
        len(drawing_set.drawings) for drawing_set in drawings
    )
    workers = options.workers or min(default_threads(), 1 + num_sketches // WORTH_A_PROCESS)
    with progress.track("sketch", num_sketches), processes(workers) as pool:
        measuring = Measuring(options.seed, bool(drawings), pool, progress)
        paired = drawn_more_than_once(drawings)
        references = [measuring.drawings(drawing_set, paired) for drawing_set in drawings]
        folders = [
            measuring.shards(sketch_input, files, people=index == 0)
            for index, (sketch_input, files) in enumerate(zip(shards, annotations, strict=True))
        ]
    rows, gaps = summarize(options, shards, folders, drawings, references)
    return SketchEvaluation(
        options=options,
        rows=tuple(rows),
        gaps=tuple(gaps),
        encoder=encoder_digest(builtin_encoder()),
        libraries={name: installed_version(name) for name in LIBRARIES},
        shards=tuple(shards),
        annotations=tuple(annotations),
        drawings=tuple(drawings),
    )


def _check_libraries() -> None:
    missing = [
        name
        for module, name in (("skimage", "scikit-image"), ("sklearn", "scikit-learn"))
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise SketchforgeError(
            f"measuring sketches needs {' and '.join(missing)}: pip install 'sketchforge[eval]'"
        )
