"""TOM as a sketcher: one pass of the encoder, then N small generators on the same features."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.checkpoint import digest_of
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.models.tom_drawing import LeanDrawing, PaperDrawing, ready_to_draw
from sketchforge.sketchers.tensors import drawn_pixels
from sketchforge.threads import thread_map
from sketchforge.tom_run import ENCODER_FILE, read_run, read_snapshot, run_name, snapshot_path
from sketchforge.weights import encoder_digest, read_encoder


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
            style: digest_of(generator.state_dict()) for style, generator in zip(styles, generators, strict=True)
        }
        self.encoder = encoder.to(device, precision, memory_format=torch.channels_last)
        self.generators = [generator.eval().to(device) for generator in generators]
        self.drawings = [ready_to_draw(generator, precision) for generator in self.generators]
        self._map = thread_map(torch.get_num_threads()) if device.type == "cpu" else map

    @classmethod
    def from_run(
        cls, run: Path, count: int, device: torch.device, precision: torch.dtype = torch.float32
    ) -> TomSketcher:
        """The first `count` snapshots of a finished run; they are stored so that any first few differ most.

        Raises UsageError when the run has fewer, SketchforgeError when there is no finished run or a file of it is
        missing, corrupt, foreign or newer.
        """
        try:
            record = read_run(run)
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
            raise UsageError(f"--checkpoints {count}: {run_name(run)} has {len(snapshots)} snapshots; ask for that many or fewer")
        encoder = read_encoder(run / ENCODER_FILE)
        if encoder_digest(encoder) != record["encoder"]:
            raise SketchforgeError(f"{run / ENCODER_FILE}: is not the encoder that this run was trained with; "
                                   "restore the file or train again with --fresh")
        generators = []
        for number in range(count):
            path = snapshot_path(run, number)
            generator, _ = read_snapshot(path)
            if digest_of(generator.state_dict()) != snapshots[number]["digest"]:
                raise SketchforgeError(f"{path}: differs from what {run}/run.json recorded; restore the file or "
                                       "train again with --fresh")
            _check_taps(path, generator, encoder)
            generators.append(generator)
        return cls(encoder, generators, [snapshot["style"] for snapshot in snapshots[:count]], device, precision)

    def draw(self, pixels: np.ndarray) -> np.ndarray:
        return drawn_pixels(self.sketches, pixels, self.device, self.method)

    def sketches(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) in [-1, 1] -> float32 (B,N,1,H,W) in [0, 1], 1 = paper."""
        # On a CPU one by one: the maps of one image fit its caches, those of eight do not.
        parts = images.split(1 if images.device.type == "cpu" else len(images))
        prepared = list(self._map(self._prepared, parts))
        drawn = list(self._map(_drawn, *zip(*itertools.product(prepared, self.drawings), strict=True)))
        with torch.inference_mode():
            count = len(self.drawings)
            sketches = torch.cat([
                torch.stack(drawn[at : at + count], dim=1) for at in range(0, len(drawn), count)
            ]).float()  # fmt: skip
            if sketches.shape[-2:] != images.shape[-2:]:
                # The paper's generator only makes multiples of 8; the few missing border pixels are paper.
                height, width = images.shape[-2:]
                missing = (0, width - sketches.shape[-1], 0, height - sketches.shape[-2])
                sketches = nn.functional.pad(sketches, missing, value=1.0)
            return sketches.add_(1).div_(2).clamp_(0, 1)

    @torch.inference_mode()
    def _prepared(self, images: Tensor) -> dict[str, Tensor]:
        """All generators of a run are of one kind, so what they are fed is prepared once."""
        features = self.encoder(images.to(self.precision, memory_format=torch.channels_last), self.taps)
        return self.drawings[0].prepare(features)


@torch.inference_mode()
def _drawn(prepared: Mapping[str, Tensor], drawing: LeanDrawing | PaperDrawing) -> Tensor:
    """(B,1,H',W') in [-1, 1], of the size that the generator makes."""
    return drawing(prepared)


def _others(run: Path) -> str:
    """The runs around a path that is none, for whoever named the wrong folder."""
    near = [*run.glob("*/run.json"), *run.parent.glob("*/run.json"), *run.parent.glob("run.json")]
    found = sorted({str(path.parent) for path in near})[:3]
    return f"; there is {', '.join(found)}" if found else ""


def _check_taps(path: Path, generator: nn.Module, encoder: Encoder) -> None:
    for tap, channels in zip(generator.taps, generator.tap_channels, strict=True):
        if tap not in encoder.tap_names() or encoder.tap_channels(tap) != channels:
            raise SketchforgeError(f"{path}: wants {channels} channels of {tap}, which the run's encoder does not have")
