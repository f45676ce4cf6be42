"""How well a foreground is found: held-out cutouts, and the subjects of BSDS500's photos by people's segments.

Photos are squeezed to squares, masks compared at MASK_SIDE. A photo's subject is what more than half of its
annotators have in segments with one of the points of foreground_subjects.py; annotators whose subject is over twice
or under half the median area drew no line around it and are left out. AUC is of a photo's pixels, in the mean over
photos. Powers and thresholds are chosen on the photos of even number; those of odd number are for the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from foreground_composites import compose
from foreground_material import load_material
from foreground_subjects import BSDS_SUBJECTS

from sketchforge.models.foreground_head import INPUT_SIDE, MASK_SIDE

COMPOSITES = 300
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
RESAMPLES = 2000


def read_photos(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 NxSxSx3 of INPUT_SIDE, bool NxSxS of MASK_SIDE) of the photos in BSDS_SUBJECTS."""
    pixels, subjects = [], []
    for name, points in sorted(BSDS_SUBJECTS.items()):
        photo = cv2.imread(str(data / f"photos/bsds500/val/{name}.jpg"))[..., ::-1]
        pixels.append(cv2.resize(photo, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA))
        annotators = scipy.io.loadmat(data / f"photos/bsds500/boundaries_val/{name}.mat")["groundTruth"][0]
        subject = agreed_subject([entry["Segmentation"][0, 0] for entry in annotators], points)
        subjects.append(cv2.resize(subject, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA) > 0.5)
    return np.stack(pixels), np.stack(subjects)


def agreed_subject(segmentations: list[np.ndarray], points: list[tuple[float, float]]) -> np.ndarray:
    """float32 HxW, the share of the annotators."""
    masks = []
    for segments in segmentations:
        height, width = segments.shape
        hit = {int(segments[int(y * (height - 1)), int(x * (width - 1))]) for x, y in points}
        masks.append(np.isin(segments, list(hit)))
    areas = np.array([mask.mean() for mask in masks])
    median = np.median(areas)
    kept = [mask for mask, area in zip(masks, areas, strict=True) if median / 2 <= area <= 2 * median]
    return np.mean(kept, 0, dtype=np.float32)


def area_under_curve(score: np.ndarray, subject: np.ndarray) -> float:
    """The probability that a pixel of the subject scores above one of the ground; ties count half."""
    from scipy.stats import rankdata

    ranks, positives = rankdata(score, axis=None), int(subject.sum())
    rank_sum = ranks[subject.ravel()].sum() - positives * (positives + 1) / 2
    return float(rank_sum / (positives * (subject.size - positives)))


def intersection_over_union(mask: np.ndarray, subject: np.ndarray) -> float:
    return float((mask & subject).sum() / max(1, (mask | subject).sum()))


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval, by resampling photos."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    return float(values.mean()), *(float(bound) for bound in np.quantile(means, (0.025, 0.975)))


def centre_prior(power: float) -> np.ndarray:
    steps = np.linspace(-1, 1, MASK_SIDE, dtype=np.float32)
    return np.exp(-1.4 * power * (steps[:, None] ** 2 + steps**2))


def measure(
    data: Path,
    probabilities: Callable[[np.ndarray], np.ndarray],
    rivals: dict[str, Callable[[np.ndarray], np.ndarray]],
) -> dict[str, object]:
    """probabilities, rivals: uint8 NxSxSx3 -> float32 NxMxM."""
    photos, subjects = read_photos(data)
    begun = time.process_time()
    scores = probabilities(photos)
    cost = 1000 * (time.process_time() - begun) / len(photos)
    even, odd = np.arange(len(photos)) % 2 == 0, np.arange(len(photos)) % 2 == 1
    maps = {f"head x prior^{power}": scores * centre_prior(power) for power in POWERS}
    maps |= {"centre prior": np.repeat(centre_prior(1.0)[None], len(photos), 0)}
    for name, find in rivals.items():
        found = find(photos)
        maps |= {name: found, f"{name} x prior": found * centre_prior(0.5)}
        maps |= {f"head and {name}": (scores + found) / 2 * centre_prior(0.5)}
    rows = {}
    for name, values in maps.items():
        auc = np.array([area_under_curve(*pair) for pair in zip(values, subjects, strict=True)])
        by_threshold = {}
        for threshold in np.arange(0.05, 1, 0.05):
            pairs = zip(values > threshold, subjects, strict=True)
            by_threshold[threshold] = np.array([intersection_over_union(*pair) for pair in pairs])
        best = max(by_threshold, key=lambda threshold: by_threshold[threshold][even].mean())
        rows[name] = {
            "auc_even": float(auc[even].mean()),
            "auc_odd": interval(auc[odd]),
            "pooled_odd": area_under_curve(values[odd], subjects[odd]),
            "threshold": round(float(best), 2),
            "iou_odd": interval(by_threshold[best][odd]),
            "per_photo": auc,
            "coverage": float(values.mean()),
        }
    chosen = max(
        (name for name in rows if name.startswith("head x")), key=lambda name: rows[name]["auc_even"]
    )
    differences = {
        name: interval((rows[chosen]["per_photo"] - row["per_photo"])[odd]) for name, row in rows.items()
    }
    return {"chosen": chosen, "rows": rows, "differences": differences, "ms": cost, "maps": maps}


def composite_overlap(
    data: Path, probabilities: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float, float]:
    """IoU at .5 on composites of held-out cutouts (grounds are those of the training)."""
    material = load_material(data, held_out=True)
    composites = [compose(material, 1, number) for number in range(COMPOSITES)]
    composites = [composite for composite in composites if composite.mask.mean() > 0.02]
    scores = probabilities(np.stack([composite.pixels for composite in composites]))
    overlaps = [
        intersection_over_union((score > 0.5) & known, (composite.mask > 0.5) & known)
        for score, composite in zip(scores, composites, strict=True)
        for known in [composite.weight > 0]
    ]
    return interval(np.array(overlaps))
