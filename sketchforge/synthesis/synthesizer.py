"""A trained model: sketches and style images -> images; with a snapshot of TOM also images -> sketches.

`sketchforge.load` opens one; docs/api.md shows its use. Shape letters: B batch, S side of the model's
images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.checkpoints.runs import find_model
from sketchforge.checkpoints.synthesizer import SketchPart, StoredModel, read_model
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import SketchforgeError
from sketchforge.images.image_like import ImageLike, list_images, to_rgb
from sketchforge.images.line_art import binarize
from sketchforge.images.resize import fit_square, resize_image, shrink_to
from sketchforge.images.tensors import to_tensor, to_uint8
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.diffsketching import DiffSketching, Sampling, SketchBlend
from sketchforge.models.noise import draw_noise, sample_maps
from sketchforge.options import TOM_LOW_THRESHOLD, RenderOptions, default_draw_size
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.fitting import (
    DRAWN_SIDE,
    FittedSketch,
    ink_area,
    prepare_drawing,
    prepare_grey,
    prepare_style,
)
from sketchforge.utils.device import choose_device

GPU_BATCH = 16
LEAST_DRAWN = 32  # pixels; of smaller images the encoder's deepest maps have no interior


def load_model(path: str | Path, device: str = "auto") -> Synthesizer:
    """The model in an exported file, a run folder of a training of image models, or the model file there; "builtin".

    device: auto, cpu, cuda, cuda:N or mps. Raises UsageError for a path or device that is not there, a file of
    another format and an unfinished run, SketchforgeError for a file that is corrupt or newer.
    """
    chosen = choose_device(device)
    return Synthesizer(read_model(find_model(Path(path))), chosen)


class Synthesizer:
    """A model in memory.

    An *image* is a path, a PIL image, or a uint8 array, H×W×3 RGB or H×W grey, of any size from 1×1. A method
    that takes images takes one or a list of them: for one it returns one, for a list a list. Results are
    uint8: H×W×3 RGB images, H×W sketches of 0 (ink) and 255 (paper).

    On a CPU every image is a batch by itself, so that to the last bit it depends on nothing else in the list:
    kernels for batches add up in another order, which moves values in [-1, 1] by up to 1e-6 or so.
    """

    def __init__(self, stored: StoredModel, device: torch.device) -> None:
        placement: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
        self.device = device
        self.metadata: Mapping[str, Any] = stored.metadata  # of the file: recipe, steps, figures, …
        self._system = stored.system
        self.takes_grey = stored.takes_grey  # photos, to be colourised, in place of sketches
        self._autoencoder = stored.autoencoder.to(**placement)
        self.sampling: Sampling | None = getattr(stored.autoencoder, "sampling", None)  # of DiffSketching
        self._refiner = None if stored.refiner is None else stored.refiner.to(**placement)
        self._sketcher = None if stored.sketch_part is None else sketcher_of(stored.sketch_part, device)

    def __repr__(self) -> str:
        return f"<Synthesizer: {self.size} pixels, {self.kind}, on {self.device}>"

    @property
    def kind(self) -> str:
        """What makes the images: "refined", "auto-encoder alone" or the name of another system."""
        return (
            "refined"
            if self.refines
            else {"autoencoder": "auto-encoder alone"}.get(self._system, self._system)
        )

    @property
    def size(self) -> int:
        """S: the side in pixels of the square that images are made in."""
        return self._autoencoder.size

    @property
    def refines(self) -> bool:
        """True where there is a refiner (`gan-train`), False for the auto-encoder alone and the other systems."""
        return self._refiner is not None

    @property
    def num_times(self) -> int:
        """The time steps of the noise schedule of a model that samples; 0 of others."""
        model = self._autoencoder
        return model.schedule.num_times if isinstance(model, DiffSketching) else 0

    @property
    def takes_noise(self) -> bool:
        return self.needs_noise or (self._refiner is not None and self._refiner.noise)

    @property
    def needs_noise(self) -> bool:
        """Whether every image begins as noise (DiffSketching): where no seed is named, it is 0."""
        return isinstance(self._autoencoder, DiffSketching)

    @property
    def sketcher(self) -> TomSketcher | None:
        """The model's own snapshot of TOM; None where it was exported without one."""
        return self._sketcher

    @property
    def digest(self) -> str:
        """SHA-256 of the weights that make images: the same for a run and for the file exported from it."""
        parts: dict[str, nn.Module] = {self._system: self._autoencoder} | (
            {"refiner": self._refiner} if self._refiner else {}
        )
        return tensors_digest(
            {f"{part}.{name}": x for part, net in parts.items() for name, x in net.state_dict().items()}
        )

    @property
    def num_parameters(self) -> int:
        """Of all networks that make images, frozen ones (of hints, of matching) included."""
        networks = [self._autoencoder, *([self._refiner] if self._refiner else [])]
        return sum(parameter.numel() for network in networks for parameter in network.parameters())

    @torch.inference_mode()
    def style_vectors(self, images: Tensor) -> Tensor:
        """f_style (Style2Paints: hints; SEGIN, DiffSketching: statistics of a layer) of images: (B,3,S,S) float32 in [-1, 1], any device -> (B,D) on the model's."""
        return self._autoencoder.encode_style(
            images.to(device=self.device, memory_format=torch.channels_last)
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that guide it (DiffSketching of shards with classes); () for other models."""
        return self._autoencoder.classes if isinstance(self._autoencoder, DiffSketching) else ()

    # A text is an image, no sequence of them.
    @overload
    def sketch(self, images: ImageLike) -> np.ndarray: ...  # type: ignore[overload-overlap]
    @overload
    def sketch(self, images: Sequence[ImageLike]) -> list[np.ndarray]: ...
    def sketch(self, images: ImageLike | Sequence[ImageLike]) -> np.ndarray | list[np.ndarray]:
        """Images -> sketches, uint8 H×W of 0 and 255, by the model's own snapshot of TOM.

        The aspect is kept; the longer side becomes S, or 256 pixels for smaller models. Sketches are
        binarized as by `sketchforge render`. Raises SketchforgeError where the model has no such snapshot,
        ImageError for a path that cannot be read, ValueError for other arrays.
        """
        if self._sketcher is None:
            raise SketchforgeError(
                "this model cannot draw sketches; export it with a snapshot, as by "
                "`sketchforge export --tom builtin`"
            )
        sources, single = list_images(images)
        sketches = [draw_sketch(self._sketcher, to_rgb(image), self.size) for image in sources]
        return sketches[0] if single else sketches

    @overload
    def synthesize(  # type: ignore[overload-overlap]
        self,
        sketches: ImageLike,
        styles: ImageLike,
        keys: Sequence[object] | None = None,
        noise: int | None = None,
        *,
        raw: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray: ...
    @overload
    def synthesize(
        self,
        sketches: ImageLike | Sequence[ImageLike],
        styles: ImageLike | Sequence[ImageLike],
        keys: Sequence[object] | None = None,
        noise: int | None = None,
        *,
        raw: bool = False,
        batch_size: int | None = None,
    ) -> list[np.ndarray]: ...
    def synthesize(
        self,
        sketches: ImageLike | Sequence[ImageLike],
        styles: ImageLike | Sequence[ImageLike],
        keys: Sequence[object] | None = None,
        noise: int | None = None,
        *,
        raw: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Paint each sketch in the style of its style image: uint8 H×W×3 with the longer side S.

        sketches, styles: images, in one of three forms:

            list, list of the same length  -> a list: each sketch with the style at its index
            one image, list (either way)   -> a list: the one image with each of the list
            one image, one image           -> one image

        Of a style image the largest centred square is used. A sketch may have any aspect; the result has the
        same. A sketch is made black on white first, as docs/hand-drawn.md says; raw leaves that out. A model that
        takes greys (`takes_grey`) colourises photos in place of sketches.
        noise: a seed; the refiner then gets noise that depends on the seed and the image's key alone.
        None: no noise; DiffSketching's begins as that of seed 0. keys: one per result, by default 0, 1, 2, …
        batch_size: the images per batch; by default 1 on a CPU (see above), else 16.

        Raises ValueError for lists of different lengths, noise where the model takes none, and arrays that
        are no images; ImageError for a path that cannot be read.
        """
        drawings, single_drawing = list_images(sketches)
        images, single_style = list_images(styles)
        count = len(images) if single_drawing else len(drawings)
        if not single_style and len(images) != count:
            raise ValueError(
                f"{len(drawings)} sketches and {len(images)} styles: expected as many of each, or one"
            )
        fitted = [self.fit_input(to_rgb(drawing), raw) for drawing in drawings]
        styled = [prepare_style(to_rgb(image), self.size) for image in images]
        fitted = fitted * count if single_drawing else fitted
        styled = styled * count if single_style else styled
        results = list(
            self.generate(fitted, styled, range(count) if keys is None else keys, noise, batch_size)
        )
        return results[0] if single_drawing and single_style else results

    def fit_input(self, image: np.ndarray, raw: bool = False) -> FittedSketch:
        """uint8 H×W×3 RGB -> as `generate` takes it: a drawing black on white, or the grey of a photo."""
        if self.takes_grey:
            return prepare_grey(image, self.size)
        return prepare_drawing(image, self.size, raw)

    def generate(
        self,
        sketches: Sequence[FittedSketch],
        styles: Sequence[np.ndarray],
        keys: Sequence[object],
        noise: int | None = None,
        batch_size: int | None = None,
    ) -> Iterator[np.ndarray]:
        """`synthesize` for sketches that are fitted already and styles of uint8 S×S×3; yields the results."""
        if not len(sketches) == len(styles) == len(keys):
            raise ValueError(
                f"{len(sketches)} sketches, {len(styles)} styles, {len(keys)} keys: expected as many of each"
            )
        size = batch_size or self.batch_size
        for start in range(0, len(sketches), size):
            batch = slice(start, start + size)
            squares = to_tensor(np.stack([sketch.square for sketch in sketches[batch]])[..., None])
            result = self.synthesize_tensors(
                squares, to_tensor(np.stack(styles[batch])), keys[batch], noise, blend_of(sketches[batch])
            )
            for sketch, image in zip(sketches[batch], to_uint8(result), strict=True):
                yield np.ascontiguousarray(sketch.cut(image))

    @property
    def batch_size(self) -> int:
        """The default number of images per batch."""
        return 1 if self.device.type == "cpu" else GPU_BATCH

    @torch.inference_mode()
    def synthesize_tensors(
        self,
        sketches: Tensor,
        styles: Tensor,
        keys: Sequence[object] | None = None,
        noise: int | None = None,
        blend: SketchBlend | None = None,
    ) -> Tensor:
        """(B,1,S,S), 1 = paper, and (B,3,S,S), float32 in [-1, 1], any device -> (B,3,S,S) on the model's.

        The images are one batch, whatever the device. keys, noise: as for `synthesize`. blend: second sketches, for a
        model that samples. Raises ValueError for other shapes, and for noise or a blend where the model takes none.
        """
        if len(sketches) != len(styles):
            raise ValueError(f"{len(sketches)} sketches and {len(styles)} styles: expected as many of each")
        if noise is not None and not self.takes_noise:
            raise ValueError("noise is asked for, but this model was trained without; leave it out")
        sketches, styles = (
            images.to(device=self.device, memory_format=torch.channels_last) for images in (sketches, styles)
        )
        model, refiner = self._autoencoder, self._refiner
        if isinstance(model, DiffSketching):
            assert self.sampling is not None
            names = range(len(styles)) if keys is None else keys
            start = sample_maps((3, self.size, self.size), names, noise or 0, self.device)
            if blend is not None:
                blend = SketchBlend(blend.sketches.to(self.device), blend.weights.to(self.device))
            return model.sample(sketches, styles, start, self.sampling, blend)
        if blend is not None:
            raise ValueError("two sketches for one image are asked for, but this model takes one")
        if refiner is None:
            return model(sketches, styles).float()
        assert isinstance(model, AutoEncoder)  # which alone is refined
        style = model.encode_style(styles)
        image, sampled = model.decode(model.encode_content(sketches), style), None
        if noise is not None:
            sampled = draw_noise(refiner.noise_sides, keys or range(len(styles)), noise).to(self.device)
        return refiner(image, style, sampled).float()


def blend_of(sketches: Sequence[FittedSketch]) -> SketchBlend | None:
    """The second sketches of a batch; None where no sketch has one."""
    if all(sketch.second is None for sketch in sketches):
        return None
    squares = [sketch.square if sketch.second is None else sketch.second for sketch in sketches]
    weights = torch.tensor([sketch.weight for sketch in sketches])
    return SketchBlend(to_tensor(np.stack(squares)[..., None]), weights)


def sketcher_of(part: SketchPart, device: torch.device) -> TomSketcher:
    return TomSketcher(part.encoder, [part.generator], [part.style], device)


def draw_sketch(sketcher: TomSketcher, image: np.ndarray, size: int) -> np.ndarray:
    """uint8 H×W×3 RGB -> uint8 H×W of 0 and 255, by the sketcher's first style and `render`'s defaults.

    The aspect is kept; the longer side becomes max(size, DRAWN_SIDE) pixels.
    """
    side = max(size, DRAWN_SIDE)
    image = fit_square(image, side, "pad")[ink_area(image.shape[0], image.shape[1], side)]
    height, width = image.shape[:2]
    small = shrink_to(image, default_draw_size(side))
    padding = [max(0, LEAST_DRAWN - length) for length in small.shape[:2]]
    padded = cv2.copyMakeBorder(small, 0, padding[0], 0, padding[1], cv2.BORDER_REPLICATE)
    grey = sketcher.draw(padded[None]).result()[0, 0, : small.shape[0], : small.shape[1]]
    return binarize(resize_image(grey, height, width), RenderOptions.threshold, TOM_LOW_THRESHOLD)
