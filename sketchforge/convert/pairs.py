"""The pairs of a shard folder, one image after another: an image, and those of its sketches that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from sketchforge.convert.file_names import file_stem
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards import schema
from sketchforge.shards.reader import RawSample, raw_shard_samples
from sketchforge.shards.shard_set import ShardSet
from sketchforge.shards.splits import TRAIN
from sketchforge.utils.seeding import choose


@dataclass(frozen=True)
class ImagePairs:
    """An image as it is stored, and the numbers of the sketches that are paired with it, ascending."""

    stem: str  # of its files
    sample: RawSample
    numbers: Sequence[int]

    @property
    def key(self) -> str:
        return self.sample.key

    def sketch_stem(self, number: int) -> str:
        """The name of a sketch's file, without ending: the same whatever styles are wanted."""
        return f"{self.stem}-sketch{number}"


@dataclass(frozen=True)
class PairSource:
    """Which pairs of a finished set are wanted.

    styles: numbers of the sketches, ascending. per_image: how many of them each image has, by its key; None: all.
    """

    shards: ShardSet
    styles: Sequence[int]
    per_image: int | None = None

    @property
    def names(self) -> list[str]:
        """The names of the styles that are wanted."""
        return [self.shards.styles[number] for number in self.styles]

    @property
    def sketches_per_image(self) -> int:
        return len(self.styles) if self.per_image is None else min(self.per_image, len(self.styles))

    @cached_property
    def splits(self) -> dict[str, Sequence[int]]:
        """The numbers of each split's shards, without splits that hold no sample; all are train in a set without splits."""
        sizes = self.shards.shard_sizes
        splits = self.shards.splits or {TRAIN: range(len(sizes))}
        return {name: numbers for name, numbers in splits.items() if any(sizes[number] for number in numbers)}

    def count_images(self, split: str) -> int:
        return sum(self.shards.shard_sizes[number] for number in self.splits[split])

    def read(self, split: str, start: int = 0, stop: int | None = None) -> Iterator[ImagePairs]:
        """Yield images `start` to `stop` of a split, in stored order.

        Only the shards that hold them are read, one at a time. Raises SketchforgeError where one is damaged.
        """
        position = 0
        for number in self.splits[split]:
            count = self.shards.shard_sizes[number]
            first = max(0, start - position)
            last = count if stop is None else min(count, stop - position)
            position += count
            if first < last:
                for sample in raw_shard_samples(self.shards, number, first, last):
                    yield ImagePairs(file_stem(sample.key), sample, self.choose_styles(sample.key))

    def choose_styles(self, key: str) -> list[int]:
        """The numbers of an image's sketches: by its key alone, so that images that are added change no other's."""
        if self.per_image is None:
            return list(self.styles)
        chosen = choose(self.per_image, len(self.styles), 0, "sketches of an image", key)
        return [self.styles[place] for place in sorted(chosen)]


def pick_pairs(shards: ShardSet, wanted: Sequence[str], per_image: int | None) -> PairSource:
    """The pairs of a set whose styles are `wanted`, all where none is named.

    Raises UsageError for a name that no style of the shards has.
    """
    for name in wanted:
        if name not in shards.styles:
            known = ", ".join(shards.styles)
            raise UsageError(f"--hand {name}: no such hand in {shards.source}; there are {known}")
    styles = [number for number, name in enumerate(shards.styles) if not wanted or name in wanted]
    return PairSource(shards, styles, per_image)


@contextmanager
def sample_errors(source: PairSource, key: str) -> Iterator[None]:
    """Turn the errors of a sample whose contents are damaged into a SketchforgeError that names it."""
    try:
        yield
    except (SketchforgeError, ValueError, LookupError, TypeError) as error:
        folder = source.shards.source
        raise SketchforgeError(
            f"{folder}: {key} cannot be converted ({error}); see `sketchforge verify {folder}`"
        ) from error


def clean_text(text: str) -> str:
    """A text that UTF-8 has: JSON may name halves of characters."""
    return text.encode(errors="replace").decode()


def find_class(shards: ShardSet, sample: RawSample) -> int | None:
    """The number of an image's class; None where it has none, or one that the set does not know."""
    text = sample.extras.get(schema.CLASS, b"")
    number = int(text) if text.isdigit() and len(text) < 16 else -1
    return number if 0 <= number < len(shards.classes) else None
