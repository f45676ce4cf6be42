"""The model card of an exported model: a page of Markdown for whoever gets the file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.origins import describe_drawer, describe_encoder, is_shipped_snapshot
from sketchforge.checkpoints.synthesizer import SketchPart, StoredModel
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.models.diffsketching import DiffSketching
from sketchforge.models.segin import Segin
from sketchforge.models.style2paints import Style2Paints
from sketchforge.models.style_hint import LITE0
from sketchforge.utils.files import has_shape
from sketchforge.utils.markdown import Markdown, escape, fill_markdown

if TYPE_CHECKING:
    from torch import nn

LONGEST = 200  # characters; longer values of the metadata, which anybody may have written, are cut
FIGURES = {
    "reconstruction": "mean squared error of the image given back from its own sketch and style, on [-1, 1]",
    "perceptual": "mean squared distance of the frozen encoder's features of the two",
    "reconstruction_mirrored": "the error of the image given back with the style image mirrored",
    "reconstruction_turned": "the same with the style image upside down",
    "leak": "change of the image when the style image is mirrored, over that when it is another's",
    "style_mirrored": "cosine of the style's vector and that of the image mirrored",
    "style_turned": "the same of the image upside down",
    "style_other": "the same of another image",
    "lattice": "share of the fine variation in even areas that is locked to the pixel grid",
}


PAPERS = {
    "autoencoder": "Liu, Zhu, Song and Elgammal: Self-Supervised Sketch-to-Image Synthesis, AAAI 2021",
    "style2paints": "Zhang, Ji and Lin: Style Transfer for Anime Sketches with Enhanced Residual U-net and "
    "Auxiliary Classifier GAN, 2017 (Style2Paints V1)",
    "diffsketching": "Wang et al.: DiffSketching: Sketch Control Image Synthesis with Diffusion Models, 2022 "
    "(DiffSketching)",
    "segin": "Huang, Liao and Kwong: Semantic Example Guided Image-to-Image Translation, 2019 (SEGIN)",
}
SUBJECTS = {False: ("line drawing", "drawing"), True: ("photo in grey", "photo")}  # by takes_grey


def model_card(
    file: str, sha256: str, stored: StoredModel, part: SketchPart | None, metadata: Mapping[str, Any]
) -> str:
    """The card of the model in a file of this name and digest; `metadata` as the file has it.

    Anybody may have trained the model and written `metadata`: its text enters the card escaped.
    """
    recipe, options, shards = (_read_part(metadata, name) for name in ("recipe", "options", "shards"))
    source, figures = metadata["exported_from"], metadata["figures"]
    subject, short = SUBJECTS[stored.takes_grey]
    return fill_markdown(
        Path(__file__).parent,
        "model_card.md.jinja",
        file=file,
        sha256=sha256,
        digests=metadata["digests"].items(),  # computed by `export`
        name=file.removesuffix(".safetensors"),
        size=stored.autoencoder.size,
        system=stored.system,
        paper=PAPERS[stored.system],
        subject=subject,
        short=short,
        takes_grey=stored.takes_grey,
        refined=stored.refiner is not None,
        with_tom=part is not None,
        parts=_list_parts(stored, part),
        source=source,
        recipe=_format_value(options.get("recipe", "unknown")),
        steps=_format_value(metadata.get("steps", "unknown")),
        num_images=_format_value(shards.get("count", "unknown")),
        shards_digest=_shorten_digest(shards.get("digest")),
        training=_format_value([options.get(name, "unknown") for name in ("seed", "device", "precision")]),
        autoencoder_digest=_shorten_digest(source.get("autoencoder")),
        snapshot=source.get("tom"),
        recipe_entries=[
            (str(name).replace("_", " "), _format_value(value)) for name, value in sorted(recipe.items())
        ],
        figures=_list_figures(figures),
        held_out=any(name.startswith("held_out_") for name in figures),
        commands=_list_commands(file),
        python=_list_python(file, part),
        licences=_list_licences(stored, metadata, part),
    )


def _list_parts(stored: StoredModel, part: SketchPart | None) -> list[tuple[str, str]]:
    """The networks in the file and their weights."""
    modules: dict[str, nn.Module | None]
    model = stored.autoencoder
    if isinstance(model, Style2Paints):
        modules = {"U-net": model.unet, "style hint": model.hint}
    elif isinstance(model, Segin):
        modules = {"translator": model.translator, "the encoder that matches": model.matcher.encoder}
    elif isinstance(model, DiffSketching):
        modules = {
            "U-net": model.unet,
            "TOM's encoder, which compares sketches": model.view.encoder,
            "TOM's generator, which sees images as sketches": model.view.generator,
            "the classifier of noised images": model.classifier,
        }
    else:
        modules = {"auto-encoder": model, "refiner": stored.refiner}
    if part is not None:
        modules |= {"TOM's encoder": part.encoder, f"TOM's generator {part.style}": part.generator}
    return [(name, _count_weights(module)) for name, module in modules.items() if module is not None]


def _count_weights(module: Any) -> str:
    count = sum(value.numel() for value in module.state_dict().values())
    return f"{count / 1e6:.2f} million"


def _read_part(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = metadata.get(name)
    return part if isinstance(part, Mapping) else {}


def _shorten_digest(digest: object) -> Markdown:
    is_digest = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
    return Markdown(f"`{str(digest)[:16]}…`" if is_digest else "unknown")


def _format_value(value: Any) -> Markdown:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Markdown(escape(text if len(text) <= LONGEST else f"{text[:LONGEST]}…") or "none")


def _list_figures(figures: Mapping[str, float]) -> list[tuple[str, str, Markdown, str]]:
    """Of every figure: its measure, its value, what it means, and of which images it is."""
    rows = []
    for name, value in sorted(figures.items()):
        measure = name.removeprefix("held_out_").removeprefix("seen_")
        held_out = name.startswith("held_out_")
        images = "images held out from training" if held_out else "images it was trained on"
        rows.append((measure, f"{value:.4f}", Markdown(FIGURES.get(measure, escape(measure))), images))
    return rows


def _list_commands(file: str) -> list[str]:
    rows = [
        ("synthesize", "--sketch drawing.jpg --style painting.jpg --out made/"),
        ("mix", "--sketch drawing.jpg --style one.jpg other.jpg --out mixed/"),
        ("transfer", "--content photo.jpg --style painting.jpg --out transferred/"),
    ]
    return [f"sketchforge {name} --model {shlex.quote(file)} {words}" for name, words in rows]


def _list_python(file: str, part: SketchPart | None) -> list[str]:
    lines = ["import sketchforge", "", f"model = sketchforge.load({quote_python(file)})"]
    if part is not None:
        lines += ['sketch = model.sketch("photo.jpg")  # uint8 H×W, 0 = ink']
    return [*lines, 'image = model.synthesize("drawing.jpg", "painting.jpg")  # uint8 H×W×3 RGB']


def quote_python(text: str) -> str:
    """A Python string literal, in double quotes where the text needs no escapes."""
    return f'"{text}"' if re.fullmatch(r"[\w .+-]*", text) else repr(text)


def list_licences(stored: StoredModel, source: Mapping[str, Any]) -> list[str]:
    """The terms of what others made that a model of images learnt from, in sentences.

    source: run.json of its training, or what an exported file has of it; entries of another shape say nothing.
    """
    lines = []
    if has_shape(source.get("drawn_by"), {"method": str, "digests": {...: str}}):
        method, weights = (source["drawn_by"][name] for name in ("method", "digests"))
        lines.append(describe_drawer(method, set(weights.values()), "The sketches that it learnt from"))
    if encoder_text := describe_encoder({str(source.get("trained_with"))}):
        lines.append(f"It learnt by an encoder's features, too. {encoder_text}")
    model = stored.autoencoder
    if isinstance(model, Style2Paints) and model.hint.network_name == LITE0:
        lines.append(
            "The network of the style hint in the file is EfficientNet-Lite0. Its licence: "
            f"{KNOWN[LITE0].licence}."
        )
    return lines


def _list_licences(
    stored: StoredModel, metadata: Mapping[str, Any], part: SketchPart | None
) -> list[Markdown]:
    """The terms of what others made: of sketches, of networks."""
    lines = list_licences(stored, metadata["exported_from"])
    model = stored.autoencoder
    snapshots = set() if part is None else {metadata["digests"]["generator"]}
    if isinstance(model, DiffSketching):
        snapshots.add(tensors_digest(model.view.generator.state_dict()))
    if is_shipped_snapshot(snapshots):
        lines.append(
            "The snapshot of TOM in the file is one that comes with sketchforge; its model card "
            "(sketchforge/checkpoints/builtin/tom.md) names the research data that it learnt from. "
            f"Licence: {KNOWN['tom'].licence}."
        )
    return [Markdown(line) for line in lines]
