"""What folders are called beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last part of every path, with as many before it as tell it from the others.

    Of two paths to one folder both have the whole of it.
    """
    parts = [path.resolve().parts for path in paths]
    names = [""] * len(parts)
    for depth in range(1, max(map(len, parts), default=0) + 1):
        tails = [one[-depth:] for one in parts]
        count = Counter(tails)
        for place, tail in enumerate(tails):
            if not names[place] and (count[tail] == 1 or depth >= len(parts[place])):
                names[place] = str(Path(*tail))
    return names
