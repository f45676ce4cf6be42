"""Synthetic photos: coloured drawings, of which the correct drawing is known.

Departure from the paper, which has photos without drawings and drawings without photos. A drawing divides the
paper into regions. Filled with colours, shading and texture from the photos, and with its lines faint, dark
or light, it becomes an image whose correct drawing is the original. Recovering the original teaches G, in S's
own style, that an edge between two faint tones is a line, and that fur, bark, grass and a giraffe's patches
are not. Pasted on a photo, it also teaches that what lies behind a figure may be left out, outlines and all.
"""

from __future__ import annotations

import cv2
import numpy as np

SMALLEST_PIECE = 20  # pixels; side of the smallest piece of a photo that texture is made from
SHADING_SCALE = 24  # pixels; slower variation is shading
LARGEST_GAP = 5  # pixels; wider gaps in a line merge the two regions beside it
# Pixels, std of the blur that makes a pattern of noise; coarser than texture.
PATTERN_SCALES = (2.5, 12.0)
SURROUNDING = 0.5  # share of the border that one region takes, at least, where a drawing has a figure
FIGURE_SHARES = (0.05, 0.8)  # of the area; less is hardly a figure, more leaves no surroundings
FARTHEST_FOCUS = 3.0  # pixels, std of the blur of surroundings out of focus


def synthesize_photo(
    drawing: np.ndarray,
    photos: np.ndarray,
    contrast: float,
    rng: np.random.Generator,
    pasted_share: float = 0.0,
) -> np.ndarray:
    """uint8 H×W drawing (dark on light), uint8 K×H×W×3 RGB photos -> uint8 H×W×3 RGB image of that layout.

    contrast: grey levels between the two tones of a pattern, at most; 0: no patterns.
    pasted_share: of the drawings that have a figure, in [0, 1]; these show one of the photos around it.
    """
    ink = 1 - stretch_contrast(drawing)
    regions = _find_regions(ink, int(rng.integers(1, LARGEST_GAP + 1)))
    num_regions = int(regions.max()) + 1
    photos = photos.astype(np.float32)

    # Each region takes its colour from a pixel of a photo and its texture from one of the photos.
    height, width = drawing.shape
    photo_indices = rng.integers(len(photos), size=num_regions)
    colours = photos[
        photo_indices, rng.integers(height, size=num_regions), rng.integers(width, size=num_regions)
    ]
    # Half of the images get colours close to each other: G must draw outlines of low contrast, too.
    spread = rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 1.0
    colours = colours.mean(0) + spread * (colours - colours.mean(0))
    roughness = (rng.uniform(0, 0.8, num_regions) * (rng.random(num_regions) < 0.8)).astype(np.float32)
    image = colours[regions]
    for index, photo in enumerate(photos):
        region_roughness = np.where(photo_indices == index, roughness, 0).astype(np.float32)[regions]
        image += region_roughness[..., None] * _make_texture(photo, rng)
    # Half of the regions also get a pattern, which has clear edges but must not be drawn.
    tones = rng.uniform(-contrast, contrast, num_regions) * (rng.random(num_regions) < 0.5)
    tint = rng.uniform(0.6, 1.0, 3).astype(np.float32)
    image += (
        _make_pattern(height, width, rng)[..., None] * tones.astype(np.float32)[regions][..., None] * tint
    )
    # One light over all regions: shading crosses outlines and is no outline.
    shading = cv2.resize(
        photos[int(rng.integers(len(photos)))],
        (max(width // SHADING_SCALE, 2), max(height // SHADING_SCALE, 2)),
        interpolation=cv2.INTER_AREA,
    )
    shading = cv2.resize(shading, (width, height), interpolation=cv2.INTER_CUBIC)
    image += rng.uniform(0, 0.5) * (shading - shading.mean((0, 1)))
    if rng.random() < pasted_share:
        image = _paste_figure(image, regions, photos, rng)

    # Real outlines are steps between tones more often than lines, and a line may be lighter than its
    # surroundings.
    strength = rng.uniform(0.15, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, 1.0)
    tone = rng.uniform(0, 60) if rng.random() < 0.75 else rng.uniform(190, 255)
    line_opacity = (strength * ink)[..., None]
    image = (1 - line_opacity) * image + line_opacity * tone
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _make_texture(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 H×W×3 -> the same size, mean 0: a small piece of the photo, repeated by reflection.

    The piece may show fur, bark or a wall; it is too small to hold an outline that anyone would draw.
    """
    height, width = photo.shape[:2]
    side = min(int(rng.integers(SMALLEST_PIECE, 2 * SMALLEST_PIECE)), height, width)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    piece = photo[top : top + side, left : left + side]
    piece = piece - cv2.GaussianBlur(piece, (0, 0), side / 4)
    return cv2.copyMakeBorder(piece, 0, height - side, 0, width - side, cv2.BORDER_REFLECT)


def _make_pattern(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """float32 H×W in [0, 1], two tones: blobs, stripes, or patches between narrow seams, as on a giraffe."""
    across = rng.uniform(*PATTERN_SCALES)
    along = across * (4 if rng.random() < 0.3 else rng.uniform(0.4, 1))
    sigmas = (across, along) if rng.random() < 0.5 else (along, across)
    noise = rng.standard_normal((height, width)).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        field = np.abs(field - field.mean())
    pattern = (field > np.quantile(field, rng.uniform(0.3, 0.7))).astype(np.float32)
    return cv2.GaussianBlur(pattern, (0, 0), 0.7)


def _paste_figure(
    image: np.ndarray, regions: np.ndarray, photos: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """float32 H×W×3 -> the same with one of the photos around the figure; itself where it has no figure.

    Surroundings are the region that takes most of the border, and half of it at least; the figure is the rest.
    The photo is often out of focus or pale, as what lies behind things is.
    """
    border = np.concatenate([regions[0], regions[-1], regions[1:-1, 0], regions[1:-1, -1]])
    sizes = np.bincount(border)
    surroundings = int(sizes.argmax())
    figure = (regions != surroundings).astype(np.float32)
    if sizes[surroundings] < SURROUNDING * len(border) or not (
        FIGURE_SHARES[0] <= figure.mean() <= FIGURE_SHARES[1]
    ):
        return image
    photo = photos[int(rng.integers(len(photos)))]
    if rng.random() < 0.5:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.5, FARTHEST_FOCUS))
    mean = photo.mean((0, 1))
    photo = mean + rng.uniform(0.4, 1.0) * (photo - mean)
    figure = cv2.GaussianBlur(figure, (0, 0), 0.7)[..., None]
    return figure * image + (1 - figure) * photo


def stretch_contrast(drawing: np.ndarray) -> np.ndarray:
    """uint8 H×W -> float32 H×W in [0, 1], with the paper at 1 and the darkest ink at 0 even in grey scans."""
    ink_level, paper_level = np.percentile(drawing, (1, 90))
    return np.clip((drawing.astype(np.float32) - ink_level) / max(paper_level - ink_level, 1.0), 0, 1)


def _find_regions(ink: np.ndarray, gap: int) -> np.ndarray:
    """int H×W: the label of each pixel's region; ink pixels take the nearest region's label."""
    closed_ink = (ink > 0.5).astype(np.uint8)
    if gap > 1:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
        closed_ink = cv2.morphologyEx(closed_ink, cv2.MORPH_CLOSE, kernel).astype(np.uint8, copy=False)
    if closed_ink.all():
        return np.zeros(ink.shape, np.int32)
    _, labels = cv2.distanceTransformWithLabels(closed_ink, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    return labels


def denoise(photo: np.ndarray, side: int) -> np.ndarray:
    """uint8 H×W×3 -> the same without detail finer than `side` pixels (odd): edge-keeping median, twice.

    Departure from Eq. 4, which takes f_c from the photo: the drawing would have to show all of its texture.
    """
    return cv2.medianBlur(cv2.medianBlur(photo, side), side)
