"""Do models trained on our sketches understand people's drawings better? The tables of docs/utility.md.

    python benchmarks/studies/utility.py render --data DATA --work DIR
    python benchmarks/studies/utility.py retrieval --data DATA --work DIR [SET ...]  # again to go on
    python benchmarks/studies/utility.py ae --data DATA --work DIR [SET ...]  # beside another of these to share
    python benchmarks/studies/utility.py table --data DATA --work DIR
    python benchmarks/studies/utility.py machines --data DATA --work DIR  # the same networks with machines' drawings
    python benchmarks/studies/utility.py examples --data DATA --work DIR

DATA holds photo_sketch_pairs.tsv, the photos and drawings it names, other photos beside them (the rest of
their folders, and photos/bsds500), and the weights mobilenet_v2, squeezenet, pidinet and teed.

The same photos, none of them in the table, are drawn by every method. On each set of drawings the same small
models are trained: a retrieval network (photos through a frozen MobileNetV2 and a linear head, sketches
through a small CNN from scratch, InfoNCE) and the auto-encoder's demo recipe. Both are tested on people's
drawings, of which none is trained on: is the photo a drawing was made from among the first of all photos of
the table, and how far from it is what the auto-encoder makes of the drawing in that photo's style.

By 120 photos of the table TOM's recipe and thresholds were chosen (docs/tom-recipe.md,
docs/sketch-quality.md); on their drawings this experiment was set up ("development"). The other 138 are the
test.

Shape letters: B batch, P photos, K sketches of each, S side, D features.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.state_dicts import read_state  # noqa: E402
from sketchforge.checkpoints.synthesizer import read_autoencoder  # noqa: E402
from sketchforge.data.augment import sketch_variant  # noqa: E402
from sketchforge.data.augment_params import BOLDNESSES  # noqa: E402
from sketchforge.errors import SketchforgeError, UsageError  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.hand_drawn import fit_drawing, normalized_drawing  # noqa: E402
from sketchforge.images.resize import fit_square  # noqa: E402
from sketchforge.images.tensors import to_tensor, to_unit  # noqa: E402
from sketchforge.metrics.images.feature_networks import features_state  # noqa: E402
from sketchforge.metrics.images.lpips import open_lpips  # noqa: E402
from sketchforge.options import AeTrainOptions, RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.report.html import text  # noqa: E402
from sketchforge.report.svg import COLOURS, ticks  # noqa: E402
from sketchforge.shards import manifest as manifests  # noqa: E402
from sketchforge.shards.reader import raw_samples  # noqa: E402
from sketchforge.shards.shard_set import open_folder  # noqa: E402
from sketchforge.shards.writer import Record, read_stats, writing_shard  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.files import appearing, write_json  # noqa: E402
from sketchforge.utils.seeding import derive_seed, numpy_generator  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402

SEEDS = {"retrieval": 5, "ae": 3}
AE_STEPS = 200
PEOPLE_SEEN = 60  # photos whose drawings TOM's recipe was chosen by, and as many again for its thresholds
SAME_PICTURE = 0.9  # correlation of two thumbnails, or of one with the other mirrored


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


# Photos and drawings


@dataclass(frozen=True)
class Drawing:
    """One of people's drawings, and the photo it was made from; paths relative to DATA."""

    sketch: str
    photo: str


def people(data: Path) -> list[Drawing]:
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8", newline="") as file:
        return [Drawing(row["sketch"], row["photo"]) for row in csv.DictReader(file, delimiter="\t")]


def gallery(drawings: Sequence[Drawing]) -> list[str]:
    """The photos that are searched, in order."""
    return sorted({drawing.photo for drawing in drawings})


def development(photos: Sequence[str]) -> set[str]:
    """Those by whose drawings TOM's recipe (every so many-th) and its thresholds (the next) were chosen."""
    chosen = [at * len(photos) // PEOPLE_SEEN for at in range(PEOPLE_SEEN)]
    return {photo for at in chosen for photo in photos[at : at + 2]}


def training_photos(data: Path) -> list[Path]:
    """Photos of the kinds of the table, and of BSDS500: none of the table's, and none twice, by content."""
    tested = gallery(people(data))
    kinds = sorted({str(Path(photo).parent) for photo in tested})
    folders = [*kinds, "photos/bsds500/train", "photos/bsds500/val"]
    found = [path for folder in folders for path in sorted((data / folder).iterdir())]
    kept = distinct([thumbnail(data / photo) for photo in tested], [thumbnail(path) for path in found])
    return [found[at] for at in kept]


def thumbnail(path: Path) -> np.ndarray:
    """float64 16×16×3, mean 0 and norm 1."""
    small = fit_square(read_image(path), 16, "crop").astype(float)
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-9)


def distinct(taken: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> list[int]:
    """Which of `found` are neither among `taken` nor earlier in `found`, mirrored or not."""
    known, kept = list(taken), []
    for at, picture in enumerate(found):
        views = np.stack([picture, picture[:, ::-1]]).reshape(2, -1)
        if not known or (views @ np.stack(known).reshape(len(known), -1).T).max() < SAME_PICTURE:
            known.append(picture)
            kept.append(at)
    return kept


# Drawing the photos


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
    return found | {"tom": {"method": "tom", "tom": Path("builtin")}}


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


def assembled(work: Path, name: str) -> Path:
    """A set as a shard folder of its own, made where it is not: what `ae-train` reads.

    A training step compares two sketches of a photo; where there is one only, it is there twice.
    """
    folder, sketch_set = work / "sets" / name, SETS[name]
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
        "num_shards": 1,
        "complete": False,
        "shards": [],
        "outcomes": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with writing_shard(folder, 0, "", "") as writer:
        for number, raw in enumerate(raw_samples(first, first.keys)):
            sketches = [sketch for column in columns for sketch in column[number]] * twice
            about = raw.about | {"styles": styles}
            writer.add(Record(raw.key, raw.key, len(raw.image), None, None, raw.image, sketches, None, about))
    manifests.write_manifest(folder, manifests.completed(plan, [read_stats(folder, 0)]))
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


def read_drawing(path: Path, size: int, normalise: bool) -> np.ndarray:
    """uint8 S×S, 255 = paper; as it is, or as sketches are made of drawings before a model sees them."""
    picture = read_image(path)
    grey = normalized_drawing(picture).sketch if normalise else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return fit_drawing(grey, size)


# Retrieval


@dataclass(frozen=True)
class RetrievalRecipe:
    """Chosen on the drawings for development."""

    size: int = 64  # S of sketches, in pixels
    cells: int = 3  # photos are described in so many by so many places: by pose, not by subject alone
    dim: int = 128  # of the common space
    steps: int = 300
    batch_size: int = 64  # photos, each with one sketch; the others of a batch are its negatives
    rate: float = 1e-3
    decay: float = 0.05  # of weights
    dropout: float = 0.5  # of photo features
    temperature: float = 0.07  # at first; it is learnt
    rotation: float = 15.0  # degrees, either way
    zoom: tuple[float, float] = (0.75, 1.25)
    shift: float = 0.1  # of the side, either way


RETRIEVAL = RetrievalRecipe()


class SketchTower(nn.Module):
    """(B,1,S,S) in [0, 1], 1 = ink -> (B,dim) of norm 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        layers: list[nn.Module] = []
        for before, after in zip((1, *widths), widths, strict=False):
            # Normalised by sketch, not by batch: people draw with less ink than machines.
            side = 5 if before == 1 else 3
            layers += [nn.Conv2d(before, after, side, 2, side // 2), nn.GroupNorm(8, after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.head = nn.Linear(9 * widths[-1], dim)

    def forward(self, sketches: Tensor) -> Tensor:
        return F.normalize(self.head(self.features(sketches)), dim=1)


class PhotoTower(nn.Module):
    """Features (B,D) of a frozen network -> (B,dim) of norm 1."""

    def __init__(self, num_features: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(num_features, dim))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.head(features), dim=1)


def info_nce(sketches: Tensor, photos: Tensor, scale: Tensor | float) -> Tensor:
    """InfoNCE (van den Oord et al. 2018), both ways: (B,dim) of norm 1 twice, pairs in equal rows -> scalar.

    scale: one over the temperature.
    """
    logits = scale * sketches @ photos.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def photo_features(weights: Path, pictures: Sequence[np.ndarray], cells: int) -> Tensor:
    """uint8 H×W×3 -> (P,2,D): cell means of MobileNetV2's last maps, of each picture and its mirror image."""
    from torchvision.models import mobilenet_v2

    path = weights / "mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors"
    network = mobilenet_v2().features
    network.load_state_dict(
        features_state(path, "mobilenet_v2", network, read_state(path, "mobilenet_v2")[0])
    )
    network.eval()

    def described(views: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(network(views), cells).flatten(1)

    found = []
    for picture in pictures:
        view = to_tensor(fit_square(picture, 224, "crop"))
        found.append(described(torch.cat([view, view.flip(3)])))
    return torch.stack(found)


def augmented(
    sketch: np.ndarray, flip: bool, draw: np.random.Generator, recipe: RetrievalRecipe
) -> np.ndarray:
    """uint8 S×S, 255 = paper: flipped, turned, zoomed and shifted, lines as they are, thinner or bolder."""
    side = sketch.shape[0]
    middle = (side - 1) / 2
    angle, zoom = draw.uniform(-recipe.rotation, recipe.rotation), draw.uniform(*recipe.zoom)
    turn = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    turn[:, 2] += draw.uniform(-recipe.shift, recipe.shift, 2) * side
    moved = cv2.warpAffine(
        np.ascontiguousarray(sketch[:, ::-1]) if flip else sketch, turn, (side, side), borderValue=255
    )
    return sketch_variant(moved, int(draw.integers(BOLDNESSES)), np.empty((0, 4), int))


def as_ink(sketches: Sequence[np.ndarray]) -> Tensor:
    """uint8 S×S, 255 = paper -> float32 (B,1,S,S), 1 = ink."""
    return 1 - to_unit(torch.from_numpy(np.stack(sketches))[:, None])


def train_retrieval(
    sketches: np.ndarray, features: Tensor, seed: int, recipe: RetrievalRecipe
) -> tuple[SketchTower, PhotoTower]:
    """sketches (P,K,S,S) of photos with features (P,2,D), as given and mirrored; both towers in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "retrieval weights"))
        towers = SketchTower(recipe.dim), PhotoTower(features.shape[2], recipe.dim, recipe.dropout)
        log_scale = nn.Parameter(torch.tensor(-math.log(recipe.temperature)))
        weights = [weight for tower in towers for weight in tower.parameters()]
        optimiser = torch.optim.AdamW([{"params": weights}, {"params": [log_scale], "weight_decay": 0.0}],
                                      recipe.rate, weight_decay=recipe.decay)  # fmt: skip
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
        for step in range(recipe.steps):
            # The same photos, flips and moves for every set: only the drawings differ.
            draw = numpy_generator(seed, "retrieval batch", step)
            photos = draw.choice(len(sketches), min(recipe.batch_size, len(sketches)), replace=False)
            which = (draw.random(len(photos)) * sketches.shape[1]).astype(int)
            flips = draw.random(len(photos)) < 0.5
            drawn = [
                augmented(sketches[photo, sketch], flip, draw, recipe)
                for photo, sketch, flip in zip(photos, which, flips, strict=True)
            ]
            described = features[torch.from_numpy(photos), torch.from_numpy(flips).long()]
            loss = info_nce(towers[0](as_ink(drawn)), towers[1](described), log_scale.exp().clamp(max=100))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return towers[0].eval(), towers[1].eval()


@torch.no_grad()
def similarities(
    towers: tuple[SketchTower, PhotoTower], sketches: Sequence[np.ndarray], photos: Tensor
) -> Tensor:
    """Cosines of sketches with photos (P,D): (B,P)."""
    return torch.cat([towers[0](part) for part in as_ink(sketches).split(64)]) @ towers[1](photos).T


def ranks(found: Tensor, true: Sequence[int]) -> list[int]:
    """found (B,P): how many photos are at least as similar as the true one, itself included; 1 is best."""
    wanted = found[torch.arange(len(found)), torch.tensor(true)]
    return (found >= wanted[:, None]).sum(1).tolist()


def retrieval(
    name: str, seed: int, data: Path, work: Path, recipe: RetrievalRecipe = RETRIEVAL
) -> dict[str, Any]:
    """Train on a set, then search the table's photos with people's drawings, as they are and normalised."""
    described = cached_features(data, work, recipe.cells)
    drawings = people(data)
    photos = gallery(drawings)
    sketches = kept_array(
        work / f"sketches-{name}-{recipe.size}.npy", lambda: sketches_of(work, name, recipe.size)
    )
    towers = train_retrieval(sketches, described["train"], seed, recipe)
    result: dict[str, Any] = {"set": name, "seed": seed, "steps": recipe.steps, "photos": len(sketches)}
    for how in ("as they are", "normalised"):
        given = cached_drawings(data, work, recipe.size, how == "normalised")
        found = similarities(towers, given, described["test"][:, 0])
        result[how] = {
            "ranks": ranks(found, [photos.index(drawing.photo) for drawing in drawings]),
            "first": found.topk(min(5, len(photos)), dim=1).indices.tolist(),
        }
    return result


def machines(data: Path, work: Path, recipe: RetrievalRecipe = RETRIEVAL) -> None:
    """Search with TOM's and Canny's drawings of the tested photos: as far as networks get without people."""
    photos = gallery(people(data))
    test = [at for at, photo in enumerate(photos) if photo not in development(photos)]
    listed = work / "tested.txt"
    listed.write_text("\n".join(str(data / photo) for photo in photos) + "\n")
    given = {}
    for name in ("tom", "canny"):
        drawn = methods_at_hand(data)[name] | ({"checkpoints": 1} if name == "tom" else {})
        render(RenderOptions(work / "tested" / name, str(listed), workers=1, threads=1, **drawn))
        given[name] = sketches_in(work / "tested" / name, 1, recipe.size)[:, 0]
    described = cached_features(data, work, recipe.cells)
    rows = []
    for name in (FIRST, "tom1", "canny"):
        sketches = sketches_of(work, name, recipe.size)
        towers = train_retrieval(sketches, described["train"], 0, recipe)
        found = [
            ranks(similarities(towers, one, described["test"][:, 0]), range(len(photos)))
            for one in given.values()
        ]
        shares = [np.mean([one[at] <= k for at in test]) for one in found for k in (1, 10)]
        rows.append([SETS[name].title, *(f"{100 * share:.1f}" for share in shares)])
    print_rows(
        ["trained on", *(f"{title}: recall@{k}" for title in ("TOM × 1", "Canny") for k in (1, 10))], rows
    )


def cached_drawings(data: Path, work: Path, size: int, normalise: bool) -> np.ndarray:
    """People's drawings, uint8 (B,S,S)."""
    return kept_array(
        work / f"people-{size}{'-normalised' * normalise}.npy",
        lambda: np.stack([read_drawing(data / drawing.sketch, size, normalise) for drawing in people(data)]),
    )


def kept_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What the file holds; made and written first where it is not there."""
    if not path.is_file():
        with appearing(path) as file:
            np.save(file, make())
    return np.load(path)


def cached_features(data: Path, work: Path, cells: int) -> dict[str, Tensor]:
    """Of the photos trained on and of the gallery, (P,2,D) each."""
    path = work / f"features-{cells}.pt"
    if not path.is_file():
        tested = [read_image(data / photo) for photo in gallery(people(data))]
        described = {"train": photos_of(work), "test": tested}
        torch.save({part: photo_features(data / "weights", p, cells) for part, p in described.items()}, path)
    return torch.load(path, weights_only=True)


# The auto-encoder


def auto_encoder(name: str, seed: int, data: Path, work: Path, steps: int) -> dict[str, Any]:
    """Train the demo recipe on a set; LPIPS of tested photos and what is made of drawings in their style.

    Of a drawing of this photo, and of one of another photo: what lies between them is what drawings tell.
    """
    options = AeTrainOptions(
        shards=str(assembled(work, name)),
        run=work / f"ae-{steps}" / f"{name}-{seed}",
        steps=steps,
        seed=seed,
        workers=0,
        threads=1,
        device="cpu",
    )
    train_ae(options)
    model = read_autoencoder(options.run / "model.safetensors")[0]
    weights = data / "weights/squeezenet/squeezenet1_1_features_tvkeys.safetensors"
    perceive = open_lpips("squeeze", weights, torch.device("cpu")).distance
    drawings = people(data)
    photos = [
        to_tensor(fit_square(read_image(data / drawing.photo), model.size, "crop")) for drawing in drawings
    ]
    given = [
        to_tensor(read_drawing(data / drawing.sketch, model.size, False)[..., None]) for drawing in drawings
    ]
    return {"set": name, "seed": seed, "steps": steps, **ae_distances(model, given, photos, perceive)}


@torch.no_grad()
def ae_distances(
    model: nn.Module,
    sketches: list[Tensor],
    photos: list[Tensor],
    perceive: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, list[float]]:
    """sketches (1,1,S,S) and photos (1,3,S,S) in [-1, 1], of one drawing each -> one distance per drawing."""
    half = len(sketches) // 2  # far beyond the other drawings of the same photo, which are next to each other
    found: dict[str, list[float]] = {"matched": [], "mismatched": []}
    for how, some in (("matched", sketches), ("mismatched", sketches[half:] + sketches[:half])):
        for at in range(0, len(some), 32):
            style = torch.cat(photos[at : at + 32])
            found[how] += perceive(model(torch.cat(some[at : at + 32]), style), style).tolist()
    return found


# Figures


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(values: np.ndarray, count: int = 2000) -> Estimate:
    """The mean of (seeds, photos), and percentiles of its bootstrap over both: other trainings, other photos.

    The draws depend on the shape alone, so that sets are compared draw by draw.
    """
    draw = numpy_generator(0, "utility", *values.shape)
    # How often each row and column is drawn, of as many as there are.
    seeds, photos = (
        draw.multinomial(length, [1 / length] * length, count) / length for length in values.shape
    )
    low, high = np.quantile(np.einsum("cs,sp,cp->c", seeds, values, photos, optimize=True), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def by_photo(values: np.ndarray, drawings: Sequence[Drawing], photos: Sequence[str]) -> np.ndarray:
    """(seeds, drawings) -> (seeds, photos): means, for drawings of one photo are no independent tests."""
    columns = [[at for at, drawing in enumerate(drawings) if drawing.photo == photo] for photo in photos]
    return np.stack([values[:, column].mean(1) for column in columns], axis=1)


def recalls(
    found: Sequence[dict[str, Any]], how: str, k: int, drawings: list[Drawing], photos: Sequence[str]
) -> np.ndarray:
    """(seeds, photos): the share of each photo's drawings by which it is among the first k."""
    hits = np.array([one[how]["ranks"] for one in found]) <= k
    return by_photo(hits.astype(float), drawings, photos)


def right_kind(
    found: Sequence[dict[str, Any]], drawings: list[Drawing], photos: Sequence[str], test: Sequence[str]
) -> np.ndarray:
    """(seeds, photos): the share of each photo's drawings whose first photo found is of the same kind."""
    kinds = np.array([str(Path(photo).parent) for photo in photos])
    first = np.array([[some[0] for some in one["as they are"]["first"]] for one in found])
    wanted = np.array([str(Path(drawing.photo).parent) for drawing in drawings])
    return by_photo((kinds[first] == wanted).astype(float), drawings, test)


def result_path(work: Path, command: str, steps: int, name: str, seed: int) -> Path:
    return work / f"{command}-{steps}" / f"{name}-{seed}.json"


def results_of(work: Path, command: str, steps: int) -> dict[str, list[dict[str, Any]]]:
    """What `retrieval` or `ae` has left, by set, of seeds that all sets have; empty where there is none."""
    found = {}
    for name in SETS:
        paths = {seed: result_path(work, command, steps, name, seed) for seed in range(SEEDS[command])}
        found[name] = {seed: path for seed, path in paths.items() if path.is_file()}
    found = {name: paths for name, paths in found.items() if paths}
    common = sorted(set.intersection(*(set(paths) for paths in found.values()))) if found else []
    if not common:
        return {}
    return {name: [json.loads(paths[seed].read_text()) for seed in common] for name, paths in found.items()}


def retrieved(work: Path, steps: int) -> dict[str, list[dict[str, Any]]]:
    found = results_of(work, "retrieval", steps)
    if not found:
        raise UsageError(f"{work}: no seed that every set was trained with; run `retrieval` first")
    return found


def table(data: Path, work: Path, steps: int = RETRIEVAL.steps) -> None:
    drawings = people(data)
    photos = gallery(drawings)
    found = retrieved(work, steps)
    seen = development(photos)
    test = [photo for photo in photos if photo not in seen]
    counts = len(found[FIRST]), found[FIRST][0]["photos"], len(photos), len(test)
    print(
        f"{steps} steps, "
        + "{} seeds, {} photos trained on, {} searched for people's drawings of {}\n".format(*counts)
    )
    first = recalls(found[FIRST], "as they are", 10, drawings, test)
    rows, bars = [], {}
    for name, results in found.items():
        title = SETS[name].title
        at = {k: recalls(results, "as they are", k, drawings, test) for k in (1, 10)}
        other = recalls(results, "normalised", 10, drawings, test)
        before = recalls(results, "as they are", 10, drawings, sorted(seen))
        bars[title] = estimate(at[10])
        beyond = "" if name == FIRST else percent(estimate(at[10] - first), "+")
        rows.append(
            [title, str(SETS[name].num_sketches), percent(estimate(at[1])), percent(bars[title]), beyond]
        )
        kind = percent(estimate(right_kind(results, drawings, photos, test)))
        rows[-1] += [kind, percent(estimate(other)), f"{100 * before.mean():.1f}"]
    once, ten = (min(1.0, k / len(photos)) for k in (1, 10))
    sizes = Counter(Path(photo).parent for photo in photos)
    kind = sum(sizes[Path(photo).parent] for photo in test) / len(test) / len(photos)
    rows.append(["chance", "", *(f"{100 * share:.1f}" for share in (once, ten)), ""])
    rows[-1] += [f"{100 * share:.1f}" for share in (kind, ten, ten)]
    heads = ["trained on", "sketches", "recall@1", "recall@10", "beyond TOM × 10", "right animal first"]
    print_rows([*heads, "normalised: recall@10", "development: recall@10"], rows)
    title = "Recall@10 of the photo that a drawing was made from"
    (work / f"retrieval-{steps}.svg").write_text(intervals_svg(bars, ten, title), encoding="utf-8")
    kinds_table(found, drawings, test)
    ae_table(work, drawings, test)


def kinds_table(found: dict[str, list[dict[str, Any]]], drawings: list[Drawing], test: list[str]) -> None:
    """Recall@10 by what the photos show."""
    of_kind: dict[str, list[str]] = {}
    for photo in test:
        of_kind.setdefault(Path(photo).parent.name, []).append(photo)
    rows = []
    for name, results in found.items():
        shares = [recalls(results, "as they are", 10, drawings, photos) for photos in of_kind.values()]
        rows.append([SETS[name].title, *(percent(estimate(share)) for share in shares)])
    print()
    print_rows(["recall@10", *(f"{kind} ({len(photos)})" for kind, photos in of_kind.items())], rows)


def ae_table(work: Path, drawings: list[Drawing], test: list[str]) -> None:
    found = results_of(work, "ae", AE_STEPS)
    if FIRST not in found:
        return

    def distances(name: str, how: str) -> np.ndarray:
        return by_photo(np.array([one[how] for one in found[name]]), drawings, test)

    told = {name: distances(name, "mismatched") - distances(name, "matched") for name in found}
    rows = []
    for name in found:
        matched = distances(name, "matched")
        beyond = ["", ""]
        if name != FIRST:
            others = matched - distances(FIRST, "matched"), told[name] - told[FIRST]
            beyond = [percent(estimate(other), "+", 2) for other in others]
        figures = percent(estimate(matched), "", 2), percent(estimate(told[name]), "", 2)
        rows.append([SETS[name].title, figures[0], beyond[0], figures[1], beyond[1]])
    print(f"\n{AE_STEPS} steps, {len(found[FIRST])} seeds\n")
    heads = [
        "trained on",
        "LPIPS × 100",
        "beyond TOM × 10",
        "more with another photo's drawing",
        "beyond TOM × 10",
    ]
    print_rows(heads, rows)


def print_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for cells in (heads, ["---"] * len(heads), *rows):
        print("| " + " | ".join(cells) + " |")


def percent(found: Estimate, sign: str = "", digits: int = 1) -> str:
    value, low, high = (f"{100 * number:{sign}.{digits}f}" for number in (found.value, found.low, found.high))
    return f"{value} [{low} {high}]"


def intervals_svg(bars: dict[str, Estimate], chance: float, title: str) -> str:
    """An SVG document: a dot and its interval for every name, chance as a broken line; shares in percent."""
    width, left, right, top, row = 640, 110, 24, 36, 26
    marks = ticks(100 * max(chance, *(bar.high for bar in bars.values())))
    bottom = top + row * len(bars)

    def at(share: float) -> float:
        return left + 100 * share / marks[-1] * (width - left - right)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" role="img" '
        f'aria-label="{text(title)}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{bottom + 40}" fill="#fff"/>',
        f'<text x="{left}" y="18" font-size="13">{text(title)}</text>',
    ]
    for mark in marks:
        parts.append(f'<path d="M{at(mark / 100):.1f} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{at(mark / 100):.1f}" y="{bottom + 15}" text-anchor="middle">{mark:g} %</text>'
        )
    parts.append(f'<path d="M{at(chance):.1f} {top}V{bottom}" stroke="#333" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{at(chance):.1f}" y="{bottom + 31}" text-anchor="middle">chance</text>')
    for number, (name, bar) in enumerate(bars.items()):
        y, colour = top + row * number + row // 2, COLOURS[number % len(COLOURS)]
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{text(name)}</text>')
        parts.append(
            f'<path d="M{at(bar.low):.1f} {y}H{at(bar.high):.1f}" stroke="{colour}" stroke-width="4"/>'
        )
        parts.append(f'<circle cx="{at(bar.value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    return "\n".join(parts) + "\n</svg>\n"


def examples(data: Path, work: Path, rows: int = 12) -> Path:
    """A picture to look at, not to publish: drawings, their photos, the first five found by two sets."""
    drawings, found = people(data), retrieved(work, RETRIEVAL.steps)
    photos = gallery(drawings)
    seen = development(photos)
    chosen = [at for at, drawing in enumerate(drawings) if drawing.photo in seen]
    chosen = [chosen[at * len(chosen) // rows] for at in range(min(rows, len(chosen)))]
    shown = [name for name in (FIRST, "canny") if name in found]
    sheet = []
    for at in chosen:
        first = [photos[one] for name in shown for one in found[name][0]["as they are"]["first"][at]]
        sheet.append([read_image(data / path) for path in (drawings[at].sketch, drawings[at].photo, *first)])
    labels = ["drawing", "its photo"]
    for name in shown:
        labels += [f"{name}: {number + 1}" for number in range((len(sheet[0]) - 2) // len(shown))]
    path = work / "examples.png"
    cv2.imwrite(str(path), contact_sheet(sheet, labels, cell=112)[..., ::-1])
    return path


# The command


@contextmanager
def claimed(result: Path) -> Iterator[bool]:
    """Whether this is ours to make: not there yet, and nobody at it. So several commands share the work."""
    claim = result.with_suffix(".claimed")
    result.parent.mkdir(parents=True, exist_ok=True)
    if result.is_file():
        yield False
        return
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        claim.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("render", "draw the photos by every method"),
        ("retrieval", "train and test the retrieval network; what is done is left out"),
        ("ae", "train and test the auto-encoder; what is done is left out"),
        ("table", "print tables, and leave the plot in DIR"),
        ("machines", "search with drawings by TOM and Canny instead of people's"),
        ("examples", "leave a picture of what was found in DIR"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
        if name in ("retrieval", "ae"):
            command.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default: all")
        if name in ("retrieval", "ae", "table"):
            usual = AE_STEPS if name == "ae" else RETRIEVAL.steps
            command.add_argument("--steps", type=int, default=usual, help=f"of a training; default: {usual}")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    try:
        carry_out(asked)
    except (SketchforgeError, OSError) as error:
        sys.exit(f"error: {error}")


def carry_out(asked: argparse.Namespace) -> None:
    data, work = asked.data, asked.work
    if asked.command == "render":
        render_all(data, work)
    elif asked.command == "table":
        table(data, work, asked.steps)
    elif asked.command == "machines":
        machines(data, work)
    elif asked.command == "examples":
        print(examples(data, work))
    else:
        unknown = [name for name in asked.sets if name not in SETS]
        if unknown:
            raise UsageError(f"{unknown[0]}: no such set; there are {', '.join(SETS)}")
        searching = asked.command == "retrieval"
        for seed in range(SEEDS[asked.command]):  # all sets with one seed, then the next
            for name in asked.sets or sets_at_hand(work):
                path = result_path(work, asked.command, asked.steps, name, seed)
                with claimed(path) as ours:
                    if not ours:
                        continue
                    if searching:
                        recipe = replace(RETRIEVAL, steps=asked.steps)
                        write_json(path, retrieval(name, seed, data, work, recipe))
                    else:
                        write_json(path, auto_encoder(name, seed, data, work, asked.steps))
                print(path, flush=True)


if __name__ == "__main__":
    main()
