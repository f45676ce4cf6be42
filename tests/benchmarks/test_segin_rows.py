"""The study of SEGIN: its rows, the nearest image, and what the translator adds to its auxiliary image."""

import pytest
import torch

import benchmarks.studies.segin_rows as study
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matcher import PatchMatcher
from sketchforge.models.segin import Segin, Translation
from sketchforge.options import SeginTrainOptions
from trainers.segin.recipe import RECIPES, segin_recipe_of


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_rows_are_named_after_what_they_are(variant):
    row = study.SeginRow("portraits", 64, variant, 3)
    assert study.SeginRow.parse(row.name) == row


@pytest.mark.parametrize("name", ["portraits-64-none-0", "cats-64-full-0", "portraits-96-full-0"])
def test_other_rows_are_refused(name):
    with pytest.raises(ValueError, match="no such row"):
        study.SeginRow.parse(name)


@pytest.mark.parametrize("variant", [name for name in study.VARIANTS if name != "full"])
def test_every_row_is_another_training(variant):
    recipe = segin_recipe_of(SeginTrainOptions(**study.VARIANTS[variant]))
    assert recipe != RECIPES["demo"]


def test_the_rows_of_table_2_are_there():
    assert set(study.PUBLISHED) <= set(study.VARIANTS)
    assert len(study.PUBLISHED) == 7


def test_the_nearest_image_is_another_one():
    shades = torch.tensor([0.0, 0.9, 0.1, 0.8])
    images = shades.view(4, 1, 1, 1).expand(4, 3, 16, 16)
    assert study.nearest_others(images).tolist() == [2, 3, 0, 1]


class Whitening(torch.nn.Module):
    """A translator that makes white of whatever was pasted."""

    size, width = 64, 1.0

    def forward(self, sketch, auxiliary):
        return Translation(torch.ones_like(auxiliary), sketch)


def test_errors_of_output_and_auxiliary_image_are_told_apart():
    """Of two even images, white and grey: each one's nearest is the other."""
    torch.manual_seed(0)
    matcher = PatchMatcher(Encoder(((2,), (2,), (2,), (2,))), 64, "argmax")
    images = torch.stack([torch.full((3, 64, 64), level) for level in (1.0, 0.0)])
    sketches = torch.ones(2, 1, 64, 64)

    def distance(made, truth):
        return (made - truth).abs().mean((1, 2, 3))

    figures = study.compare_with_auxiliary(Segin(Whitening(), matcher), sketches, images, distance, 0)
    values = {reference: {name: x[0] for name, x in table.items()} for reference, table in figures.items()}
    assert values["truth"] == pytest.approx(
        {
            "squared error, output": 0.5, "squared error, auxiliary": 0, "squared error, difference": 0.5,
            "LPIPS, output": 0.5, "LPIPS, auxiliary": 0, "LPIPS, difference": 0.5,
        }, abs=1e-6,
    )  # fmt: skip
    assert values["nearest"]["squared error, auxiliary"] == pytest.approx(1)
    assert values["nearest"]["squared error, difference"] == pytest.approx(-0.5)
