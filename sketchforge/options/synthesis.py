"""The options of what is done with trained models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportOptions:
    """`sketchforge export`: a finished run -> one file with all that synthesis needs, and its model card.

    An `out` that ends in .onnx is for programs without torch: TOM where `tom` is given, else the model of `run`.
    """

    run: Path | None = (
        None  # of a training of image models; for .onnx also a file or "builtin"; None: runs/gan
    )
    out: Path = Path("model.safetensors")
    tom: Path | None = None  # a run of tom-train, or "builtin", of which to include a snapshot; None: none
    snapshot: str | None = None  # its name or number; None: the first, for .onnx all
    overwrite: bool = False  # replace an existing file


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """Options that all commands share that synthesize images with a trained model."""

    model: Path | None = (
        None  # an exported file, a run folder or "builtin"; None: runs/gan, runs/ae or built-in
    )
    style: tuple[str, ...] = ()  # images as `find_images` takes them; none: built-in photos
    out: Path = Path("made")
    noise: bool = False
    seed: int = 0  # of the noise
    # Of DiffSketching alone; None: what the model was trained with.
    class_name: str | None = None  # that its classifier guides to; None: no class
    class_scale: float | None = None  # how strongly the class guides
    sampling_steps: int | None = None  # of DDIM; fewer are quicker
    strength: float | None = None  # share of the noise levels that the style image goes through, above 0 to 1
    sketch_scale: float | None = None  # how strongly the sketch guides; 0: not at all
    batch_size: int | None = None  # images per batch; None: one on a CPU, else 16
    overwrite: bool = False
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions(SynthesisOptions):
    """`sketchforge synthesize`: sketches drawn out in the style of style images."""

    sketch: tuple[str, ...] = ()  # as style; none: built-in drawings
    pairs: bool = False  # sketch and style of one name, not every sketch with every style
    raw: bool = False  # take sketches as they are; do not turn them into black on white first
    images_per_sketch: int = 1  # of each style, from noise of their own
    interpolate: int = 0  # images between two sketches, of DiffSketching


@dataclass(frozen=True, kw_only=True)
class MixOptions(SynthesisOptions):
    """`sketchforge mix`: sketches drawn out in the style of two or four style images at once (Fig. 7)."""

    sketch: tuple[str, ...] = ()
    raw: bool = False


@dataclass(frozen=True, kw_only=True)
class TransferOptions(SynthesisOptions):
    """`sketchforge transfer`: images, sketched by TOM, drawn out in the style of style images (Fig. 9)."""

    content: tuple[str, ...] = ()  # as style; none: built-in photos
    tom: Path | None = None  # a run of tom-train, or "builtin"; None: the model's snapshot, else as `render`
    checkpoint: int | None = None  # which snapshot draws, counted from 0 in the run's order
