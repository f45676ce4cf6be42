"""All trainings, tiny, by any number of ranks in processes of their own, which note what they learn from and become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tests.helpers.forks import Forked, forked
from tests.helpers.training_kills import write_inputs

TRAININGS = ("ae-train", "gan-train", "style2paints-train", "segin-train", "tom-train", "encoder-train")
STEPS = 2

# Networks of next to nothing with all that ranks have to agree on: statistics of batches, spectral norms, noise,
# subsets of classes, style windows. Every rank notes, after each step, all parameters and buffers of its networks,
# and the rows that it took.
PRELOAD = """
import hashlib, json, os
from dataclasses import replace
import numpy, torch
from safetensors.torch import save_file
from sketchforge.errors import SketchforgeError
import sketchforge.checkpoints.encoder as encoders, sketchforge.images.builtin.drawings as drawings
import trainers.autoencoder.recipe as ae, trainers.gan.recipe as gan, trainers.diffsketching.recipe as diffsketching
import trainers.segin.recipe as segin, trainers.style2paints.recipe as style2paints
import trainers.tom.run as tom, trainers.tom.step as tom_step, trainers.encoder.student, trainers.image_models.train as image_models
import trainers.image_models.validation as validation
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.diffsketching.step import DiffSketchingTrainer
from trainers.encoder.step import DistillTrainer
from trainers.gan.step import GanTrainer
from trainers.segin.step import SeginTrainer
from trainers.style2paints.step import Style2PaintsTrainer
from trainers.tom.step import TomTrainer
torch.set_num_threads(1)
ae.RECIPES["demo"] = replace(ae.RECIPES["demo"], width=0.0625, style_dim=32, subset=4, subset_passes=1, perceptual=0.5)
gan.RECIPES["demo"] = replace(
    gan.RECIPES["demo"], width=0.02, perceptual=0.0, r1=1.0, spectral_norm=True, augment="color,translation"
)
trainers.encoder.student.COMPACT_BLOCKS = NARROW
image_models.NUM_PREVIEWS, validation.NUM_IMAGES, validation.NUM_LAYOUTS, validation.NUM_SHOWN = 1, 2, 2, 2
tom_step.NUM_VALIDATION_IMAGES = tom.NUM_VALIDATION_IMAGES = 2
segin.RECIPES["demo"] = replace(segin.RECIPES["demo"], width=0.03)
diffsketching.RECIPES["demo"] = replace(
    diffsketching.RECIPES["demo"], channels=(4, 8), groups=4, sampling_steps=2, tuning_share=0.5
)
style2paints.RECIPES["demo"] = replace(style2paints.RECIPES["demo"], width=0.03)
photos = encoders.calibration_images()[:2]
encoders.calibration_images = lambda: photos
drawings.load_drawings = lambda size: [("d", numpy.tile(numpy.uint8([[0, 255], [255, 255]]), (24, 24)))]

def rows_of(batch):
    if isinstance(batch, list):  # of micro-batches
        return [[int(p), int(i)] for each in batch for p, i in zip(each["position"], each["index"])]
    tensors = [batch] if isinstance(batch, torch.Tensor) else [batch.photos, batch.drawings, batch.synthetic]
    return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for tensor in tensors for row in tensor]

def watch(trainer_class):
    step = trainer_class.step
    def watched(self, number, batch):
        if os.environ.get("STOP") == str(number):
            raise SketchforgeError("a stop")
        if os.environ.get("KILL") == str(number) and os.environ["RANK"] == "1":
            os.kill(os.getpid(), 9)
        losses = step(self, number, batch)
        tensors = {
            f"{name}.{key}": value.clone().contiguous()
            for name, part in self.stateful().items() if isinstance(part, torch.nn.Module)
            for key, value in part.state_dict().items()
        }
        noted = {"rows": json.dumps(rows_of(batch)), "losses": json.dumps(losses),
                 "group": str(getattr(self, "group", 0)) if isinstance(self, AutoEncoderTrainer) else ""}
        save_file(tensors, f"{os.environ['NOTES']}/{number}-{os.environ.get('RANK', '0')}.safetensors", noted)
        return losses
    trainer_class.step = watched

for trainer_class in (
    AutoEncoderTrainer, DiffSketchingTrainer, GanTrainer, SeginTrainer, Style2PaintsTrainer, TomTrainer,
    DistillTrainer,
):
    watch(trainer_class)
"""

# As torchrun does it, but for all trainings in the same processes: their libraries are loaded once.
LAUNCH = """
import json, os, socket, sys
count, orders = int(sys.argv[1]), json.loads(sys.argv[2])
free = [socket.create_server(("localhost", 0)) for _ in orders]
ports = [each.getsockname()[1] for each in free]
for each in free:
    each.close()

def join(rank, port):
    if count > 1:
        os.environ.update(
            RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(count),
            MASTER_ADDR="localhost", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True",
        )

children = []
for rank in range(count):
    if not (child := os.fork()):
        exec(CODE)
        code = work(rank)
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    children.append(child)
from torch.distributed import TCPStore
stores = [TCPStore("localhost", port, is_master=True, wait_for_workers=False) for port in ports]
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(max(map(abs, codes)))
"""

TRAIN = """
def work(rank):
    from cli.main import run
    from trainers.roll_call import RollCall
    codes = []
    for port, order in zip(ports, orders):
        os.environ["NOTES"] = order["notes"]
        join(rank, port)
        RollCall.of.cache_clear()
        codes.append(run(order["words"]))
        if torch.distributed.is_initialized():  # a process that fails leaves it to its end
            torch.distributed.destroy_process_group()
    return max(codes)
"""
NARROW = ((8, 8), (12, 12), (20,) * 4, (24,))


def launch(code: str, count: int, orders: Sequence[Any], cwd: Path, **more: str) -> Forked:
    """`count` processes, in which `code` defines work(rank), which calls join(rank, port) for each of `orders`."""
    return forked(f"CODE = {code!r}\n{LAUNCH}", count, json.dumps(orders), cwd=cwd, **more)


def command_of(
    training: str, folder: Path, shards: Path, run: Path, ae: Path, batch: int, micro_batches: int
) -> list[str]:
    """The words of a training into `run`. ae: of the auto-encoder that the GAN refines."""
    images = [
        *("--shards", str(shards), "--workers", "0", "--run", str(run), "--steps", str(STEPS)),
        *("--accumulate", str(micro_batches)),
    ]  # fmt: skip
    photos = ["--images", str(folder / "photos")]
    common = ["--threads", "1", "--device", "cpu", "--batch-size", str(batch)]
    return [training, *common] + {
        "ae-train": images,
        "gan-train": [*images, "--ae", str(ae)],
        "style2paints-train": [*images, "--hint", "builtin"],
        "segin-train": images,
        "diffsketching-train": images,
        "tom-train": [*photos, "--drawings", str(folder / "drawings"), "--run", str(run), "--size", "32",
                      "--steps", "5", "--snapshots", "2"],
        "encoder-train": [*photos, "--teacher", str(folder / "teacher.safetensors"), "--steps", "11",
                          "--size", "16", "--out", str(run / "encoder.safetensors"), "--run", str(run / "of")],
    }[training]  # fmt: skip


class Ranks:
    """Trains everything by `count` ranks, each of which takes `micro_batches` of a batch; what they noted."""

    def __init__(
        self, folder: Path, shards: Path, count: int, micro_batches: int, ae: Path | None = None,
        trainings: tuple[str, ...] = TRAININGS, batch: int = 4, expected: int = 0, **more: str,
    ) -> None:  # fmt: skip
        if not (folder.parent / "teacher.safetensors").exists():
            write_inputs(folder.parent, photos=9, drawings=6, blocks=NARROW)
        self.folder, self.count = folder, count
        self._noted: dict[str, Any] = {}
        orders = []
        for training in trainings:
            (folder / "notes" / training).mkdir(parents=True, exist_ok=True)
            words = command_of(
                training,
                folder.parent,
                shards,
                folder / training,
                ae or folder / "ae-train",
                batch,
                micro_batches,
            )
            orders.append({"words": words, "notes": str(folder / "notes" / training)})
        self.done = launch(PRELOAD.replace("NARROW", repr(NARROW)) + TRAIN, count, orders, cwd=folder, **more)
        assert self.done.returncode == expected, self.done.stderr

    def notes(self, training: str) -> dict[tuple[int, int], tuple[dict[str, torch.Tensor], dict[str, Any]]]:
        """By (step, rank): all parameters and buffers, and the rows, the losses and the subset."""
        if training in self._noted:
            return self._noted[training]
        noted = self._noted[training] = {}
        for path in (self.folder / "notes" / training).iterdir():
            step, rank = map(int, path.stem.split("-"))
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                metadata = file.metadata()
            rows, losses = json.loads(metadata["rows"]), json.loads(metadata["losses"])
            noted[step, rank] = tensors, {"rows": rows, "losses": losses, "group": metadata["group"]}
        return noted
