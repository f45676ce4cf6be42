"""All systems on the same shards for the same time: the tables of docs/comparison.md, row by row.

    make compare-systems                    # on out/, the built-in samples by default: runs/comparison/comparison.md
    python benchmarks/studies/compare_systems.py run --data DATA --work DIR --seconds 400 --row segin-portraits-64-0 [--row …]
    python benchmarks/studies/compare_systems.py page --out docs/comparison.md
    python benchmarks/studies/compare_systems.py curves --out docs/images

DATA as for ae_results.py, whose shards in DIR, held-out images and measures are taken; beside them, people's drawings
stand in for the sketches of the images held out. Each system is trained by its demo recipe until it has had SECONDS of
a processor, reading of shards included; the auto-encoder under a GAN and the GAN have half of it each. So every system has
seen as much as it could in that time, not as many steps as another. A row leaves
benchmarks/studies/compare_systems/ROW.json: steps, figures, sizes and speeds. The same command again goes on where it
was interrupted, and leaves out rows that are there. One thread.

`all` trains every system on your own shards, and leaves rows and page beside its trainings. Figures whose weights are
not installed are left out (`sketchforge weights install`), and there are no people's drawings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.flop_counter import flop_registry  # noqa: E402

from benchmarks.studies import ae_results  # noqa: E402
from benchmarks.studies.ae_results import (  # noqa: E402
    PAIRS,
    Row,
    add_running,
    measure_row,
    render_shards,
    result_of,
)
from benchmarks.studies.compare_page import draw_curves, write_own_page, write_page  # noqa: E402
from benchmarks.studies.compare_training import SYSTEMS, train_system  # noqa: E402
from sketchforge.checkpoints.run_log import read_log  # noqa: E402
from sketchforge.shards.shard_set import open_shards, shards_digest  # noqa: E402
from sketchforge.synthesis.synthesizer import load_model  # noqa: E402
from sketchforge.utils.files import read_json, write_json  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "compare_systems"
VERSION = 2  # of a row's JSON; 1 had neither people's drawings nor curves
TIMED = 8  # images in a batch, for the seconds an image
OWN = "own"  # the set that a user names
ERRORS = ("held_out_reconstruction", "seen_reconstruction")  # of log.jsonl: squared error of matched pairs


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
        system, data, size, seed = name.rsplit("-", 3)
        if system not in SYSTEMS or data not in ae_results.IMAGES or int(size) not in ae_results.STEPS:
            raise ValueError(f"{name}: no such row")
        return cls(system, data, int(size), int(seed))


class CountFlops(TorchDispatchMode):
    """Counts what torch's own counter counts, which asks of modules, and so refuses gradients within."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, count = kwargs or {}, flop_registry.get(func._overloadpacket)
        if count is None:  # in inference mode an operation may be made of others
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=result)
        return result


@torch.no_grad()
def measure_size(run: Path) -> dict[str, float]:
    """Parameters, multiply-adds of an image in thousand millions, and its seconds, as the model is used."""
    model = load_model(run, "cpu")
    sketches = torch.ones(TIMED, 1, model.size, model.size)
    images = torch.zeros(TIMED, 3, model.size, model.size)
    with CountFlops() as counter:
        model.synthesize_tensors(sketches[:1], images[:1])
    seconds = []
    for _ in range(5):
        start = time.process_time()
        model.synthesize_tensors(sketches, images)
        seconds.append((time.process_time() - start) / TIMED)
    return {
        "parameters": model.num_parameters,
        "giga_multiply_adds": counter.total / 2e9,
        "seconds_image": statistics.median(seconds),
    }


def error_curve(run: Path, spent: dict[str, dict[str, float]]) -> list[list[float]]:
    """[seconds of a processor, squared error of matched pairs] of the last stage, as its log tells.

    spent: by all stages. Of images held out, where there are some. Of trainings that have not looked at themselves, the
    end of all alone.
    """
    last = list(spent.values())[-1]
    pace = last["seconds"] / last["steps"]
    points = [
        [record["step"] * pace, record[name]]
        for record in read_log(run / "log.jsonl")
        for name in ERRORS
        if name in record
    ]
    figures = read_json(run / "run.json")["figures"]
    seconds = sum(stage["seconds"] for stage in spent.values())
    return points or [[seconds, figures[name]] for name in ERRORS if name in figures]


def run_system_row(
    row: SystemRow,
    shards: Path,
    data: Path | None,
    work: Path,
    seconds: float,
    results: Path = RESULTS,
    pairs: int = PAIRS,
) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path.

    What a JSON of version 1 lacks is added to it.
    """
    path = results / f"{row.name}.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    if found and found["seconds"] != seconds:
        sys.exit(
            f"{path}: has {found['seconds']:g} seconds, asked for {seconds:g}; remove it to make it anew"
        )
    if found.get("version") == VERSION:
        return path
    run, spent = train_system(row.system, work / "systems" / row.name, shards, row.size, row.seed, seconds)
    opened = open_shards(str(shards))
    split = "val" if "val" in opened.splits else None
    if not found:
        metadata: dict[str, Any] = {
            "system": row.system,
            "data": row.data,
            "size": row.size,
            "seed": row.seed,
        }
        evaluation = measure_row(shards, run, data, work, pairs, split)
        kept = result_of(evaluation)
        if row.data == OWN:
            gaps = {gap.block: gap.reason for gap in evaluation.gaps}
            metadata |= {
                "shards": shards_digest(opened),
                "pairs": pairs,
                "gaps": gaps,
                "held_out": split is not None,
            }
        found = {**metadata, "seconds": seconds, "stages": spent, "sizes": measure_size(run), **kept}
        (work / f"{row.name}.png").write_bytes((run / "grid.png").read_bytes())
        results.mkdir(parents=True, exist_ok=True)
        write_json(path, found | {"format": "system-comparison", "version": 1})
    found["curve"] = error_curve(run, spent)
    if data and row.data != OWN:
        from compare_people import people_shards

        drawn = people_shards(row.data, shards, data, work)
        of_people = measure_row(drawn, run, data, work, pairs, None, lpips=(), diversity=0)
        found["people"] = result_of(of_people)["rows"]
    write_json(path, found | {"format": "system-comparison", "version": VERSION})
    return path


def check_rows(results: Path, asked: dict[str, Any]) -> None:
    """End with one line where a row is of other shards, another time or another number of pairs: one table shows all."""
    for path in sorted(results.glob("*.json")):
        found = json.loads(path.read_text())
        for name, value in asked.items():
            if found.get(name) != value:
                sys.exit(
                    f"{path}: is of {name} {str(found.get(name, 'not known'))[:12]}, asked for {str(value)[:12]}; "
                    "take another --work (make: COMPARISON=DIR), or remove this one"
                )


def compare_all(asked: argparse.Namespace) -> None:
    """Every system on the user's shards; rows, page and curves in `work`."""
    results, systems = asked.work / "rows", asked.system or list(SYSTEMS)
    digest = shards_digest(open_shards(str(asked.shards)))
    check_rows(results, {"seconds": asked.seconds, "shards": digest, "pairs": asked.pairs})
    for at, system in enumerate(systems):
        row = SystemRow(system, OWN, asked.size, asked.seed)
        left = asked.seconds * (len(systems) - at) / 60
        print(
            f"{at + 1} of {len(systems)}: {SYSTEMS[system][0]}; {left:,.0f} minutes left, and measuring",
            flush=True,
        )
        run_system_row(row, asked.shards, None, asked.work, asked.seconds, results, asked.pairs)
        draw_curves(asked.work, results)
        page = write_own_page(asked.work, results)
    print(page)


def build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("page", "tables of the rows that are there"), ("curves", "of those rows, as SVG")):
        command = commands.add_parser(name, help=what)
        command.add_argument("--out", type=Path, required=True)
    running = add_running(commands, SystemRow.parse)
    running.add_argument("--seconds", type=float, required=True, help="of a processor, for each system")
    everything = commands.add_parser("all", help="every system, on your own shards")
    everything.add_argument("--shards", type=Path, required=True)
    everything.add_argument("--work", type=Path, required=True, help="for trainings, rows and page")
    everything.add_argument("--seconds", type=float, default=1200, help="for each system; default: 1200")
    everything.add_argument("--size", type=int, default=64, choices=sorted(ae_results.STEPS))
    everything.add_argument("--seed", type=int, default=0)
    everything.add_argument("--pairs", type=int, default=PAIRS, help=f"that are measured; default: {PAIRS}")
    everything.add_argument("--system", action="append", choices=SYSTEMS, help="default: each")
    return parser


def main(arguments: list[str] | None = None) -> None:
    asked = build_parser().parse_args(arguments)
    if asked.command == "page":
        write_page(asked.out, RESULTS)
    elif asked.command == "curves":
        draw_curves(asked.out, RESULTS)
    elif asked.command == "all":
        asked.work.mkdir(parents=True, exist_ok=True)
        compare_all(asked)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for row in asked.row:
            shards = render_shards(Row(row.data, row.size, "all", row.seed), asked.data, asked.work)
            print(run_system_row(row, shards, asked.data, asked.work, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
