"""The model card of an exported model: a page of Markdown for whoever gets the file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.origins import describe_drawer, describe_encoder, is_shipped_snapshot
from sketchforge.checkpoints.synthesizer import SketchPart, StoredModel
from sketchforge.models.segin import Segin
from sketchforge.models.style2paints import Style2Paints
from sketchforge.models.style_hint import LITE0
from sketchforge.utils.markdown import escape, fence

if TYPE_CHECKING:
    from torch import nn

LONGEST = 200  # characters; longer values of the metadata, which anybody may have written, are cut
FIGURES = {
    "reconstruction": "mean squared error of the image given back from its own sketch and style, on [-1, 1]",
    "perceptual": "mean squared distance of the frozen encoder's features of the two",
    "reconstruction_mirrored": "the same error with the style image mirrored",
    "leak": "change of the image when the style image is mirrored, over that when it is another's",
    "lattice": "share of the fine variation in even areas that is locked to the pixel grid",
}


PAPERS = {
    "autoencoder": "Liu, Zhu, Song and Elgammal: Self-Supervised Sketch-to-Image Synthesis, AAAI 2021",
    "style2paints": "Zhang, Ji and Lin: Style Transfer for Anime Sketches with Enhanced Residual U-net and "
    "Auxiliary Classifier GAN, 2017 (Style2Paints V1)",
    "segin": "Huang, Liao and Kwong: Semantic Example Guided Image-to-Image Translation, 2019 (SEGIN)",
}
SUBJECTS = {False: ("line drawing", "drawing"), True: ("photo in grey", "photo")}  # by takes_grey


def model_card(
    file: str, sha256: str, stored: StoredModel, part: SketchPart | None, metadata: Mapping[str, Any]
) -> str:
    """The card of the model in a file of this name and digest; `metadata` as the file has it.

    Anybody may have trained the model and written `metadata`: its text enters the card escaped.
    """
    blocks = [
        _write_title(file, stored),
        _write_description(stored, part),
        _write_provenance(stored, metadata),
        _write_figures(metadata["figures"]),
    ]
    blocks += [
        _write_usage(file, stored, part),
        _write_limits(stored),
        _write_licence(stored, metadata, part),
    ]
    digest_rows = [
        f"| {name} | `{digest}` |" for name, digest in metadata["digests"].items()
    ]  # computed by `export`
    table = ["| | SHA-256 |", "|---|---|", f"| {escape(file)} | `{sha256}` |", *digest_rows]
    blocks.append("## Digests\n\n" + "\n".join(table))
    return "\n\n".join(blocks) + "\n"


def _write_title(file: str, stored: StoredModel) -> str:
    name = file.removesuffix(".safetensors")
    return f"# {escape(name)}: sketches drawn out in the style of images, {stored.autoencoder.size} px"


def _write_description(stored: StoredModel, part: SketchPart | None) -> str:
    modules: dict[str, nn.Module | None]
    model = stored.autoencoder
    if isinstance(model, Style2Paints):
        modules = {"U-net": model.unet, "style hint": model.hint}
    elif isinstance(model, Segin):
        modules = {"translator": model.translator, "the encoder that matches": model.matcher.encoder}
    else:
        modules = {"auto-encoder": model, "refiner": stored.refiner}
    if part is not None:
        modules |= {"TOM's encoder": part.encoder, f"TOM's generator {escape(part.style)}": part.generator}
    sizes = [f"{name} {_count_weights(module)}" for name, module in modules.items() if module is not None]
    size, (subject, short) = model.size, SUBJECTS[stored.takes_grey]
    text = (
        f"Of a {subject} and a style image it makes an image of {size} × {size} pixels with the "
        f"{short}'s content and the style image's colours and textures, after {PAPERS[stored.system]}. "
        f"Made with sketchforge. Weights: {', '.join(sizes)}."
    )
    if part is not None:
        text += " With TOM it draws sketches of photos itself."
    return text


def _count_weights(module: Any) -> str:
    count = sum(value.numel() for value in module.state_dict().values())
    return f"{count / 1e6:.2f} million"


def _write_provenance(stored: StoredModel, metadata: Mapping[str, Any]) -> str:
    recipe, options, shards = (_read_part(metadata, name) for name in ("recipe", "options", "shards"))
    source = metadata["exported_from"]
    recipe_rows = [
        f"| recipe: {escape(str(name).replace('_', ' '))} | {_format_value(value)} |"
        for name, value in sorted(recipe.items())
    ]
    training = [options.get(name, "unknown") for name in ("seed", "device", "precision")]
    rows = [
        f"| training | `sketchforge {source['command']}`, "
        f"recipe {_format_value(options.get('recipe', 'unknown'))}, run {escape(source['run'])} |",
        f"| steps | {_format_value(metadata.get('steps', 'unknown'))} |",
        f"| images | {_format_value(shards.get('count', 'unknown'))}, "
        f"shards of digest {_shorten_digest(shards.get('digest'))} |",
        f"| seed, device, precision | {_format_value(training)} |",
    ]
    if stored.refiner is not None:
        rows.append(f"| on an auto-encoder of weights | {_shorten_digest(source.get('autoencoder'))} |")
    if "tom" in source:
        snapshot, run = (escape(source["tom"][name]) for name in ("snapshot", "run"))
        rows.append(f"| sketches | TOM's snapshot {snapshot}, run {run} |")
    return "## How it was made\n\n" + "\n".join(["| | |", "|---|---|", *rows, *recipe_rows])


def _read_part(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = metadata.get(name)
    return part if isinstance(part, Mapping) else {}


def _shorten_digest(digest: object) -> str:
    return (
        f"`{digest[:16]}…`" if isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) else "unknown"
    )


def _format_value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or "none"


def _write_figures(figures: Mapping[str, float]) -> str:
    lines = []
    for name, value in sorted(figures.items()):
        held_out = name.startswith("held_out_")
        measure = name.removeprefix("held_out_").removeprefix("seen_")
        images = "images held out from training" if held_out else "images it was trained on"
        lines.append(f"- {escape(measure)} {value:.4f}: {FIGURES.get(measure, escape(measure))}; {images}")
    if not any(name.startswith("held_out_") for name in figures):
        lines.append("- Nothing was measured on images that it has not seen.")
    return "## Last figures\n\n" + "\n".join(lines)


def _write_usage(file: str, stored: StoredModel, part: SketchPart | None) -> str:
    rows = [
        ("synthesize", "--sketch drawing.jpg --style painting.jpg --out made/"),
        ("mix", "--sketch drawing.jpg --style one.jpg other.jpg --out mixed/"),
        ("transfer", "--content photo.jpg --style painting.jpg --out transferred/"),
    ]
    commands = [f"sketchforge {name} --model {shlex.quote(file)} {words}" for name, words in rows]
    python = ["import sketchforge", "", f"model = sketchforge.load({_quote(file)})"]
    if part is not None:
        python += ['sketch = model.sketch("photo.jpg")  # uint8 H×W, 0 = ink']
    python += ['image = model.synthesize("drawing.jpg", "painting.jpg")  # uint8 H×W×3 RGB']
    return "\n".join(["## How to use it", "", *fence(commands), "", *fence(python, "python")])


def _quote(text: str) -> str:
    """A Python string literal, in double quotes where the text needs no escapes."""
    return f'"{text}"' if re.fullmatch(r"[\w .+-]*", text) else repr(text)


def _write_limits(stored: StoredModel) -> str:
    lines = [
        f"- It knows images like those it was trained on, {stored.autoencoder.size} pixels large; others "
        "come out vaguer.",
        "- It learnt from photos' greys: it paints colours, and takes lines and shading as they are."
        if stored.takes_grey
        else "- It learnt from machine-made sketches: black lines of 1 to 3 pixels at 256². Drawings are brought "
        "to that; shading and colour in them are lost.",
        "- Style comes in patches: what of the style image resembles a place of the input is painted there."
        if stored.system == "segin"
        else "- Style is colour and texture of the whole image. It does not know which object has which colour.",
    ]
    if stored.refiner is None and stored.system == "autoencoder":
        lines.append("- It is the auto-encoder alone, trained by squared errors: images are soft.")
    return "## Limits\n\n" + "\n".join(lines)


def _write_licence(stored: StoredModel, metadata: Mapping[str, Any], part: SketchPart | None) -> str:
    text = (
        "The weights were made of the images of whoever trained them: their rights, and the terms of that "
        "data, decide what may be done with the model and its images. sketchforge itself is MIT-licensed and "
        "claims nothing."
    )
    lines = [text]
    source, digests = metadata["exported_from"], metadata["digests"]
    if "drawn_by" in source:  # its shape was checked with run.json's
        method, weights = (source["drawn_by"][name] for name in ("method", "digests"))
        lines.append(describe_drawer(method, set(weights.values()), "The sketches that it learnt from"))
    if encoder_text := describe_encoder({source.get("trained_with")}):
        lines.append(f"It learnt by an encoder's features, too. {encoder_text}")
    model = stored.autoencoder
    if isinstance(model, Style2Paints) and model.hint.network_name == LITE0:
        lines.append(
            "The network of the style hint in the file is EfficientNet-Lite0. Its licence: "
            f"{KNOWN[LITE0].licence}."
        )
    if part is not None and is_shipped_snapshot({digests["generator"]}):
        lines.append(
            "The snapshot of TOM in the file is one that comes with sketchforge; its model card "
            "(sketchforge/checkpoints/builtin/tom.md) names the research data that it learnt from. "
            f"Licence: {KNOWN['tom'].licence}."
        )
    return "## Licence\n\n" + "\n\n".join(lines)
