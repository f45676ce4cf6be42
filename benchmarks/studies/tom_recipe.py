"""The study behind TOM's recipe: one thing changed at a time, the same steps for all.

    python benchmarks/studies/tom_recipe.py train --data DATA --work DIR [NAME ...]   # again to go on, beside it to share
    python benchmarks/studies/free_tom_images.py --data DATA --out FREE  # for the variants of free material
    python benchmarks/studies/tom_recipe.py table --work DIR

DATA holds photos/bsds500/{train,val,boundaries_val}, sketches/style_set, sketches/pacs and photo_sketch_pairs.tsv.
Photos R are bsds500/train. A variant is trained without style windows, so that one generator stands for it, and
draws the photos of bsds500/val with an even number (counted from 0) for the scores of content, and 40 photos that
people have drawn for those of realism; the photos with odd numbers are kept for the report on what was chosen.
Annotations are looked at by the scores alone. Each variant leaves NAME.json and an image NAME.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from authors_tom import AS_CODED, PaperJudged  # noqa: E402

from sketchforge.checkpoints.catalog import KNOWN  # noqa: E402
from sketchforge.checkpoints.edge_networks import load_edge_network  # noqa: E402
from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.line_art import binarize  # noqa: E402
from sketchforge.images.tensors import to_tensor, to_uint8  # noqa: E402
from sketchforge.metrics.estimates import interval  # noqa: E402
from sketchforge.metrics.sketches.boundaries import boundary_counts, read_boundaries, summarize_boundaries  # noqa: E402
from sketchforge.metrics.sketches.patches import describe_patches, stroke_patches  # noqa: E402
from sketchforge.metrics.sketches.two_sample_test import two_sample_test  # noqa: E402
from sketchforge.models.encoder import Encoder, freeze  # noqa: E402
from sketchforge.options import RenderOptions, TomTrainOptions  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.optimization import cosine_decay, set_learning_rate  # noqa: E402
from trainers.tom.inputs import drawing_readers, photo_readers  # noqa: E402
from trainers.tom.recipe import RECIPES  # noqa: E402
from trainers.tom.step import Batch, TomTrainer  # noqa: E402

THRESHOLDS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # of darkness
STEPS, SIZE = 250, 128
RENDER = RenderOptions(Path("unused"))  # its thresholds
NUM_CONTENT, NUM_REALISM = 20, 60  # photos
PATCHES = 20  # of every sketch


@dataclass(frozen=True)
class Variant:
    """One row of the table: how it differs from the default recipe."""

    what: str
    recipe: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    trainer_class: type[TomTrainer] = TomTrainer
    num_drawings: int | None = None
    is_free: bool = False  # R are the photos that free_tom_images.py leaves


class FallingRate(TomTrainer):
    """G's learning rate falls to nothing along a half cosine over the second half."""

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        share = cosine_decay(max(0, 2 * (number + 1) - STEPS), STEPS)
        set_learning_rate(self.networks.optimizer_g, self.recipe.generator_learning_rate * share)
        return super().step(number, batch)


class RawFeatures(TomTrainer):
    """G sees the encoder's features as they are, without instance normalisation."""

    def _prepare_features(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {tap: features[tap] for tap in self.networks.generator.taps}


class LocalContrast(TomTrainer):
    """G sees features normalised in neighbourhoods of an eighth of the image, not over all of it."""

    def _prepare_features(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {tap: locally_normalized(features[tap]) for tap in self.networks.generator.taps}


def locally_normalized(x: Tensor, floor: float = 0.05) -> Tensor:
    """(B,C,H,W): local mean 0, and deviation over all channels of 1, in windows of about an eighth of the side."""
    side = max(min(x.shape[2:]) // 8, 2) * 2 + 1

    def smooth(y: Tensor) -> Tensor:
        padded = F.pad(y, [side // 2] * 4, mode="replicate")
        return F.avg_pool2d(padded, side, stride=1)

    centred = x - smooth(x)
    return centred / (smooth(centred.square()).mean(1, keepdim=True) + floor).sqrt()


class ContrastAugmented(TomTrainer):
    """Photos at random contrast (0.3 to 1) and brightness: outlines of low contrast are met more often."""

    def batch(self, step: int, window: int | None) -> Batch:
        made = super().batch(step, window)
        draw = np.random.default_rng([self.options.seed, step])
        gain = torch.from_numpy(draw.uniform(0.3, 1.0, (len(made.photos), 1, 1, 1)).astype(np.float32))
        shift = torch.from_numpy(draw.uniform(-0.3, 0.3, (len(made.photos), 1, 1, 1)).astype(np.float32))
        return replace(made, photos=(made.photos * gain + shift).clamp(-1, 1))


class TaughtByHed(Encoder):
    """An encoder with one more tap, "hed3_1": HED's trunk, which was trained on people's boundaries (BSDS500)."""

    def __init__(self, encoder: Encoder, images: Tensor) -> None:
        super().__init__(encoder.blocks, encoder.input_range, encoder.padding)
        self.load_state_dict(encoder.state_dict())
        self.scales = encoder.scales
        freeze(self)
        path = KNOWN["hed"].found()
        assert path is not None, "HED's weights: sketchforge weights install hed"
        self.hed = load_edge_network("hed", path)
        self.hed_std = 1.0
        self.hed_std = float(self._boundaries(images).std())  # comparable with the other taps, as they are

    def tap_names(self) -> list[str]:
        return [*super().tap_names(), HED_TAP]

    def forward(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        features = super().forward(images, [tap for tap in taps if tap != HED_TAP])
        return features | ({HED_TAP: self._boundaries(images)} if HED_TAP in taps else {})

    def _boundaries(self, images: Tensor) -> Tensor:
        x = (images.flip(1) + 1) * 127.5 - self.hed.mean
        for stage, names in enumerate(self.hed.stages[:3]):
            x = F.max_pool2d(x, 2, ceil_mode=True) if stage else x
            for name in names if stage < 2 else names[:1]:
                x = F.relu(self.hed.get_submodule(name)(x))
        return x / self.hed_std


class HedContent(TomTrainer):
    """Content is compared by HED's trunk in place of the encoder: a study, never in what ships."""

    def __init__(self, options, recipe, encoder, photos, *more):  # type: ignore[no-untyped-def]
        images = torch.cat([to_tensor(image[:256, :256]) for image in (photo() for photo in photos[:8])])
        super().__init__(options, recipe, TaughtByHed(encoder, images), photos, *more)


HED_TAP = "hed3_1"

# The recipe when the study was made, which every variant changes; the last variants lead to today's.
STUDIED: dict[str, Any] = {
    "denoising": 7, "pattern_contrast": 0.0, "pasted_share": 0.0, "ema_decay": 0.9,
}  # fmt: skip
DEFAULT = replace(RECIPES["lean"], **STUDIED)
# Today's, with the average of the study: without windows one generator has to stand for all.
TODAY: dict[str, Any] = {"denoising": 13, "pattern_contrast": 70.0, "pasted_share": 0.3}
THREE_TAPS = {"generator_taps": ("relu3_1", "relu2_1", "relu1_1"), "widths": (48, 32, 16)}

VARIANTS: dict[str, Variant] = {
    "default": Variant("the recipe of the study"),
    "default seed 1": Variant("the same, another seed", options={"seed": 1}),
    "default seed 2": Variant("the same, a third seed", options={"seed": 2}),
    "no coloured": Variant("without drawings coloured in", {"synthetic_weight": 0.0}),
    "coloured x3": Variant("three times their weight", {"synthetic_weight": 3 * DEFAULT.synthetic_weight}),
    "no smoothing": Variant("content of the photo with all its texture", {"denoising": 0}),
    "smoothing 5": Variant("content smoothed by 5 pixels in place of 7", {"denoising": 5}),
    "smoothing 9": Variant("content smoothed by 9 pixels in place of 7", {"denoising": 9}),
    "neither": Variant("neither coloured nor smoothed", {"synthetic_weight": 0.0, "denoising": 0}),
    "no relu4_1": Variant("G fed relu3_1 to relu1_1", THREE_TAPS),
    "narrow": Variant("G of half the width", {"widths": (12, 24, 16, 8)}),
    "wide": Variant("G of one and a half times the width", {"widths": (48, 72, 48, 24)}),
    "no adversarial": Variant("without the adversarial loss", {"adversarial_weight": 0.0}),
    "log": Variant("log losses as printed in Eqs. 5-6", options={"adversarial": "log"}),
    "authors' D": Variant("the authors' discriminator", trainer_class=PaperJudged),
    "no gram": Variant("without the Gram term", {"gram_weight": 0.0}),
    "content quarter": Variant("a quarter of the content weight", {"content_weight": DEFAULT.content_weight / 4}),
    "content fourfold": Variant("four times the content weight", {"content_weight": 4 * DEFAULT.content_weight}),
    "content relu4_1": Variant("content at relu3_1 and relu4_1", {"content_taps": ("relu3_1", "relu4_1")}),
    "fine styles": Variant(
        "D and Gram term on relu1_1 to relu3_1", {"style_taps": ("relu1_1", "relu2_1", "relu3_1")}
    ),
    "falling rate": Variant("learning rate falling to nothing", trainer_class=FallingRate),
    "smoother": Variant("a longer average", {"ema_decay": 0.97}),
    "last": Variant("the last weights in place of their average", {"ema_decay": 0.0}),
    "raw features": Variant("G fed features without instance normalisation", trainer_class=RawFeatures),
    "local contrast": Variant("G fed locally normalised features", trainer_class=LocalContrast),
    "contrast": Variant("photos at random contrast", trainer_class=ContrastAugmented),
    "192 px": Variant("crops of 192 px", options={"size": 192}),
    "5 drawings": Variant("5 drawings", num_drawings=5),
    "10 drawings": Variant("10 drawings", num_drawings=10),
    "24 drawings": Variant("24 drawings", num_drawings=24),
    "47 drawings": Variant("47 drawings", num_drawings=47),
    "style set": Variant("47 drawings by many hands", options={"drawings": "sketches/style_set"}),
    "smoothing 13": Variant("content smoothed by 13 pixels in place of 7", {"denoising": 13}),
    "patterns": Variant("patterns in the coloured drawings", {"pattern_contrast": 70.0}),
    "both": Variant("both: the default recipe now", {"denoising": 13, "pattern_contrast": 70.0}),
    "both seed 1": Variant("both, another seed", {"denoising": 13, "pattern_contrast": 70.0}, {"seed": 1}),
    "today": Variant("today's recipe: both, and figures pasted on photos", TODAY),
    "free photos": Variant("today's recipe, photos of free licences", TODAY, is_free=True),
    "free photos, study": Variant("the recipe of the study, photos of free licences", is_free=True),
    "HED content": Variant(
        "content compared by HED's trunk", {"content_taps": (HED_TAP,)}, trainer_class=HedContent
    ),
    "both contents": Variant(
        "content compared by both", {"content_taps": (HED_TAP, "relu3_1")}, trainer_class=HedContent
    ),
    "as coded": Variant(
        "the authors' generator, discriminator and losses", AS_CODED, {"generator": "paper"}, PaperJudged
    ),
    "as coded, equal time": Variant(
        "the same in the time the default takes", AS_CODED, {"generator": "paper"}, PaperJudged
    ),
}  # fmt: skip


def train(name: str, data: Path, work: Path, steps: int, free: Path | None) -> None:
    """Train a variant, draw with it, score it."""
    variant = VARIANTS[name]
    given = {"size": SIZE, "steps": steps, "batch_size": 4} | variant.options
    if "drawings" in given:
        given["drawings"] = data / given["drawings"]
    options = TomTrainOptions(threads=1, **given)
    torch.set_num_threads(1)
    recipe = replace(RECIPES[options.generator], **STUDIED | variant.recipe)
    assert free or not variant.is_free, f"{name}: needs --free"
    photos, _ = photo_readers(free / "photos" if variant.is_free else data / "photos/bsds500/train")
    drawings, _ = drawing_readers(options.drawings)
    if variant.num_drawings:  # spread over all subjects and pens
        spread = np.linspace(0, len(drawings) - 1, variant.num_drawings).round().astype(int)
        drawings = [drawings[index] for index in spread]
    tom = variant.trainer_class(options, recipe, load_encoder("builtin"), photos, drawings)
    seconds, allowed = 0.0, None
    if name.endswith("equal time"):
        allowed = json.loads((work / "default.json").read_text())["seconds"]
    for step in range(steps):
        start = time.process_time()
        tom.step(step, tom.batch(step, None))
        seconds += time.process_time() - start
        if allowed and seconds >= allowed:
            steps = step + 1
            break
    scores = content_scores(tom, data, work / f"{name}.png") | realism_score(tom, data)
    write_json(work / f"{name}.json", {"name": name, "steps": steps, "seconds": round(seconds, 1)} | scores)


@torch.no_grad()
def drawn(tom: TomTrainer, image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 -> uint8 H×W, 255 = paper."""
    generator = tom.networks.ema.eval()
    sketch = generator(tom._prepare_features(tom.encoder(to_tensor(image), generator.taps)))[0, 0]
    pixels = np.full(image.shape[:2], 255, np.uint8)  # the authors' generator makes multiples of 8
    pixels[: sketch.shape[0], : sketch.shape[1]] = to_uint8(sketch[None, None])[0, ..., 0]
    return pixels


def content_scores(tom: TomTrainer, data: Path, pixels: Path) -> dict[str, Any]:
    """F of the sketches of the even photos of bsds500/val, with its interval over photos; leaves an image of some."""
    photos = sorted((data / "photos/bsds500/val").iterdir())[::2][:NUM_CONTENT]
    counts, tiles = [], []
    for number, path in enumerate(photos):
        image = read_image(path.read_bytes())
        sketch = drawn(tom, image)
        boundaries = read_boundaries(data / "photos/bsds500/boundaries_val" / f"{path.stem}.mat")
        counts.append(boundary_counts(sketch, boundaries, THRESHOLDS))
        if number < 6:
            tiles.append(cv2.resize(np.hstack([image, np.repeat(sketch[..., None], 3, 2)]), (640, 240)))
    rows = [np.hstack(tiles[at : at + 2]) for at in range(0, 6, 2)]
    cv2.imwrite(str(pixels), np.vstack(rows)[..., ::-1])
    score = summarize_boundaries(counts)
    low, high = interval(counts, lambda some: summarize_boundaries(some).f_ods, 0, "tom recipe", count=300)
    return {
        "f_ods": score.f_ods, "low": low, "high": high, "precision": score.precision, "recall": score.recall,
        "threshold": score.threshold,
    }  # fmt: skip


def realism_score(tom: TomTrainer, data: Path) -> dict[str, float]:
    """AUC of the two-sample test against people's drawings of the same photos."""
    found: dict[str, list[str]] = {}
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found.setdefault(row["photo"], []).append(row["sketch"])
    names = sorted(found)
    names = [names[at * len(names) // NUM_REALISM] for at in range(NUM_REALISM)]
    described: dict[str, list[np.ndarray]] = {"ours": [], "people": []}
    groups: dict[str, list[str]] = {"ours": [], "people": []}
    for name in names:
        image = read_image((data / name).read_bytes())
        sketch = binarize(drawn(tom, image), *RENDER.thresholds)
        people = cv2.cvtColor(read_image((data / found[name][0]).read_bytes()), cv2.COLOR_RGB2GRAY)
        for side, pixels in (("ours", sketch), ("people", people)):
            patches = describe_patches(stroke_patches(pixels, PATCHES, 0, side, name))
            described[side].append(patches)
            groups[side] += [name] * len(patches)
    ours, people = (np.concatenate(described[side]) for side in ("ours", "people"))
    tests = [two_sample_test(ours, groups["ours"], people, groups["people"], seed) for seed in range(3)]
    return {"auc": float(np.mean([test.auc for test in tests]))}


def table(work: Path) -> None:
    print(
        "| variant | F (ODS) [95 %] | precision | recall | AUC | steps | CPU s |\n|---|---|---|---|---|---|---|"
    )
    for name, variant in VARIANTS.items():
        path = work / f"{name}.json"
        if path.is_file():
            r = json.loads(path.read_text())
            print(
                f"| {variant.what} | {r['f_ods']:.3f} [{r['low']:.3f} {r['high']:.3f}] | {r['precision']:.3f} | "
                f"{r['recall']:.3f} | {r['auc']:.3f} | {r['steps']} | {r['seconds']:.0f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train, draw and score; variants that are done are left out")
    training.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--work", type=Path, required=True)
    training.add_argument("--free", type=Path, help="what free_tom_images.py left")
    training.add_argument("--steps", type=int, default=STEPS)
    commands.add_parser("table").add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "table":
        table(asked.work)
        return
    asked.work.mkdir(parents=True, exist_ok=True)
    for name in asked.names or VARIANTS:
        claim = asked.work / f"{name}.claimed"  # so that several of these commands can share the work
        if (asked.work / f"{name}.json").is_file() or claim.exists():
            continue
        claim.touch()
        try:
            train(name, asked.data, asked.work, asked.steps, asked.free)
        finally:
            claim.unlink()
        print(name, (asked.work / f"{name}.json").read_text(), flush=True)


if __name__ == "__main__":
    main()
