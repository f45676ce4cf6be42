"""The study of classes: whose noise an image has, and what is told of what the judge sees."""

import importlib

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

import benchmarks.studies.diffsketching_classes as study
from tests.helpers.tiny_diffusion import rows, tiny_model

sets = importlib.import_module("diffsketching_class_sets")  # the study has put its folder on the path


def test_each_image_is_guided_to_its_own_class_from_noise_of_its_own_number():
    model = tiny_model(classes=("cat", "dog"), class_scale=50.0)
    sketches, styles, _ = rows(4)
    mixed = study.sample_classes(model, sketches, styles, np.array([0, 1, 0, 1]), 0)
    cats, dogs = (study.sample_classes(model, sketches, styles, np.full(4, label), 0) for label in (0, 1))
    assert torch.allclose(mixed[::2], cats[::2], atol=1e-4)
    assert torch.allclose(mixed[1::2], dogs[1::2], atol=1e-4)
    assert not torch.allclose(cats, dogs, atol=1e-3)


def test_what_is_told_is_how_often_each_class_is_seen_and_what_asking_adds():
    own, following = np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2])
    seen = {
        study.WITHOUT: np.array([0, 2, 1, 2]),  # own class twice, the next once
        study.OWN: np.array([0, 0, 1, 0]),  # thrice
        study.NEXT: np.array([1, 1, 2, 1]),  # the next thrice, and once its own
    }
    distances = {study.WITHOUT: np.ones(4), study.OWN: np.full(4, 1.5), study.NEXT: np.full(4, 3.0)}
    told = study.tell_classes(seen, distances, own, following, 0)
    assert told[f"{study.WITHOUT}: own class seen"][0] == 0.5
    assert told[f"{study.WITHOUT}: next class seen"][0] == 0.25
    assert told[f"{study.OWN} adds: own class seen"][0] == 0.25
    assert told[f"{study.NEXT} adds: next class seen"][0] == 0.5
    assert told[f"{study.NEXT}: own class seen"][0] == 0.25
    assert told[f"{study.NEXT}: L_p"] == [3, 3, 3]
    assert told[f"{study.OWN} adds: L_p"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [((1.0, 1.05, 1.1, 1.2), 10.0), ((1.0, 1.1, 1.3, 1.05), 30.0), ((1.0, 2, 2, 2), 2.0)],
)
def test_the_scale_is_the_largest_that_keeps_lines(errors, chosen):
    """Beside that without a class, the first; where none does, the smallest."""
    scales = (0.0, 2.0, 10.0, 30.0)
    tries = [{"class_scale": scale, "L_p": error} for scale, error in zip(scales, errors, strict=True)]
    assert study.choose_scale(tries) == chosen


def test_tones_are_of_lightness_and_yellowness():
    colours = [(250, 240, 150), (200, 220, 255), (60, 40, 10), (10, 20, 80)]  # yellow, blue; the same dark
    images = np.stack([np.full((4, 4, 3), colour, np.uint8) for colour in colours])
    tones = sets.mean_tones(images)
    assert sets.name_tones(tones, np.median(tones, axis=0)) == [
        "light-warm",
        "light-cool",
        "dark-warm",
        "dark-cool",
    ]


def test_the_table_of_tones_is_what_render_takes_and_its_judge_agrees(tmp_path):
    from PIL import Image

    from sketchforge.shards.shard_set import open_shards
    from tests.helpers.photos import scene

    (tmp_path / "data" / sets.IMAGES[sets.TONES]).mkdir(parents=True)
    for number in range(6):
        path = tmp_path / "data" / sets.IMAGES[sets.TONES] / f"{number}.png"
        Image.fromarray(scene(number, 64, 64)).save(path)
    shards, medians = sets.render_classes(sets.TONES, 64, tmp_path / "data", tmp_path)
    opened = open_shards(str(shards))
    images, _, classes = sets.read_classes(opened, 64)
    judge = sets.judge_of(tuple(opened.classes), images, classes, medians, tmp_path, tmp_path)
    assert judge(images).tolist() == classes.tolist()
    assert len(set(classes.tolist())) > 1


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
    images, sketches, labels = study.read_classes(open_shards(str(tmp_path / "out")), 64)
    assert (images.shape, sketches.shape) == ((3, 3, 64, 64), (3, 1, 64, 64))
    assert sorted(labels.tolist()) == [0, 1, 1]
    assert len(study.read_classes(open_shards(str(tmp_path / "out")), 64, 2)[2]) == 2
