"""Photos and drawings of free licences, for snapshots that owe nothing to research data.

    python benchmarks/studies/free_tom_images.py --data DATA --out DIR

DATA holds photos/cutouts (photographed things with alpha), photos/free_backgrounds and sketches/openclipart. Leaves
DIR/photos: the built-in photos, every cutout before a background, and crops of the backgrounds; and DIR/drawings: the
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

SIDE = 320  # pixels, of composites and of crops of backgrounds
BACKGROUND_CROPS = 5  # of every background
MARGIN = 0.06  # of a drawing's longer side: openclipart's are cropped to their ink
LONGEST = (
    1.25  # times the shorter side; narrower drawings get paper at their sides, for training crops are square
)

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
# Maps, ornaments, patterns, lettering, grey fills, and near copies of others.
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
    for path in sorted((data / "photos/cutouts").iterdir()):
        if path.stem in NOT_PHOTOGRAPHED:
            continue
        rng = numpy_generator(0, f"composite of {path.stem}")
        with Image.open(path) as image:
            cutout = np.asarray(image.convert("RGBA"))
        write_png(out / f"cutout-{path.stem}.png", compose(cutout, behind, rng))


def random_crop(pixels: np.ndarray, rng: np.random.Generator, smallest: float, largest: float) -> np.ndarray:
    """uint8 SIDE×SIDE×3; the crop's side is between these shares of the shorter side."""
    shorter = min(pixels.shape[:2])
    side = int(shorter * rng.uniform(smallest, largest))
    top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
    crop = pixels[top : top + side, left : left + side]
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def compose(cutout: np.ndarray, backgrounds: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """uint8 H×W×4 RGBA before a crop of one of the backgrounds, uint8 SIDE×SIDE×3.

    The background is often out of focus, light and colours are drawn together, and noise lies over both.
    """
    behind = random_crop(backgrounds[int(rng.integers(len(backgrounds)))], rng, 0.4, 1.0).astype(np.float32)
    if rng.random() < 0.6:
        behind = cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.7, 5.0))
    height, width = cutout.shape[:2]
    scale = rng.uniform(0.55, 0.98) * SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    alpha = cutout[..., 3:].astype(np.float32) / 255
    # Resized with alpha multiplied in: what colour transparent pixels have must not bleed into the rim.
    figure = cv2.resize(cutout[..., :3] * alpha, size, interpolation=interpolation)
    alpha = np.clip(cv2.resize(alpha, size, interpolation=interpolation), 0, 1)[..., None]
    top, left = int(rng.integers(SIDE - size[1] + 1)), int(rng.integers(SIDE - size[0] + 1))
    place = (slice(top, top + size[1]), slice(left, left + size[0]))
    # A third of the way from the figure's light to the background's.
    light = (behind.mean((0, 1)) - figure.sum((0, 1)) / max(alpha.sum(), 1)) / 3
    behind[place] = (1 - alpha) * behind[place] + figure + alpha * light * rng.uniform(0, 1)
    image = cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.3, 0.8))
    image += rng.normal(0, rng.uniform(0, 4), image.shape).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def write_drawings(data: Path, out: Path) -> None:
    for key, pixels in load_drawings(256):
        write_png(out / f"builtin-{key}.png", pixels)
    for path in sorted((data / "sketches/openclipart").iterdir()):
        if path.stem.removeprefix("png_") not in NOT_DRAWINGS:
            write_png(out / f"openclipart-{path.stem}.png", on_paper(read_image(path.read_bytes())[..., 0]))


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
