"""What the auto-encoder and the GAN learn: the rows of docs/results.md, each by itself.

    python benchmarks/studies/ae_results.py list
    python benchmarks/studies/ae_results.py run --data DATA --work DIR --row portraits-128-all-0 [--row …]
    python benchmarks/studies/ae_results.py table
    python benchmarks/studies/ae_results.py curves --out DIR  # Fréchet distance over steps (the paper's Fig. 6)

DATA holds faces/stylegan2_256, paintings/pacs or, for "mixture", all that IMAGES names, and the weights mobilenet_v2,
efficientnet_lite0 and squeezenet. Its images are rendered once into DIR with the built-in snapshots, four of five for training, the
others held out (by the hash of their keys); all figures are of images held out. A row is trained for STEPS, measured
as by `sketchforge eval images`, and leaves benchmarks/studies/ae_results/ROW.json; with other --steps ROW-STEPS.json, of a
training of its own. The same command again goes on where it was interrupted, and leaves out rows that are there. One thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.studies.ae_joint import train_joint  # noqa: E402
from sketchforge.checkpoints.run_log import read_log  # noqa: E402
from sketchforge.metrics.images.evaluate import evaluate_images  # noqa: E402
from sketchforge.metrics.images.result import CHANCE, ImageEvaluation, image_json  # noqa: E402
from sketchforge.options import (  # noqa: E402
    AeTrainOptions,
    EvalImagesOptions,
    GanTrainOptions,
    RenderOptions,
)
from sketchforge.render.render import render  # noqa: E402
from sketchforge.report.svg import curves_svg  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402
from trainers.gan.run import train_gan  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "ae_results"
VERSION = 1  # of a row's JSON
IMAGES = {
    "portraits": ("faces/stylegan2_256",),
    "paintings": ("paintings/pacs",),
    "mixture": (
        "faces/stylegan2_256", "faces/celebahq_1024", "paintings/pacs", "photos/pacs", "photos/cutouts",
        "photos/bsds500/train", "photos/bsds500/val",
    ),
}  # fmt: skip
STEPS = {64: 600, 128: 600, 256: 300}  # of auto-encoder and GAN each, by size
SEEDS = (0, 1, 2)
OFF = {name: 0.0 for name in ("style_triplet", "style_class", "content_triplet", "content_class")}
RGB = 3  # channels
PAIRS = 1000  # mismatched


@dataclass(frozen=True)
class Variant:
    """What distinguishes a row.

    off: losses with weight 0. options: fields of AeTrainOptions. refined: by the GAN, as it is by default.
    gan: fields of GanTrainOptions. joint: auto-encoder and GAN learn together, by their recipes. nearest: maps are doubled by
    nearest neighbour, as in the authors' code. ends: borders are repeated by those convolutions alone that take a sketch or an image, or
    make one.
    """

    what: str
    off: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    refined: bool = False
    gan: tuple[tuple[str, Any], ...] = ()
    joint: bool = False
    nearest: bool = False
    ends: bool = False


def without(*on: str) -> tuple[str, ...]:
    """The self-supervised losses but for those that are on."""
    return tuple(name for name in OFF if name not in on)


VARIANTS = {
    "vanilla": Variant("vanilla", without()),
    "all": Variant("all losses"),
    "gan": Variant("all losses, GAN", refined=True),
    "gan-features": Variant(
        "all losses, GAN, D on features", refined=True, gan=(("discriminator", "features"),)
    ),
    # as long as 600 steps of D on pixels
    "gan-features-400": Variant(
        "all losses, GAN, D on features, as much time",
        refined=True,
        gan=(("discriminator", "features"), ("steps", 400)),
    ),
    "joint": Variant("all losses, GAN, together (A.4)", joint=True),
    # Table 2
    "content-triplet": Variant("vanilla + L_c_tri", without("content_triplet")),
    "style-triplet": Variant("vanilla + L_s_tri", without("style_triplet")),
    "style-class": Variant("vanilla + L_s_cls", without("style_class")),
    "classes": Variant("vanilla + L_s_cls + L_c_cls", without("style_class", "content_class")),
    # Tables 3 and 4
    "dmi-none": Variant("all losses, no DMI", options=(("dmi", "none"),)),
    "dmi-sketch": Variant("all losses, DMI by the sketch", options=(("dmi", "sketch"),)),
    "style-none": Variant("all losses, style at 8² only", options=(("style", "none"),)),
    "style-adain": Variant("all losses, AdaIN", options=(("style", "adain"),)),
    "style-add": Variant("all losses, addition", options=(("style", "add"),)),
    # Section 4.1: what is decoded
    "plain": Variant("all losses, nothing translated", options=(("translated", 0.0),)),
    "plain-adain": Variant(
        "all losses, AdaIN, nothing translated", options=(("translated", 0.0), ("style", "adain"))
    ),
    "translated": Variant("all losses, all translated", options=(("translated", 1.0),)),
    # A.3
    "variational": Variant("all losses, variational f_style (A.3)", options=(("variational", True),)),
    # A.2: where the sketch enters; of 64 and 128 pixels 32 is no coarser than a quarter of the side
    "content-64": Variant("all losses, content at 64², too", options=(("content_side", 64),)),
    # What doubles maps
    "nearest": Variant("all losses, maps doubled by nearest neighbour", nearest=True),
    # What lies beyond the border
    "adain-replicate": Variant(
        "all losses, AdaIN, borders repeated", options=(("style", "adain"), ("padding", "replicate"))
    ),
    "adain-replicate-ends": Variant(
        "all losses, AdaIN, borders of sketches and images repeated",
        options=(("style", "adain"),),
        ends=True,
    ),
    # A.1: the size of the subset, where there are more images than that; the demo's is 500
    "subset-100": Variant("all losses, subsets of 100", options=(("subset", 100),)),
    "subset-2000": Variant("all losses, subsets of 2,000", options=(("subset", 2000),)),
}

STY_REC = "Sty-Rec"
PUBLISHED_OPTIONS = {"style": "multiply", "padding": "zeros"}  # where a variant says nothing else
CURVES = ("vanilla", "all", "gan", "gan-features", "joint", "dmi-none", "style-adain")

# What the tables show, by the titles of `eval images`.
COLUMNS = {
    "LPIPS (squeeze, other weights)": "LPIPS, matched",
    "Fréchet (mobilenet_v2)": "Fréchet (MobileNetV2)",
    "Fréchet (efficientnet-lite0)": "Fréchet (EfficientNet-Lite0)",
    "SR (builtin)": "SR (built-in)",
    "Skt-Rec": "Skt-Rec",
    "Sty-Rec": "Sty-Rec",
    "squared error": "squared error",
    "squared error, style mirrored": "style mirrored",
    "layout leak": "layout leak",
    "lattice": "lattice",
}
# Tables 1 and 2 of CelebA-HQ, 3 and 4 of WikiArt; LPIPS × 100.
PUBLISHED = {
    "vanilla": "FID 44.3, LPIPS 18.7",
    "all": "FID 25.9, LPIPS 11.7; WikiArt: LPIPS 18.6, Skt-Rec .075",
    "gan": "FID 13.6",
    "content-triplet": "FID 34.8, LPIPS 15.8",
    "style-triplet": "FID 35.7, LPIPS 16.3",
    "style-class": "FID 36.4, LPIPS 16.4",
    "classes": "FID 34.7, LPIPS 15.2",
    "dmi-none": "LPIPS 24.15, Skt-Rec .13",
    "dmi-sketch": "LPIPS 20.7, Skt-Rec .091",
    "style-none": "LPIPS 24.15, Sty-Rec .871",
    "style-adain": "LPIPS 22.3, Sty-Rec .921",
    "style-add": "LPIPS 23.1, Sty-Rec .897",
}


@dataclass(frozen=True)
class Row:
    """One training and its measurement; of a study with variants of its own a subclass names them."""

    variants: ClassVar[Mapping[str, Any]] = VARIANTS
    data: str
    size: int
    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}-{self.size}-{self.variant}-{self.seed}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a name such as portraits-128-style-adain-0. Raises ValueError for another."""
        return cls(*read_row_name(name, cls.variants))


def named_by_steps(row: Row, steps: int) -> str:
    """The row's name; with the steps, where they are not those of the tables."""
    return row.name if steps == STEPS[row.size] else f"{row.name}-{steps}"


def read_row_name(name: str, variants: Container[str]) -> tuple[str, int, str, int]:
    """(data, size, variant, seed) of a row's name. Raises ValueError for another, or another variant."""
    data, size, rest = name.split("-", 2)
    variant, seed = rest.rsplit("-", 1)
    if data not in IMAGES or variant not in variants or int(size) not in STEPS:
        raise ValueError(f"{name}: no such row")
    return data, int(size), variant, int(seed)


def planned_rows() -> Iterator[Row]:
    """The rows of docs/results.md: three seeds at 128 pixels and of the ways style enters at 64, one of the others."""
    for variant in ("vanilla", "all", "gan"):
        for seed in SEEDS:
            yield Row("portraits", 128, variant, seed)
    for variant in ("style-adain", "adain-replicate", "adain-replicate-ends"):
        yield Row("portraits", 128, variant, 0)
    for variant in ("all", "gan"):
        yield Row("paintings", 128, variant, 0)
    for variant in VARIANTS:
        if variant not in ("content-64", "subset-2000", "adain-replicate-ends"):
            yield Row("portraits", 64, variant, 0)
    for variant in ("all", "subset-2000"):
        yield Row("mixture", 64, variant, 0)
    for variant in ("all", "content-64"):
        yield Row("portraits", 256, variant, 0)
    for variant in ("all", "style-adain", "style-add", "adain-replicate"):
        for seed in SEEDS[1:]:
            yield Row("portraits", 64, variant, seed)


def list_images(name: str, data: Path, work: Path) -> Path:
    """The folder of a collection's images; of several folders a list of their files.

    Keys decide what is held out; so paths in the list are by way of a link to `data`, and the same on every machine.
    """
    folders = IMAGES[name]
    if len(folders) == 1:
        return data / folders[0]
    if not (link := work / "images").is_symlink():
        link.symlink_to(data.resolve(), target_is_directory=True)
    paths = [path for folder in folders for path in sorted((data / folder).rglob("*"))]
    listed = work / f"{name}.txt"
    names = [path.relative_to(data).as_posix() for path in paths if path.suffix in (".jpg", ".png")]
    listed.write_text("".join(f"images/{path}\n" for path in names), encoding="utf-8")
    return listed


def render_shards(row: Row, data: Path, work: Path) -> Path:
    """Render the row's images, where they are not: parts train and val."""
    shards = work / row.data
    render(
        RenderOptions(
            shards,
            str(list_images(row.data, data, work)),
            split="train=.8,val=.2",
            tom=Path("builtin"),
            hands="none",  # Skt-Rec asks the snapshots themselves
            workers=1,
            threads=1,
        )
    )
    return shards


def nearest_conv(x: Tensor, weight: Tensor) -> Tensor:
    """`upsample_conv` by nearest neighbour in place of bilinear: x (B,C,H,W), weight (D,C,3,3) -> (B,D,2H,2W)."""
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.conv2d(F.pad(doubled, (1, 1, 1, 1), mode="replicate"), weight)


@contextmanager
def networks_of(variant: Variant) -> Iterator[None]:
    """Within it maps are doubled, and borders padded, as the variant asks."""
    with ExitStack() as patches:
        if variant.nearest:
            patches.enter_context(mock.patch("sketchforge.models.layers.upsample_conv", nearest_conv))
        if variant.ends:
            for module in ("layers", "autoencoder"):
                patches.enter_context(mock.patch(f"sketchforge.models.{module}.nn", EndsRepeated()))
        yield


class EndsRepeated:
    """torch.nn, but for Conv2d of few channels, grey or RGB, whose borders are repeated."""

    def Conv2d(self, channels: int, width: int, *arguments: Any, **options: Any) -> nn.Conv2d:  # noqa: N802
        options["padding_mode"] = "replicate" if min(channels, width) <= RGB else "zeros"
        return nn.Conv2d(channels, width, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(nn, name)


def train_row(row: Row, data: Path, work: Path, steps: int) -> tuple[Path, Path]:
    """(the shards, the run of the model to be measured); the auto-encoder under a GAN is that of "all"."""
    shards, variant = render_shards(row, data, work), VARIANTS[row.variant]
    shared: dict[str, Any] = {
        "shards": str(shards), "size": row.size, "steps": steps, "seed": row.seed,
        "eval_every": max(steps // 10, 1), "workers": 0, "threads": 1, "device": "cpu",
    }  # fmt: skip
    autoencoder = "all" if variant.refined else row.variant
    run = work / "runs" / named_by_steps(Row(row.data, row.size, autoencoder, row.seed), steps)
    if variant.joint:
        train_joint(GanTrainOptions(**shared, run=run))
        return shards, run
    losses = tuple((name, 0.0) for name in variant.off)
    train_ae(AeTrainOptions(**shared, run=run, losses=losses, **PUBLISHED_OPTIONS | dict(variant.options)))
    if variant.refined:
        refined = work / "runs" / named_by_steps(row, steps)
        train_gan(GanTrainOptions(**shared | dict(variant.gan), run=refined, ae=run))
        run = refined
    return shards, run


def measure_row(
    shards: Path,
    run: Path,
    data: Path | None,
    work: Path,
    pairs: int = PAIRS,
    split: str | None = "val",
    **more: Any,
) -> ImageEvaluation:
    """Measure a model on the images held out, by so many mismatched pairs.

    data: where the weights lie; None: where the product looks for them. split: as in training, where val is the
    default. more: other options of `eval images`.
    """

    def weights(path: str) -> Path | None:
        return data and data / "weights" / path

    return evaluate_images(
        EvalImagesOptions(
            model=run,
            shards=str(shards),
            split=split,
            samples=pairs,
            features=(
                ("mobilenet_v2", weights("mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors")),
                ("efficientnet-lite0", weights("efficientnet_lite0/efficientnet_lite0_fp16.safetensors")),
                ("builtin", None),
            ),
            encoders=("builtin",),
            tom=Path("builtin"),
            cache=work / "features",
            threads=1,
            device="cpu",
            **(
                {"lpips": (("squeeze", weights("squeezenet/squeezenet1_1_features_tvkeys.safetensors")),)}
                | more
            ),
        )
    )


def result_of(evaluation: ImageEvaluation) -> dict[str, Any]:
    """An evaluation as a row's JSON keeps it, without what is of this machine."""
    found = image_json(evaluation)
    kept = {name: found[name] for name in ("rows", "libraries", "methods")}
    for figures in kept["rows"]:
        del figures["source"]
    return kept


def run_row(row: Row, data: Path, work: Path, steps: int | None = None) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    steps = steps or STEPS[row.size]
    name = named_by_steps(row, steps)
    path = RESULTS / f"{name}.json"
    if path.is_file():
        return path
    with networks_of(VARIANTS[row.variant]):
        shards, run = train_row(row, data, work, steps)
        kept = result_of(measure_row(shards, run, data, work))
    curve = [record for record in read_log(run / "log.jsonl") if "held_out_frechet" in record]
    metadata = {"data": row.data, "size": row.size, "variant": row.variant, "seed": row.seed, "steps": steps}
    RESULTS.mkdir(exist_ok=True)
    write_json(path, {"format": "ae-results", "version": VERSION, **metadata, **kept, "curve": curve})
    (work / f"{name}.png").write_bytes((run / "grid.png").read_bytes())
    return path


def read_tables() -> dict[tuple[str, int, int], dict[str, list[dict[str, Any]]]]:
    """What rows have left, by (data, size, steps) and variant."""
    tables: dict[tuple[str, int, int], dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        table = tables[result["data"], result["size"], result["steps"]]
        table.setdefault(result["variant"], []).append(result)
    return tables


def figures_of(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of a row by their titles, each with value, low and high; without chance's."""
    return {
        title: figures[name]
        for figures in result["rows"]
        if figures["name"] != CHANCE
        for name, title in figures["titles"].items()
    }


def chance_of(result: dict[str, Any], title: str) -> float | None:
    """What a row tells of chance by this title: for Sty-Rec, of style vectors of other images."""
    for figures in result["rows"]:
        for name, found in figures["titles"].items():
            if figures["name"] == CHANCE and found == title:
                return float(figures[name]["value"])
    return None


def print_tables(seed: int | None = None) -> None:
    """A table for each (data, size, steps).

    Of one seed: the figure and its interval over images. Of several: their mean, and from the lowest end of their intervals
    to the highest. Beside Sty-Rec, which is of each model's own encoder, stands that of chance. seed: of this one alone; None:
    of all.
    """
    for (data, size, steps), rows in read_tables().items():
        table = {
            name: kept
            for name, found in rows.items()
            if (kept := [x for x in found if seed in (None, x["seed"])])
        }
        if not table:
            continue
        titles = [
            title for title in COLUMNS if any(title in figures_of(r) for rs in table.values() for r in rs)
        ]
        print(f"\n{data}, {size} pixels, {steps:,} steps\n")
        heads = ["", "seeds", *(COLUMNS[title] for title in titles), "paper"]
        at = titles.index(STY_REC) + 1 if STY_REC in titles else None
        if at is not None:
            heads.insert(at + 2, "Sty-Rec of chance")
        print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        for variant in (name for name in VARIANTS if name in table):
            rows = [figures_of(result) for result in table[variant]]
            cells = [format_figures([row[title] for row in rows if title in row]) for title in titles]
            if at is not None:
                found = [x for result in table[variant] if (x := chance_of(result, STY_REC)) is not None]
                cells.insert(at, f"{statistics.mean(found):.3f}" if found else "")
            cells = [VARIANTS[variant].what, str(len(rows)), *cells, PUBLISHED.get(variant, "")]
            print("| " + " | ".join(cells) + " |")


def summarize_figures(figures: list[dict[str, Any]]) -> list[float]:
    """Of one seed: value, and its interval where it has one. Of several: mean, and from the lowest end of their intervals to the
    highest, so that both images and seeds are in it. Of none: []."""
    figures = [figure for figure in figures if figure["value"] is not None]
    if not figures:
        return []
    values = [figure["value"] for figure in figures]
    lows, highs = ([x for figure in figures if (x := figure[end]) is not None] for end in ("low", "high"))
    if len(figures) > 1:  # of what has no interval the seeds themselves
        lows, highs = [*lows, *values], [*highs, *values]
    return [statistics.mean(values), *([min(lows), max(highs)] if lows and highs else [])]


def format_figures(figures: list[dict[str, Any]]) -> str:
    """What `summarize_figures` tells, as text."""
    numbers = [f"{number:#.3g}".rstrip(".") for number in summarize_figures(figures)]
    return f"{numbers[0]} [{' '.join(numbers[1:])}]" if len(numbers) > 1 else "".join(numbers)


def draw_curves(out: Path) -> None:
    """frechet-DATA-SIZE.svg: of images held out, in the built-in encoder's features, a line for every seed.

    Of some variants, from a quarter of the steps on: what comes before dwarfs it.
    """
    for (data, size, steps), table in read_tables().items():
        series = {
            VARIANTS[name].what: [
                [
                    (record["step"], record["held_out_frechet"])
                    for record in result["curve"]
                    if record["step"] >= steps / 4
                ]
                for result in table.get(name, [])
            ]
            for name in CURVES
        }
        title = f"Fréchet distance (built-in encoder), {data} of {size} pixels, {steps:,} steps"
        longer = "" if steps == STEPS[size] else f"-{steps}"
        path = out / f"frechet-{data}-{size}{longer}.svg"
        path.write_text(curves_svg(series, title, "steps (GAN: of its own)"), encoding="utf-8")


def add_running(commands: Any, parse: Callable[[str], Any]) -> argparse.ArgumentParser:
    """Add the command `run`, of which `parse` reads the names of rows."""
    running: argparse.ArgumentParser = commands.add_parser("run", help="train and measure rows")
    running.add_argument("--row", action="append", required=True, type=parse, metavar="NAME")
    running.add_argument("--data", type=Path, required=True)
    running.add_argument("--work", type=Path, required=True)
    return running


def parse_trained_rows(documentation: str) -> argparse.Namespace:
    """work and row, a list, of a command about rows that are trained."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=documentation, formatter_class=raw)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--row", type=Row.parse, action="append", required=True)
    return parser.parse_args()


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the rows of docs/results.md, and which are there")
    tables = commands.add_parser("table", help="of the rows that are there")
    tables.add_argument("--seed", type=int, help="of this one alone; default: of all")
    drawing = commands.add_parser("curves", help="of the rows that are there, as SVG")
    drawing.add_argument("--out", type=Path, required=True)
    running = add_running(commands, Row.parse)
    running.add_argument("--steps", type=int, help=f"default: {STEPS}, by size")
    asked = parser.parse_args(arguments)
    if asked.command == "list":
        for row in planned_rows():
            print(f"{row.name}{'  done' if (RESULTS / f'{row.name}.json').is_file() else ''}")
    elif asked.command == "table":
        print_tables(asked.seed)
    elif asked.command == "curves":
        draw_curves(asked.out)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for row in asked.row:
            print(run_row(row, asked.data, asked.work, asked.steps), flush=True)


if __name__ == "__main__":
    main()
