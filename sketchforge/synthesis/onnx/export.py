"""A run of TOM, or a model of images -> an ONNX file that was compared with it, and its card.

TOM's networks take images of any size, and any number of them. Those that make images have the size that they were trained
for (the auto-encoder's decoder begins with a learned map of 8², the refiner's style is a map of 16²): of them only the number
of images is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.checkpoints.origins import describe_encoder, is_shipped_snapshot
from sketchforge.checkpoints.runs import builtin_model, find_model, find_trained_run
from sketchforge.checkpoints.synthesizer import StoredModel, read_model
from sketchforge.checkpoints.tom import find_tom_run, read_tom_run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.resize import resize_image
from sketchforge.images.tensors import to_tensor
from sketchforge.options import ExportOptions
from sketchforge.sketchers.tensors import MIN_DRAWN_SIDE
from sketchforge.sketchers.tom import STRIDE, TomSketcher
from sketchforge.synthesis.export import DEFAULT_RUN, find_snapshot
from sketchforge.synthesis.model_card import list_licences, quote_python
from sketchforge.synthesis.onnx import ENDING
from sketchforge.synthesis.onnx.convert import (
    TOLERANCE,
    TensorSpec,
    convert_network,
    measure_difference,
    require_packages,
)
from sketchforge.synthesis.onnx.networks import GreysNetwork, ImageNetwork
from sketchforge.synthesis.synthesizer import Synthesizer
from sketchforge.utils.files import sha256_of, write_bytes
from sketchforge.utils.markdown import Markdown, fill_markdown
from sketchforge.utils.outputs import check_new_file
from sketchforge.utils.versions import installed_version

if TYPE_CHECKING:
    from torch import Tensor, nn

CHECKED_SIZES = ((2, 64, 48), (1, 51, 75))  # images, height, width: TOM's
CHECKED_BATCHES = (1, 3)  # images, of the size that the model has
OWN_TERMS = (
    "The weights were made of the images of whoever trained them: the terms of that data decide what may be done with "
    "the network and what it makes. sketchforge itself is MIT-licensed and claims nothing."
)


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and the largest difference of its results from torch's."""

    path: Path
    card: Path
    difference: float


@dataclass(frozen=True)
class _Network:
    """What a file is made of, and the cases that it is compared on."""

    kind: str  # tom | autoencoder | gan | style2paints
    source: str  # the run as messages and the card name it
    network: nn.Module
    example: Sequence[Tensor]
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    cases: Sequence[tuple[Mapping[str, np.ndarray], np.ndarray]]
    digests: Mapping[str, str]
    licences: Sequence[str]
    styles: tuple[str, ...] = ()  # TOM's snapshots


def export_onnx(options: ExportOptions) -> OnnxExport:
    """Write `options.out`, FILE.onnx, and FILE.onnx.md, its card.

    With `options.tom` it holds TOM: all snapshots of the run, or the one that `options.snapshot` names. Else it holds the
    networks of `options.run`, which may also be an exported file or "builtin".

    The file is compared with torch by onnxruntime before it is written. Raises SketchforgeError where they differ by more
    than TOLERANCE, where torch cannot convert a network and where a package is missing; UsageError as `export` does.
    Nothing is written then.
    """
    out, card = options.out, options.out.with_name(f"{options.out.name}.md")
    if out.suffix != ENDING:
        raise UsageError(f"--out {out}: expected a file name that ends in {ENDING}")
    if options.snapshot is not None and options.tom is None:
        raise UsageError(f"--snapshot {options.snapshot}: of which run? add --tom RUN, or --tom builtin")
    if options.run is not None and options.tom is not None:
        raise UsageError(
            f"--run {options.run} and --tom {options.tom}: an ONNX file holds one of them; give --tom alone for "
            "sketches, --run alone for images"
        )
    for path in (out, card):
        check_new_file(path, "--out", options.overwrite)
    require_packages()
    part = (
        _load_model(options.run or DEFAULT_RUN)
        if options.tom is None
        else _load_tom(options.tom, options.snapshot)
    )
    metadata: dict[str, Any] = {
        "network": part.kind,
        "digests": dict(part.digests),
        "licence": " ".join(part.licences),
        "source": part.source,
    }
    if part.styles:
        metadata["styles"] = list(part.styles)
    model = convert_network(part.network, part.example, part.inputs, part.output, metadata)
    difference = measure_difference(model, part.cases)
    if difference > TOLERANCE:
        raise SketchforgeError(
            f"{out}: not written, for onnxruntime computes otherwise than torch, by up to {difference:.2g} "
            f"(at most {TOLERANCE:g} is expected); install other versions of onnx, onnxscript and onnxruntime"
        )
    write_bytes(out, model)
    write_bytes(card, _describe(out, part, difference).encode())
    return OnnxExport(out, card, difference)


def _load_tom(tom: Path, snapshot: str | None) -> _Network:
    import torch

    run = find_tom_run(tom)
    number = None if snapshot is None else find_snapshot(run, tom, snapshot)
    count = len((read_tom_run(run) or {}).get("snapshots") or [None]) if number is None else number + 1
    sketcher = TomSketcher.from_run(run, count, torch.device("cpu"))
    chosen = range(count) if number is None else [number]
    generators, styles = (
        [sketcher.generators[index] for index in chosen],
        tuple(sketcher.styles[index] for index in chosen),
    )
    size = ("batch", 3, "height", "width")
    image = TensorSpec(
        "image", size, -1, 1, f"RGB images of one size, {MIN_DRAWN_SIDE} x {MIN_DRAWN_SIDE} or more"
    )
    meaning = f"grey sketches, 0 = ink, 1 = paper, by {', '.join(styles)}"
    greys = TensorSpec("greys", ("batch", len(styles), "height", "width"), 0, 1, meaning)
    cases = []
    for shape in CHECKED_SIZES:
        images = to_tensor(_sample_photos(*shape))
        cases.append(({"image": images.numpy()}, _draw_greys(sketcher, images)[:, list(chosen)]))
    names = ("encoder", *styles)
    digests = {name: sketcher.digests[name] for name in names}
    if is_shipped_snapshot(set(digests.values())):
        licences = [f"The snapshots are some that come with sketchforge. Licence: {KNOWN['tom'].licence}."]
    else:
        licences = [OWN_TERMS, *filter(None, [describe_encoder({digests["encoder"]})])]
    return _Network(
        kind="tom",
        source=str(tom) if run != tom else run.absolute().name,
        network=GreysNetwork(sketcher.encoder, generators),
        example=[torch.zeros(2, 3, 48, 40)],
        inputs=(image,),
        output=greys,
        cases=cases,
        digests=digests,
        licences=licences,
        styles=styles,
    )


def _draw_greys(sketcher: TomSketcher, images: Tensor) -> np.ndarray:
    """float32 (B,3,H,W) in [-1, 1] -> (B,N,H,W) in [0, 1], before it becomes levels: by the networks of `render`."""
    from torch import nn

    height, width = images.shape[2:]
    missing = (0, -width % STRIDE, 0, -height % STRIDE)
    drawn = sketcher.sketches(nn.functional.pad(images, missing, mode="replicate"))
    return drawn[:, :, 0, :height, :width].numpy()


def _load_model(given: Path) -> _Network:
    import torch

    path = find_model(given)
    stored = read_model(path)
    if stored.system == "segin":
        raise UsageError(
            f"{given}: SEGIN is not exportable to ONNX: it finds the most similar patches of one image after the "
            "other, and near ties fall otherwise in another program; export it as .safetensors"
        )
    size = stored.autoencoder.size
    inputs = (
        TensorSpec("sketch", ("batch", 1, size, size), -1, 1, "line drawings, -1 = ink, 1 = paper"),
        TensorSpec("style", ("batch", 3, size, size), -1, 1, "RGB images whose style it takes"),
    )
    output = TensorSpec("image", ("batch", 3, size, size), -1, 1, "RGB images")
    network = ImageNetwork(stored)
    example = [torch.zeros(2, channels, size, size) for channels in (1, 3)]
    synthesizer = Synthesizer(stored, torch.device("cpu"))
    cases = []
    for count in CHECKED_BATCHES:
        photos = _sample_photos(count, size, size)
        drawings = np.where(photos[..., :1] < photos.mean(axis=(1, 2, 3), keepdims=True), 0, 255)
        sketch, style = to_tensor(drawings.astype(np.uint8)), to_tensor(photos[::-1])
        expected = synthesizer.synthesize_tensors(sketch, style).contiguous().numpy()
        cases.append(({"sketch": sketch.numpy(), "style": style.numpy()}, expected))
    return _Network(
        kind=stored.system if stored.refiner is None else "gan",
        source="builtin" if path == builtin_model() else given.absolute().name,
        network=network,
        example=example,
        inputs=inputs,
        output=output,
        cases=cases,
        digests={"images": synthesizer.digest},
        licences=_list_terms(given, path, stored),
    )


def _list_terms(given: Path, path: Path, stored: StoredModel) -> list[str]:
    if path == builtin_model():
        return [f"The model is the one that comes with sketchforge. Licence: {KNOWN['synthesizer'].licence}."]
    source = stored.metadata.get("exported_from")
    if source is None and given.is_dir():
        source = find_trained_run(given).record
    return [OWN_TERMS, *list_licences(stored, source if isinstance(source, Mapping) else {})]


def _sample_photos(count: int, height: int, width: int) -> np.ndarray:
    """Built-in photos, uint8 (count,height,width,3): smooth areas and fine detail, as images have them."""
    photos = load_photos()[:: len(load_photos()) // count][:count]
    return np.stack([resize_image(photo, height, width) for _, photo in photos])


def _describe(out: Path, part: _Network, difference: float) -> str:
    return fill_markdown(
        Path(__file__).parent,
        "onnx_card.md.jinja",
        file=out.name,
        sha256=sha256_of(out),
        part=part,
        tensors=[*part.inputs, part.output],
        any_size=part.kind == "tom",
        size=part.output.shape[-1],
        difference=f"{difference:.1e}",
        tolerance=f"{TOLERANCE:g}",
        made_with=f"sketchforge {installed_version('sketchforge')}",
        runtime=installed_version("onnxruntime"),
        python=_list_python(out.name, part),
        licences=[Markdown(text) for text in part.licences],
    )


def _list_python(file: str, part: _Network) -> list[str]:
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "from PIL import Image",
        "",
        f"session = onnxruntime.InferenceSession({quote_python(file)})",
    ]
    if part.kind == "tom":
        return [
            *lines,
            'photo = np.asarray(Image.open("photo.jpg").convert("RGB"), np.float32) / 127.5 - 1',
            '(greys,) = session.run(None, {"image": photo.transpose(2, 0, 1)[None]})',
            'Image.fromarray((greys[0, 0] * 255).round().astype(np.uint8)).save("sketch.png")',
        ]
    size = part.output.shape[-1]
    return [
        *lines,
        f'sketch = Image.open("drawing.png").convert("L").resize(({size}, {size}))',
        f'style = Image.open("painting.jpg").convert("RGB").resize(({size}, {size}))',
        "sketch = (np.asarray(sketch, np.float32) / 127.5 - 1)[None, None]",
        "style = (np.asarray(style, np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]",
        '(image,) = session.run(None, {"sketch": sketch, "style": style})',
        "levels = ((image[0].clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)",
        'Image.fromarray(levels.transpose(1, 2, 0)).save("image.png")',
    ]
