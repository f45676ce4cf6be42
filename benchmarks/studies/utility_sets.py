"""What each model of the utility study is trained on: the photos drawn by every method, and sets of the drawings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from utility_data import training_photos

from sketchforge.images.decode import read_image
from sketchforge.images.hand_drawn import fit_drawing
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards import manifest as manifests
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.shards.writer import Record, read_stats, write_shard
from sketchforge.storage.folder import folder_at


@dataclass(frozen=True)
class SketchSet:
    """What one model is trained on: of each named folder of sketches, the first so many per photo."""

    title: str
    folders: tuple[tuple[str, int], ...]

    @property
    def num_sketches(self) -> int:
        """K: sketches of each photo."""
        return sum(count for _, count in self.folders)


SETS = {
    "tom10": SketchSet("TOM × 10", (("tom", 10),)),
    "tom1": SketchSet("TOM × 1", (("tom", 1),)),
    "canny": SketchSet("Canny", (("canny", 1),)),
    "pidinet": SketchSet("PiDiNet", (("pidinet", 1),)),
    "teed": SketchSet("TEED", (("teed", 1),)),
    "mixed": SketchSet("all mixed", (("tom", 10), ("canny", 1), ("pidinet", 1), ("teed", 1))),
}

FIRST = "tom10"  # what the others are compared with


def methods_at_hand(data: Path) -> dict[str, dict[str, Any]]:
    """Options of `render` per folder; edge networks with weights, thresholds by docs/weights.md."""
    weights = data / "weights"
    networks = {
        "pidinet": (weights / "pidinet/pidinet_bsds_vanilla_fp32.safetensors", 0.4),
        "teed": (weights / "teed/teed_biped_7.safetensors", 0.7),
    }
    found: dict[str, dict[str, Any]] = {"canny": {"method": "canny"}}
    for name, (path, threshold) in networks.items():
        if path.is_file():
            found[name] = {"method": name, "edge_weights": path, "threshold": threshold}
    return found | {"tom": {"method": "tom", "tom": Path("builtin"), "hands": "none"}}


def sets_at_hand(work: Path) -> list[str]:
    """The sets all of whose folders are rendered."""
    return [
        name
        for name, sketch_set in SETS.items()
        if all((work / one).is_dir() for one, _ in sketch_set.folders)
    ]


def render_all(data: Path, work: Path) -> None:
    listed = work / "photos.txt"
    photos = training_photos(data)
    listed.write_text("\n".join(map(str, photos)) + "\n")
    print(f"{len(photos)} photos to train on", flush=True)
    for name, options in methods_at_hand(data).items():
        summary = render(RenderOptions(work / name, str(listed), workers=1, threads=1, **options))
        print(f"{name}: {dict(summary.outcomes)}, {summary.seconds:.0f} s", flush=True)


def assemble(work: Path, name: str, sketch_set: SketchSet) -> Path:
    """A set as a shard folder of its own, made where it is not: what `ae-train` reads.

    A training step compares two sketches of a photo; where there is one only, it is there twice.
    """
    folder = work / "sets" / name
    if (folder / "manifest.json").is_file():
        return folder
    first = open_folder(work / sketch_set.folders[0][0])
    columns = [
        [raw.sketches[:count] for raw in raw_samples(open_folder(work / source), first.keys)]
        for source, count in sketch_set.folders
    ]
    styles = [f"{source} {index}" for source, count in sketch_set.folders for index in range(count)]
    twice = 2 if len(styles) == 1 else 1
    styles = [f"{style}{' again' * again}" for again in range(twice) for style in styles]
    plan = dict(first.manifest) | {
        "styles": styles,
        "captioned": False,
        "num_shards": 1,
        "complete": False,
        "shards": [],
        "outcomes": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with write_shard(folder_at(folder), 0, "", "") as writer:
        for number, raw in enumerate(raw_samples(first, first.keys)):
            sketches = [sketch for column in columns for sketch in column[number]] * twice
            metadata = raw.metadata | {"styles": styles}
            writer.add(
                Record(raw.key, raw.key, len(raw.image), None, None, raw.image, sketches, None, metadata)
            )
    manifests.write_manifest(
        folder_at(folder), manifests.finished_manifest(plan, [read_stats(folder_at(folder), 0)])
    )
    return folder


def sketches_of(work: Path, name: str, size: int) -> np.ndarray:
    """uint8 (P,K,S,S), 255 = paper, in the order of the keys: thin lines are kept on the way to S."""
    parts = [sketches_in(work / source, count, size) for source, count in SETS[name].folders]
    return np.concatenate(parts, axis=1)


def sketches_in(folder: Path, count: int, size: int) -> np.ndarray:
    """The first so many of every photo, uint8 (P,count,S,S)."""
    shards = open_folder(folder)
    found = [
        [fit_drawing(read_image(sketch)[..., 0], size) for sketch in raw.sketches[:count]]
        for raw in raw_samples(shards, shards.keys)
    ]
    return np.array(found)


def photos_of(work: Path) -> list[np.ndarray]:
    """What was drawn, in the order of the keys."""
    shards = open_folder(work / "canny")
    return [read_image(raw.image) for raw in raw_samples(shards, shards.keys)]
