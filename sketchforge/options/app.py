"""Options of the page to draw on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """`sketchforge app`: a page to draw on, served from this machine."""

    model: Path | None = None  # as in SynthesisOptions
    style: tuple[str, ...] = ()  # images as `find_images` takes them; offered before the built-in photos
    host: str = "127.0.0.1"
    port: int = 8471  # 0: any that is free
    browser: bool = True  # open one
    device: str = "auto"
    threads: int = 0
