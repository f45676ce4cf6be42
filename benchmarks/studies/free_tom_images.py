"""Photos and drawings of free licences, for snapshots that are trained without research data.

    python benchmarks/studies/free_tom_images.py --data DATA --out DIR

DATA holds photos/cutouts (photographed things with alpha), photos/free_backgrounds and sketches/openclipart. Leaves
DIR/photos: the built-in photos, every cutout twice among others, and crops of the backgrounds; and DIR/drawings: the
built-in drawings and those of openclipart that are drawings. The same bytes every time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.images.builtin.drawings import load_drawings  # noqa: E402
from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.encode import write_png  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402
from trainers.tom.selection import thin_ink  # noqa: E402

SIDE = 320  # pixels, of composites and of crops of backgrounds
BACKGROUND_CROPS = 2  # of every background
COMPOSITES = 2  # of every cutout
CONTRASTS = (30.0, 65.0)  # grey levels, std of a composite
MARGIN = 0.06  # of a drawing's longer side: openclipart's are cropped to their ink
LONGEST = (
    1.25  # times the shorter side; narrower drawings get paper at their sides, for training crops are square
)
# Of openclipart's drawings, at 256 pixels: as in the built-in ones.
BROADEST_PEN = 4.0  # pixels
MOST_FILLED = 0.003  # of the pixels, farther than a pen's breadth from paper
MOST_INK = 0.16  # of the pixels

# Drawn or mirrored, not photographed anew.
NOT_PHOTOGRAPHED = frozenset(
    """
    clothes_button clothes_hats_feathered_hat clothes_hats_propeller_hat food_pizza people_body_parts_eye
    seasonal_christmas_Santa seasonal_easter_bluebird seasonal_easter_bunny seasonal_easter_bunny-egg
    seasonal_easter_butterfly seasonal_easter_chick-hatched seasonal_easter_chick-in-egg seasonal_easter_daffodil
    seasonal_halloween_jackolantern_mean seasonal_newyears_fireworks2 people_fireman240a
    household_tools_measuring_tape_mirror military_vehicles_bradley_mirror vehicles_construction_dumper_mirror
    vehicles_emergency_sedan_police_mirror
    """.split()
)
# Maps, ornaments, patterns, lettering, shading, and near copies of others.
NOT_DRAWINGS = frozenset(
    """
    animals_mammals_coniglio_architetto_fran_01 animals_mammals_horses_mechorse
    decorations_celtic_triskell_01 decorations_celticknotwork_trianglesimple_01
    decorations_flourish_one_horizontal_01 decorations_flourish_one_vertical_01
    decorations_flourish_two_horizontal_01 decorations_flourish_two_vertical_01
    decorations_left_bottom_corner_trib_ decorations_left_top_corner_tribal_b_
    decorations_right_bottom_corner_tri_ decorations_right_top_corner_tribal_ education_paper_01
    food_breads_and_carbs_muffin3_bw food_breads_and_carbs_pancakes_bw
    food_desserts_cone3_bw_ganson food_desserts_cone4_bw_ganson food_desserts_cone_alt3_bw
    food_desserts_cone_alt4_bw
    geography_andalusia_01 geography_aragon_01 geography_castilla_y_leon_01 geography_catalunya_01
    geography_extremadura_01 geography_galicia_01 geography_map_of_scotland_01
    geography_map_of_slovenia_in_euro_01 geography_murcia_01 geography_navarra_01 geography_valencia_01
    buildings_us_capitol_building_ink_01 people_hygieia_peterm_01 recreation_toys_toy_paper_plane_01
    transportation_big_truck_01 transportation_soviet_shuttle_mo_01
    transportation_vehicles_aircraft_jarno_vasamaa3 transportation_vehicles_aircraft_jarno_vasamaa4
    transportation_vehicles_aircraft_jarno_vasamaa_ unsorted_principessa_bn
    people_bodypart_brain_jon_phillips_03 people_bodypart_fingerprint_stefan_illne_ people_head4
    people_sexy_lady_01 people_silhouette_female_1 people_silhouette_female_3 people_silhouette_male_1
    people_silhouette_male_3 people_stripper_jarno_vasamaa_01r recreation_tamerlane_chess_jonadab_
    recreation_toys_domo_kun_nicu_buculei_01 special_patterns_pattern-puzzle-jigsaw-1 tools_compass_01
    tools_scart_connector_pinout_s_02 tools_tool transportation_anchor unsorted_Simbol_medicina
    unsorted_orme_sulla_neve_architet_01 unsorted_tavola_esame_ottico
    """.split()
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write_photos(asked.data, asked.out / "photos")
    write_drawings(asked.data, asked.out / "drawings")


def write_photos(data: Path, out: Path) -> None:
    builtin = load_photos()
    for key, pixels in builtin:
        write_png(out / f"builtin-{key}.png", pixels)
    backgrounds = {
        path.stem: read_image(path.read_bytes())
        for path in sorted((data / "photos/free_backgrounds").iterdir())
    }
    for name, pixels in backgrounds.items():
        for number in range(BACKGROUND_CROPS):
            rng = numpy_generator(0, f"crop of {name}", number)
            write_png(out / f"background-{name}-{number}.png", random_crop(pixels, rng, 0.3, 1.0))
    behind = [*backgrounds.values(), *(pixels for _, pixels in builtin)]
    cutouts = {
        path.stem: read_cutout(path)
        for path in sorted((data / "photos/cutouts").iterdir())
        if path.stem not in NOT_PHOTOGRAPHED
    }
    others = list(cutouts.values())
    for name, cutout in cutouts.items():
        for number in range(COMPOSITES):
            rng = numpy_generator(0, f"composite of {name}", number)
            write_png(out / f"cutout-{name}-{number}.png", compose(cutout, others, behind, rng))


def read_cutout(path: Path) -> np.ndarray:
    """uint8 H×W×4 RGBA."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


def random_crop(pixels: np.ndarray, rng: np.random.Generator, smallest: float, largest: float) -> np.ndarray:
    """uint8 SIDE×SIDE×3; the crop's side is between these shares of the shorter side."""
    shorter = min(pixels.shape[:2])
    side = int(shorter * rng.uniform(smallest, largest))
    top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
    crop = pixels[top : top + side, left : left + side]
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def compose(
    cutout: np.ndarray,
    others: Sequence[np.ndarray],
    backgrounds: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """uint8 H×W×4 RGBA among others before one or two surfaces, uint8 SIDE×SIDE×3.

    As rich in outlines, texture and contrast as photos are: G, trained on emptier images, draws texture.
    """
    image = make_surface(others, backgrounds, rng)
    if rng.random() < 0.5:
        image = meet(image, make_surface(others, backgrounds, rng), rng)
    for _ in range(int(rng.integers(2, 8))):
        image = paste(others[int(rng.integers(len(others)))], image, rng.uniform(0.25, 0.8), rng)
    image = paste(cutout, image, rng.uniform(0.4, 1.0), rng)
    detail = image - cv2.GaussianBlur(image, (0, 0), 2.0)
    image += rng.uniform(0.2, 1.4) * detail
    mean = image.mean((0, 1))
    image = mean + (image - mean) * rng.uniform(*CONTRASTS) / max(float(image.mean(2).std()), 1.0)
    image = shift_colours(image, rng) + rng.normal(0, rng.uniform(0, 4), image.shape).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def make_surface(
    cutouts: Sequence[np.ndarray], backgrounds: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """float32 SIDE×SIDE×3: a crop of a background, or fur, feathers or bark of a cutout, mirrored on and on."""
    if rng.random() < 0.5:
        texture = take_inside(cutouts[int(rng.integers(len(cutouts)))], rng)
        if texture is not None:
            return texture
    pixels = backgrounds[int(rng.integers(len(backgrounds)))]
    return shift_colours(random_crop(pixels, rng, 0.5, 1.0).astype(np.float32), rng)


def take_inside(cutout: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A window that lies wholly inside, mirrored to fill float32 SIDE×SIDE×3; None where there is none."""
    height, width = cutout.shape[:2]
    for side in (96, 64, 48, 32):
        if side > min(height, width):
            continue
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        window = cutout[top : top + side, left : left + side]
        if window[..., 3].min() > 250:
            missing = SIDE - side
            return cv2.copyMakeBorder(
                window[..., :3].astype(np.float32), missing // 2, missing - missing // 2, missing // 2,
                missing - missing // 2, cv2.BORDER_REFLECT,
            )  # fmt: skip
    return None


def meet(upper: np.ndarray, lower: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Both float32 SIDE×SIDE×3 -> one above the other, with a slanting, uneven seam."""
    noise = rng.normal(0, 1, (1, 8)).astype(np.float32)
    noise = cv2.resize(noise, (SIDE, 1), interpolation=cv2.INTER_CUBIC)[0]
    seam = SIDE * rng.uniform(0.25, 0.75) + rng.uniform(0, 12) * noise
    seam += rng.uniform(-0.3, 0.3) * (np.arange(SIDE) - SIDE / 2)
    share = 1 / (1 + np.exp(((np.arange(SIDE)[:, None] - seam) / rng.uniform(0.5, 4)).clip(-30, 30)))
    share = share[..., None].astype(np.float32)
    return share * upper + (1 - share) * lower


def paste(cutout: np.ndarray, image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """float32 SIDE×SIDE×3 -> the same with the cutout, whose longer side is this share of SIDE, in front.

    It may stand out over the border by a quarter, and is often mirrored.
    """
    height, width = cutout.shape[:2]
    scale = share * SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    alpha = cutout[..., 3:].astype(np.float32) / 255
    # Resized with alpha multiplied in: what colour transparent pixels have must not bleed into the rim.
    figure = cv2.resize(cutout[..., :3] * alpha, size, interpolation=interpolation)
    alpha = np.clip(cv2.resize(alpha, size, interpolation=interpolation), 0, 1)[..., None]
    if rng.random() < 0.5:
        figure, alpha = figure[:, ::-1], alpha[:, ::-1]
    # Its light is a third of the way from its own to the background's, its contrast a little lower at times.
    total = max(alpha.sum(), 1)
    mean = figure.sum((0, 1)) / total
    contrast = rng.uniform(0.6, 1.0)
    light = mean + (image.mean((0, 1)) - mean) / 3 * rng.uniform(0, 1)
    figure = contrast * figure + alpha * (light - contrast * mean)
    if rng.random() < 0.3:
        blur = rng.uniform(0.5, 1.5)
        figure = cv2.GaussianBlur(figure, (0, 0), blur)
        alpha = cv2.GaussianBlur(alpha, (0, 0), blur)[..., None]
    top, left = (
        int(rng.integers(-(length // 4), max(SIDE - 3 * length // 4, 0) + 1)) for length in size[::-1]
    )
    inside = slice(max(top, 0), top + size[1]), slice(max(left, 0), left + size[0])
    shown = (
        slice(max(-top, 0), max(-top, 0) + image[inside].shape[0]),
        slice(max(-left, 0), max(-left, 0) + image[inside].shape[1]),
    )
    image = image.copy()
    image[inside] = (1 - alpha[shown]) * image[inside] + figure[shown]
    return image


def shift_colours(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 H×W×3 in [0, 255] -> the same under another light: few backgrounds have to stand for many."""
    image = 255 * (image.clip(0, 255) / 255) ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    return image * rng.uniform(0.75, 1.15, 3).astype(np.float32)


def write_drawings(data: Path, out: Path) -> None:
    for key, pixels in load_drawings(256):
        write_png(out / f"builtin-{key}.png", pixels)
    for path in sorted((data / "sketches/openclipart").iterdir()):
        drawing = on_paper(read_image(path.read_bytes())[..., 0])
        if path.stem.removeprefix("png_") not in NOT_DRAWINGS and is_of_lines(drawing):
            write_png(out / f"openclipart-{path.stem}.png", drawing)


def is_of_lines(drawing: np.ndarray) -> bool:
    """Whether uint8 H×W has no broader pen, no more ink and no larger filled darks than the built-in drawings."""
    scale = 256 / max(drawing.shape)
    ink = cv2.resize(drawing, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) < 128
    depths = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 5)
    pen = 2 * np.median(depths[thin_ink(ink)])
    return bool(
        pen <= BROADEST_PEN and (depths > BROADEST_PEN).mean() <= MOST_FILLED and ink.mean() <= MOST_INK
    )


def on_paper(drawing: np.ndarray) -> np.ndarray:
    """uint8 H×W -> the drawing with a margin of paper, and nearly square."""
    height, width = drawing.shape
    margin = round(MARGIN * max(height, width))
    missing = [max(0, int(max(height, width) / LONGEST) - length) // 2 + margin for length in (height, width)]
    return cv2.copyMakeBorder(
        drawing, missing[0], missing[0], missing[1], missing[1], cv2.BORDER_CONSTANT, value=255
    )


if __name__ == "__main__":
    main()
