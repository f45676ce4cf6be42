"""A campaign of kills of trainings: each of the four, tiny, struck at random moments and then completed."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder
from tests.helpers.kills import EXIT_CODES, SIGNALS, Server
from tests.helpers.photos import make_photos, scene

# Networks of next to nothing, a state after every step, few drawings and photos, small figures.
PRELOAD = """
from dataclasses import replace
import numpy
import sketchforge.checkpoints.encoder as encoders, sketchforge.images.builtin.drawings as drawings
import trainers.autoencoder.recipe as ae, trainers.gan.recipe as gan, trainers.tom.run as tom
import trainers.diffsketching.recipe as diffsketching
import trainers.autoencoder.run, trainers.encoder.run, trainers.gan.run, trainers.loop as loop
import trainers.image_models.train as image_models
import sketchforge.metrics.images.feature_networks as feature_networks, trainers.image_models.validation as validation
import torch.utils.tensorboard
ae.RECIPES["demo"] = replace(
    ae.RECIPES["demo"], width=0.0625, style_dim=32, perceptual=0.0, style_triplet=0.0, content_triplet=0.0
)
diffsketching.RECIPES["demo"] = replace(
    diffsketching.RECIPES["demo"], channels=(4, 8), groups=4, sampling_steps=2, tuning_share=0.5
)
gan.RECIPES["demo"] = replace(gan.RECIPES["demo"], width=0.02, perceptual=0.0, r1=0.0)
tom.SAVE_EVERY, loop.SAVE_SECONDS, image_models.NUM_PREVIEWS = 1, -1, 1
feature_networks.BUILTIN_SIDE, validation.NUM_MISMATCHED = 64, 12
photos = encoders.calibration_images()[:2]
encoders.calibration_images = lambda: photos
drawings.load_drawings = lambda size: [("d", numpy.tile(numpy.uint8([[0, 255], [255, 255]]), (24, 24)))]
"""
COMMON = ["--threads", "1", "--device", "cpu"]
SECONDS = 10  # within which a signal ends a training


@dataclass
class TrainingTally:
    """What a campaign saw."""

    trainings: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    too_late: int = 0  # trainings that had finished before the moment came
    slowest: float = 0.0  # seconds from a signal to the end


def write_inputs(folder: Path, photos: int = 3, drawings: int = 2, blocks: Any = COMPACT_BLOCKS) -> None:
    """Photos, drawings and a teacher of these blocks for the trainings that take them."""
    make_photos(folder / "photos", photos)
    (folder / "drawings").mkdir()
    for seed in range(drawings):
        drawing = np.where(scene(seed, 48, 48)[:, :, 0] > 128, 255, 0).astype(np.uint8)
        Image.fromarray(drawing).save(folder / "drawings" / f"{seed}.png")
    state, generator = {}, torch.Generator().manual_seed(0)
    for number, conv in zip([0, 2, 5, 7, 10, 12, 14, 16, 19], Encoder(blocks).convs.values()):
        weight = torch.randn(conv.weight.shape, generator=generator) / conv.weight[0].numel() ** 0.5
        state |= {f"features.{number}.weight": weight, f"features.{number}.bias": torch.zeros(len(weight))}
    save_file(state, str(folder / "teacher.safetensors"), metadata={"input": "RGB in [0,1]; reflect pad 1"})


def command_of(training: str, folder: Path, shards: Path, run: Path) -> list[str]:
    """The command of a training that leaves all it leaves below `run`."""
    photos, images = str(folder / "photos"), ["--shards", str(shards), "--workers", "0", "--batch-size", "2"]
    return [training, *COMMON] + {
        "tom-train": ["--images", photos, "--drawings", str(folder / "drawings"), "--run", str(run), "--size", "32",
                      "--steps", "4", "--batch-size", "1", "--snapshots", "2"],
        "ae-train": [*images, "--run", str(run), "--steps", "3", "--eval-every", "2", "--best-by", "reconstruction"],
        "gan-train": [*images, "--run", str(run), "--steps", "3", "--ae", str(folder / "twins" / "ae-train")],
        "style2paints-train": [*images, "--run", str(run), "--steps", "3", "--hint", "builtin"],
        "segin-train": [*images, "--run", str(run), "--steps", "3"],
        "diffsketching-train": [*images, "--run", str(run), "--steps", "4"],
        "encoder-train": ["--images", photos, "--teacher", str(folder / "teacher.safetensors"), "--steps", "12",
                          "--size", "16", "--batch-size", "2", "--out", str(run / "encoder.safetensors")],
    }[training]  # fmt: skip


TRAININGS = (
    *("tom-train", "ae-train", "gan-train", "style2paints-train", "segin-train", "diffsketching-train"),
    "encoder-train",
)


def training_campaign(shards: Path, folder: Path, kills: int, seed: int) -> TrainingTally:
    """Strike at `kills` runs of every training at random moments, once to three times each, then complete them.

    Asserts that every signal ends a training within SECONDS, without a traceback, and that in the end all files
    are those of an uninterrupted run, byte for byte (states by their values), and no temporary file is left.
    """
    rng = random.Random(seed)
    tally = TrainingTally()
    write_inputs(folder)
    with Server(PRELOAD) as server:
        for training in TRAININGS:
            twin, log, counted = folder / "twins" / training, folder / "log", folder / "counted"
            first = server.run(command_of(training, folder, shards, twin), log, counted=str(counted))
            assert first["code"] == 0, log.read_text()
            whole, num_events, seconds = list_results(twin), int(counted.read_text()), first["seconds"]
            for trial in range(kills):
                run = folder / f"{training}{trial}"
                command = command_of(training, folder, shards, run)
                for again in range(1 + int(rng.random() * 3) if kills > 1 else 1):
                    name, share = rng.choice(list(SIGNALS)), rng.random()
                    moment = (
                        {"event": 1 + int(share * num_events)}
                        if rng.random() < 0.5
                        else {"delay": share * seconds}
                    )
                    began = time.monotonic()
                    code = server.run(command, log, **moment, signal=int(SIGNALS[name]))["code"]
                    text = log.read_text()
                    where = f"{training} {trial} {again} {name} {moment}: {code}\n{text}"
                    late = time.monotonic() - began - moment.get("delay", seconds)
                    assert late < SECONDS + seconds, where
                    assert "Traceback" not in text, where
                    if code == 0:
                        tally.too_late += 1
                        break
                    assert code in (EXIT_CODES[name], -SIGNALS[name]), where
                    tally.strikes[name] += 1
                    if name != "SIGKILL" and "delay" in moment:
                        tally.slowest = max(tally.slowest, late)
                else:
                    assert server.run(command, log)["code"] == 0, f"{where}\n{log.read_text()}"
                assert_equal(list_results(run), whole, where)
                tally.trainings += 1
    return tally


def list_results(run: Path) -> dict[str, object]:
    """All that a training leaves, hidden files included: bytes, and of states the values.

    TensorBoard's files hold times of day.
    """
    results: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        if path.is_file() and "tensorboard" not in path.parts:
            is_state = path.name == "state.pt"
            results[str(path.relative_to(run))] = (
                torch.load(path, weights_only=True) if is_state else path.read_bytes()
            )
    return results


def assert_equal(results: dict[str, object], whole: dict[str, object], where: str) -> None:
    assert sorted(results) == sorted(whole), where
    for name, value in whole.items():
        assert is_same(results[name], value), f"{name}: {where}"


def is_same(one: object, other: object) -> bool:
    """Whether two states, or parts of them, hold the same values to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    return one == other
