"""Real photos, where they are at hand: SKETCHFORGE_TEST_DATA names a folder that holds photos/bsds500/val."""

import os
import shutil
from pathlib import Path

import pytest

from sketchforge.images.decode import read_image
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.reader import read_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.shards.verify import verify

PHOTOS = Path(os.environ.get("SKETCHFORGE_TEST_DATA", "")) / "photos" / "bsds500" / "val"


@pytest.mark.skipif("SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set")
def test_photos_become_line_drawings(tmp_path):
    (tmp_path / "in").mkdir()
    for path in sorted(PHOTOS.glob("*.jpg"))[:6]:
        shutil.copy(path, tmp_path / "in")
    render(RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", fit="keep", workers=1))
    assert verify(tmp_path / "out").problems == []
    shards = open_folder(tmp_path / "out")
    assert len(shards.keys) == 6
    for key, sample in read_samples(shards, shards.keys).items():
        assert (sample.image == read_image(tmp_path / "in" / f"{key}.jpg")).all()
        assert 0.01 < (sample.sketches[0] == 0).mean() < 0.15
