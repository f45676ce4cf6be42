"""Draw N sketches of every image and store them in shards: `sketchforge.render(images, shards, **options)`.

images: what `--images` takes: a folder, tars, a pattern, an image or a list of them; None: the built-in photos. shards:
the output folder. options: those of `sketchforge render`, with the same names and defaults (`keywords.RenderKeywords`).
progress: a `sketchforge.utils.progress.Progress`, to be told how far it is.

Returns the `RenderSummary`. The same call again continues where it stopped. It starts worker processes, so a script
that calls it needs the usual `if __name__ == "__main__":`.

Raises UsageError for options that cannot be carried out, TypeError for unknown ones, and SketchforgeError as
`render.render` does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from sketchforge.render.keywords import RenderKeywords
    from sketchforge.render.summary import RenderSummary
    from sketchforge.utils.progress import Progress


class _CallableModule(ModuleType):
    """This package, which is the function of that name, too.

    Python binds a package's name in the one above it as soon as it is imported: a function of the same name there
    would be lost.
    """

    def __call__(
        self,
        images: str | Path | None,
        shards: str | Path,
        *,
        progress: Progress | None = None,
        **options: Unpack[RenderKeywords],
    ) -> RenderSummary:
        from sketchforge.render.keywords import render_options
        from sketchforge.render.render import render

        return render(render_options(images, shards, options), progress)


sys.modules[__name__].__class__ = _CallableModule
