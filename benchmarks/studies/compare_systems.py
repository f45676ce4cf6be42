"""All systems on the same shards for the same time: the table of docs/comparison.md, row by row.

    python benchmarks/studies/compare_systems.py run --data DATA --work DIR --seconds 600 --row segin-portraits-64-0 [--row …]
    python benchmarks/studies/compare_systems.py table

DATA as for ae_results.py, whose shards in DIR, held-out images and measures are taken. Each system is trained by its
demo recipe until it has had SECONDS of a processor, reading of shards included; the auto-encoder under a GAN and the GAN have
half of it each. So every system has seen as much as it could in that time, not as many steps as another. A row
leaves benchmarks/studies/compare_systems/ROW.json: steps, figures, sizes and speeds. The same command again goes on where it
was interrupted, and leaves out rows that are there. One thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from benchmarks.studies import ae_results  # noqa: E402
from benchmarks.studies.ae_results import (  # noqa: E402
    Row,
    add_running,
    figures_of,
    format_figures,
    measure_row,
    render_shards,
    result_of,
)
from sketchforge.options import (  # noqa: E402
    AeTrainOptions,
    GanTrainOptions,
    SeginTrainOptions,
    Style2PaintsTrainOptions,
)
from sketchforge.synthesis.synthesizer import load_model  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402
from trainers.gan.run import train_gan  # noqa: E402
from trainers.segin.run import train_segin  # noqa: E402
from trainers.style2paints.run import train_style2paints  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "compare_systems"
VERSION = 1  # of a row's JSON
FIRST_STEPS = 20  # by which a system's speed is told first
NEARLY = 0.95  # of the time, at which a training ends
TIMED = 8  # images in a batch, for the seconds an image


@dataclass(frozen=True)
class Stage:
    """One training of a system: `train` with `options`, beside those that all have."""

    name: str
    train: Callable[[Any], Path]
    options: type[Any]
    more: Mapping[str, Any] = field(default_factory=dict)


AUTOENCODER = Stage("ae", train_ae, AeTrainOptions)
SYSTEMS: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "ae": ("auto-encoder", (AUTOENCODER,)),
    "gan": ("auto-encoder and GAN", (AUTOENCODER, Stage("gan", train_gan, GanTrainOptions))),
    "style2paints": (
        "Style2Paints V1",
        (Stage("style2paints", train_style2paints, Style2PaintsTrainOptions, {"hint": "builtin"}),),
    ),
    "segin": ("SEGIN", (Stage("segin", train_segin, SeginTrainOptions),)),
}
COLUMNS = ae_results.COLUMNS | {
    "KID (mobilenet_v2)": "KID (MobileNetV2)",
    "KID (efficientnet-lite0)": "KID (EfficientNet-Lite0)",
    "diversity, LPIPS (squeeze, other weights)": "diversity",
    "LPIPS (squeeze, other weights) to the style": "LPIPS to the style",
}


@dataclass(frozen=True)
class SystemRow:
    """One system, trained on one set and measured."""

    system: str
    data: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.system}-{self.data}-{self.size}-{self.seed}"

    @classmethod
    def parse(cls, name: str) -> SystemRow:
        """Parse a name such as segin-portraits-64-0. Raises ValueError for another."""
        system, data, size, seed = name.split("-")
        if system not in SYSTEMS or data not in ae_results.IMAGES or int(size) not in ae_results.STEPS:
            raise ValueError(f"{name}: no such row")
        return cls(system, data, int(size), int(seed))


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


def train_system(
    row: SystemRow, shards: Path, work: Path, seconds: float
) -> tuple[Path, dict[str, dict[str, float]]]:
    """(the run of the last stage, steps and seconds of each)."""
    stages = SYSTEMS[row.system][1]
    spent, run, before = {}, Path(), {}
    for stage in stages:
        run = work / "systems" / f"{row.name}-{stage.name}"
        run.parent.mkdir(parents=True, exist_ok=True)
        shared = {
            "shards": str(shards), "run": run, "size": row.size, "seed": row.seed,
            "workers": 0, "threads": 1, "device": "cpu",
        }  # fmt: skip

        def train(steps: int, stage: Stage = stage, shared: dict[str, Any] = shared | before) -> None:
            stage.train(stage.options(**shared, steps=steps, **stage.more))

        spent[stage.name] = train_for(seconds / len(stages), train, run.with_suffix(".clock.json"))
        before = {"ae": run}
    return run, spent


@torch.no_grad()
def measure_size(run: Path) -> dict[str, float]:
    """Parameters, multiply-adds of an image in thousand millions, and its seconds, as the model is used."""
    model = load_model(run, "cpu")
    sketches = torch.ones(TIMED, 1, model.size, model.size)
    images = torch.zeros(TIMED, 3, model.size, model.size)
    with FlopCounterMode(display=False) as counter:
        model.synthesize_tensors(sketches[:1], images[:1])
    seconds = []
    for _ in range(5):
        start = time.process_time()
        model.synthesize_tensors(sketches, images)
        seconds.append((time.process_time() - start) / TIMED)
    return {
        "parameters": model.num_parameters,
        "giga_multiply_adds": counter.get_total_flops() / 2e9,
        "seconds_image": statistics.median(seconds),
    }


def run_system_row(row: SystemRow, data: Path, work: Path, seconds: float) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    path = RESULTS / f"{row.name}.json"
    if path.is_file():
        return path
    shards = render_shards(Row(row.data, row.size, "all", row.seed), data, work)
    run, spent = train_system(row, shards, work, seconds)
    kept = result_of(measure_row(shards, run, data, work))
    metadata = {"system": row.system, "data": row.data, "size": row.size, "seed": row.seed}
    RESULTS.mkdir(exist_ok=True)
    entries = {**metadata, "seconds": seconds, "stages": spent, "sizes": measure_size(run), **kept}
    write_json(path, {"format": "system-comparison", "version": VERSION, **entries})
    (work / f"{row.name}.png").write_bytes((run / "grid.png").read_bytes())
    return path


def print_tables() -> None:
    """A table for each (data, size, seconds); intervals as in ae_results.py."""
    tables: dict[tuple[str, int, float], dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        table = tables[result["data"], result["size"], result["seconds"]]
        table.setdefault(result["system"], []).append(result)
    for (data, size, seconds), table in tables.items():
        print(f"\n{data}, {size} pixels, {seconds:,.0f} seconds of a processor\n")
        present = [figures_of(result) for results in table.values() for result in results]
        titles = [title for title in COLUMNS if any(title in figures for figures in present)]
        heads = ["", "seeds", "steps", *(COLUMNS[title] for title in titles)]
        heads += ["million parameters", "G multiply-adds an image", "ms an image", "ms a step"]
        print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
        for system in (name for name in SYSTEMS if name in table):
            results = table[system]
            rows = [figures_of(result) for result in results]
            cells = [SYSTEMS[system][0], str(len(rows)), _format_steps(results)]
            cells += [format_figures([row[title] for row in rows if title in row]) for title in titles]
            sizes, stages = results[0]["sizes"], results[0]["stages"].values()
            cells += [f"{sizes['parameters'] / 1e6:.2f}", f"{sizes['giga_multiply_adds']:.3g}"]
            cells.append(f"{1000 * sizes['seconds_image']:.3g}")
            cells.append(" + ".join(f"{1000 * stage['seconds'] / stage['steps']:.0f}" for stage in stages))
            print("| " + " | ".join(cells) + " |")


def _format_steps(results: list[dict[str, Any]]) -> str:
    """Of every stage the mean over seeds."""
    stages = results[0]["stages"]
    means = (statistics.mean(result["stages"][name]["steps"] for result in results) for name in stages)
    return " + ".join(f"{mean:,.0f}" for mean in means)


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="of the rows that are there")
    running = add_running(commands, SystemRow.parse)
    running.add_argument("--seconds", type=float, required=True, help="of a processor, for each system")
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_tables()
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for row in asked.row:
            print(run_system_row(row, asked.data, asked.work, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
