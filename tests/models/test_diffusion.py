"""The noise schedule against its closed forms, DDIM against the solution that is known, U-nets as they are described."""

import importlib.util
import re
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

from sketchforge.errors import UsageError
from sketchforge.models.diffusion import (
    SCHEDULE,
    NoiseSchedule,
    Prediction,
    apply_unet,
    build_unet,
    patch_of,
    unet_settings,
)
from tests.helpers.tiny_diffusion import GaussianOracle, tiny_model
from trainers.diffsketching.recipe import RECIPES


@pytest.fixture(scope="module")
def schedule():
    return NoiseSchedule()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_share_of_the_image_is_the_product_of_linear_variances_stretched_to_nothing(schedule):
    kept = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).neg().add(1).log().cumsum(0).exp().sqrt()
    stretched = ((kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])).square()
    assert torch.allclose(schedule.image_share.double(), stretched, atol=1e-6)
    assert schedule.image_share[-1] == 0
    assert (schedule.image_share.diff() < 0).all()


def test_the_demos_share_of_the_image_is_a_squared_cosine_stretched_to_nothing():
    """Nichol and Dhariwal 2021, Eq. 17, of variances of .999 at most; then as above."""
    found = NoiseSchedule(SCHEDULE | {"beta_schedule": RECIPES["demo"].schedule}).image_share
    left = (
        torch.linspace(0, 1, 1001, dtype=torch.float64).add(0.008).div(1.008).mul(torch.pi / 2).cos().square()
    )
    kept = (left[1:] / left[:-1]).clamp(min=0.001).cumprod(0).sqrt()
    stretched = ((kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])).square()
    assert torch.allclose(found.double(), stretched, atol=1e-5)


def test_noised_images_have_the_mean_and_deviation_of_the_closed_form(schedule):
    times = torch.tensor([0, 399, 999])
    image = torch.full((3, 1, 200, 200), 0.5, dtype=torch.float64)
    noisy = schedule.add_noise(image, random(3, 1, 200, 200), times)
    share = schedule.image_share[times].double()
    assert torch.allclose(noisy.mean(dim=(1, 2, 3)), share.sqrt() * 0.5, atol=0.015)
    assert torch.allclose(noisy.std(dim=(1, 2, 3)), (1 - share).sqrt(), atol=0.015)


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_a_right_prediction_gives_back_image_and_noise(kind):
    known = NoiseSchedule(SCHEDULE | {"prediction_type": kind, "rescale_betas_zero_snr": False})
    image, noise, times = random(3, 3, 4, 4), random(3, 3, 4, 4, seed=1), torch.tensor([0, 500, 999])
    read = known.read_output(
        known.target_of(image, noise, times), known.add_noise(image, noise, times), times
    )
    assert torch.allclose(read.image, image, atol=1e-4)
    assert torch.allclose(read.noise, noise, atol=1e-4)


def test_a_step_of_a_right_prediction_stays_on_the_images_path(schedule):
    """q_σ(x_s | x_t, x_0) with σ = 0: √ᾱ_s·x_0 + √(1−ᾱ_s)·ε, which is x_s of the same noise."""
    image, noise = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    expected = schedule.add_noise(image, noise, torch.tensor([300, 300]))
    assert torch.allclose(schedule.step(Prediction(image, noise), 300), expected)
    assert torch.equal(schedule.step(Prediction(image, noise), None), image)


def test_steps_are_those_of_diffusers_where_it_ends_at_the_image(schedule):
    """25 divides 1,000. Of 30 steps diffusers' last goes to ᾱ_{-1} of a time step that is none of them."""
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(**SCHEDULE, clip_sample=False, timestep_spacing="trailing")
    theirs.set_timesteps(25)
    times = schedule.list_times(25)
    assert times == theirs.timesteps.tolist() == list(range(999, 0, -40))
    x, output = random(1, 3, 4, 4).float(), random(1, 3, 4, 4, seed=1).float()
    for time, later in zip(times, [*times[1:], None], strict=True):
        read = schedule.read_output(output, x, torch.tensor([time]))
        expected = theirs.step(output, time, x).prev_sample
        assert torch.allclose(schedule.step(read, later), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "strength", "first", "count"),
    [
        (10, 1.0, 999, 10),
        (10, 0.8, 799, 8),
        (30, 1.0, 999, 30),
        (1, 1.0, 999, 1),
        (4, 0.1, 99, 1),
        (1, 0.8, 799, 1),
        (5, 1e-5, 0, 1),
    ],
)
def test_time_steps_trail_and_begin_within_the_strength(schedule, steps, strength, first, count):
    times = schedule.list_times(steps, strength)
    assert (times[0], len(times)) == (first, count)


@pytest.mark.parametrize(("steps", "strength"), [(0, 1), (1001, 1), (10, 0), (10, 1.1)])
def test_numbers_out_of_range_are_refused(schedule, steps, strength):
    with pytest.raises(ValueError, match="expected 1 to 1000 steps"):
        schedule.list_times(steps, strength)


def test_sampling_of_normal_numbers_is_the_flow_that_is_known():
    """From x_T of no signal the flow of N(μ, s²) ends at μ + s·x_T, by the exact E[x_0 | x_t]."""
    schedule = NoiseSchedule()
    model = tiny_model(unet=GaussianOracle(schedule, 0.3, 0.2))
    start = torch.linspace(-2, 2, 3 * 256).view(1, 3, 16, 16)
    ended = model.denoise(start, torch.ones(1, 1, 16, 16), schedule.list_times(500), unguided(model))
    assert torch.allclose(ended, 0.3 + 0.2 * start, atol=0.01)


def unguided(model):
    from dataclasses import replace

    return replace(model.sampling, sketch_scale=0.0)


def test_noise_that_is_replaced_takes_its_image_along(schedule):
    """x_t = √ᾱ·x̂_0 + √(1−ᾱ)·ε̂ holds before and after."""
    times = torch.tensor([10, 700])
    read = Prediction(random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1))
    moved = schedule.replace_noise(read, read.noise + random(2, 3, 4, 4, seed=2), times)
    a = schedule.share_at(times).sqrt()
    b = (1 - schedule.share_at(times)).sqrt()
    assert torch.allclose(a * moved.image + b * moved.noise, a * read.image + b * read.noise, atol=1e-5)


def test_where_nothing_is_left_of_the_image_nothing_guides(schedule):
    read = Prediction(random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1))
    moved = schedule.replace_noise(read, read.noise + 1, torch.tensor([999]))
    assert torch.equal(moved.image, read.image)
    assert torch.equal(moved.noise, read.noise)


# U-nets.


def test_the_demos_unet_is_the_one_that_was_measured():
    from trainers.diffsketching.recipe import RECIPES
    from trainers.diffsketching.step import count_unet_parameters

    assert count_unet_parameters(RECIPES["demo"], None) == 2_476_076


def test_attention_is_at_the_sides_that_are_named():
    settings = unet_settings(32, 3, (8, 8, 8), 1, (16,), 4)
    assert settings["down_block_types"] == ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"]
    assert settings["up_block_types"] == ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
    unet = build_unet(settings)
    assert apply_unet(unet, torch.zeros(2, 3, 32, 32), torch.tensor([1, 2])).shape == (2, 3, 32, 32)


def test_squares_of_pixels_are_one_place_of_a_unet_of_patches():
    """An image that is even within each square stays so where the U-net gives back what it gets."""

    class Echo(torch.nn.Module):
        config = SimpleNamespace(out_channels=12)

        def forward(self, inputs, times, return_dict):
            self.seen = inputs
            return (inputs[:, :12],)

    echo, images = Echo(), torch.rand(2, 4, 8, 8)
    assert patch_of(echo) == 2
    assert torch.equal(apply_unet(echo, images, torch.tensor([1, 2])), images[:, :3])
    assert echo.seen.shape == (2, 16, 4, 4)
    assert torch.equal(echo.seen[:, 12:], torch.nn.functional.pixel_unshuffle(images[:, 3:], 2))


def test_a_unet_of_patches_has_their_channels_and_side():
    settings = unet_settings(32, 4, (8, 8), 1, (16,), 4, 2)
    assert (settings["in_channels"], settings["out_channels"], settings["sample_size"]) == (16, 12, 16)
    assert settings["down_block_types"] == ["AttnDownBlock2D", "DownBlock2D"]
    unet = build_unet(settings)
    assert patch_of(unet) == 2
    assert apply_unet(unet, torch.zeros(2, 4, 32, 32), torch.tensor([1, 2])).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20, 3, (8, 8, 8, 8), 1, (), 4), "4 levels of patches of 1 do not divide"),
        ((16, 3, (8, 12), 1, (), 8), "multiples of 8"),
        ((16, 3, (8, 8), 1, (), 8, 16), "2 levels of patches of 16 do not divide"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet_settings(*arguments)


def test_without_diffusers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("sketchforge.models.diffusion.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape("pip install 'sketchforge[diffusion]'")):
        NoiseSchedule()
    with pytest.raises(UsageError, match="diffusers is not installed"):
        build_unet({})
    assert importlib.util.find_spec("diffusers")
