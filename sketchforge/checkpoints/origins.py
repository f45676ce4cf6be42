"""What the weights that drew or taught something learnt from, in words for cards: whose terms may apply."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.utils.files import read_json

# The photos with people's boundaries that the published weights of edge networks learnt from. Which of BSDS500's own
# parts HED's and PiDiNet's had is not stated with all of them; the authors of both trained on train and val.
_TRAINED_ON = {"hed": "BSDS500", "pidinet": "BSDS500 and PASCAL VOC", "teed": "BIPED"}


@cache
def _read_builtin_digests() -> tuple[frozenset[str], str]:
    """The digests of the built-in snapshots, and that of the built-in encoder."""
    record = read_json(KNOWN["tom"].candidates()[0])
    return frozenset(snapshot["digest"] for snapshot in record["snapshots"]), record["encoder"]


def is_shipped_snapshot(digests: Collection[object]) -> bool:
    """Whether one of `digests`, hex SHA-256, is that of a snapshot of TOM that comes with the package."""
    return not _read_builtin_digests()[0].isdisjoint(digests)


def training_data_of(method: object) -> str:
    """The photos that an edge network's published weights learnt from; "" for other methods."""
    return _TRAINED_ON.get(str(method), "")


def describe_drawer(method: object, digests: Collection[object], subject: str = "The sketches") -> str:
    """Describe, in sentences on `subject`, what drew the sketches: its licence and what it learnt from.

    method: as the manifest has it. digests: of the weights, hex SHA-256; those of the weights that come with
    the package are recognised, wherever they lie.
    """
    if method == "canny":
        return (
            f"{subject} were drawn by Canny's edge detector (OpenCV), which has no weights; the two numbers of its "
            "automatic thresholds were chosen on photos of BSDS500."
        )
    if trained_on := training_data_of(method):
        licence = KNOWN[str(method)].licence
        return (
            f"{subject} were drawn by the edge detector `{method}`, whose published weights learnt from {trained_on}. "
            f"Licence of these weights: {licence}."
        )
    if method != "tom":
        return f"{subject} were drawn by a method of which nothing is known here."
    if is_shipped_snapshot(digests):
        licence = KNOWN["tom"].licence
        return f"{subject} were drawn by snapshots of TOM that come with sketchforge. Licence: {licence}."
    text = (
        f"{subject} were drawn by snapshots of a training of TOM (`sketchforge tom-train`): the terms of the photos "
        "and drawings that it learnt from may apply, and those of its encoder."
    )
    encoder_text = describe_encoder(digests)
    return f"{text} {encoder_text}" if encoder_text else text


def describe_encoder(digests: Collection[object]) -> str:
    """Describe the licence of the built-in encoder; "" where none of `digests` is its own."""
    if _read_builtin_digests()[1] not in digests:
        return ""
    return f"The encoder is the one that comes with sketchforge. Licence: {KNOWN['builtin'].licence}."
