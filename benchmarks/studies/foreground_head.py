"""Train, measure and ship the foreground head: where the subject of a picture is, from the encoder's features.

    python benchmarks/studies/foreground_head.py train --data DATA --run runs/foreground
    python benchmarks/studies/foreground_head.py measure --data DATA --run runs/foreground
    python benchmarks/studies/foreground_head.py sheet --data DATA --run runs/foreground --centre-power P
    python benchmarks/studies/foreground_head.py ship --run runs/foreground --centre-power P

`train` resumes where it was stopped. DATA (default: the variable SKETCHFORGE_TEST_DATA) holds photos/cutouts and
photos/free_backgrounds, for `measure` photos/bsds500 too. The encoder's features are most of the cost, so that a
pool of pictures is kept, a few of them new at each step (foreground_composites.py composes them).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from foreground_composites import compose  # noqa: E402
from foreground_material import Material, load_material  # noqa: E402
from foreground_measure import centre_prior, composite_overlap, measure  # noqa: E402
from foreground_subjects import BSDS_SUBJECTS  # noqa: E402

from sketchforge.checkpoints.catalog import KNOWN  # noqa: E402
from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.checkpoints.foreground import read_foreground_head, write_foreground_head  # noqa: E402
from sketchforge.checkpoints.tensor_files import read_metadata, tensors_digest  # noqa: E402
from sketchforge.images.tensors import to_tensor  # noqa: E402
from sketchforge.models.encoder import Encoder  # noqa: E402
from sketchforge.models.foreground_head import (
    INPUT_SIDE,
    MASK_SIDE,
    TAPS,
    ForegroundHead,
    foreground_features,
)  # noqa: E402
from sketchforge.strokes.foreground import find_foreground  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.seeding import numpy_generator, torch_generator  # noqa: E402
from trainers.ema import ema_update  # noqa: E402
from trainers.loop import Progressed  # noqa: E402
from trainers.state import restore_state, save_state  # noqa: E402

BATCH = 12
FRESH = 1  # new pictures a step, the oldest of the pool leave
POOL = 2048
FIRST_POOL = 768  # to begin with
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 1e-3, 100
DICE_WEIGHT = 0.5
EMA_DECAY = 0.998
SAVE_EVERY = 200
HEAD_FILE = "foreground.safetensors"
COLOUR_BLUR = 4.0  # pixels of a mask
SHEET_FOLDERS = {  # of the contact sheet, beside twelve of BSDS500 val
    **{
        f"photos/pacs/{kind}": 1 + (kind == "person")
        for kind in ("dog", "elephant", "giraffe", "horse", "person")
    },
    "faces/celebahq_1024": 2,
    "paintings/pacs/dog": 1,
    "paintings/pacs/horse": 1,
    "paintings/pacs/person": 2,
}


class Pool:
    """Features in float16, masks and weights of the last POOL pictures."""

    def __init__(self, material: Material, encoder: Encoder, seed: int) -> None:
        self.material, self.encoder, self.seed = material, encoder, seed
        self.rows: dict[int, tuple[dict[str, Tensor], Tensor, Tensor]] = {}

    def hold(self, first: int, end: int) -> None:
        """Hold the pictures `first` … `end` - 1."""
        for number in [number for number in self.rows if number < first]:
            del self.rows[number]
        for number in range(first, end):
            if number not in self.rows:
                composite = compose(self.material, self.seed, number)
                features = {tap: x.half() for tap, x in extract(self.encoder, composite.pixels).items()}
                mask, weight = (torch.from_numpy(x)[None, None] for x in (composite.mask, composite.weight))
                self.rows[number] = features, mask, weight

    def batch(self, numbers: list[int]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        rows = [self.rows[number] for number in numbers]
        features = {name: torch.cat([row[0][name] for row in rows]).float() for name in rows[0][0]}
        return features, torch.cat([row[1] for row in rows]), torch.cat([row[2] for row in rows])


@torch.no_grad()
def extract(encoder: Encoder, pixels: np.ndarray) -> dict[str, Tensor]:
    return foreground_features(encoder, to_tensor(pixels).contiguous(memory_format=torch.channels_last))


def head_loss(logits: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy, and half of 1 - Dice per picture."""
    entropy = F.binary_cross_entropy_with_logits(logits, mask, weight=weight)
    probability = logits.sigmoid() * weight
    both = (probability * mask).sum((1, 2, 3))
    dice = (2 * both + 20) / (probability.sum((1, 2, 3)) + (mask * weight).sum((1, 2, 3)) + 20)
    return entropy + DICE_WEIGHT * (1 - dice).mean()


def learning_rate(step: int, steps: int) -> float:
    return LEARNING_RATE * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))


def new_head(encoder: Encoder, seed: int) -> ForegroundHead:
    head = ForegroundHead({tap: encoder.tap_channels(tap) for tap in TAPS})
    generator = torch_generator(seed, "foreground head")
    for name, weight in head.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        else:
            torch.nn.init.zeros_(weight)
    return head


def train(data: Path, run: Path, steps: int, seed: int) -> None:
    run.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder("builtin").to(memory_format=torch.channels_last)
    pool = Pool(load_material(data, held_out=False), encoder, seed)
    head, ema = new_head(encoder, seed), new_head(encoder, seed)
    optimizer = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    head.to(memory_format=torch.channels_last)
    parts = {"head": head, "ema": ema, "optimizer": optimizer}
    identity = {"seed": seed, "steps": steps}
    done = restore_state(run, parts, torch.device("cpu"), identity, steps, lambda extra: None).step
    begun, total = time.monotonic(), 0.0
    for step in range(done, steps):
        end = FIRST_POOL + FRESH * step
        pool.hold(max(0, end - POOL), end)
        rng = numpy_generator(seed, "foreground batch", step)
        numbers = (
            list(range(end - FRESH, end)) + rng.integers(max(0, end - POOL), end, BATCH - FRESH).tolist()
        )
        features, mask, weight = pool.batch(numbers)
        torch.manual_seed(step)  # of the dropout
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = head_loss(head.train()(features), mask, weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        ema_update(ema, head, min(EMA_DECAY, (1 + step) / (10 + step)))
        total += float(loss.detach())
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_state(run, Progressed(step + 1), parts, {}, identity)
            write_foreground_head(run / HEAD_FILE, ema, encoder, {"step": step + 1, "centre_power": 1.0})
            seconds = (time.monotonic() - begun) / (step + 1 - done)
            print(f"{step + 1}  loss {total / SAVE_EVERY:.4f}  {seconds:.2f} s a step", flush=True)
            total = 0.0


def find_with(head_path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 NxSxSx3 -> float32 NxMxM, the head's probabilities without a prior."""
    encoder = load_encoder("builtin")
    head, _ = read_foreground_head(head_path, encoder)

    def find(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.stack([head(extract(encoder, picture))[0, 0].sigmoid().numpy() for picture in pixels])

    return find


def find_by_colour(pixels: np.ndarray) -> np.ndarray:
    """The colour method (sketchforge/strokes/foreground.py), at the size of the head's masks."""
    size = MASK_SIDE, MASK_SIDE
    masks = [cv2.resize(find_foreground(picture), size, interpolation=cv2.INTER_AREA) for picture in pixels]
    return np.stack(masks)


def blur(masks: np.ndarray) -> np.ndarray:
    """So that masks without degrees order pixels, too."""
    return np.stack([cv2.GaussianBlur(mask, (0, 0), COLOUR_BLUR) for mask in masks])


def print_measures(data: Path, head_path: Path) -> None:
    find = find_with(head_path)
    rivals = {"colour": find_by_colour, "blurred colour": lambda pixels: blur(find_by_colour(pixels))}
    result = measure(data, find, rivals)
    print("AUC and IoU of BSDS500 val's subjects; threshold and power chosen on photos of even number")
    for name, row in result["rows"].items():
        print(
            f"{name:22} AUC even {row['auc_even']:.3f}  odd {show(row['auc_odd'])}  IoU {show(row['iou_odd'])} "
            f"(> {row['threshold']})  covers {row['coverage']:.2f}  "
            f"{result['chosen']} - it {show(result['differences'][name])}"
        )
    print(f"held-out cutouts, composites: IoU {show(composite_overlap(data, find))}")
    print(f"encoder and head: {result['ms']:.1f} CPU ms a photo")


def show(estimate: tuple[float, float, float]) -> str:
    value, low, high = estimate
    return f"{value:.3f} [{low:.3f} {high:.3f}]"


def write_sheet(data: Path, head_path: Path, power: float, out: Path) -> None:
    """Photo, colour's mask and the head's, of 24 pictures."""
    find, side, cells = find_with(head_path), 160, []
    paths = [data / f"photos/bsds500/val/{name}.jpg" for name in sorted(BSDS_SUBJECTS)[::5][:12]]
    for folder, count in SHEET_FOLDERS.items():
        found = sorted((data / folder).glob("*"))
        paths += [found[len(found) * index // count] for index in range(count)]
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        small = cv2.resize(photo, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA)[None]
        masks = find_by_colour(small)[0], find(small)[0] * centre_prior(power)
        row = [cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)]
        for mask in masks:
            grey = (cv2.resize(mask, (side, side)).clip(0, 1) * 255).astype(np.uint8)
            row.append(np.repeat(grey[..., None], 3, 2))
        cells.append(np.hstack(row))
    rows = [np.hstack(cells[start : start + 4]) for start in range(0, len(cells), 4)]
    cv2.imwrite(str(out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def ship(run: Path, power: float, out: Path) -> None:
    encoder = load_encoder("builtin")
    head, _ = read_foreground_head(run / HEAD_FILE, encoder)
    written = {name: tensor.half().float() for name, tensor in head.state_dict().items()}
    metadata = {
        "step": read_metadata(run / HEAD_FILE)["step"],
        "centre_power": power,
        "digest": tensors_digest(written),
    }
    write_foreground_head(out, head, encoder, metadata, torch.float16)
    print(f"{out}: {out.stat().st_size:,} bytes, digest {metadata['digest']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("train", "measure", "sheet", "ship"))
    parser.add_argument("--data", type=Path, default=os.environ.get("SKETCHFORGE_TEST_DATA"))
    parser.add_argument("--run", type=Path, default=Path("runs/foreground"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--centre-power", type=float, default=1.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    set_threads(1)
    head_path = options.run / HEAD_FILE
    if options.action == "train":
        train(Path(options.data), options.run, options.steps, options.seed)
    elif options.action == "measure":
        print_measures(Path(options.data), head_path)
    elif options.action == "sheet":
        write_sheet(Path(options.data), head_path, options.centre_power, options.run / "sheet.png")
    else:
        ship(options.run, options.centre_power, KNOWN["foreground"].candidates()[0])


if __name__ == "__main__":
    main()
