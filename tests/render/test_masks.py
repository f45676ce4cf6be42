"""--masks: where the subject of every image is, as a member of its sample."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from sketchforge.errors import UsageError
from sketchforge.images.decode import decode_alpha, read_image
from sketchforge.options import InspectOptions, RenderOptions
from sketchforge.render.plan import plan_render
from sketchforge.render.render import render
from sketchforge.report.gallery.inspect import inspect
from sketchforge.shards.verify import verify
from tests.helpers.commands import run_cli
from tests.helpers.folders import lines, members
from tests.helpers.photos import scene

HEIGHT, WIDTH = 60, 100


def encode(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def disc() -> np.ndarray:
    """uint8 HxW: 255 in a disc left of the middle."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (40, 30), 20, 255, -1)
    return mask


def cutout() -> Image.Image:
    image = Image.fromarray(scene(1, HEIGHT, WIDTH))
    image.putalpha(Image.fromarray(disc()))
    return image


def draw(folder, images, masks, **more) -> dict[str, np.ndarray]:
    """Render, and give each sample's members that are images, by name."""
    usual = {"method": "canny", "size": 64, "workers": 1, "samples_per_shard": 100}
    render(RenderOptions(folder, images, masks=None if masks is None else str(masks), **(usual | more)))
    return {
        name: read_image(data) for name, data in members(folder).items() if name.endswith((".png", ".jpg"))
    }


def test_alpha_is_read_as_it_is():
    assert np.array_equal(decode_alpha(encode(cutout())), disc())


def test_an_image_without_transparency_has_no_alpha():
    assert decode_alpha(encode(Image.fromarray(scene(1, HEIGHT, WIDTH)))) is None


def test_one_transparent_colour_is_alpha():
    palette = Image.fromarray((disc() > 0).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert np.array_equal(decode_alpha(encode(palette, "GIF", transparency=0)), disc())


def test_alpha_is_turned_with_its_image():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    alpha = decode_alpha(encode(cutout(), exif=exif))
    assert np.array_equal(alpha, np.rot90(disc(), -1))


def test_a_mask_lies_where_its_image_does(tmp_path):
    (tmp_path / "in").mkdir()
    cutout().save(tmp_path / "in" / "a.png")
    for fit in ("crop", "pad", "keep"):
        found = draw(tmp_path / fit, tmp_path / "in", "alpha", fit=fit)
        image, mask = found["a_png.jpg"], found["a_png.mask.png"][..., 0]
        assert image.shape[:2] == mask.shape, fit
        paper = (image > 250).all(-1)
        assert (paper[mask == 0]).mean() > 0.9, fit
        assert (paper[mask == 255]).mean() < 0.1, fit


def test_padding_is_no_subject(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(scene(1, 30, 60)).save(tmp_path / "in" / "a.jpg")
    mask = draw(tmp_path / "out", tmp_path / "in", "alpha", fit="pad")["a.mask.png"][..., 0]
    assert (mask[:16] == 0).all()
    assert (mask[48:] == 0).all()
    assert (mask[16:48] == 255).all()


def test_the_colour_method_finds_a_ball(tmp_path):
    (tmp_path / "in").mkdir()
    ball = np.full((64, 64, 3), 120, np.uint8)
    cv2.circle(ball, (32, 32), 15, (220, 30, 20), -1)
    Image.fromarray(ball).save(tmp_path / "in" / "a.png")
    mask = draw(tmp_path / "out", tmp_path / "in", "colour")["a_png.mask.png"][..., 0]
    assert mask[32, 32] == 255
    assert mask[2, 2] == 0


def test_where_colour_finds_no_subject_a_note_says_so(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (80, 64), (90, 90, 90)).save(tmp_path / "in" / "plain.png")
    pixels = np.full((64, 80, 3), (200, 210, 220), np.uint8)
    cv2.circle(pixels, (44, 30), 16, (180, 40, 30), -1)
    Image.fromarray(pixels).save(tmp_path / "in" / "ball.png")
    stored = draw(tmp_path / "out", tmp_path / "in", "colour")
    assert stored["plain_png.mask.png"].min() == 255
    notes = {line["source"]: line.get("note") for line in lines(tmp_path / "out")}
    assert notes == {
        "ball.png": None,
        "plain.png": "no subject found by colour: the mask is all of the image",
    }


@pytest.fixture
def own_masks(tmp_path):
    """Four images in a folder, and a folder of masks for three of them, one of which has other proportions."""
    for number, name in enumerate(("by/path", "key", "wide", "none")):
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number, HEIGHT, WIDTH)).save(path)
    folder = tmp_path / "masks"
    (folder / "by").mkdir(parents=True)
    Image.fromarray(disc()).save(folder / "by" / "path.png")
    Image.fromarray(disc()[::2, ::2]).save(folder / "key.png")  # of half the size
    Image.fromarray(disc()[:, :60]).save(folder / "wide.png")
    return folder


def test_masks_of_ones_own_go_by_path_or_key(own_masks, tmp_path):
    found = draw(tmp_path / "out", tmp_path / "in", own_masks, fit="keep")
    assert np.array_equal(found["by__path.mask.png"][..., 0], disc())
    half = found["key.mask.png"][..., 0]
    assert half.shape == disc().shape
    assert np.abs(half.astype(int) - disc()).mean() < 6


def test_masks_are_those_of_their_images_in_any_order(own_masks, tmp_path):
    plan = plan_render(
        RenderOptions(
            tmp_path / "out", tmp_path / "in", method="canny", masks=str(own_masks), shuffle_seed=2, limit=3
        )
    )
    assert [image.source for image in plan.images] != sorted(image.source for image in plan.images)
    for image in plan.images:
        expected = None if image.key == "none" else f"{own_masks}/{image.source.replace('.jpg', '.png')}"
        assert (image.mask.file and image.mask.file.path) == expected


def test_images_without_a_mask_that_fits_fail_alone(own_masks, tmp_path):
    told = run_cli(
        *("render", "--images", tmp_path / "in", "--masks", own_masks, "--method", "canny"),
        *("--size", 64, "--workers", 1, "--shards", tmp_path / "out"),
    )
    assert told.returncode == 0
    assert "none.jpg: no mask" in told.stdout
    assert "wide.jpg: no mask" in told.stdout
    assert inspect(InspectOptions(tmp_path / "out")).failed == {"no mask": 2}


def test_a_folder_with_masks_of_other_images_is_refused(own_masks, tmp_path):
    (tmp_path / "others").mkdir()
    with pytest.raises(
        UsageError, match="holds a mask for none of the images; the first one's would be by/path.png"
    ):
        draw(tmp_path / "out", tmp_path / "in", tmp_path / "others")
    with pytest.raises(UsageError, match="no such folder; expected head, colour, alpha or a folder of masks"):
        draw(tmp_path / "out", tmp_path / "in", tmp_path / "nowhere")


def test_hands_draw_what_the_mask_shows(tmp_path):
    """Two balls alike: only the mask says which of them is the subject."""
    (tmp_path / "in").mkdir()
    pixels = np.full((96, 96, 3), 200, np.uint8)
    for x in (26, 70):
        cv2.circle(pixels, (x, 48), 16, (40, 40, 160), -1)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    mask = np.zeros((96, 96), np.uint8)
    mask[:, :48] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    hands = tmp_path / "hands.toml"
    hands.write_text('format = "sketchforge-hands"\nversion = 1\n[mine]\nforeground = 1\ntaste = 0\n')
    found = draw(tmp_path / "out", tmp_path / "in", tmp_path / "masks", size=96, hands=str(hands))
    ink = found["a_png.sketch0.png"][..., 0] < 128
    assert ink[:, :48].any()
    assert not ink[:, 48:].any()


def test_masks_are_counted_and_verified(tmp_path):
    (tmp_path / "in").mkdir()
    cutout().save(tmp_path / "in" / "a.png")
    draw(tmp_path / "out", tmp_path / "in", "alpha", fit="keep")
    assert verify(tmp_path / "out").problems == []
    assert inspect(InspectOptions(tmp_path / "out")).coverage == pytest.approx(disc().mean() / 255)


def test_a_mask_that_changed_is_drawn_anew(own_masks, tmp_path):
    first = draw(tmp_path / "out", tmp_path / "in", own_masks, fit="keep")
    Image.fromarray(255 - disc()).save(own_masks / "by" / "path.png", compress_level=0)
    second = draw(tmp_path / "out", tmp_path / "in", own_masks, fit="keep")
    assert np.array_equal(second["by__path.mask.png"], 255 - first["by__path.mask.png"])
