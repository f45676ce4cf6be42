"""What classifiers of the recognition study are trained on: photos drawn by every method, once, and sets of the sketches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from recognition_canny import random_canny
from recognition_data import ink_square, kept_photos, kind_of, labelled_photos
from recognition_kept import render_kept
from utility_retrieval import kept_array
from utility_sets import methods_at_hand

import sketchforge
from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.errors import UsageError
from sketchforge.images.decode import read_image
from sketchforge.images.resize import fit_square
from sketchforge.options import RenderOptions
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.utils.seeding import choose, numpy_generator

SIDE = 256  # pixels, at which photos are drawn
HED_THRESHOLD = 0.4  # PiDiNet's, for its maps are as broad
RANDOM_CANNIES = 10  # sketches a photo


@dataclass(frozen=True)
class Part:
    """Some sketches of each photo from one source: the first ones, or a random choice by photo."""

    source: str
    count: int
    at_random: bool = False


@dataclass(frozen=True)
class RecognitionSet:
    title: str
    parts: tuple[Part, ...]

    @property
    def num_sketches(self) -> int:
        """K: sketches of each photo."""
        return sum(part.count for part in self.parts)

    @property
    def has_hands(self) -> bool:
        return any(part.source.startswith("hands-") for part in self.parts)


DETECTORS = {"canny": "Canny", "hed": "HED", "pidinet": "PiDiNet", "teed": "TEED"}
OURS = "hands10"
FIRST = "tom10"  # what the others are compared with, beside OURS

SETS = {
    "photos": RecognitionSet("photos in grey", (Part("photos", 1),)),
    "canny": RecognitionSet("Canny", (Part("canny", 1),)),
    "canny_random1": RecognitionSet("Canny, random thresholds × 1", (Part("canny_random", 1),)),
    "canny_random10": RecognitionSet("Canny, random thresholds × 10", (Part("canny_random", 10),)),
    "hed": RecognitionSet("HED", (Part("hed", 1),)),
    "pidinet": RecognitionSet("PiDiNet", (Part("pidinet", 1),)),
    "teed": RecognitionSet("TEED", (Part("teed", 1),)),
    "tom1": RecognitionSet("TOM × 1", (Part("tom", 1),)),
    FIRST: RecognitionSet("TOM × 10", (Part("tom", 10),)),
    "careful": RecognitionSet("the careful hand", (Part("hands-tom", 1),)),
    "hands1": RecognitionSet("hands × 1", (Part("hands-tom", 1, True),)),
    "hands4": RecognitionSet("hands × 4", (Part("hands-tom", 4, True),)),
    OURS: RecognitionSet("hands × 10", (Part("hands-tom", 10),)),
    **{
        f"hands_{name}": RecognitionSet(f"hands × 10 on {title}", (Part(f"hands-{name}", 10),))
        for name, title in DETECTORS.items()
    },
    "mixed": RecognitionSet(
        "all mixed",
        (Part("tom", 10), Part("hands-tom", 10), *(Part(name, 1) for name in DETECTORS)),
    ),
}


def drawing_methods(data: Path) -> dict[str, dict[str, Any]]:
    """Options of `render` by method; networks whose weights are not there are left out."""
    methods = methods_at_hand(data)
    hed = KNOWN["hed"].found()
    return methods | (
        {"hed": {"method": "hed", "edge_weights": hed, "threshold": HED_THRESHOLD}} if hed else {}
    )


@dataclass(frozen=True)
class Drawn:
    """A part of a set: sketches of one source, and which of them are taken, of which photos.

    Sources are described as a whole, so that sets and seeds that share one share its features.
    """

    squares: np.ndarray  # uint8 (Q,N,S,S), 255 = paper, prepared
    rows: np.ndarray  # int (P,), into Q
    chosen: np.ndarray  # int (P,count), into N

    @staticmethod
    def whole(squares: np.ndarray) -> Drawn:
        """All sketches of all photos."""
        photos, count = squares.shape[:2]
        return Drawn(squares, np.arange(photos), np.tile(np.arange(count), (photos, 1)))

    def pick(self, values: np.ndarray) -> np.ndarray:
        """(Q,N,...), something of every sketch -> (P,count,...)."""
        return values[self.rows[:, None], self.chosen]


def sketches_for(
    name: str, seed: int, size: int, data: Path, work: Path, hands: str = "builtin"
) -> tuple[list[Drawn], np.ndarray]:
    """A set's sketches of a seed's photos, by source; and what the photos show, (P,).

    Drawn first where they are not: the same call again goes on. hands: as `render` takes it.
    """
    photos = kept_photos(labelled_photos(data), seed)
    parts = []
    for part in SETS[name].parts:
        source_seed = seed if is_random(part.source) else None
        drawn_photos = photos if is_random(part.source) else labelled_photos(data)
        squares = source_squares(part.source, source_seed, size, tuple(drawn_photos), data, work, hands)
        count = part.count
        chosen = [
            choose(count, squares.shape[1], seed, "recognition hands", photo.name)
            if part.at_random
            else list(range(count))
            for photo in photos
        ]
        rows = {photo: row for row, photo in enumerate(drawn_photos)}
        parts.append(Drawn(squares, np.array([rows[photo] for photo in photos]), np.array(chosen)))
    return parts, np.array([kind_of(photo) for photo in photos])


def picked_squares(parts: Sequence[Drawn]) -> np.ndarray:
    """uint8 (P,K,S,S)."""
    return np.concatenate([part.pick(part.squares) for part in parts], axis=1)


def is_random(source: str) -> bool:
    """Whether another seed gives other sketches."""
    return source == "canny_random" or source.startswith("hands-")


@lru_cache(maxsize=8)
def source_squares(
    source: str, seed: int | None, size: int, photos: tuple[Path, ...], data: Path, work: Path, hands: str
) -> np.ndarray:
    """uint8 (Q,N,size,size), prepared sketches of these photos by one source. seed: of a random one."""
    if source == "photos":
        greys = [cv2.cvtColor(read_image(photo), cv2.COLOR_RGB2GRAY) for photo in photos]
        return np.stack([fit_square(grey, size, "crop") for grey in greys])[:, None]
    if source == "canny_random":
        return kept_array(
            work / f"canny_random-{seed}-{size}.npy",
            lambda: np.stack([random_cannies(photo, seed, size) for photo in photos]),
        )
    return shard_squares(rendered(source, seed, photos, data, work, hands), size, photos)


def random_cannies(photo: Path, seed: int, size: int) -> np.ndarray:
    """uint8 (RANDOM_CANNIES,size,size)."""
    pixels = fit_square(read_image(photo), SIDE, "crop")
    draws = (numpy_generator(seed, "random canny", photo.name, at) for at in range(RANDOM_CANNIES))
    return np.stack([ink_square(random_canny(pixels, draw), size) for draw in draws])


def rendered(
    source: str, seed: int | None, photos: Sequence[Path], data: Path, work: Path, hands: str
) -> Path:
    """The shard folder of a source, drawn where it is not: a method's own sketches, or a seed's hands on them."""
    method = source.removeprefix("hands-")
    methods = drawing_methods(data)
    if method not in methods:
        raise UsageError(f"{method}: no weights; see `sketchforge weights list`, or leave out the sets of it")
    options = dict(methods[method])
    folder = work / source
    if source != method:
        options |= {"hands": hands, "hands_seed": seed}
        options.pop("threshold", None)
        folder = work / f"{source}-{seed}-{hands_digest(hands)}"
    return render_photos(folder, photos, options, work)


def render_photos(folder: Path, photos: Sequence[Path], options: dict[str, Any], work: Path) -> Path:
    """Draw photos into a shard folder by the product's own pipeline, one thread."""
    listed = folder.with_name(f"{folder.name}.txt")
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(map(str, photos)) + "\n")
    render_kept(RenderOptions(folder, str(listed), size=SIDE, workers=1, threads=1, **options), work / "kept")
    return folder


def hands_digest(hands: str) -> str:
    """8 hexadecimal digits over the hands' file and the code that draws them: another has a folder of its own."""
    package = Path(sketchforge.__file__).parent
    paths = [*sorted((package / "strokes").iterdir()), package / "render" / "hands.py"]
    digest = hashlib.sha256()
    for path in [*paths, *([] if hands == "builtin" else [Path(hands)])]:
        if path.suffix in (".py", ".toml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def shard_squares(folder: Path, size: int, photos: Sequence[Path]) -> np.ndarray:
    """uint8 (P,K,size,size), prepared sketches of these photos from a shard folder, in their order."""
    shards = open_folder(folder)
    wanted = {str(photo) for photo in photos}
    squares = {}
    for raw in raw_samples(shards, shards.keys):
        if raw.metadata["source"] in wanted:
            sketches = [read_image(sketch)[..., 0] for sketch in raw.sketches]
            squares[raw.metadata["source"]] = [ink_square(sketch, size) for sketch in sketches]
    for photo in photos:
        if str(photo) not in squares:
            raise UsageError(
                f"{folder}: has no sketches of {photo}; render all that is listed into a new folder"
            )
    return np.array([squares[str(photo)] for photo in photos])
