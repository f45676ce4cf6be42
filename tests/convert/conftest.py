"""Shards to be converted, with all that a sample may have."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from tests.helpers.photos import make_photos, scene

HANDS = ("careful", "outline", "ruler")


@pytest.fixture(scope="session")
def pair_shards(tmp_path_factory) -> Path:
    """Thirteen images of two classes, by three hands, in the splits train and val, with captions and masks.

    Never written to.
    """
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("cat", "Wild dög"):
        make_photos(folder / "in" / name, 6)
    Image.fromarray(scene(99, 50, 70)).save(folder / "in" / "cat" / "Ünï cøde.v2.png")
    for path in sorted(folder.rglob("*.jpg"))[::2]:
        path.with_suffix(".txt").write_text(f"é {path.stem}, of {path.parent.name}", encoding="utf-8")
    render(
        RenderOptions(
            folder / "out", folder / "in", method="canny", size=32, hands="builtin", styles=HANDS,
            workers=1, labels="folder", masks="colour", split="train=.6,val=.4", samples_per_shard=3,
        )
    )  # fmt: skip
    return folder / "out"


@pytest.fixture(autouse=True)
def signals_stay(monkeypatch):
    """What a command sets, no test after it inherits."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
