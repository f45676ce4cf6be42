"""Untrusted text in Markdown, and documents that are filled in from templates."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


class Markdown(str):
    """Text that is Markdown already: templates leave it as it is."""

    __slots__ = ()


def fill_markdown(folder: Path, name: str, /, **values: Any) -> str:
    """The template `name` of `folder`, filled in. Values are escaped, but for those that are Markdown.

    What enters by `{{ … }}` loses its line ends and outer spaces. Filter: `fenced`, lines as a block of code.
    """
    return _environment(folder).get_template(name).render(**values)


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=False,  # that is HTML's; `finalize` sees every value, and no text of the template
        finalize=lambda value: value if isinstance(value, Markdown) else escape(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fenced"] = lambda lines, language="": Markdown("\n".join(fence(lines, language)))
    return environment


def escape(value: object) -> str:
    """Escape text to one line that Markdown shows as it is: no markup, HTML, link or cell border."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(str(value).split()))


def fence(lines: list[str], language: str = "") -> list[str]:
    """Fence lines as a block of code that none of them can close."""
    longest_run = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return [f"{fence}{language}", *lines, fence]
