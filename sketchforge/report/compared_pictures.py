"""Some pictures of every set that was compared, and of the reference, to be looked at beside each other."""

from __future__ import annotations

from sketchforge.metrics.compared_images import set_names, shards_for
from sketchforge.metrics.image_model import is_model, made_of
from sketchforge.metrics.image_pairs import mismatched_pairs
from sketchforge.metrics.image_sets import SampleReader, name_of, open_image_set
from sketchforge.options import EvalCompareOptions
from sketchforge.report.page_pictures import Picture, PictureRow, reduced
from sketchforge.synthesis.synthesizer import load_model
from sketchforge.utils.device import choose_device

SHOWN = 6  # pictures of each


def compared_rows(options: EvalCompareOptions) -> list[PictureRow]:
    """SHOWN rows: the reference's pictures, then those of each set, spread evenly over what was found.

    Of a model the first of the pictures that were measured. Sets that hold changed copies of the reference
    show the same pictures in a row. Errors as `compare_images` has them.
    """
    columns = [_pictures(f"{name_of(options.reference)} (reference)", options.reference)]
    for source, name in zip(options.sets, set_names(options.sets), strict=True):
        made = is_model(source)
        columns.append(_made(options, source, name) if made else _pictures(name, source))
    length = max(map(len, columns))
    padded = [
        [*column, *[Picture(column[0].heading, "", None)] * (length - len(column))] for column in columns
    ]
    return list(zip(*padded, strict=True))


def _pictures(heading: str, source: str) -> list[Picture]:
    found = open_image_set(source, SHOWN).pictures()
    return [
        Picture(heading, f"{heading}: {key}", None if pixels is None else reduced(pixels))
        for key, pixels in found
    ]


def _made(options: EvalCompareOptions, source: str, name: str) -> list[Picture]:
    model, shards = load_model(source, str(choose_device(options.device))), shards_for(options, source)
    pairs = mismatched_pairs(shards.num_samples, SHOWN, len(shards.styles), options.seed)
    reader = SampleReader(shards)
    try:
        pictures = [one for made in made_of(model, reader, pairs, name) for one in made.pictures]
        keys = [(reader.read(pair.content, []).key, reader.read(pair.style, []).key) for pair in pairs]
    finally:
        reader.close()
    return [
        Picture(name, f"{name}: the sketch of {content} in the style of {style}", reduced(pixels))
        for (content, style), pixels in zip(keys, pictures, strict=True)
    ]
