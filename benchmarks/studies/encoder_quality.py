"""How good an encoder is: what it misses of its teacher, and whether its features tell subjects apart.

    python benchmarks/studies/encoder_quality.py --data DATA --teacher FILE --json encoder_quality.json

DATA (default: the variable SKETCHFORGE_TEST_DATA) holds photos/bsds500/val, faces/celebahq_1024, photos/pacs
and sketches/pacs, the last two with one folder per class. Prints a table and writes the same figures as JSON.

1. Error per tap: mean squared difference to the teacher over the teacher's variance, on images that were not
   trained on (0 perfect, 1 no better than a constant). Needs a teacher of the same widths.
2. 5-nearest-neighbour accuracy, leave one out, of the classes of PACS: features of relu4_1 over whole images,
   their channel means ("mean"), or means and standard deviations ("mean+std"); every dimension standardised
   over the set; Euclidean distance; ties go to the class of the nearest neighbour. Features know nothing of
   the classes, though the PACS photos, without their labels, are among the training images of the encoder we
   ship. The sketches are not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, truncate_encoder  # noqa: E402
from sketchforge.errors import SketchforgeError  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.resize import fit_square  # noqa: E402
from sketchforge.images.sources import find_images  # noqa: E402
from sketchforge.images.tensors import to_tensor  # noqa: E402
from sketchforge.models.encoder import Encoder  # noqa: E402
from sketchforge.models.features import channel_mean_std  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from trainers.encoder.distill import tap_errors  # noqa: E402

SIZE = 224  # pixels
UNSEEN = ("photos/bsds500/val", "faces/celebahq_1024")
CLASSED = ("photos/pacs", "sketches/pacs")
DEEPEST = "relu4_1"
NEIGHBOURS = 5


def load_folder(folder: Path) -> tuple[Tensor, list[str]]:
    """All images of a folder as (B,3,SIZE,SIZE) in [-1, 1], centre-cropped, and each one's sub-folder."""
    sources = find_images(folder)
    images = [to_tensor(fit_square(read_image(folder / source.source), SIZE, "crop")) for source in sources]
    return torch.cat(images), [source.source.split("/")[0] for source in sources]


@torch.no_grad()
def pooled(encoder: Encoder, images: Tensor) -> dict[str, Tensor]:
    """{"mean": (B,C), "mean+std": (B,2C)} of relu4_1."""
    parts = [channel_mean_std(encoder(batch, [DEEPEST])[DEEPEST]) for batch in images.split(16)]
    mean = torch.cat([mean.flatten(1) for mean, _ in parts])
    std = torch.cat([std.flatten(1) for _, std in parts])
    return {"mean": mean, "mean+std": torch.cat([mean, std], dim=1)}


def neighbour_accuracy(features: Tensor, classes: list[str]) -> float:
    """Share of the rows of (B,D) whose class is that of most of their NEIGHBOURS nearest other rows."""
    standardised = (features - features.mean(0)) / features.std(0).clamp_min(1e-8)
    distances = torch.cdist(standardised, standardised).fill_diagonal_(float("inf"))
    nearest = distances.topk(NEIGHBOURS, largest=False).indices
    hits = 0
    for own, row in zip(classes, nearest.tolist()):
        votes = Counter(classes[i] for i in row)  # in order of distance, so the nearest of equals comes first
        hits += votes.most_common(1)[0][0] == own
    return hits / len(classes)


def measure(data: Path, encoders: dict[str, Encoder]) -> dict[str, object]:
    """The figures, by kind, images and encoder; the first encoder is compared to the one named `teacher`."""
    result: dict[str, object] = {
        "size": SIZE,
        "digests": {name: encoder_digest(e) for name, e in encoders.items()},
    }
    if "teacher" in encoders:
        judged, teacher = next(iter(encoders.values())), encoders["teacher"]
        identity = nn.ModuleDict({name: nn.Identity() for name in teacher.convs})
        result["error/variance"] = {
            place: tap_errors(judged, teacher, identity, load_folder(data / place)[0]) for place in UNSEEN
        }
    accuracies: dict[str, dict[str, dict[str, float]]] = {}
    for place in CLASSED:
        images, classes = load_folder(data / place)
        accuracies[place] = {
            "classes": dict(Counter(classes)),
            "chance": max(Counter(classes).values()) / len(classes),
        }
        for name, encoder in encoders.items():
            found = pooled(encoder, images)
            accuracies[place][name] = {kind: neighbour_accuracy(x, classes) for kind, x in found.items()}
    result[f"{NEIGHBOURS}-NN accuracy"] = accuracies
    return result


def table(result: dict[str, object]) -> str:
    """The figures as Markdown."""
    lines = []
    if "error/variance" in result:
        errors = result["error/variance"]
        lines += ["| tap | " + " | ".join(errors) + " |", "|---|" + "---|" * len(errors)]
        for tap in next(iter(errors.values())):
            lines.append(f"| {tap} | " + " | ".join(f"{errors[place][tap]:.1e}" for place in errors) + " |")
        lines.append("")
    accuracies = result[f"{NEIGHBOURS}-NN accuracy"]
    lines += ["| images | features | " + " | ".join(result["digests"]) + " | largest class |"]
    lines += ["|---|---|" + "---|" * (len(result["digests"]) + 1)]
    for place, figures in accuracies.items():
        for kind in ("mean", "mean+std"):
            row = " | ".join(f"{figures[name][kind]:.3f}" for name in result["digests"])
            lines.append(f"| {place} | {kind} | {row} | {figures['chance']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKETCHFORGE_TEST_DATA"))
    parser.add_argument("--encoder", default="builtin", help="the encoder to judge, as for tom-train")
    parser.add_argument("--teacher", help="its teacher's weights file; without it no errors are measured")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is missing and SKETCHFORGE_TEST_DATA is not set")
    set_threads(options.threads)
    try:
        encoders = {Path(options.encoder).name: load_encoder(options.encoder)}
        if options.teacher:
            encoders["teacher"] = truncate_encoder(load_encoder(options.teacher), [DEEPEST])
            if len({encoder.blocks for encoder in encoders.values()}) > 1:
                parser.error(
                    f"--teacher {options.teacher}: of other widths than the encoder, nothing to compare"
                )
        encoders["random"] = load_encoder("random")
        result = measure(options.data, encoders)
    except SketchforgeError as error:
        sys.exit(f"error: {error}")
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
