"""The study of classes: whose noise an image has, and what is told of what the judge sees."""

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

import benchmarks.studies.diffsketching_classes as study
from tests.helpers.tiny_diffusion import rows, tiny_model


def test_each_image_is_guided_to_its_own_class_from_noise_of_its_own_number():
    model = tiny_model(classes=("cat", "dog"), class_scale=50.0)
    sketches, styles, _ = rows(4)
    mixed = study.sample_kinds(model, sketches, styles, np.array([0, 1, 0, 1]), 0)
    cats, dogs = (study.sample_kinds(model, sketches, styles, np.full(4, label), 0) for label in (0, 1))
    assert torch.allclose(mixed[::2], cats[::2], atol=1e-4)
    assert torch.allclose(mixed[1::2], dogs[1::2], atol=1e-4)
    assert not torch.allclose(cats, dogs, atol=1e-3)


def test_what_is_told_is_how_often_each_kind_is_seen_and_what_asking_adds():
    own, following = np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2])
    seen = {
        study.WITHOUT: [0, 2, 1, 2],  # own kind twice, the next once
        study.OWN: [0, 0, 1, 0],  # thrice
        study.NEXT: [1, 1, 2, 1],  # the next thrice, and once its own
    }
    told = study.tell_kinds(
        {request: np.eye(3)[answers] for request, answers in seen.items()}, own, following, 0
    )
    assert told[f"{study.WITHOUT}: own kind seen"][0] == 0.5
    assert told[f"{study.WITHOUT}: next kind seen"][0] == 0.25
    assert told[f"{study.OWN} adds: own kind seen"][0] == 0.25
    assert told[f"{study.NEXT} adds: next kind seen"][0] == 0.5
    assert told[f"{study.NEXT}: own kind seen"][0] == 0.25


def test_of_shards_with_classes_every_image_has_its_own(tmp_path):
    from PIL import Image

    from sketchforge.options import RenderOptions
    from sketchforge.render.render import render
    from sketchforge.shards.shard_set import open_shards
    from tests.helpers.photos import scene

    for number, name in enumerate(("cats", "dogs", "dogs")):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number, 64, 64)).save(tmp_path / "photos" / name / f"{number}.png")
    options = RenderOptions(
        tmp_path / "out", str(tmp_path / "photos"), size=64, hands="none", labels="folder"
    )
    render(options)
    images, sketches, labels = study.read_kinds(open_shards(str(tmp_path / "out")), 64)
    assert (images.shape, sketches.shape) == ((3, 3, 64, 64), (3, 1, 64, 64))
    assert sorted(labels.tolist()) == [0, 1, 1]
    assert len(study.read_kinds(open_shards(str(tmp_path / "out")), 64, 2)[2]) == 2
