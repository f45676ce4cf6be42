"""TOM as a sketcher: one pass of the encoder, then N small generators on the same features."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.checkpoints.encoder import encoder_digest, read_encoder
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import ENCODER_FILE, read_snapshot, read_tom_run, snapshot_path, tom_run_name
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import Encoder
from sketchforge.models.tom_inference import LeanInference, PaperInference, for_inference
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.tensors import check_pixels, draw_on, drawing_errors, to_levels
from sketchforge.utils.device import thread_pool


class TomSketcher:
    """N styles, one per generator; see `Sketcher` for the contract.

    encoder: frozen; generators: in eval mode, fed with taps of that encoder; styles: their names; precision: what they
    compute in.
    """

    method = "tom"

    def __init__(
        self,
        encoder: Encoder,
        generators: Sequence[nn.Module],
        styles: Sequence[str],
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.styles, self.device, self.precision = tuple(styles), device, precision
        self.taps = sorted({tap for generator in generators for tap in generator.taps})
        self.digests: Mapping[str, str] = {"encoder": encoder_digest(encoder)} | {
            style: tensors_digest(generator.state_dict())
            for style, generator in zip(styles, generators, strict=True)
        }
        self.encoder = encoder.to(device, precision, memory_format=torch.channels_last)
        self.generators = [generator.eval().to(device) for generator in generators]
        self.drawings = [for_inference(generator, precision) for generator in self.generators]
        self._threads = torch.get_num_threads()
        self._pool = thread_pool(self._threads) if device.type == "cpu" else None

    @classmethod
    def from_run(
        cls, run: Path, count: int, device: torch.device, precision: torch.dtype = torch.float32
    ) -> TomSketcher:
        """The first `count` snapshots of a finished run; they are stored so that any first few differ most.

        Raises UsageError when the run has fewer, SketchforgeError when there is no finished run or a file of it is
        missing, corrupt, foreign or newer.
        """
        try:
            record = read_tom_run(run)
        except UsageError:
            raise UsageError(f"--tom {run}: not a run of `sketchforge tom-train`{_others(run)}") from None
        if record is None:
            raise SketchforgeError(
                f"{run}: no trained generators there; run `sketchforge tom-train --run {run}` first, or name a run "
                f"as --tom{_others(run)}"
            )
        snapshots = record.get("snapshots")
        if not snapshots:
            raise SketchforgeError(
                f"{run}: its training has not finished; run `sketchforge tom-train --run {run}` with the options it "
                "was begun with to complete it, or draw with --tom builtin meanwhile"
            )
        if count > len(snapshots):
            raise UsageError(
                f"--checkpoints {count}: {tom_run_name(run)} has {len(snapshots)} snapshots; ask for that many or fewer"
            )
        encoder = read_encoder(run / ENCODER_FILE)
        if encoder_digest(encoder) != record.get("encoder"):
            raise SketchforgeError(
                f"{run / ENCODER_FILE}: is not the encoder that this run was trained with; "
                "restore the file, or train a run in another folder"
            )
        generators = []
        for number in range(count):
            path = snapshot_path(run, number)
            generator, _ = read_snapshot(path)
            if tensors_digest(generator.state_dict()) != snapshots[number]["digest"]:
                raise SketchforgeError(
                    f"{path}: differs from what {run}/run.json recorded; restore the file, or "
                    "train a run in another folder"
                )
            _check_taps(path, generator, encoder)
            generators.append(generator)
        return cls(
            encoder, generators, [snapshot["style"] for snapshot in snapshots[:count]], device, precision
        )

    def draw(self, pixels: np.ndarray) -> Drawing:
        if self._pool is None:
            return draw_on(self.device, self.sketches, pixels, self.method)
        given_up = Event()
        begun = self._begun(pixels, given_up)
        count = len(self.drawings)

        def images() -> Iterator[np.ndarray]:
            for at in range(0, len(begun), count):
                with drawing_errors(pixels, self.device):
                    drawn = np.concatenate([one.result() for one in begun[at : at + count]], axis=1)[0]
                yield drawn

        def cancel() -> None:
            given_up.set()
            for one in begun:
                one.cancel()

        return Drawing(images, cancel)

    @torch.inference_mode()
    def sketches(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) in [-1, 1] -> float32 (B,N,1,H,W) in [0, 1], 1 = paper."""
        prepared = self._prepared(images)
        return self._together([drawing(prepared) for drawing in self.drawings], images.shape[2:])

    def _begun(self, pixels: np.ndarray, given_up: Event) -> list[Future[np.ndarray]]:
        """Sketches of the first image by every generator, of the second one, and so on, each being drawn.

        One by one: the maps of one image fit a processor's caches, those of eight do not. So many images are
        prepared ahead that no thread waits for one, and no more, for these maps are what takes memory. This thread
        computes nothing: torch would start threads for it that wait by turning in circles.
        """
        ahead = deque[Future[Mapping[str, Tensor]]]()
        begun: list[Future[np.ndarray]] = []
        for image in pixels:
            if len(ahead) == self._threads:
                begun += self._submitted(ahead.popleft(), image.shape[:2])
            ahead.append(self._pool.submit(self._prepared_pixels, image, given_up))
        for prepared in ahead:
            begun += self._submitted(prepared, pixels.shape[1:3])
        return begun

    def _submitted(
        self, prepared: Future[Mapping[str, Tensor]], size: Sequence[int]
    ) -> list[Future[np.ndarray]]:
        return [self._pool.submit(self._drawn, drawing, prepared, size) for drawing in self.drawings]

    @torch.inference_mode()
    def _prepared_pixels(self, image: np.ndarray, given_up: Event) -> Mapping[str, Tensor]:
        if given_up.is_set():  # futures of these are not kept: their maps would be, too
            raise CancelledError
        return self._prepared(to_tensor(image))

    def _prepared(self, images: Tensor) -> Mapping[str, Tensor]:
        """All generators of a run are of one kind, so what they are fed is prepared once."""
        features = self.encoder(images.to(self.precision, memory_format=torch.channels_last), self.taps)
        return self.drawings[0].prepare(features)

    @torch.inference_mode()
    def _drawn(
        self,
        drawing: LeanInference | PaperInference,
        prepared: Future[Mapping[str, Tensor]],
        size: Sequence[int],
    ) -> np.ndarray:
        return check_pixels(*to_levels(self._together([drawing(prepared.result())], size)), self.method)

    @staticmethod
    def _together(drawn: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """N of (B,1,H',W') in [-1, 1] -> (B,N,1,H,W) in [0, 1]."""
        sketches = torch.stack(drawn, dim=1).float()
        if sketches.shape[-2:] != tuple(size):
            # The paper's generator only makes multiples of 8; the few missing border pixels are paper.
            missing = (0, size[1] - sketches.shape[-1], 0, size[0] - sketches.shape[-2])
            sketches = nn.functional.pad(sketches, missing, value=1.0)
        return sketches.add_(1).div_(2).clamp_(0, 1)


def open_all_snapshots(record: Path) -> TomSketcher:
    """Every snapshot of the run whose run.json is `record`, on the CPU. Raises what `TomSketcher.from_run` does."""
    snapshots = (read_tom_run(record.parent) or {}).get("snapshots") or [None]
    return TomSketcher.from_run(record.parent, len(snapshots), torch.device("cpu"))


def _others(run: Path) -> str:
    """The runs around a path that is none, for whoever named the wrong folder."""
    near = [*run.glob("*/run.json"), *run.parent.glob("*/run.json"), *run.parent.glob("run.json")]
    found = sorted({str(path.parent) for path in near})[:3]
    return f"; there is {', '.join(found)}" if found else ""


def _check_taps(path: Path, generator: nn.Module, encoder: Encoder) -> None:
    for tap, channels in zip(generator.taps, generator.tap_channels, strict=True):
        if tap not in encoder.tap_names() or encoder.tap_channels(tap) != channels:
            raise SketchforgeError(
                f"{path}: wants {channels} channels of {tap}, which the run's encoder does not have"
            )
