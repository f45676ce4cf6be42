"""DiffAugment: what each change does, that draws are each image's own, and that gradients flow."""

import pytest
import torch

from sketchforge.losses.diff_augment import diff_augment

POLICIES = ["color", "translation", "cutout"]
ALL = ",".join(POLICIES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int = 4, size: int = 16, seed: int = 0) -> torch.Tensor:
    """In [-1, 1], none of it 0."""
    drawn = torch.rand(count, 3, size, size, generator=generator(seed))
    return torch.where(drawn < 0.5, drawn - 1, drawn)


def test_without_a_policy_nothing_happens():
    images, draws = random_images(), generator()
    state = draws.get_state()
    assert diff_augment(images, "", draws) is images
    assert torch.equal(draws.get_state(), state)


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_types_and_that_it_changes_something(policy, dtype):
    images = torch.cat([random_images(3)] * 2, dim=3).to(dtype)
    changed = diff_augment(images, policy, generator())
    assert changed.shape == (3, 3, 16, 32)
    assert changed.dtype == dtype
    assert (changed != images).flatten(1).any(1).all()


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_the_generator_alone_decides(policy):
    images = random_images()
    first = diff_augment(images, policy, generator(1))
    torch.manual_seed(5)
    assert torch.equal(diff_augment(images, policy, generator(1)), first)
    assert not torch.equal(diff_augment(images, policy, generator(2)), first)
    draws = generator(1)
    diff_augment(images, policy, draws)
    assert not torch.equal(diff_augment(images, policy, draws), first), "the next batch has its own draws"


@pytest.mark.parametrize("policy", POLICIES)
def test_every_image_is_changed_in_its_own_way(policy):
    changed = diff_augment(random_images(1).expand(6, -1, -1, -1), policy, generator())
    assert len({image.numpy().tobytes() for image in changed}) > 3


def test_color_keeps_the_order_of_pixels_and_its_strengths_are_those_published():
    """Two pixels, (.5, -.1, -.1) and (-.3, -.3, -.3): all three draws can be read off the result."""
    count = 400
    image = torch.tensor([[0.5, -0.3], [-0.1, -0.3], [-0.1, -0.3]]).view(3, 1, 2)
    images = image.expand(count, -1, -1, -1)
    changed = diff_augment(images, "color", generator())
    mean = changed.mean(dim=(1, 2, 3))
    greys = changed.mean(dim=1)[:, 0]
    brightness = mean + 0.1  # the mean was -.1
    contrast = (greys[:, 0] - greys[:, 1]) / 0.4  # the greys were .1 and -.3
    saturation = (changed[:, 0, 0, 0] - changed[:, 1, 0, 0]) / 0.6 / contrast
    for found, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (saturation, 0, 2)):
        assert low - 1e-5 <= found.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < found.max() <= high + 1e-5
        assert abs(found.mean() - (low + high) / 2) < 5 * (high - low) / (12 * count) ** 0.5
    draws = torch.corrcoef(torch.stack([brightness, contrast, saturation]))
    assert (draws - torch.eye(3)).abs().max() < 5 / count**0.5, "three draws, not one"


def test_translation_moves_whole_images_by_up_to_an_eighth_and_fills_with_grey():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    image = torch.stack([rows, columns, torch.ones_like(rows)]) + 1
    moves = set()
    for moved in diff_augment(image.expand(300, -1, -1, -1), "translation", generator()):
        inside = moved[2] > 0
        origin = image[:2] - moved[:2]
        down, right = (int(offsets[inside].unique()) for offsets in origin)
        moves.add((down, right))
        expected = torch.zeros_like(image)
        expected[:, max(down, 0) : 16 + min(down, 0), max(right, 0) : 24 + min(right, 0)] = image[
            :, max(-down, 0) : 16 - max(down, 0), max(-right, 0) : 24 - max(right, 0)
        ]
        assert torch.equal(moved, expected)
    assert moves == {(down, right) for down in range(-2, 3) for right in range(-3, 4)}


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 22)])
def test_cutout_greys_a_square_of_half_the_side_that_may_lie_across_the_border(height, width):
    images = torch.ones(500, 3, height, width)
    areas, tops, lefts = set(), set(), set()
    for cut in diff_augment(images, "cutout", generator()):
        hole = (cut == 0).all(0)
        assert torch.equal(cut, (~hole).float().expand(3, -1, -1))
        rows, columns = (hole.any(1 - axis).nonzero().flatten() for axis in (0, 1))
        assert (
            hole.sum()
            == len(rows) * len(columns)
            == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        ), "one rectangle"
        areas.add((len(rows), len(columns)))
        tops.add(int(rows.min())), lefts.add(int(columns.min()))
    tall, wide = round(height / 2), round(width / 2)
    assert max(areas) == (tall, wide)
    assert {rows for rows, _ in areas} == set(range((tall + 1) // 2, tall + 1)), "its centre is inside"
    assert min(tops) == min(lefts) == 0
    assert max(tops) == height - (tall + 1) // 2
    assert max(lefts) == width - (wide + 1) // 2


def test_changes_are_applied_in_the_order_given():
    """Brightness after a translation moves the filling, too; before it does not."""
    images = torch.ones(8, 3, 16, 16)
    before = diff_augment(images, "color,translation", generator(1))
    after = diff_augment(images, "translation,color", generator(1))
    assert (before == 0).flatten(1).any(1).sum() >= 6
    assert (after == 0).sum() == 0


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_gradients(policy):
    images = random_images(2, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, policy, generator(3)), (images,))


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_reach_every_image_and_no_other(policy):
    images = random_images().requires_grad_()
    diff_augment(images, policy, generator())[1].sum().backward()
    reached = images.grad.abs().sum((1, 2, 3))
    assert reached[1] > 0
    assert reached[[0, 2, 3]].sum() == 0


@pytest.mark.parametrize("policy", ["colour", "color,", "translation,flip", "color translation"])
def test_unknown_changes_are_refused_before_anything_is_drawn(policy):
    draws = generator()
    state = draws.get_state()
    with pytest.raises(ValueError, match="expected some of color, translation, cutout"):
        diff_augment(random_images(), policy, draws)
    assert torch.equal(draws.get_state(), state)
