"""What stands beside an exported model, for whoever gets the file: a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchforge.synthesizer_file import SketchPart, StoredModel

FIGURES = {
    "reconstruction": "mean squared error of the image given back from its own sketch and style, on [-1, 1]",
    "perceptual": "mean squared distance of the frozen encoder's features of the two",
}


def model_card(
    file: str, sha256: str, stored: StoredModel, part: SketchPart | None, about: Mapping[str, Any]
) -> str:
    """The card of the model in a file of this name and digest; `about` as the file has it."""
    blocks = [_title(file, stored), _what(stored, part), _made(stored, about), _figures(about["figures"])]
    blocks += [_use(file, stored, part), _limits(stored), _licence(about, part)]
    parts = [f"| {name} | `{digest}` |" for name, digest in about["digests"].items()]
    table = ["| | SHA-256 |", "|---|---|", f"| {file} | `{sha256}` |", *parts]
    blocks.append("## Digests\n\n" + "\n".join(table))
    return "\n\n".join(blocks) + "\n"


def _title(file: str, stored: StoredModel) -> str:
    name = file.removesuffix(".safetensors")
    return f"# {name}: sketches drawn out in the manner of pictures, {stored.autoencoder.size} px"


def _what(stored: StoredModel, part: SketchPart | None) -> str:
    modules = {"auto-encoder": stored.autoencoder, "refiner": stored.refiner}
    if part is not None:
        modules |= {"TOM's encoder": part.encoder, f"TOM's generator {part.style}": part.generator}
    sizes = [f"{name} {_weights(module)}" for name, module in modules.items() if module is not None]
    size = stored.autoencoder.size
    text = (
        f"Of a line drawing and a style picture it makes a picture of {size} × {size} pixels with the "
        f"drawing's content and the style picture's colours and textures, after Liu, Zhu, Song and Elgammal: "
        f"Self-Supervised Sketch-to-Image Synthesis, AAAI 2021. Made with sketchforge. Weights: {', '.join(sizes)}."
    )
    if part is not None:
        text += " With TOM it draws sketches of photos itself."
    return text


def _weights(module: Any) -> str:
    count = sum(value.numel() for value in module.state_dict().values())
    return f"{count / 1e6:.2f} million"


def _made(stored: StoredModel, about: Mapping[str, Any]) -> str:
    recipe, source = about.get("recipe", {}), about["exported_from"]
    options = about.get("options", {})
    named = [
        f"| recipe: {name.replace('_', ' ')} | {_shown(value)} |" for name, value in sorted(recipe.items())
    ]
    shards = about.get("shards", {})
    trained = [str(options.get(name, "unknown")) for name in ("seed", "device", "precision")]
    rows = [
        f"| training | `sketchforge {source['command']}`, recipe {options.get('recipe', 'unknown')}, "
        f"run `{source['run']}` |",
        f"| steps | {about.get('steps', 'unknown')} |",
        f"| images | {shards.get('count', 'unknown')}, shards of digest {_short(shards.get('digest'))} |",
        f"| seed, device, precision | {', '.join(trained)} |",
    ]
    if stored.refiner is not None:
        rows.append(
            f"| on an auto-encoder of weights | {_short(source.get('autoencoder'))} |"
        )
    if "tom" in source:
        rows.append(
            f"| sketches | TOM's snapshot {source['tom']['snapshot']}, run `{source['tom']['run']}` |"
        )
    return "## How it was made\n\n" + "\n".join(["| | |", "|---|---|", *rows, *named])


def _short(digest: str | None) -> str:
    return f"`{digest[:16]}…`" if digest else "unknown"


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if text else "none"


def _figures(figures: Mapping[str, float]) -> str:
    lines = []
    for name, value in sorted(figures.items()):
        held_out = name.startswith("held_out_")
        what = name.removeprefix("held_out_").removeprefix("seen_")
        where = "images held out from training" if held_out else "images it was trained on"
        lines.append(f"- {what} {value:.4f}: {FIGURES.get(what, what)}; {where}")
    if not any(name.startswith("held_out_") for name in figures):
        lines.append("- Nothing was measured on images that it has not seen.")
    return "## Last figures\n\n" + "\n".join(lines)


def _use(file: str, stored: StoredModel, part: SketchPart | None) -> str:
    rows = [
        ("synthesize", "--sketch drawing.jpg --style painting.jpg --out made/"),
        ("mix", "--sketch drawing.jpg --style one.jpg other.jpg --out mixed/"),
        ("transfer", "--content photo.jpg --style painting.jpg --out transferred/"),
    ]
    commands = [f"sketchforge {name} --model {file} {words}" for name, words in rows]
    python = ["import sketchforge", "", f'model = sketchforge.load("{file}")']
    if part is not None:
        python += ['sketch = model.sketch("photo.jpg")  # uint8 H×W, 0 = ink']
    python += ['picture = model.synthesize("drawing.jpg", "painting.jpg")  # uint8 H×W×3 RGB']
    return (
        "## How to use it\n\n```\n"
        + "\n".join(commands)
        + "\n```\n\n```python\n"
        + "\n".join(python)
        + "\n```"
    )


def _limits(stored: StoredModel) -> str:
    lines = [
        f"- It knows pictures like those it was trained on, {stored.autoencoder.size} pixels large; others "
        "come out vaguer.",
        "- It learnt from machine-made sketches: black lines of 1 to 3 pixels at 256². Drawings are brought "
        "to that; shading and colour in them are lost.",
        "- Style is colour and texture of the whole picture. It does not know which object has which colour.",
    ]
    if stored.refiner is None:
        lines.append("- It is the auto-encoder alone, trained by squared errors: pictures are soft.")
    return "## Limits\n\n" + "\n".join(lines)


def _licence(about: Mapping[str, Any], part: SketchPart | None) -> str:
    text = (
        "The weights were made of the images of whoever trained them: their rights, and the terms of that "
        "data, decide what may be done with the model and its pictures. sketchforge itself is MIT-licensed and "
        "claims nothing."
    )
    if part is not None and about["exported_from"]["tom"]["run"] == "builtin":
        text += (
            " The snapshot of TOM is the one that comes with sketchforge; its model card "
            "(sketchforge/assets/tom.md) names the research data that it learnt from."
        )
    return f"## Licence\n\n{text}"
