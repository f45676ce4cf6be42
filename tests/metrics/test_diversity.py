"""One sketch in many styles: what diversity and the likeness to the style say of models whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sketchforge.metrics.images import evaluate as model_images
from sketchforge.metrics.images.diversity import STYLES, many_styles, measure_diversity
from sketchforge.metrics.images.generate import generate_images
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.lpips import PerceptualSimilarity
from sketchforge.options import EvalImagesOptions
from sketchforge.shards.shard_set import open_shards
from sketchforge.utils.progress import Progress
from tests.helpers.copying_models import Copies

pytestmark = pytest.mark.usefixtures("quick_measures")
# The mean absolute difference, in place of a network: by hand, and quick.
DIFFERENCE = PerceptualSimilarity("difference", "none", "", lambda a, b: (a - b).abs().mean((1, 2, 3)))


@pytest.fixture
def reader(drawn):
    opened = SampleReader(open_shards(drawn))
    yield opened
    opened.close()


def measured(reader, what):
    groups = many_styles(8, 3, 2, seed=0)
    values = measure_diversity(Copies(what), reader, groups, "model", [DIFFERENCE], Progress())
    return groups, values["difference"]


def test_every_input_meets_twenty_styles_of_others_once():
    groups = many_styles(30, 10, 4, seed=0)
    assert len(groups) == 10
    for number, group in enumerate(groups):
        assert len({pair.style for pair in group}) == len(group) == STYLES
        assert {(pair.content, pair.sketch) for pair in group} == {(group[0].content, number % 4)}
        assert group[0].content not in {pair.style for pair in group}


def test_styles_are_a_matter_of_the_seed_and_the_input_alone():
    first, again, other = (many_styles(30, 5, 1, seed) for seed in (0, 0, 1))
    assert first == again
    assert [pair.style for pair in first[0]] != [pair.style for pair in other[0]]
    same_input = many_styles(30, 30, 1, 0)[first[1][0].content]
    assert [pair.style for pair in same_input] == [pair.style for pair in first[1]]


def test_of_few_images_all_others_are_styles():
    assert {pair.style for pair in many_styles(4, 1, 1, 0)[0]} == {1, 2, 3}


@pytest.mark.parametrize(("images", "inputs"), [(2, 5), (1, 5), (8, 0)])
def test_without_two_other_images_or_without_inputs_there_is_nothing(images, inputs):
    assert many_styles(images, inputs, 1, 0) == []


def test_what_copies_its_style_is_as_diverse_as_the_styles(reader):
    groups, values = measured(reader, "style")
    assert values["lpips_style"] == pytest.approx(0, abs=1e-6)
    for group, diversity in zip(groups, values["diversity"], strict=True):
        (batch,) = generate_images(Copies("style"), reader, group, "model")
        styles = torch.from_numpy(batch.styles).float() / 127.5
        between = [(a - b).abs().mean().item() for a, b in zip(styles, styles[1:])]
        assert diversity == pytest.approx(np.mean(between), rel=1e-4)


def test_what_copies_the_sketch_has_no_diversity_and_is_far_from_its_styles(reader):
    _, values = measured(reader, "sketch")
    assert (values["diversity"] == 0).all()
    assert (values["lpips_style"] > 0.01).all()


def test_it_is_measured_where_there_is_a_similarity_and_inputs_are_asked_for(monkeypatch, drawn, squeeze):
    monkeypatch.setattr(model_images, "load_model", lambda path, device: Copies("style"))
    titles = []
    for changes in ({"diversity": 2}, {"diversity": 0}, {"diversity": 2, "lpips": ()}):
        given = {"lpips": (("squeeze", squeeze),), "features": (), "encoders": (), "samples": 8} | changes
        options = EvalImagesOptions(Path("m"), str(drawn), threads=1, device="cpu", **given)
        rows = model_images.evaluate_images(options).rows
        titles.append([row.titles["diversity"] for row in rows if "diversity" in row.figures])
    assert titles == [["diversity, LPIPS (squeeze, other weights)"], [], []]
