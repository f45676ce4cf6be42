"""A finished folder, and images that it does not have."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from tests.helpers.photos import make_photos


@pytest.fixture(scope="session")
def grown(tmp_path_factory) -> Path:
    """A folder of fourteen images, of which `base` has the first ten; never written to."""
    return make_photos(tmp_path_factory.mktemp("grown") / "in", 14)


@pytest.fixture(scope="session")
def base(grown, tmp_path_factory) -> RenderOptions:
    """Ten of the images in three shards; never written to."""
    folder = tmp_path_factory.mktemp("base")
    for path in sorted(path for path in grown.rglob("*") if path.is_file()):
        if int(path.stem[1:]) < 10:
            target = folder / "in" / path.relative_to(grown)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    options = RenderOptions(
        folder / "out", folder / "in", method="canny", size=48, samples_per_shard=4, batch_size=3, workers=1
    )
    render(options)
    return options


@pytest.fixture
def adding(base, grown, tmp_path) -> RenderOptions:
    """What adds the other four images to a copy of the ten."""
    shutil.copytree(base.shards, tmp_path / "out")
    return dataclasses.replace(
        base, shards=tmp_path / "out", images=grown, append=True, samples_per_shard=None
    )


@pytest.fixture(scope="session")
def added(base, grown, tmp_path_factory) -> Path:
    """The folder with all fourteen; never written to."""
    out = tmp_path_factory.mktemp("added") / "out"
    shutil.copytree(base.shards, out)
    render(dataclasses.replace(base, shards=out, images=grown, append=True))
    return out
