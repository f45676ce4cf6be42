"""What is measured: sketches in shard folders, human drawings, and the annotations of photos."""

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

MAX_PER_PHOTO = 20  # more drawings with one stem are a numbered series, not drawings of one photo


@dataclass(frozen=True)
class SketchInput:
    """Shards, and the samples of them that are measured."""

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
        """Threshold and core, as `bilevel` takes them, for sketches of 8 bits; None for those of one.

        Always render's defaults for the method: what keeps its greys was rendered with neither.
        """
        options = self.shards.options
        grey = options["sketch_format"] != "png1"
        return RenderOptions(self.path, method=options["method"]).thresholds if grey else None


@dataclass(frozen=True)
class DrawingSet:
    """A folder of human drawings, and those of it that are measured."""

    path: Path
    num_found: int
    drawings: tuple[ImageSource, ...]
    photos: tuple[str, ...]  # of each drawing: the photo it was drawn from, or else its own name


def find_shards(folders: Sequence[Path], samples: int) -> list[SketchInput]:
    """The shard folders and at most `samples` (0: all) samples of each, spread evenly.

    Folders that share keys are measured on those alone, and on the same ones. Raises UsageError for no
    folder, one named twice or without samples, SketchforgeError for damaged ones.
    """
    if not folders:
        raise UsageError("eval sketches: nothing to measure; give --shards DIR, made by `sketchforge render`")
    twice = [folder for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1]
    if twice:
        raise UsageError(f"--shards {twice[0]}: named twice; name each folder once")
    sets = [open_folder(folder) for folder in folders]
    keys = [shards.keys for shards in sets]
    for shards in sets:
        check_measurable(shards)
    common = [key for key in keys[0] if all(key in found for found in keys)]
    return [_sketch_input(shards, common or list(shards.keys), samples) for shards in sets]


def check_measurable(shards: ShardSet) -> None:
    """Raise UsageError for shards without samples or without what measuring them needs to know."""
    if not shards.keys or not shards.styles:
        raise UsageError(f"{shards.path}: holds no samples; see `sketchforge inspect {shards.path}`")
    needed = ["fit", "sketch_format"] + ["size"] * (shards.options.get("fit") != "keep")
    missing = [name for name in needed if name not in shards.options]
    if missing:
        raise UsageError(
            f"{shards.path / schema.MANIFEST}: its options lack {', '.join(missing)}; render it again"
        )


def _sketch_input(shards: ShardSet, keys: Sequence[str], samples: int) -> SketchInput:
    chosen = spread_evenly(keys, samples or len(shards.keys))
    sources = sample_sources(shards.path, shards.finished, set(chosen))
    stems = {key: PurePosixPath(source).stem for key, source in sources.items()}
    count = Counter(stems.values())
    photos = {key: stems[key] if count[stems[key]] == 1 else key for key in chosen}
    return SketchInput(shards, tuple(chosen), photos)


def find_annotations(folder: Path, sets: Sequence[SketchInput]) -> list[dict[str, Path]]:
    """Of each set the annotation files by sample key: KEY.mat, else that of the stem of the sample's source.

    A stem that several samples of a folder share stands for none of them. Raises UsageError where there is
    none for any sample.
    """
    if not folder.is_dir():
        raise UsageError(f"--boundaries {folder}: no such folder; expected annotations in it, KEY.mat")
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix == ".mat"}
    found = []
    for one in sets:
        # Only a stem that is the sample's own has become its photo's name.
        names = {key: key if key in files else one.photos[key] for key in one.chosen}
        found.append({key: files[name] for key, name in names.items() if name in files})
    if not any(found):
        key = sets[0].chosen[0]
        looked_for = " or ".join(f"{name}.mat" for name in dict.fromkeys((key, sets[0].photos[key])))
        there = ", ".join(f"{name}.mat" for name in list(files)[:3]) or "no .mat file"
        raise UsageError(
            f"--boundaries {folder}: no annotation for any of {len(sets[0].chosen)} samples of "
            f"{sets[0].path}; looked for {looked_for} and so on, found {there}; name annotations by the key "
            "or the source of a sample"
        )
    return found


def find_drawings(folder: Path, samples: int) -> DrawingSet:
    """At most `samples` (0: all) of the drawings in `folder`, spread evenly.

    They are found as `tom-train --drawings` finds them. Raises UsageError where there are none.
    """
    if not folder.is_dir():
        raise UsageError(f"--references {folder}: no such folder; expected human drawings in it")
    found = find_images(folder)
    stems = [PurePosixPath(image.source).stem for image in found]
    photos = [stem.rpartition("-")[0] or stem for stem in stems]
    if max(Counter(photos).values()) > MAX_PER_PHOTO:
        photos = stems
    chosen = spread_evenly(list(zip(found, photos, strict=True)), samples or len(found))
    return DrawingSet(folder, len(found), *(tuple(column) for column in zip(*chosen, strict=True)))


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name, or the whole path where two have the same name."""
    names = [folder.resolve().name for folder in folders]
    count = Counter(names)
    return [name if count[name] == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def style_names(sets: Sequence[SketchInput]) -> list[list[str]]:
    """Of each set the names of its styles, after the folder's where two folders share a style's name."""
    count = Counter(style for one in sets for style in set(one.styles))
    folders = distinct_names([one.path for one in sets])
    return [
        [style if count[style] == 1 else f"{folder}/{style}" for style in one.styles]
        for folder, one in zip(folders, sets, strict=True)
    ]
