"""What earlier releases have left, shards and models, is read by this version, and means the same."""

import json

import pytest

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.shards.verify import verify
from tests.helpers.release_fixtures import (
    FIXTURES,
    describe_drawing,
    describe_model,
    describe_shards,
)

CLOSE = 1.5  # of 255, for means over parts of an image: what processors differ by is far less, another image far more
RELEASES = sorted(path.name for path in FIXTURES.iterdir())
MODELS = [
    (version, run.name)
    for version in RELEASES
    for run in sorted((FIXTURES / version / "models").iterdir())
    if run.name != "tom"
]


def expected_of(version):
    return json.loads((FIXTURES / version / "expected.json").read_text())


def test_the_first_release_with_fixtures_is_there():
    assert "0.2.0" in RELEASES


@pytest.mark.parametrize("version", RELEASES)
def test_shards_are_read_as_they_were_written(version):
    expected = expected_of(version)["shards"]
    found = describe_shards(FIXTURES / version / "shards")
    for key, sample in expected["samples"].items():
        assert found["samples"][key].pop("image") == pytest.approx(sample.pop("image"), abs=CLOSE)
    assert found == expected


@pytest.mark.parametrize("version", RELEASES)
def test_shards_are_whole(version):
    assert verify(FIXTURES / version / "shards").problems == []


@pytest.mark.parametrize(("version", "name"), MODELS)
def test_models_make_what_they_made(version, name):
    if name == "diffsketching":
        pytest.importorskip("diffusers", reason="the extra `diffusion`")
    folder = FIXTURES / version
    made = describe_model(folder / "models" / name, folder / "shards")
    expected = expected_of(version)["models"][name]
    assert max(expected) - min(expected) > 10 * CLOSE  # else nothing could be told
    assert made == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("version", RELEASES)
def test_snapshots_of_tom_draw_what_they_drew(version):
    expected = expected_of(version)["drawings"]
    drawn = describe_drawing(FIXTURES / version / "models/tom", len(expected))
    for sketch, wanted in zip(drawn, expected, strict=True):
        assert sketch == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("version", RELEASES)
def test_encoders_open(version):
    assert "relu4_1" in load_encoder(str(FIXTURES / version / "encoder.safetensors")).tap_names()
