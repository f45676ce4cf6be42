"""Does it draw? A worker process is started, and a built-in photo drawn as `render` would."""

from __future__ import annotations

import time

from sketchforge.doctor.finding import FAIL, OK, Finding, Findings
from sketchforge.images.sketch_quality import measure_quality
from sketchforge.utils.text import count_noun

START_SECONDS = 60.0


def check_worker() -> Findings:
    """Whether processes can be started that decode images."""
    from sketchforge.options import RenderOptions
    from sketchforge.render.prepare import known_good_task
    from sketchforge.utils.worker_pool import WorkerLost, worker_pool

    start = time.perf_counter()
    with worker_pool(1, START_SECONDS) as pool:
        try:
            prepared = pool.result(pool.submit(*known_good_task(RenderOptions(shards=""))))
        except WorkerLost as lost:
            yield Finding(
                FAIL,
                "workers",
                f"a process that decodes: {lost.reason}",
                "see to memory and limits (ulimit -a)",
            )
            return
    if prepared.reason is not None:
        yield Finding(
            FAIL, "workers", f"a good image is {prepared.reason}", "install pillow and opencv again"
        )
    else:
        yield Finding(OK, "workers", f"a process decodes, after {time.perf_counter() - start:.1f} s")


def check_drawing() -> Findings:
    """Whether TOM and the hands draw, and how long they take."""
    from PIL import Image

    from sketchforge.images.builtin.photos import load_photos
    from sketchforge.render.sketch import sketch

    name, pixels = load_photos()[0]
    photo = Image.fromarray(pixels)
    start = time.perf_counter()
    sketches = sketch(photo)
    seconds = time.perf_counter() - start
    blank = [style for style, drawn in sketches.items() if measure_quality(drawn).is_blank]
    if blank:
        yield Finding(
            FAIL, "drawing", f"{name}: blank by {', '.join(blank)}", "report this, with all of these lines"
        )
    else:
        text = f"{count_noun(len(sketches), 'sketch')} of a built-in photo in {seconds:.1f} s, weights read from disk"
        yield Finding(OK, "drawing", text)
