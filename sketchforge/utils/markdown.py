"""Text of others in Markdown of ours."""

from __future__ import annotations

import re


def escape(value: object) -> str:
    """Text that Markdown takes as it is: nothing in it is markup, HTML, a link or a cell's end, on one line."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(str(value).split()))


def fence(lines: list[str], language: str = "") -> list[str]:
    """Lines as a block of code that none of them can end."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]
