"""`--recipe paper` is the published configuration: every number, and where it is from.

[P] is the paper, [C] its authors' code, where the paper does not say, [X] a third party's, where there is no such code.
"""

from dataclasses import fields

import pytest

from sketchforge.losses.adversarial import r1_weight
from sketchforge.models.autoencoder import STYLED_SIDES, AutoEncoder
from sketchforge.options import (
    AeTrainOptions,
    DiffSketchingTrainOptions,
    GanTrainOptions,
    SeginTrainOptions,
    Style2PaintsTrainOptions,
)
from trainers.autoencoder.recipe import LOSSES, AeRecipe, ae_recipe_of
from trainers.diffsketching.recipe import DiffSketchingRecipe, diffsketching_recipe_of
from trainers.gan.recipe import GanRecipe, gan_recipe_of
from trainers.segin.recipe import SeginRecipe, segin_recipe_of
from trainers.style2paints.recipe import Style2PaintsRecipe, style2paints_recipe_of

AUTOENCODER = {
    "size": (1024, "[P] section 5: images of 1024²"),
    "steps": (100_000, "[C] iterations of stage 1"),
    "batch_size": (16, "[P] section 5"),
    "width": (1.0, "[C] channels of encoders and decoder"),
    "style_dim": (512, "[P] section 4.1: f_style has 512 numbers"),
    "dmi": ("feature", "[P] A.2 and Table 3: masks are features of the content"),
    "style": ("multiply", "[P] A.2 and Table 4: style multiplies channels"),
    "content_side": (None, "[P] A.2: content enters at 8², 16² and 32²"),
    "padding": (None, "ours: neither says; zeros, as is usual"),
    "reconstruction": (1.0, "[P] Eq. 12"),
    "style_triplet": (1.0, "[P] Eq. 12, L_s_tri of Eq. 7"),
    "style_class": (1.0, "[P] Eq. 12, L_s_cls of Eq. 8"),
    "content_class": (1.0, "[P] Eq. 12, L_c_cls of Eq. 9"),
    "content_triplet": (1.0, "[P] Eq. 12, L_c_tri of Eq. 10"),
    "perceptual": (0.0, "[P] Eq. 12 has five terms, none of them perceptual"),
    "variational": (False, "[P] A.3 is a variant"),
    "style_prior": (0.01, "ours, of the variant alone"),
    "translated": (1.0, "[P] section 4.1: translated image and transformed sketch against the original"),
    "plain_step": (True, "[C] a second optimiser step an iteration, on plain inputs"),
    "style_margin": (0.5, "ours: Eq. 7 prints none"),
    "content_margin": (0.5, "ours: Eq. 10 prints α without a value"),
    "subset": (500, "[P] A.1: k from 500 to 2,000"),
    "subset_passes": (100, "[C] passes through a subset"),
    "learning_rate": (2e-4, "[P] section 5"),
    "later_learning_rate": (1e-4, "[C] of style encoder and decoder after the first subset"),
    "betas": ((0.5, 0.999), "[C] Adam"),
    "ema_decay": (0.0, "[C] stage 1 has no average"),
}
GAN = {
    "size": (1024, "[P] section 5: images of 1024²"),
    "steps": (100_000, "ours: as stage 1"),
    "batch_size": (12, "[P] section 5"),
    "width": (1.0, "[C] channels of G2 and D"),
    "reconstruction": (10.0, "[P] λ of Eq. 14"),
    "perceptual": (0.0, "[P] Eq. 14 has a squared error alone"),
    "augment": ("", "[P] none"),
    "r1": (0.0, "[P] Eq. 13 has no such term"),
    "discriminator": ("pixels", "[P] section 4.2"),
    "spectral_norm": (True, "[C] D"),
    "noise": (True, "[P] section 4.2"),
    "learning_rate": (2e-4, "[P] section 5"),
    "discriminator_learning_rate": (2e-4, "[P] section 5"),
    "betas": ((0.5, 0.999), "[C] Adam"),
    "ema_decay": (0.999, "[C] average of G2"),
}

SEGIN = {
    "size": (256, "[P] images of 256²"),
    "steps": (150_000, "ours: the paper has 12 to 20 epochs of its data"),
    "batch_size": (5, "[P]"),
    "width": (1.0, "ours: widths are not published"),
    "match": ("argmax", "[P] the patch of the highest cosine"),
    "input": ("sketch", "[P] edges; colourisation is its second use"),
    "non_local": (True, "[P] three layers in the bottleneck"),
    "reconstruction": (100.0, "[P] w1"),
    "feature": (5e-6 * 256 * 64 * 64, "[P] w2 of VGG19's relu3_2, read as of a sum at 256²"),
    "adversarial": (1.0, "[P] w3, printed as a second w4"),
    "mask": (100.0, "[P] w4"),
    "masked": (10.0, "[P] w5"),
    "variation": (10.0, "[P] w6"),
    "learning_rate": (2e-4, "[P]"),
    "discriminator_learning_rate": (1.3e-5, "[P]"),
    "betas": ((0.5, 0.999), "ours: not published"),
    "ema_decay": (0.0, "ours: no average is mentioned"),
}
DIFFSKETCHING = {
    "size": (256, "[C]"),
    "steps": (500_000, "ours: of neither stage published"),
    "batch_size": (4, "[C] of fine-tuning"),
    "channels": ((128, 128, 256, 256, 512, 512), "[C] 128, multiplied by 1, 1, 2, 2, 4, 4"),
    "layers": (2, "[C] residual blocks"),
    "groups": (32, "ours: diffusers' default"),
    "attention": ((16, 8), "[C] at 16² and 8²"),
    "patch": (1, "[C] none"),
    "schedule": ("linear", "[C] 1,000 steps"),
    "classifier_width": (256, "[C] of the noised classifier"),
    "condition": ("guidance", "[P]"),
    "tuning_share": (0.1, "ours: not published"),
    "denoising_steps": (450_000, "ours: steps but for that share"),
    "through": (0, "ours: the code's sampling has no gradients"),
    "identity": (0.5, "ours: λ is not published"),
    "anchor": (0.0, "[P] L has two terms"),
    "sampling_steps": (25, "[C] DDIM"),
    "strength": (
        0.5,
        "ours: at 1 a clone of the noise holds nothing of the image, at .8 of this schedule 1/900",
    ),
    "sketch_scale": (0.5, "ours: not published"),
    "class_scale": (1.0, "[P] the formula has none"),
    "learning_rate": (1e-4, "ours: not published"),
    "tuning_learning_rate": (1e-3, "[C]"),
    "tuning_optimizer": ("sgd", "[C] momentum .9"),
    "classifier_learning_rate": (3e-4, "ours: not published"),
    "betas": ((0.9, 0.999), "ours: not published"),
    "ema_decay": (0.9999, "ours: not published"),
}
STYLE2PAINTS = {
    "size": (256, "[P] figure of the network: the finest maps"),
    "steps": (100_000, "ours: not published"),
    "batch_size": (4, "[P] at most 4, for the auxiliary classifier's memory"),
    "width": (1.0, "[P] figure of the network: see test_style2paints_models.py"),
    "hint": ("builtin", "ours: VGG19's fc1 in the paper"),
    "hint_size": (None, "[P] all features of the network, 4096 of VGG19"),
    "guides": (True, "[P] guide decoders at entry and exit of the middle"),
    "guide_target": ("grey", "[P] Eq. 2"),
    "entry_guide": (0.3, "[P] α of Eqs. 1 and 2"),
    "exit_guide": (0.9, "[P] β of Eqs. 1 and 2"),
    "reconstruction": (100.0, "[X] λ is not published"),
    "discriminator": ("both", "[P] auxiliary classifier and DCGAN's take turns"),
    "learning_rate": (2e-4, "ours: not published"),
    "discriminator_learning_rate": (2e-4, "ours: not published"),
    "betas": ((0.5, 0.99), "[X] Adam"),
    "ema_decay": (0.0, "ours: no average is mentioned"),
}


@pytest.mark.parametrize(
    ("field", "value", "place"), [(field, *printed) for field, printed in AUTOENCODER.items()]
)
def test_the_autoencoder_is_as_published(field, value, place):
    assert getattr(ae_recipe_of(AeTrainOptions(recipe="paper")), field) == value, place


@pytest.mark.parametrize(("field", "value", "place"), [(field, *printed) for field, printed in GAN.items()])
def test_the_gan_is_as_published(field, value, place):
    assert getattr(gan_recipe_of(GanTrainOptions(recipe="paper")), field) == value, place


@pytest.mark.parametrize(
    ("field", "value", "place"), [(field, *printed) for field, printed in STYLE2PAINTS.items()]
)
def test_style2paints_is_as_published(field, value, place):
    options = Style2PaintsTrainOptions(recipe="paper", hint="builtin")
    assert getattr(style2paints_recipe_of(options), field) == value, place


@pytest.mark.parametrize(("field", "value", "place"), [(field, *printed) for field, printed in SEGIN.items()])
def test_segin_is_as_published(field, value, place):
    assert getattr(segin_recipe_of(SeginTrainOptions(recipe="paper")), field) == value, place


@pytest.mark.parametrize(
    ("field", "value", "place"), [(field, *printed) for field, printed in DIFFSKETCHING.items()]
)
def test_diffsketching_is_as_published(field, value, place):
    assert getattr(diffsketching_recipe_of(DiffSketchingTrainOptions(recipe="paper")), field) == value, place


@pytest.mark.parametrize(
    ("recipe", "published"),
    [
        (AeRecipe, AUTOENCODER),
        (GanRecipe, GAN),
        (Style2PaintsRecipe, STYLE2PAINTS),
        (SeginRecipe, SEGIN),
        (DiffSketchingRecipe, DIFFSKETCHING),
    ],
)
def test_no_number_of_a_recipe_is_left_out(recipe, published):
    assert {field.name for field in fields(recipe)} == set(published)


def test_style_enters_at_64_to_512():
    """[P] A.2, at 1024 pixels, too."""
    assert STYLED_SIDES == (64, 128, 256, 512)
    sides = AutoEncoder(1024, 0.0625).decoder.modulations
    assert [int(side) for side in sides] == [8, *STYLED_SIDES]  # at 8² as in [C]


def test_the_large_recipe_is_the_demo_s_at_full_size():
    large, demo = (ae_recipe_of(AeTrainOptions(recipe=name)) for name in ("large", "demo"))
    assert (large.size, large.width, large.style_dim) == (1024, 1.0, 512)
    assert {name: getattr(large, name) for name in LOSSES} == {name: getattr(demo, name) for name in LOSSES}
    assert large.translated == demo.translated == 0.5
    assert gan_recipe_of(GanTrainOptions(recipe="large")).r1 == r1_weight(1024, 12)
    assert gan_recipe_of(GanTrainOptions(recipe="large", r1=0.0)).r1 == 0
    assert gan_recipe_of(GanTrainOptions(recipe="large", discriminator="features")).r1 == 0
    assert gan_recipe_of(GanTrainOptions(recipe="large", discriminator="features", r1=2.0)).r1 == 2


@pytest.mark.parametrize(("name", "style"), [("demo", "adain"), ("large", "adain"), ("paper", "multiply")])
def test_style_enters_by_adain_where_nothing_is_reproduced(name, style):
    assert ae_recipe_of(AeTrainOptions(shards="out", recipe=name)).style == style


@pytest.mark.parametrize(
    ("name", "padding"), [("demo", "replicate"), ("large", "replicate"), ("paper", "zeros")]
)
def test_borders_are_repeated_where_nothing_is_reproduced(name, padding):
    recipe = ae_recipe_of(AeTrainOptions(shards="out", recipe=name, size=64))
    assert recipe.build_model().padding == padding
