"""Untrusted text in Markdown."""

from __future__ import annotations

import re


def escape(value: object) -> str:
    """Escape text to one line that Markdown shows as it is: no markup, HTML, link or cell border."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(str(value).split()))


def fence(lines: list[str], language: str = "") -> list[str]:
    """Fence lines as a block of code that none of them can close."""
    longest_run = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return [f"{fence}{language}", *lines, fence]
