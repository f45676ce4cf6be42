"""Remote shard folders: the addresses of their files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sketchforge.errors import UsageError
from sketchforge.shards.fetch import FetchPolicy, fetch

PLACE = "{}"  # stands for the file name in a source

_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a folder


def is_remote(source: str | Path) -> bool:
    """Whether a source is fetched from: a URL, or a text with {} for the file name."""
    if not isinstance(source, str) or os.path.isdir(source):
        return False
    return PLACE in source or bool(_URL_SCHEME.match(source))


@dataclass(frozen=True)
class RemoteFolder:
    """The files of a remote shard folder, by name.

    source: the folder's URL, or a text that becomes a file's address when its {} is replaced by the name; for
    what may be an address, see `fetch`. Raises UsageError for a pipe without {}.
    """

    source: str
    policy: FetchPolicy = FetchPolicy()

    def __post_init__(self) -> None:
        if self.source.startswith("pipe:") and PLACE not in self.source:
            raise UsageError(
                f"{self.source}: does not say where the file name goes; put {{}} there, as in "
                "pipe:cat out/{}"
            )

    def address(self, name: str) -> str:
        if PLACE in self.source:
            return self.source.replace(PLACE, name)
        return f"{self.source.rstrip('/')}/{name}"

    def fetch(
        self,
        name: str,
        target: BinaryIO,
        max_bytes: int,
        find_fault: Callable[[int, str], str | None],
    ) -> None:
        """Fetch the file `name` into `target`; arguments and errors as of `fetch`."""
        fetch(self.address(name), target, max_bytes, find_fault, self.policy)
