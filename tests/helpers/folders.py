"""What lies in shard folders, for comparisons."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from sketchforge.options import RenderOptions


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a shard folder by name, hidden ones included, but for the seconds in the stats."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name.endswith(".stats.json"):
                stats = json.loads(data)
                assert set(stats.pop("seconds")) <= {"decode", "draw", "encode", "write"}
                stats.pop("checksum", None)  # covers the seconds, too
                data = json.dumps(stats).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


def render_again(base: RenderOptions, folder: Path, **changes) -> dict[str, bytes]:
    from sketchforge.render.render import render

    render(dataclasses.replace(base, shards=folder, **changes))
    return contents(folder)


def members(folder: Path, number: int = 0) -> dict[str, bytes]:
    with tarfile.open(folder / f"{number:05d}.tar") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def all_members(folder: Path) -> dict[str, bytes]:
    """The members of all shards."""
    numbers = range(len(list(folder.glob("*.tar"))))
    return {name: data for number in numbers for name, data in members(folder, number).items()}


def stored_sketches(shards: Path) -> dict[str, np.ndarray]:
    """The sketches of a folder by their members' names, bool HxW or uint8 HxW."""
    found = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    found[member.name] = np.array(Image.open(io.BytesIO(tar.extractfile(member).read())))
    return found


def lines(folder: Path) -> list[dict]:
    return [
        json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
