"""One image to be read, and what came along with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sketchforge.sources.blob import Blob


@dataclass(frozen=True, slots=True)
class ImageSource:
    """`source` is the path relative to the input, with forward slashes; for a tar: `NAME.tar/MEMBER`."""

    key: str
    source: str
    picture: Blob
    caption: Blob | None = None  # text
    metadata: Blob | None = None  # a JSON object

    def read(self) -> bytes:
        """The encoded picture; raises ImageError where it cannot be read."""
        return self.picture.read()

    def sizes(self) -> Iterator[int]:
        """Bytes of picture, caption and metadata, -1 for what is not there: a cheap sign of change."""
        for blob in (self.picture, self.caption, self.metadata):
            yield -1 if blob is None else blob.num_bytes
