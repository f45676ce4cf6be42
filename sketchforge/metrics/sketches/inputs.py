"""The inputs of the measurement: sketches in shard folders, human drawings, and annotations of photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sketchforge.errors import UsageError
from sketchforge.images.sources import ImageSource, find_images
from sketchforge.options import RenderOptions
from sketchforge.shards import schema
from sketchforge.shards.selection import spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_folder
from sketchforge.shards.sidecars import sample_sources
from sketchforge.sketchers.factory import EDGE_NETWORKS
from sketchforge.utils.text import count_noun

MAX_PER_PHOTO = 20  # more drawings with one stem are a numbered series, not drawings of one photo


@dataclass(frozen=True)
class SketchInput:
    """A shard set and the samples of it that are measured."""

    shards: ShardSet
    chosen: tuple[str, ...]  # keys, in stored order
    photos: dict[str, str]  # of the chosen: the name of the photo, distinct in the folder

    @property
    def path(self) -> Path:
        return self.shards.path

    @property
    def styles(self) -> list[str]:
        return self.shards.styles

    @property
    def frame(self) -> tuple[int, str]:
        """Size and fit of the images, as `fit_square` takes them; 0 and "keep" for original sizes."""
        options = self.shards.options
        return int(options.get("size", 0)), str(options["fit"])

    @property
    def thresholds(self) -> tuple[float, float] | None:
        """High and low threshold for `binarize`, for sketches of 8 bits; None for those of one bit.

        They are always render's defaults for the method: grey sketches were rendered without thresholds.
        """
        options = self.shards.options
        grey = options["sketch_format"] != "png1"
        return RenderOptions(self.path, method=options["method"]).thresholds if grey else None

    @property
    def is_broad(self) -> bool:
        """Whether these are the probabilities of an edge network, of which ridges alone are lines."""
        options = self.shards.options
        is_network = options["method"] in EDGE_NETWORKS and "hands" not in options
        return is_network and options["sketch_format"] != "png1" and not options.get("thin")

    @property
    def is_suppressed(self) -> bool:
        """Whether content is measured after non-maximum suppression: few greys have steps for ridges."""
        return self.is_broad and self.shards.options.get("grey_levels", 256) == 256


@dataclass(frozen=True)
class DrawingSet:
    """A folder of human drawings, and the drawings of it that are measured."""

    path: Path
    num_found: int
    drawings: tuple[ImageSource, ...]
    photos: tuple[str, ...]  # of each drawing: the photo it was drawn from, or else its own name


def find_shards(folders: Sequence[Path], samples: int) -> list[SketchInput]:
    """Open the shard folders and choose at most `samples` (0: all) samples of each, spread evenly.

    Where folders share keys, only shared keys are measured, the same in every folder. Raises UsageError for
    no folder, one named twice or without samples, SketchforgeError for damaged ones.
    """
    if not folders:
        raise UsageError("eval sketches: nothing to measure; give --shards DIR, made by `sketchforge render`")
    repeated = [
        folder for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1
    ]
    if repeated:
        raise UsageError(f"--shards {repeated[0]}: named twice; name each folder once")
    sets = [open_folder(folder) for folder in folders]
    keys = [shards.keys for shards in sets]
    for shards in sets:
        check_measurable(shards)
    common = [key for key in keys[0] if all(key in folder_keys for folder_keys in keys)]
    return [_build_sketch_input(shards, common or list(shards.keys), samples) for shards in sets]


def check_measurable(shards: ShardSet) -> None:
    """Raise UsageError for shards without samples or without the options that measuring needs."""
    if not shards.keys or not shards.styles:
        raise UsageError(f"{shards.path}: holds no samples; see `sketchforge inspect {shards.path}`")
    needed = ["fit", "sketch_format"] + ["size"] * (shards.options.get("fit") != "keep")
    missing = [name for name in needed if name not in shards.options]
    if missing:
        raise UsageError(
            f"{shards.path / schema.MANIFEST}: its options lack {', '.join(missing)}; render it again"
        )


def _build_sketch_input(shards: ShardSet, keys: Sequence[str], samples: int) -> SketchInput:
    chosen = spread_evenly(keys, samples or len(shards.keys))
    sources = sample_sources(shards.folder, shards.finished, set(chosen))
    stems = {key: PurePosixPath(source).stem for key, source in sources.items()}
    stem_counts = Counter(stems.values())
    photos = {key: stems[key] if stem_counts[stems[key]] == 1 else key for key in chosen}
    return SketchInput(shards, tuple(chosen), photos)


def find_annotations(folder: Path, sets: Sequence[SketchInput]) -> list[dict[str, Path]]:
    """The annotation files of each set by sample key.

    A sample's file is KEY.mat, else STEM.mat by the stem of its source. Where several samples of a folder
    share a stem, it counts for none of them. Raises UsageError where no sample has a file.
    """
    if not folder.is_dir():
        raise UsageError(f"--boundaries {folder}: no such folder; expected annotations in it, KEY.mat")
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix == ".mat"}
    matches = []
    for sketch_input in sets:
        # `photos` holds the stem only where no other sample shares it.
        file_stems = {key: key if key in files else sketch_input.photos[key] for key in sketch_input.chosen}
        matches.append({key: files[name] for key, name in file_stems.items() if name in files})
    if not any(matches):
        key = sets[0].chosen[0]
        looked_for = " or ".join(f"{name}.mat" for name in dict.fromkeys((key, sets[0].photos[key])))
        examples = ", ".join(f"{name}.mat" for name in list(files)[:3]) or "no .mat file"
        raise UsageError(
            f"--boundaries {folder}: no annotation for any of {count_noun(len(sets[0].chosen), 'sample')} of "
            f"{sets[0].path}; looked for {looked_for} and so on, found {examples}; name annotations by the "
            "key or the source of a sample"
        )
    return matches


def find_drawings(folder: Path, samples: int) -> DrawingSet:
    """Choose at most `samples` (0: all) of the drawings in `folder`, spread evenly.

    The folder is searched as `tom-train --drawings` searches it. Raises UsageError where there are none.
    """
    if not folder.is_dir():
        raise UsageError(f"--references {folder}: no such folder; expected human drawings in it")
    images = find_images(folder)
    stems = [PurePosixPath(image.source).stem for image in images]
    photos = [stem.rpartition("-")[0] or stem for stem in stems]
    if max(Counter(photos).values()) > MAX_PER_PHOTO:
        photos = stems
    chosen = spread_evenly(list(zip(images, photos, strict=True)), samples or len(images))
    return DrawingSet(folder, len(images), *(tuple(column) for column in zip(*chosen, strict=True)))


def drawn_more_than_once(sets: Sequence[DrawingSet]) -> set[str]:
    """The photos of which there are two drawings or more, in all sets together."""
    counts = Counter(photo for drawing_set in sets for photo in drawing_set.photos)
    return {photo for photo, count in counts.items() if count > 1}


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, or its whole path where two have the same name."""
    names = [folder.resolve().name for folder in folders]
    name_counts = Counter(names)
    return [
        name if name_counts[name] == 1 else str(folder) for name, folder in zip(names, folders, strict=True)
    ]


def style_names(sets: Sequence[SketchInput]) -> list[list[str]]:
    """The style names of each set, as FOLDER/STYLE where two folders share a style's name."""
    style_counts = Counter(style for sketch_input in sets for style in set(sketch_input.styles))
    folders = distinct_names([sketch_input.path for sketch_input in sets])
    return [
        [style if style_counts[style] == 1 else f"{folder}/{style}" for style in sketch_input.styles]
        for folder, sketch_input in zip(folders, sets, strict=True)
    ]
