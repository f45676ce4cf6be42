"""The measurement of sketches: content, realism, variety and strokes of every style, beside those of people.

Each sketch is measured by itself (`one_sketch`, `measuring`), only small results are kept, and these are
summarised (`rows`). Every figure comes with its percentile-bootstrap interval over images and the number of
images that it rests on; the set that others are compared with stays as it is. The floor is people against
people. What could not be measured is a gap, with the reason.
"""

from __future__ import annotations

import importlib.util

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.sketches.inputs import find_annotations, find_drawings, find_shards
from sketchforge.metrics.sketches.measure_sets import Measuring, builtin_encoder, processes
from sketchforge.metrics.sketches.result import SketchEvaluation, as_json
from sketchforge.metrics.sketches.summary import summarize
from sketchforge.options import EvalSketchesOptions
from sketchforge.utils.device import usable_cores
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
    sketches = sum(len(one.chosen) * len(one.styles) for one in shards) + sum(
        len(one.drawings) for one in drawings
    )
    workers = options.workers or min(usable_cores(), 1 + sketches // WORTH_A_PROCESS)
    with progress.track("sketch", sketches), processes(workers) as pool:
        measuring = Measuring(options.seed, bool(drawings), pool, progress)
        references = [measuring.drawings(one) for one in drawings]
        folders = [
            measuring.shards(one, found, people=index == 0)
            for index, (one, found) in enumerate(zip(shards, annotations, strict=True))
        ]
    rows, gaps = summarize(options, shards, folders, drawings, references)
    return SketchEvaluation(
        options,
        tuple(rows),
        tuple(gaps),
        encoder_digest(builtin_encoder()),
        {name: installed_version(name) for name in LIBRARIES},
        tuple(shards),
        tuple(annotations),
        tuple(drawings),
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
