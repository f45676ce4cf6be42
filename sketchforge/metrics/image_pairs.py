"""Which sketch is drawn out in which style, when a model is measured (paper section 5.2).

Matched: sketch and style are of one image, so that the picture ought to be that image. Mismatched: the style
is another image's, which is what the model is for.
"""

from __future__ import annotations

from dataclasses import dataclass

from sketchforge.errors import UsageError
from sketchforge.shards.selection import spread
from sketchforge.utils.seeding import numpy_generator


@dataclass(frozen=True)
class Pair:
    content: int  # number of the image whose sketch is taken
    style: int  # number of the image whose style is taken
    sketch: int  # which of the sketches


def matched_pairs(images: int, samples: int, sketches: int) -> list[Pair]:
    """At most `samples` images, spread evenly, each with its own sketch; sketches take turns."""
    return [Pair(index, index, index % sketches) for index in spread(range(images), samples)]


def mismatched_pairs(images: int, samples: int, sketches: int, seed: int) -> list[Pair]:
    """`samples` different pairs of two images each, random but for (images, samples, sketches, seed).

    In rounds: every image gives its sketch once a round and its style once, never both to one picture, and
    no pair returns. A round's sketches are of the next number. There are images·(images − 1) pairs at most.
    Raises UsageError for fewer than two images.
    """
    if images < 2:
        raise UsageError(f"{images} image: styles of other images need two or more; render more images")
    draw = numpy_generator(seed, "mismatched pairs", images)
    order, steps = draw.permutation(images), draw.permutation(images - 1) + 1
    pairs = []
    for turn, step in enumerate(steps):
        for place in range(min(images, samples - len(pairs))):
            content, style = int(order[place]), int(order[(place + step) % images])
            pairs.append(Pair(content, style, (content + turn) % sketches))
    return pairs
