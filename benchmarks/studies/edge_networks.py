"""Edge networks on BSDS500 val, as drawn and after non-maximum suppression: the table of docs/sketch-quality.md.

    python benchmarks/studies/edge_networks.py --data DATA --work DIR --hed FILE

Of photos in their own size the threshold is chosen on half of those with even numbers (counted from 0), and F at it
is reported on the 50 with odd ones. HED's weights are those that `sketchforge weights install hed` gets. What is drawn
and matched already stays: the same command goes on. Leaves edge_networks.json in DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.edge_thinning import suppress_non_maxima  # noqa: E402
from sketchforge.metrics.estimates import estimate_all  # noqa: E402
from sketchforge.metrics.sketches.boundaries import (  # noqa: E402
    BoundaryCounts,
    boundary_counts,
    read_boundaries,
    summarize_boundaries,
)
from sketchforge.sketchers.edge_networks import EdgeSketcher  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402

THRESHOLDS = tuple(tenth / 10 for tenth in range(2, 9))  # of darkness
TREATMENTS = {"as drawn": lambda grey: grey, "after suppression": suppress_non_maxima}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--hed", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    photos = sorted((asked.data / "photos/bsds500/val").iterdir())
    weights = asked.data / "weights"
    networks = {
        "hed": ("hed", asked.hed),
        "pidinet": ("pidinet", weights / "pidinet/pidinet_bsds_vanilla_fp32.safetensors"),
        "teed": ("teed", weights / "teed/teed_biped_7.safetensors"),
    }
    results = {}
    for name, (method, path) in networks.items():
        sketcher = EdgeSketcher.from_file(method, path, torch.device("cpu"))
        for treatment in TREATMENTS:
            counted = Counted(sketcher, name, treatment, photos, asked.data, asked.work)
            results[f"{name}, {treatment}"] = measure(counted)
            print(name, treatment, results[f"{name}, {treatment}"], flush=True)
            write_json(asked.work / "edge_networks.json", results)


class Counted:
    """Counts of one network and treatment by photo and threshold, kept in files."""

    def __init__(
        self, sketcher: EdgeSketcher, name: str, treatment: str, photos: list[Path], data: Path, work: Path
    ) -> None:
        self.sketcher, self.name, self.treatment = sketcher, name, treatment
        self.photos, self.data, self.work = photos, data, work

    def grey(self, number: int) -> np.ndarray:
        path = self.work / "greys" / f"{self.name}-{number:03d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            np.save(
                path,
                self.sketcher.draw(read_image(self.photos[number].read_bytes())[None]).result()[0, 0],
            )
        return np.load(path)

    def counts(self, number: int, threshold: float) -> BoundaryCounts:
        path = (
            self.work / "counts" / f"{self.name}-{self.treatment[:5].strip()}-{number:03d}-{threshold}.json"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            truth = read_boundaries(
                self.data / "photos/bsds500/boundaries_val" / f"{self.photos[number].stem}.mat"
            )
            counts = boundary_counts(TREATMENTS[self.treatment](self.grey(number)), truth, [threshold])
            fields = ("matched_predicted", "predicted", "matched_truth", "truth")
            path.write_text(json.dumps([getattr(counts, field).tolist() for field in fields]))
        return BoundaryCounts(np.array([threshold]), *map(np.array, json.loads(path.read_text())))


def measure(counted: Counted) -> dict[str, object]:
    """F with its interval, precision and recall on the odd photos, at the threshold that is best on the even ones."""
    chosen_on, reported_on = range(0, 100, 4), range(1, 100, 2)

    def score(threshold: float) -> float:
        return summarize_boundaries([counted.counts(number, threshold) for number in chosen_on]).f_ods

    threshold = max(THRESHOLDS, key=score)
    counts = [counted.counts(number, threshold) for number in reported_on]

    def scores(indices: np.ndarray) -> dict[str, float]:
        score = summarize_boundaries([counts[index] for index in indices])
        return {"f": score.f_ods, "precision": score.precision, "recall": score.recall}

    estimates = estimate_all(len(counts), scores, 0)
    return {"threshold": threshold} | {
        name: [round(value, 3) for value in (estimate.value, estimate.low, estimate.high)]
        for name, estimate in estimates.items()
    }


if __name__ == "__main__":
    main()
