"""What each self-supervised loss of the auto-encoder is worth: Table 2 at small scale.

    python benchmarks/studies/ae_losses.py train --data DATA --work DIR [NAME ...]    # again to go on, beside it to share
    python benchmarks/studies/ae_losses.py measure --data DATA --work DIR [NAME ...]  # those that are trained, once more
    python benchmarks/studies/ae_losses.py table --work DIR

DATA holds faces/stylegan2_256 and the weights squeezenet and mobilenet_v2. Of the portraits (by name) every fifth is
held out; the rest are rendered with the built-in snapshots and trained on. Measured on portraits held out: LPIPS of
matched pairs (squeeze backbone, whose linear heads were calibrated for another set of weights: good for ranks within
this table), also with the style image mirrored or turned upside down, which changes no colour; the squared error; and
the Fréchet distance (MobileNetV2's 1280 pooled features) between all portraits and mismatched pairs, each sketch in ten
other styles. Leaves NAME.json and NAME.png of every variant.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.run_log import read_log  # noqa: E402
from sketchforge.checkpoints.synthesizer import read_autoencoder  # noqa: E402
from sketchforge.options import AeTrainOptions, RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.report.svg import curves_svg  # noqa: E402
from sketchforge.shards.shard_set import open_shards  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402
from trainers.image_models.validation import read_pairs  # noqa: E402

STEPS = 500
MISMATCHES = 10  # styles of other portraits for each sketch
SELF_SUPERVISED = ("style_triplet", "style_class", "content_triplet", "content_class")


@dataclass(frozen=True)
class Variant:
    """One row: the self-supervised losses that are on, and other options."""

    what: str
    losses: tuple[str, ...]
    weight: float = 1.0  # of each of them, ten times the recipe's; reconstruction and perceptual have 10
    options: tuple[tuple[str, Any], ...] = ()


def seeds(name: str, variant: Variant) -> dict[str, Variant]:
    return {
        f"{name} {seed}": replace(variant, options=(*variant.options, ("seed", seed))) for seed in range(3)
    }


VARIANTS = {
    **seeds("vanilla", Variant("vanilla", ())),
    **seeds("all light", Variant("all", SELF_SUPERVISED, 0.1)),
    **seeds("all", Variant("all, ×10", SELF_SUPERVISED)),
    "content triplet light": Variant("vanilla + L_c_tri", ("content_triplet",), 0.1),
    "style triplet light": Variant("vanilla + L_s_tri", ("style_triplet",), 0.1),
    "style class light": Variant("vanilla + L_s_cls", ("style_class",), 0.1),
    "content class light": Variant("vanilla + L_c_cls", ("content_class",), 0.1),
    "both classes light": Variant("vanilla + L_s_cls + L_c_cls", ("style_class", "content_class"), 0.1),
    "content triplet": Variant("vanilla + L_c_tri, ×10", ("content_triplet",)),
    "style triplet": Variant("vanilla + L_s_tri, ×10", ("style_triplet",)),
    "style class": Variant("vanilla + L_s_cls, ×10", ("style_class",)),
    "both classes": Variant("vanilla + L_s_cls + L_c_cls, ×10", ("style_class", "content_class")),
    "dmi none": Variant("all, without DMI", SELF_SUPERVISED, 0.1, options=(("dmi", "none"),)),
    "dmi sketch": Variant("all, DMI by the sketch", SELF_SUPERVISED, 0.1, options=(("dmi", "sketch"),)),
    "style none": Variant("all, style at 8² only", SELF_SUPERVISED, 0.1, options=(("style", "none"),)),
    "style adain": Variant("all, style by AdaIN", SELF_SUPERVISED, 0.1, options=(("style", "adain"),)),
    "style add": Variant("all, style by addition", SELF_SUPERVISED, 0.1, options=(("style", "add"),)),
}
PUBLISHED = {  # Table 2, CelebA-HQ: FID, LPIPS × 100
    "vanilla": (44.3, 18.7), "vanilla + L_c_tri": (34.8, 15.8), "vanilla + L_s_tri": (35.7, 16.3),
    "vanilla + L_s_cls": (36.4, 16.4), "vanilla + L_s_cls + L_c_cls": (34.7, 15.2), "all": (25.9, 11.7),
}  # fmt: skip


def shards_of(data: Path, work: Path) -> tuple[Path, Path]:
    """(training, held out), rendered where they are not."""
    portraits = sorted((data / "faces/stylegan2_256").rglob("*.jpg")) or sorted(
        (data / "faces/stylegan2_256").rglob("*.png")
    )
    folders = []
    for name, chosen in (
        ("train", [path for number, path in enumerate(portraits) if number % 5]),
        ("held-out", portraits[::5]),
    ):
        listed = work / f"{name}.txt"
        listed.write_text("\n".join(map(str, chosen)) + "\n")
        render(
            RenderOptions(work / name, str(listed), tom=Path("builtin"), hands="none", workers=1, threads=1)
        )
        folders.append(work / name)
    return folders[0], folders[1]


def train(name: str, data: Path, work: Path, steps: int) -> None:
    variant = VARIANTS[name]
    folders = shards_of(data, work)
    weights = tuple((name, variant.weight if name in variant.losses else 0.0) for name in SELF_SUPERVISED)
    options = AeTrainOptions(
        shards=str(folders[0]), validation=str(folders[1]), run=work / "runs" / name, steps=steps, losses=weights,
        workers=0, threads=1, **dict(variant.options),
    )  # fmt: skip
    grid = train_ae(options)
    (work / f"{name}.png").write_bytes(grid.read_bytes())
    remeasure(name, data, work)


def remeasure(name: str, data: Path, work: Path) -> None:
    """Of a variant that is trained."""
    model, metadata = read_autoencoder(work / "runs" / name / "model.safetensors")
    folders = shards_of(data, work)
    held_out, training = (read_pairs(open_shards(folder), model.size) for folder in reversed(folders))
    found = measure(model, held_out, training[0], data / "weights")
    write_json(
        work / f"{name}.json",
        {"name": name, "what": VARIANTS[name].what, "steps": metadata["steps"], **found},
    )


@torch.no_grad()
def measure(
    model: nn.Module, held_out: tuple[Tensor, Tensor], training: Tensor, weights: Path
) -> dict[str, float]:
    """held_out: images (V,3,S,S) and sketches (V,1,S,S); training: images; all in [-1, 1]."""
    images, sketches = held_out
    perceive, describe = lpips_squeeze(weights), mobilenet(weights)

    def drawn(sketches: Tensor, styles: Tensor) -> Tensor:
        return torch.cat([model(s, i) for s, i in zip(sketches.split(50), styles.split(50), strict=True)])

    def distance(made: Tensor) -> float:
        return float(
            torch.cat([perceive(a, b) for a, b in zip(made.split(50), images.split(50), strict=True)]).mean()
        )

    matched = drawn(sketches, images)
    others = [drawn(sketches, images.roll(shift, 0)) for shift in range(1, MISMATCHES + 1)]
    real = torch.cat([describe(part) for part in torch.cat([training, images]).split(50)])
    made = torch.cat([describe(part) for other in others for part in other.split(50)])
    colours = torch.cat(
        [
            (other.mean((2, 3)) - images.roll(shift, 0).mean((2, 3))).abs().mean(1)
            for shift, other in enumerate(others, start=1)
        ]
    )
    return {
        "lpips": distance(matched), "lpips_mirrored": distance(drawn(sketches, images.flip(3))),
        "lpips_turned": distance(drawn(sketches, images.flip(2, 3))), "mse": float((matched - images).square().mean()),
        "frechet": frechet(real.double().numpy(), made.double().numpy()), "colour": float(colours.mean()),
        "images": len(images), "mismatched": len(made),
    }  # fmt: skip


def lpips_squeeze(weights: Path) -> Any:
    """(B,3,S,S) twice, in [-1, 1] -> distances (B,)."""
    import contextlib
    import io

    import lpips
    from safetensors.torch import load_file

    with contextlib.redirect_stdout(io.StringIO()):
        found = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    given = load_file(weights / "squeezenet/squeezenet1_1_features_tvkeys.safetensors")
    own = found.net.state_dict()
    by_layer = {name.split(".", 1)[1]: name for name in own}  # slice1.0.weight -> 0.weight
    found.net.load_state_dict(
        {by_layer[name.removeprefix("features.")]: value.float() for name, value in given.items()}
    )
    return lambda a, b: found(F.interpolate(a, size=64), F.interpolate(b, size=64)).flatten()


def mobilenet(weights: Path) -> Any:
    """(B,3,S,S) in [-1, 1] -> pooled features (B,1280)."""
    from safetensors.torch import load_file
    from torchvision.models import mobilenet_v2

    net = mobilenet_v2()
    given = load_file(weights / "mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors")
    missing = net.load_state_dict({name: value.float() for name, value in given.items()}, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing.missing_keys
    net.eval()

    def describe(images: Tensor) -> Tensor:
        large = F.interpolate(images, size=160, mode="bicubic", antialias=True).clamp(-1, 1)
        return net.features(large).mean((2, 3))

    return describe


def frechet(real: np.ndarray, made: np.ndarray) -> float:
    """Fréchet distance of the Gaussians fitted to rows of features; the trace term by eigenvalues."""
    difference = real.mean(0) - made.mean(0)
    a, b = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    values = np.linalg.eigvals(a @ b).real.clip(0)
    return float(difference @ difference + np.trace(a) + np.trace(b) - 2 * np.sqrt(values).sum())


def table(work: Path) -> None:
    """Mean over seeds, ± half their range."""
    print(
        "| losses | LPIPS × 100 | style mirrored | turned | MSE | Fréchet (MobileNetV2) | colour | seeds "
        "| paper: FID | paper: LPIPS × 100 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, variant in VARIANTS.items():
        path = work / f"{name}.json"
        if path.is_file():
            rows.setdefault(variant.what, []).append(json.loads(path.read_text()))
    for what, found in rows.items():
        cells = [
            _shown([one[key] for one in found if key in one], factor, digits)
            for key, factor, digits in (
                ("lpips", 100, 2),
                ("lpips_mirrored", 100, 2),
                ("lpips_turned", 100, 2),
                ("mse", 1, 4),
                ("frechet", 1, 1),
                ("colour", 1, 3),
            )
        ]
        reference = what.removesuffix(", ×10") if what.startswith("vanilla") else what
        published = [str(value) for value in PUBLISHED.get(reference, ("", ""))]
        print("| " + " | ".join([what, *cells, str(len(found)), *published]) + " |")


def curves(work: Path) -> None:
    """Errors of portraits held out over training, one line per seed."""
    for figure, title in (
        ("held_out_reconstruction", "Squared error of portraits held out"),
        ("held_out_perceptual", "Perceptual distance of portraits held out (built-in encoder)"),
    ):
        series: dict[str, list[list[tuple[float, float]]]] = {}
        for name, variant in VARIANTS.items():
            log = read_log(work / "runs" / name / "log.jsonl")
            points = [(record["step"], record[figure]) for record in log if figure in record]
            if points and not {"dmi", "style"} & dict(variant.options).keys():
                series.setdefault(variant.what.removeprefix("vanilla "), []).append(points)
        (work / f"{figure}.svg").write_text(curves_svg(series, title, "steps"), encoding="utf-8")


def _shown(values: list[float], factor: float, digits: int) -> str:
    if not values:
        return ""
    mean = factor * sum(values) / len(values)
    spread = factor * (max(values) - min(values)) / 2
    return f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train and measure; variants that are done are left out")
    training.add_argument("--steps", type=int, default=STEPS)
    again = commands.add_parser("measure", help="measure variants that are trained once more")
    for command in (training, again):
        command.add_argument("names", nargs="*", metavar="NAME", help="default: all")
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
    commands.add_parser("table", help="and curves as SVG").add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "table":
        table(asked.work)
        curves(asked.work)
        return
    asked.work.mkdir(parents=True, exist_ok=True)
    if asked.command == "measure":
        for name in asked.names or [name for name in VARIANTS if (asked.work / f"{name}.json").is_file()]:
            remeasure(name, asked.data, asked.work)
        return
    shards_of(asked.data, asked.work)
    for name in asked.names or VARIANTS:
        claim = asked.work / f"{name}.claimed"  # so that several of these commands can share the work
        if (asked.work / f"{name}.json").is_file() or claim.exists():
            continue
        claim.touch()
        try:
            train(name, asked.data, asked.work, asked.steps)
        finally:
            claim.unlink()
        print(name, (asked.work / f"{name}.json").read_text(), flush=True)


if __name__ == "__main__":
    main()
