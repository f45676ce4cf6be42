"""The pictures of docs/results.md, all of built-in photos and drawings.

    python benchmarks/studies/results_pictures.py drawings --out docs/images/drawings.jpg
    python benchmarks/studies/results_pictures.py methods --out docs/images/methods.jpg
    python benchmarks/studies/results_pictures.py models AE=runs/ae AE+GAN=runs/gan --out FILE [--drawings DIR]
    python benchmarks/studies/results_pictures.py grids AE=runs/ae AE+GAN=runs/gan --out FILE
    python benchmarks/studies/results_pictures.py transfer --model runs/gan --out FILE

drawings: S, what TOM learns from by default (the paper's Fig. 16). methods: photos as TOM's snapshots and edge
detectors draw them (Fig. 5); HED's weights lie where `sketchforge weights path hed` says. models: drawings in
styles, pairs taken at random and not chosen, by one model beside another (Figs. 4 and 8, 10 and 11); people's, where
they are given. grids: some drawings in each of some styles, taken as much at random (Figs. 12 to 15), a block for each model.
transfer: photos in the style of others by way of TOM's sketch, beside Gatys et al. (CVPR 2016), who change
the photo's pixels until features of the built-in encoder agree with the photo's in content, and in their
products with the style's (Fig. 9d).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

import sketchforge  # noqa: E402
from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.images.builtin.drawings import load_drawings  # noqa: E402
from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.hand_drawn import normalize_drawing  # noqa: E402
from sketchforge.images.resize import fit_square  # noqa: E402
from sketchforge.images.tensors import to_tensor, to_uint8  # noqa: E402
from sketchforge.models.encoder import Encoder  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.seeding import choose, numpy_generator  # noqa: E402

QUALITY = 88  # of the JPEGs
PHOTOS = ("astronaut", "cat", "coffee", "dahlia", "officer", "pagoda", "rocket")
SNAPSHOTS = 4
ACROSS = 10  # drawings in a row of the sheet
GATYS_SIDE, GATYS_STEPS = 128, 100
GATYS_CONTENT, GATYS_STYLE = "relu4_1", ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
GATYS_WEIGHT = 100.0  # of style, beside content's 1


def whole_photos() -> list[np.ndarray]:
    photos = dict(load_photos())
    return [photos[f"{name}-s0-00"] for name in PHOTOS]


def drawings_sheet() -> np.ndarray:
    cells: list[np.ndarray | None] = [image for _, image in load_drawings()]
    cells += [None] * (-len(cells) % ACROSS)
    rows = [cells[at : at + ACROSS] for at in range(0, len(cells), ACROSS)]
    return contact_sheet(rows, [""] * ACROSS, 96)


def methods_sheet() -> np.ndarray:
    photos = whole_photos()
    columns: dict[str, Sequence[np.ndarray]] = {"photo": photos}
    drawn = sketchforge.sketch(photos, tom="builtin", hands="none", checkpoints=SNAPSHOTS)
    for number, name in enumerate(drawn[0], start=1):
        columns[f"TOM, snapshot {number}"] = [sketches[name] for sketches in drawn]
    edges = {"Canny": {"method": "canny"}, "HED, thinned": {"method": "hed", "threshold": 0.4, "thin": True}}
    for title, options in edges.items():
        columns[title] = [only(drawn) for drawn in sketchforge.sketch(photos, **options)]
    return contact_sheet(list(zip(*columns.values(), strict=True)), list(columns), 128)


def only(sketches: Mapping[str, np.ndarray]) -> np.ndarray:
    (sketch,) = sketches.values()
    return sketch


def random_pairs(count: int, seed: int, folder: Path | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """(drawing, photo): drawings without replacement, each with the style of any photo.

    folder: of people's drawings; None: the built-in ones.
    """
    if folder is None:
        drawings = load_drawings()
    else:
        drawings = [
            (path.stem, normalize_drawing(read_image(path)).sketch) for path in sorted(folder.iterdir())
        ]
    photos = load_photos()
    chosen = choose(count, len(drawings), seed, "pictures of results")
    styles = numpy_generator(seed, "styles of pictures").integers(0, len(photos), count)
    return [(drawings[at][1], photos[style][1]) for at, style in zip(chosen, styles, strict=True)]


def models_sheet(
    models: Sequence[tuple[str, Path]], count: int, seed: int, folder: Path | None = None
) -> np.ndarray:
    """Two pairs a row: the drawing, the style, and what each model makes of them."""
    pairs = random_pairs(count, seed, folder)
    made = []
    for _, path in models:
        model = sketchforge.load(path, device="cpu")
        made.append(model.synthesize([drawing for drawing, _ in pairs], [style for _, style in pairs]))
    cells = [[*pair, *images] for pair, *images in zip(pairs, *made, strict=True)]
    rows = [[*cells[at], *cells[at + 1]] for at in range(0, count - 1, 2)]
    return contact_sheet(rows, ["drawing", "style", *(name for name, _ in models)] * 2, 112)


def grids_sheet(models: Sequence[tuple[str, Path]], count: int, seed: int) -> np.ndarray:
    """`count` drawings down, as many styles across; the models' blocks beside each other."""
    pairs = random_pairs(count, seed)
    drawings, styles = [drawing for drawing, _ in pairs], [style for _, style in pairs]
    rows: list[list[np.ndarray | None]] = [[None], *([drawing] for drawing in drawings)]
    labels = ["drawing"]
    for name, path in models:
        model = sketchforge.load(path, device="cpu")
        rows[0] += styles
        for row, drawing in zip(rows[1:], drawings, strict=True):
            row += model.synthesize([drawing] * count, styles)
        labels += [name, *[""] * (count - 1)]
    return contact_sheet(rows, labels, 96)


def transfer_sheet(model_path: Path) -> np.ndarray:
    photos = whole_photos()
    styles = [*photos[3:], *photos[:3]]
    sketches = [
        only(drawn) for drawn in sketchforge.sketch(photos, tom="builtin", hands="none", checkpoints=1)
    ]
    made = sketchforge.load(model_path, device="cpu").synthesize(sketches, styles)
    encoder = load_encoder("builtin")
    changed = [gatys(photo, style, encoder) for photo, style in zip(photos, styles, strict=True)]
    rows = list(zip(photos, styles, sketches, made, changed, strict=True))
    return contact_sheet(rows, ["photo", "style", "TOM's sketch", "transfer", "Gatys et al."], 128)


def gatys(photo: np.ndarray, style: np.ndarray, encoder: Encoder) -> np.ndarray:
    """uint8 H×W×3 twice -> uint8 S×S×3, S = GATYS_SIDE: L-BFGS from the photo."""
    content, style_image = (to_tensor(fit_square(image, GATYS_SIDE, "crop")) for image in (photo, style))
    with torch.no_grad():
        wanted = encoder(content, [GATYS_CONTENT])[GATYS_CONTENT]
        products = {tap: gram(features) for tap, features in encoder(style_image, GATYS_STYLE).items()}
    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image], max_iter=GATYS_STEPS, history_size=20)

    def closure() -> Tensor:
        optimizer.zero_grad()
        features = encoder(image, [*GATYS_STYLE])
        loss = (features[GATYS_CONTENT] - wanted).square().mean()
        for tap, product in products.items():
            loss = loss + GATYS_WEIGHT * (gram(features[tap]) - product).square().mean() / len(products)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]  # torch types a closure's result as float
    return to_uint8(image.detach().clamp(-1, 1))[0]


def gram(features: Tensor) -> Tensor:
    """(1,C,H,W) -> (C,C): mean products of channels over positions."""
    rows = features.flatten(2)[0]
    return rows @ rows.T / rows.shape[1]


def parse_model(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=RUN")
    return name, Path(path)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    added = {
        name: commands.add_parser(name) for name in ("drawings", "methods", "models", "grids", "transfer")
    }
    for command in added.values():
        command.add_argument("--out", type=Path, required=True)
    for name, count in (("models", 12), ("grids", 6)):
        added[name].add_argument("models", nargs="+", type=parse_model, metavar="NAME=RUN")
        added[name].add_argument("--count", type=int, default=count, help=f"pairs; default: {count}")
        added[name].add_argument("--seed", type=int, default=0, help="of the pairs; default: 0")
    added["models"].add_argument(
        "--drawings", type=Path, help="a folder of people's; default: the built-in ones"
    )
    added["transfer"].add_argument("--model", type=Path, required=True)
    asked = parser.parse_args()
    set_threads(1)
    if asked.command == "models":
        sheet = models_sheet(asked.models, asked.count, asked.seed, asked.drawings)
    elif asked.command == "grids":
        sheet = grids_sheet(asked.models, asked.count, asked.seed)
    elif asked.command == "transfer":
        sheet = transfer_sheet(asked.model)
    else:
        sheet = {"drawings": drawings_sheet, "methods": methods_sheet}[asked.command]()
    Image.fromarray(sheet).save(asked.out, quality=QUALITY)


if __name__ == "__main__":
    main()
