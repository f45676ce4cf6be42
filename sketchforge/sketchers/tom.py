"""TOM as a sketcher: one pass of the encoder, then N small generators on the same features."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.checkpoints.encoder import encoder_digest
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import (
    read_run_encoder,
    read_snapshot,
    read_tom_run,
    snapshot_path,
    tom_run_name,
)
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.models.encoder import Encoder
from sketchforge.models.tom import TomGenerator
from sketchforge.models.tom_inference import LeanInference, PaperInference, for_inference
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.tensors import check_pixels, draw_on, drawing_errors, extend_sides, to_levels
from sketchforge.utils.device import place, thread_pool
from sketchforge.utils.text import count_noun

# Of the coarsest map. Where a side is no multiple of it, the encoder's poolings leave out its last pixels, and what comes
# of a coarse map is stretched over them: lines would stand up to three pixels aside.
STRIDE = 8


class TomSketcher:
    """N styles, one per generator; see `Sketcher` for the contract.

    encoder: frozen. generators: in eval mode, with taps of that encoder. styles: their names. precision: the
    dtype that all compute in.
    """

    method = "tom"

    def __init__(
        self,
        encoder: Encoder,
        generators: Sequence[TomGenerator],
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
        self.encoder = place(encoder, device, precision)
        self.generators = [generator.eval().to(device) for generator in generators]
        self.drawings = [for_inference(generator, precision) for generator in self.generators]
        self._threads = torch.get_num_threads()
        self._pool = thread_pool(self._threads) if device.type == "cpu" else None

    @classmethod
    def from_run(
        cls,
        run: Path,
        count: int,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        or_all: bool = False,
    ) -> TomSketcher:
        """Load the first `count` snapshots of a finished run, whose order puts the most diverse ones first.

        or_all: all of them where it has fewer. Raises UsageError where, else, the run has fewer or has not finished, SketchforgeError where one of
        its files is missing, corrupt, foreign or newer.
        """
        try:
            record = read_tom_run(run)
        except UsageError:
            raise UsageError(
                f"--tom {run}: not a run of `sketchforge tom-train`{_list_nearby_runs(run)}"
            ) from None
        if record is None:
            raise UsageError(
                f"{run}: no trained generators there; run `sketchforge tom-train --run {run}` first, "
                f"or name a run as --tom{_list_nearby_runs(run)}"
            )
        snapshots = record.get("snapshots")
        if not snapshots:
            raise UsageError(
                f"{run}: its training has not finished; run `sketchforge tom-train --run {run}` with the "
                "options it was begun with to complete it, or draw with --tom builtin meanwhile"
            )
        if or_all:
            count = min(count, len(snapshots))
        if count > len(snapshots):
            raise UsageError(
                f"--checkpoints {count}: {tom_run_name(run)} has {count_noun(len(snapshots), 'snapshot')}; "
                "ask for that many or fewer"
            )
        encoder = read_run_encoder(run, record)
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
            return draw_on(self.device, self.sketches, pixels, self.method, STRIDE)
        cancelled = Event()
        height, width = pixels.shape[1:3]
        futures = self._submit_images(self._pool, extend_sides(pixels, STRIDE), cancelled)
        count = len(self.drawings)

        def images() -> Iterator[np.ndarray]:
            for start in range(0, len(futures), count):
                with drawing_errors(pixels, self.device):
                    sketches = np.concatenate(
                        [future.result() for future in futures[start : start + count]], axis=1
                    )[0]
                yield sketches[:, :height, :width]

        def cancel() -> None:
            cancelled.set()
            for future in futures:
                future.cancel()

        return Drawing(images, cancel)

    @torch.inference_mode()
    def sketches(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) in [-1, 1] -> float32 (B,N,1,H,W) in [0, 1], 1 = paper."""
        prepared = self._prepare(images)
        return self._stack_sketches([drawing(prepared) for drawing in self.drawings], images.shape[2:])

    def _submit_images(
        self, pool: Executor, pixels: np.ndarray, cancelled: Event
    ) -> list[Future[np.ndarray]]:
        """Submit all sketches to the pool: all of the first image, then all of the second, and so on.

        Images are drawn one by one, because the maps of one image fit a processor's caches and those of eight
        do not. As many images are prepared ahead as there are threads: with fewer a thread would wait, with
        more their maps would take more memory. This thread computes nothing, because torch would start
        threads for it that busy-wait.
        """
        ahead = deque[Future[Mapping[str, Tensor]]]()
        futures: list[Future[np.ndarray]] = []
        for image in pixels:
            if len(ahead) == self._threads:
                futures += self._submit_drawings(pool, ahead.popleft(), image.shape[:2])
            ahead.append(pool.submit(self._prepare_image, image, cancelled))
        for prepared in ahead:
            futures += self._submit_drawings(pool, prepared, pixels.shape[1:3])
        return futures

    def _submit_drawings(
        self, pool: Executor, prepared: Future[Mapping[str, Tensor]], size: Sequence[int]
    ) -> list[Future[np.ndarray]]:
        return [pool.submit(self._draw_sketch, drawing, prepared, size) for drawing in self.drawings]

    @torch.inference_mode()
    def _prepare_image(self, image: np.ndarray, cancelled: Event) -> Mapping[str, Tensor]:
        # `cancel` cannot reach these futures: keeping them would keep their maps in memory.
        if cancelled.is_set():
            raise CancelledError
        return self._prepare(to_tensor(image))

    def _prepare(self, images: Tensor) -> Mapping[str, Tensor]:
        """Prepare the features of images once for all generators, which in a run are all of one kind."""
        features = self.encoder(images.to(self.precision, memory_format=torch.channels_last), self.taps)
        return self.drawings[0].prepare(features)

    @torch.inference_mode()
    def _draw_sketch(
        self,
        drawing: LeanInference | PaperInference,
        prepared: Future[Mapping[str, Tensor]],
        size: Sequence[int],
    ) -> np.ndarray:
        return check_pixels(*to_levels(self._stack_sketches([drawing(prepared.result())], size)), self.method)

    @staticmethod
    def _stack_sketches(outputs: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """N of (B,1,H',W') in [-1, 1] -> (B,N,1,H,W) in [0, 1]; size: (H, W)."""
        sketches = torch.stack(list(outputs), dim=1).float()
        if sketches.shape[-2:] != tuple(size):
            # The paper's generator draws only multiples of 8; the missing border pixels become paper.
            missing = (0, size[1] - sketches.shape[-1], 0, size[0] - sketches.shape[-2])
            sketches = nn.functional.pad(sketches, missing, value=1.0)
        return sketches.add_(1).div_(2).clamp_(0, 1)


def open_all_snapshots(record: Path) -> TomSketcher:
    """Open all snapshots of the run whose run.json is `record`, on the CPU.

    Raises the errors of `TomSketcher.from_run`.
    """
    snapshots = (read_tom_run(record.parent) or {}).get("snapshots") or [None]
    return TomSketcher.from_run(record.parent, len(snapshots), torch.device("cpu"))


def _list_nearby_runs(run: Path) -> str:
    """List runs near a path that is no run, for a message to whoever named the wrong folder."""
    paths = [*run.glob("*/run.json"), *run.parent.glob("*/run.json"), *run.parent.glob("run.json")]
    runs = sorted({str(path.parent) for path in paths})[:3]
    return f"; there is {', '.join(runs)}" if runs else ""


def _check_taps(path: Path, generator: TomGenerator, encoder: Encoder) -> None:
    for tap, channels in zip(generator.taps, generator.tap_channels, strict=True):
        if tap not in encoder.tap_names() or encoder.tap_channels(tap) != channels:
            raise SketchforgeError(
                f"{path}: wants {channels} channels of {tap}, which the run's encoder does not have"
            )
