"""Turn any collection of RGB images into sketch-image pairs, and train on them.

The route of the data, step by step:

| step | module | in -> out |
|---|---|---|
| 1. find and read images | `images` | folder, tars, list or built-in photos -> (key, uint8 H×W×3 RGB) |
| 2. encode features | `models`, `checkpoints` | (B,3,H,W) in [-1, 1] -> frozen VGG taps; Gram, AdaIN |
| 3. train TOM | `losses`; `trainers.tom` | photos + drawings -> N generator snapshots |
| 4. draw | `sketchers` | uint8 B×H×W×3 -> N sketches of each, uint8 B×N×H×W, 255 = paper, 0 = ink |
|    draw anew | `strokes` | N grey sketches -> strokes -> sketches by ten hands, uint8 N×H×W |
| 5. write shards | `render`, `shards` | images + N sketches -> tar shards + manifest |
| 6. show and measure | `report`, `metrics` | shards -> contact sheet, web page, numbers |
| 7. stream | `data` | shards -> image, sketch, variant, style view |
| 8. auto-encoder | `models.autoencoder`; `trainers.autoencoder` | sketch + style image -> image |
| 9. refiner | `models.gan`; `trainers.gan` | the auto-encoder's image -> an image with detail |
|    beside them | `models.style2paints`, `segin`, `diffsketching`; `trainers.style2paints`, `segin`, `diffsketching` | sketch + style image -> image |
| 10. use | `synthesis` | sketches + style images -> images |

The public names are those of `__all__`; docs/api.md shows their use.

Imports run cli -> trainers -> sketchforge, never back. This package needs no GPU, no network and no weights
to be imported. It never prints, never exits and never touches global random state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from sketchforge.data.pairs import PairDataset, pairs
    from sketchforge.render.keywords import RenderKeywords
    from sketchforge.render.sketch import Sketches, sketch
    from sketchforge.render.summary import RenderSummary
    from sketchforge.synthesis.synthesizer import Synthesizer
    from sketchforge.utils.progress import Progress

    __version__: str

    # What calling the package of this name does.
    def render(
        images: str | Path | None,
        shards: str | Path,
        *,
        progress: Progress | None = None,
        **options: Unpack[RenderKeywords],
    ) -> RenderSummary: ...


__all__ = [
    "PairDataset",
    "Sketches",
    "SketchforgeError",
    "Synthesizer",
    "UsageError",
    "__version__",
    "load",
    "pairs",
    "render",
    "sketch",
]

# Where public names are defined: each module is imported when one of its names is asked for.
_MODULES = {
    "PairDataset": "sketchforge.data.pairs",
    "Sketches": "sketchforge.render.sketch",
    "Synthesizer": "sketchforge.synthesis.synthesizer",
    "pairs": "sketchforge.data.pairs",
    "sketch": "sketchforge.render.sketch",
}


def load(path: str | Path, device: str = "auto") -> Synthesizer:
    """Open a trained model: an exported file, the run folder of a training of image models, or "builtin".

    `sketchforge.synthesis.synthesizer.load_model` lists the exceptions, `Synthesizer` what a model can do.
    """
    from sketchforge.synthesis.synthesizer import load_model

    return load_model(path, device)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from sketchforge.utils.versions import installed_version

        return installed_version("sketchforge")
    if name == "render":  # a package that can be called
        return import_module("sketchforge.render")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
