"""The options of `sketchforge eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Networks whose features compare sets of images, each with its weights file or None.
FEATURES: tuple[tuple[str, Path | None], ...] = (("inception", None), ("builtin", None))


@dataclass(frozen=True)
class EvalSketchesOptions:
    """`sketchforge eval sketches`: how good the sketches of shard folders are, beside human drawings."""

    shards: tuple[Path, ...]
    boundaries: Path | None = None  # folder of annotations, KEY.mat; None: content is not measured
    references: tuple[Path, ...] = ()  # folders of human drawings; the first is the baseline
    samples: int = 100  # images per folder, spread evenly; 0: every one
    seed: int = 0
    workers: int = 0  # processes; 0: as many as speed it up, at most one per core
    json: Path | None = None  # files to write
    html: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EvalImagesOptions:
    """`sketchforge eval images`: how good a model's images are (paper section 5.2)."""

    model: Path  # a run of ae-train or gan-train, or a model's file
    shards: str  # sketches and style images to synthesize from, as for ImageTrainOptions
    reference: str | None = None  # images to compare with, a folder, tars or shards; None: the shards' own
    samples: int = 1000  # number of mismatched pairs, and of reference images at most (paper: 40,000)
    diversity: int = 20  # sketches that are drawn out in twenty styles each; 0: none (SEGIN's Table I: 100)
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    lpips: tuple[tuple[str, Path | None], ...] = (("alex", None),)  # alex | vgg | squeeze
    encoders: tuple[str, ...] = ("vgg19", "builtin")  # of SR: builtin | vgg16 | vgg19 | path
    tom: Path | None = None  # the run that drew the shards, or "builtin"; None: runs/tom or the built-in one
    split: str | None = None  # of the shards; None: test, else val, where there are splits, else all
    cache: Path | None = None  # folder for features of references; None: the user's cache folder
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    json: Path | None = None  # files to write
    html: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EvalCompareOptions:
    """`sketchforge eval compare`: how far sets of images are from a reference."""

    reference: str  # a folder, tars, a list, or shards
    sets: tuple[str, ...]  # as `reference`, or models
    shards: str | None = None  # sketches and styles for models; None: the reference, where it is shards
    split: str | None = None  # of all shards that have splits; None: test, else val
    samples: int = 2048  # images of each set, spread evenly, and mismatched pairs of models; 0: all
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    cache: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    json: Path | None = None
    html: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EvalReportOptions:
    """`sketchforge eval report`: shards, models and their measurements in one file."""

    shards: tuple[Path, ...] = ()  # (): out/ and out-*/
    models: tuple[Path, ...] = ()  # run folders; (): those in runs/
    held_out: Path | None = None  # shards to measure models on; None: those of `shards` not trained on
    reference: str | None = None  # as for EvalImagesOptions
    boundaries: Path | None = None  # as for EvalSketchesOptions
    drawings: tuple[Path, ...] = ()  # as EvalSketchesOptions.references
    samples: int = 200  # number of mismatched pairs of each model, and of reference images at most
    sketches: int = 20  # images of each shard folder whose sketches are measured; 0: every one
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    lpips: tuple[tuple[str, Path | None], ...] = (("alex", None),)
    encoders: tuple[str, ...] = ("vgg19", "builtin")
    tom: Path | None = None
    cache: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = 0  # processes that measure sketches; 0: as many as speed it up
    html: Path | None = None  # files to write; without html, markdown and json: all three, eval/report.*
    markdown: Path | None = None
    json: Path | None = None
    overwrite: bool = False
