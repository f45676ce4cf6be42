"""The systems that are compared, and their training until each has had the same time of a processor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.diffsketching import read_diffsketching, save_unet
from sketchforge.options import (
    AeTrainOptions,
    DiffSketchingTrainOptions,
    GanTrainOptions,
    SeginTrainOptions,
    Style2PaintsTrainOptions,
)
from sketchforge.utils.files import read_json, write_json
from sketchforge.utils.progress import Progress
from trainers.autoencoder.run import train_ae
from trainers.diffsketching.run import train_diffsketching
from trainers.gan.run import train_gan
from trainers.segin.run import train_segin
from trainers.style2paints.run import train_style2paints

FIRST_STEPS = 20  # by which a system's speed is told first
NEARLY = 0.95  # of the time, at which a training ends
SAMPLING_STEPS = 5  # of diffusion: thousands of images are measured, each of four passes
CLOCK_SECONDS = 5  # after which the time that is spent is written down
NEVER = 10**9  # steps: more than there is time for


@dataclass(frozen=True)
class Stage:
    """One training of a system: `train` with `options`, beside those that all have.

    share: of the system's time, beside the shares of its other stages. leaves: from its run folder, options of the next.
    looks: whether it looks at itself on the way, for the curve; else at the end alone, where that takes minutes.
    """

    name: str
    train: Callable[..., Path]
    options: type[Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    looks: bool = True
    leaves: Callable[[Path], Mapping[str, Any]] = lambda folder: {}


def autoencoder(**more: Any) -> Stage:
    return Stage("ae", train_ae, AeTrainOptions, more, leaves=lambda folder: {"ae": folder})


def diffusion(name: str, share: float = 1.0, **more: Any) -> Stage:
    more = {"sampling_steps": SAMPLING_STEPS} | more
    return Stage(name, train_diffsketching, DiffSketchingTrainOptions, more, share, False, leave_unet)


def leave_unet(folder: Path) -> dict[str, Path]:
    """The U-net of a run, as diffusers keeps one: fine-tuning begins with it.

    Not the classifier beside it, which nothing here asks for.
    """
    model, _ = read_diffsketching(folder / "model.safetensors")
    save_unet(folder / "unet", model)
    return {"unet": folder / "unet"}


# Each by its title and its trainings, one after another.
SYSTEMS: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "ae": ("auto-encoder", (autoencoder(),)),
    "gan": ("auto-encoder and GAN", (autoencoder(), Stage("gan", train_gan, GanTrainOptions))),
    "style2paints": (
        "Style2Paints V1",
        (Stage("style2paints", train_style2paints, Style2PaintsTrainOptions, {"hint": "builtin"}),),
    ),
    "segin": ("SEGIN", (Stage("segin", train_segin, SeginTrainOptions),)),
    # How many steps there are of each stage is not known before the time is over, so that each is a run.
    "diffsketching": (
        "DiffSketching",
        (diffusion("denoising", 0.85, denoising_steps=NEVER), diffusion("tuning", 0.15, denoising_steps=0)),
    ),
    "concatenation": (
        "DiffSketching, sketch as an input",
        (diffusion("denoising", condition="concatenation"),),
    ),
    # Two of the paper's Table 1 as changes of our own code, all losses as they are.
    "spade": ("auto-encoder, SPADE-like", (autoencoder(dmi="spade", style="none"),)),
    "sketch2art": ("auto-encoder, Sketch2art-like", (autoencoder(dmi="sketch", style="adain"),)),
}


def train_for(
    seconds: float, train: Callable[[int], None], clock: Path, now: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Call `train` with growing numbers of steps until it has taken so many seconds; return {steps, seconds}.

    clock: the file that remembers both, so that the time of an interrupted training counts, too, but for
    what was done since it last grew.
    """
    done: dict[str, float] = {"steps": 0, "seconds": 0.0}
    if clock.is_file():
        done = json.loads(clock.read_text())
    while done["seconds"] < NEARLY * seconds:
        steps = FIRST_STEPS
        if done["steps"]:
            # Half of what is left at a time, for the first steps are slower; the last time all of it.
            left = (seconds - done["seconds"]) * done["steps"] / done["seconds"]
            steps = max(int(left / 2 if left > 2 * FIRST_STEPS else left), 1)
        start = now()
        train(int(done["steps"]) + steps)
        done = {"steps": done["steps"] + steps, "seconds": done["seconds"] + now() - start}
        write_json(clock, done)
    return done


class StopAfter(Progress):
    """Interrupts a training that has had its time. spent: is told, now and then, how much that is so far."""

    def __init__(self, seconds: float, now: Callable[[], float], spent: Callable[[float], None]) -> None:
        self._now, self._until, self.stopped = now, now() + seconds, False
        self._start, self._spent, self._told = now(), spent, now()

    def advance(self, **figures: float | str) -> None:
        if self._now() >= self._told + CLOCK_SECONDS:
            self._told = self._now()
            self._spent(self._told - self._start)
        if self._now() >= self._until:
            self.stopped = True
            raise KeyboardInterrupt


def train_straight(
    seconds: float,
    train: Callable[[int, Progress], None],
    count_steps: Callable[[], int],
    clock: Path,
    now: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Train without a look at it until it has taken so many seconds, then end it there; return {steps, seconds}.

    train: with this many steps at most. count_steps: those that the run has done. The end, a look at its images, is not of
    that time.
    """
    done: dict[str, float] = {"steps": 0, "seconds": 0.0}
    if clock.is_file():
        done = json.loads(clock.read_text())
    if done["seconds"] < NEARLY * seconds:
        before, saved = done["seconds"], done["steps"]

        def spent(more: float) -> None:
            """Of a training that is killed: what its last saved step had taken, to the nearest look at the clock."""
            nonlocal saved
            if (steps := count_steps()) != saved:
                saved = steps
                write_json(clock, {"steps": steps, "seconds": before + more})

        start, stop = now(), StopAfter(seconds - before, now, spent)
        try:
            train(NEVER, stop)
        except KeyboardInterrupt:
            done = {"steps": count_steps(), "seconds": before + now() - start}
            write_json(clock, done)
            if not stop.stopped:
                raise
    train(int(done["steps"]), Progress())
    return done


def train_system(
    system: str, run: Path, shards: Path, size: int, seed: int, seconds: float
) -> tuple[Path, dict[str, dict[str, float]]]:
    """(the run of the last stage, which is `run`; steps and seconds of each stage).

    Other stages have folders in `stages` beside run's own folder: what is in that one is compared.
    """
    stages = SYSTEMS[system][1]
    whole = sum(stage.share for stage in stages)
    spent, folder, before = {}, Path(), dict[str, Any]()
    for stage in stages:
        last = stage is stages[-1]
        folder = run if last else run.parent.parent / "stages" / f"{run.name}-{stage.name}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        shared = {
            "shards": str(shards), "run": folder, "size": size, "seed": seed,
            "workers": 0, "threads": 1, "device": "cpu",
        }  # fmt: skip

        def train(
            steps: int, *progress: Progress, stage: Stage = stage, shared: dict[str, Any] = shared | before
        ) -> None:
            stage.train(stage.options(**shared, steps=steps, **stage.more), *progress)

        def count_steps(run: Path = folder) -> int:
            return int(read_json(run / "run.json").get("steps_done", 0))

        clock, its_seconds = folder.with_suffix(".clock.json"), seconds * stage.share / whole
        if stage.looks:
            spent[stage.name] = train_for(its_seconds, train, clock)
        else:
            spent[stage.name] = train_straight(its_seconds, train, count_steps, clock)
        before = dict(stage.leaves(folder))
    return folder, spent
