"""`--out NAME.png`: one sketch in one style goes into that file, without a folder around it."""

from __future__ import annotations

from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.images.encode import write_png
from sketchforge.options import SynthesisOptions
from sketchforge.synthesis.plan import Plan
from sketchforge.utils.outputs import is_ours
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun

ENDING = ".png"
_IMAGE_ENDINGS = (ENDING, ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic")


def names_image(out: Path) -> bool:
    """Whether an output path means an image, not a folder of them."""
    return out.suffix.lower() in _IMAGE_ENDINGS and not out.is_dir()


def check_image_path(options: SynthesisOptions) -> None:
    """Raise UsageError where no image could be written to `options.out`: before anything is loaded."""
    out = options.out
    if out.suffix.lower() != ENDING:
        raise UsageError(
            f"--out {out}: images are written as PNG: name a folder, or a file that ends in {ENDING}"
        )
    if out.exists() and not options.overwrite and not is_ours(out):
        raise UsageError(f"{out}: is there already and not of sketchforge's making; name another --out")


def write_only_image(plan: Plan, out: Path, noise_seed: int | None, progress: Progress) -> None:
    """Write the one image of a plan. Raises UsageError for a plan of more."""
    if len(plan.cells) != 1:
        raise UsageError(
            f"--out {out}: is one image, but {plan.by['command']} makes "
            f"{count_noun(len(plan.cells), 'image')} of {count_noun(len(plan.sketches), 'input')} and "
            f"{count_noun(len(plan.styles), 'style')}; name a folder, such as {out.with_suffix('')}/"
        )
    ((row, column),) = plan.cells
    source, style = plan.sketches[row], plan.styles[column]
    with progress.track("image", 1):
        sketch = plan.fit(source)
        for note in sketch.notes:
            progress.note(f"{source.source}: {note}")
        pixels = style.read(plan.model.size)
        keys = [plan.noise_key(source, style)]
        images = plan.model.generate([sketch], [pixels], keys, noise_seed)
        write_png(out, next(iter(images)), plan.describe((row, column)))
        progress.advance()
