"""What stands beside an exported model, for whoever gets the file: a page of Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from sketchforge.checkpoints.synthesizer import SketchPart, StoredModel
from sketchforge.utils.markdown import escape, fence

LONGEST = 200  # characters of a value that somebody else has written
FIGURES = {
    "reconstruction": "mean squared error of the image given back from its own sketch and style, on [-1, 1]",
    "perceptual": "mean squared distance of the frozen encoder's features of the two",
}


def model_card(
    file: str, sha256: str, stored: StoredModel, part: SketchPart | None, metadata: Mapping[str, Any]
) -> str:
    """The card of the model in a file of this name and digest; `about` as the file has it.

    Whoever trained the model wrote `about`, which may be anybody: its text enters the card escaped, whatever it is.
    """
    blocks = [
        _title(file, stored),
        _what(stored, part),
        _made(stored, metadata),
        _figures(metadata["figures"]),
    ]
    blocks += [_use(file, stored, part), _limits(stored), _licence(metadata, part)]
    parts = [
        f"| {name} | `{digest}` |" for name, digest in metadata["digests"].items()
    ]  # computed by `export`
    table = ["| | SHA-256 |", "|---|---|", f"| {escape(file)} | `{sha256}` |", *parts]
    blocks.append("## Digests\n\n" + "\n".join(table))
    return "\n\n".join(blocks) + "\n"


def _title(file: str, stored: StoredModel) -> str:
    name = file.removesuffix(".safetensors")
    return f"# {escape(name)}: sketches drawn out in the style of images, {stored.autoencoder.size} px"


def _what(stored: StoredModel, part: SketchPart | None) -> str:
    modules = {"auto-encoder": stored.autoencoder, "refiner": stored.refiner}
    if part is not None:
        modules |= {"TOM's encoder": part.encoder, f"TOM's generator {escape(part.style)}": part.generator}
    sizes = [f"{name} {_weights(module)}" for name, module in modules.items() if module is not None]
    size = stored.autoencoder.size
    text = (
        f"Of a line drawing and a style image it makes an image of {size} × {size} pixels with the "
        f"drawing's content and the style image's colours and textures, after Liu, Zhu, Song and Elgammal: "
        f"Self-Supervised Sketch-to-Image Synthesis, AAAI 2021. Made with sketchforge. Weights: {', '.join(sizes)}."
    )
    if part is not None:
        text += " With TOM it draws sketches of photos itself."
    return text


def _weights(module: Any) -> str:
    count = sum(value.numel() for value in module.state_dict().values())
    return f"{count / 1e6:.2f} million"


def _made(stored: StoredModel, metadata: Mapping[str, Any]) -> str:
    recipe, options, shards = (_part(metadata, name) for name in ("recipe", "options", "shards"))
    source = metadata["exported_from"]
    named = [
        f"| recipe: {escape(str(name).replace('_', ' '))} | {_shown(value)} |"
        for name, value in sorted(recipe.items())
    ]
    trained = [options.get(name, "unknown") for name in ("seed", "device", "precision")]
    rows = [
        f"| training | `sketchforge {source['command']}`, recipe {_shown(options.get('recipe', 'unknown'))}, "
        f"run {escape(source['run'])} |",
        f"| steps | {_shown(metadata.get('steps', 'unknown'))} |",
        f"| images | {_shown(shards.get('count', 'unknown'))}, shards of digest {_short(shards.get('digest'))} |",
        f"| seed, device, precision | {_shown(trained)} |",
    ]
    if stored.refiner is not None:
        rows.append(f"| on an auto-encoder of weights | {_short(source.get('autoencoder'))} |")
    if "tom" in source:
        drawn_by, run = (escape(source["tom"][name]) for name in ("snapshot", "run"))
        rows.append(f"| sketches | TOM's snapshot {drawn_by}, run {run} |")
    return "## How it was made\n\n" + "\n".join(["| | |", "|---|---|", *rows, *named])


def _part(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = metadata.get(name)
    return found if isinstance(found, Mapping) else {}


def _short(digest: object) -> str:
    return (
        f"`{digest[:16]}…`" if isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) else "unknown"
    )


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or "none"


def _figures(figures: Mapping[str, float]) -> str:
    lines = []
    for name, value in sorted(figures.items()):
        held_out = name.startswith("held_out_")
        what = name.removeprefix("held_out_").removeprefix("seen_")
        where = "images held out from training" if held_out else "images it was trained on"
        lines.append(f"- {escape(what)} {value:.4f}: {FIGURES.get(what, escape(what))}; {where}")
    if not any(name.startswith("held_out_") for name in figures):
        lines.append("- Nothing was measured on images that it has not seen.")
    return "## Last figures\n\n" + "\n".join(lines)


def _use(file: str, stored: StoredModel, part: SketchPart | None) -> str:
    rows = [
        ("synthesize", "--sketch drawing.jpg --style painting.jpg --out made/"),
        ("mix", "--sketch drawing.jpg --style one.jpg other.jpg --out mixed/"),
        ("transfer", "--content photo.jpg --style painting.jpg --out transferred/"),
    ]
    commands = [f"sketchforge {name} --model {shlex.quote(file)} {words}" for name, words in rows]
    python = ["import sketchforge", "", f"model = sketchforge.load({_quoted(file)})"]
    if part is not None:
        python += ['sketch = model.sketch("photo.jpg")  # uint8 H×W, 0 = ink']
    python += ['image = model.synthesize("drawing.jpg", "painting.jpg")  # uint8 H×W×3 RGB']
    return "\n".join(["## How to use it", "", *fence(commands), "", *fence(python, "python")])


def _quoted(text: str) -> str:
    """A Python string, in double quotes where that will do."""
    return f'"{text}"' if re.fullmatch(r"[\w .+-]*", text) else repr(text)


def _limits(stored: StoredModel) -> str:
    lines = [
        f"- It knows images like those it was trained on, {stored.autoencoder.size} pixels large; others "
        "come out vaguer.",
        "- It learnt from machine-made sketches: black lines of 1 to 3 pixels at 256². Drawings are brought "
        "to that; shading and colour in them are lost.",
        "- Style is colour and texture of the whole image. It does not know which object has which colour.",
    ]
    if stored.refiner is None:
        lines.append("- It is the auto-encoder alone, trained by squared errors: images are soft.")
    return "## Limits\n\n" + "\n".join(lines)


def _licence(metadata: Mapping[str, Any], part: SketchPart | None) -> str:
    text = (
        "The weights were made of the images of whoever trained them: their rights, and the terms of that "
        "data, decide what may be done with the model and its images. sketchforge itself is MIT-licensed and "
        "claims nothing."
    )
    if part is not None and metadata["exported_from"]["tom"]["run"] == "builtin":
        text += (
            " The snapshot of TOM is the one that comes with sketchforge; its model card "
            "(sketchforge/checkpoints/builtin/tom.md) names the research data that it learnt from."
        )
    return f"## Licence\n\n{text}"
