"""Real photos, where they are at hand: SKETCHFORGE_TEST_DATA names a folder that holds photos/bsds500/val."""

import os
import shutil
from pathlib import Path

import pytest

from sketchforge.images.decode import read_image
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.reader import read_samples, sample_keys
from sketchforge.shards.verify import verify

PHOTOS = Path(os.environ.get("SKETCHFORGE_TEST_DATA", "")) / "photos" / "bsds500" / "val"


@pytest.mark.skipif("SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set")
def test_photos_become_line_drawings(tmp_path):
    (tmp_path / "in").mkdir()
    for path in sorted(PHOTOS.glob("*.jpg"))[:6]:
        shutil.copy(path, tmp_path / "in")
    render(RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", fit="keep", workers=1))
    assert verify(tmp_path / "out").problems == []
    keys = sample_keys(tmp_path / "out", read_manifest(tmp_path / "out"))
    assert len(keys) == 6
    for key, sample in read_samples(tmp_path / "out", keys, keys).items():
        assert (sample.image == read_image(tmp_path / "in" / f"{key}.jpg")).all()
        assert 0.01 < (sample.sketches[0] == 0).mean() < 0.15
