"""Training pictures of a foreground head: cutouts before grounds, harmonised so that a pasted edge tells nothing.

Picture number i is a function of (seed, i) alone. How near the middle objects lie, and how far their colours are pulled
to the ground's, is set so that a centre prior and the colour method order pixels about as well as they do in photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from foreground_material import Layer, Material

from sketchforge.models.foreground_head import INPUT_SIDE, MASK_SIDE
from sketchforge.utils.seeding import numpy_generator

SIDE = 160  # pixels that pictures are composed at, and then made smaller, which also hides edges
PHOTO_SHARE = 0.10  # of the pictures are crops of real photos with their subject
CENTRED_SHARE = 0.85  # of the objects are large and near the middle
CLUTTERED_SHARE = 0.6  # of the pictures have things beside their subject

Rng = np.random.Generator


@dataclass(frozen=True)
class Composite:
    pixels: np.ndarray  # uint8 INPUT_SIDE x INPUT_SIDE x 3
    mask: np.ndarray  # float32 MASK_SIDE x MASK_SIDE in [0, 1]
    weight: np.ndarray  # float32 MASK_SIDE x MASK_SIDE: 0 where the mask is unknown


def compose(material: Material, seed: int, number: int) -> Composite:
    """Training picture `number`."""
    rng = numpy_generator(seed, "foreground composite", number)
    if rng.random() < PHOTO_SHARE:
        pixels, mask, ignored = crop_photo(material.photos, rng)
    else:
        pixels, ignored = make_ground(material, rng)
        mask = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(int(rng.choice(3, p=(0.5, 0.3, 0.2)))):
            pixels = put_decoy(pixels, material, rng)
        is_cluttered = rng.random() < CLUTTERED_SHARE
        for _ in range(int(rng.integers(1, 8)) if is_cluttered else 0):
            pixels = put_clutter(pixels, material, rng)
        objects = 1 if is_cluttered else int(rng.choice(4, p=(0.03, 0.77, 0.14, 0.06)))
        for index in range(objects):
            is_centred = is_cluttered or (index == 0 and rng.random() < CENTRED_SHARE)
            alpha, pixels = put_object(pixels, material, rng, is_centred)
            mask = np.maximum(mask, alpha)
    ignored = ignored & (mask < 0.5)
    if rng.random() < 0.5:
        pixels, mask, ignored = pixels[:, ::-1], mask[:, ::-1], ignored[:, ::-1]
    return finish(pixels, mask, ignored, rng)


def finish(pixels: np.ndarray, mask: np.ndarray, ignored: np.ndarray, rng: Rng) -> Composite:
    """What a camera does, over the whole picture; then the sizes that the head has."""
    pixels = shift_colours(pixels, rng, 0.5)
    if rng.random() < 0.3:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.6))
    pixels = cv2.resize(pixels, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.6:
        pixels = pixels + rng.uniform(1, 9) * rng.standard_normal(pixels.shape, np.float32)
    levels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
        levels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if rng.random() < 0.06:
        levels = np.repeat(cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    size = MASK_SIDE, MASK_SIDE
    mask = cv2.resize(np.ascontiguousarray(mask), size, interpolation=cv2.INTER_AREA)
    unknown = cv2.resize(ignored.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Composite(levels, mask.clip(0, 1), (unknown < 0.25).astype(np.float32))


def crop_photo(photos: list[Layer], rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A crop of a real photo that holds most of its subject: there, no edge is pasted."""
    photo = photos[int(rng.integers(len(photos)))]
    for _ in range(20):
        window = random_window(photo.alpha.shape, rng.uniform(0.55, 1.0), rng)
        if photo.alpha[window].sum() > 0.7 * photo.alpha.sum():
            break
    else:
        window = slice(None), slice(None)
    pixels, mask = fit(photo.pixels[window]), fit(photo.alpha[window])
    if rng.random() < 0.7:  # figure and ground apart, so that their colours are not learnt by heart
        soft = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None]
        pixels = shift_colours(pixels, rng, 1.0) * soft + shift_colours(pixels, rng, 1.0) * (1 - soft)
    return pixels, mask, fit(photo.ignored[window].astype(np.float32)) > 0.5


def random_window(size: tuple[int, int], share: float, rng: Rng) -> tuple[slice, slice]:
    """A window of `share` of the shorter side, within a quarter of square."""
    side = share * min(size)
    height, width = (min(limit, max(8, int(side * rng.uniform(0.85, 1.2)))) for limit in size)
    top, left = (
        int(rng.integers(limit - part + 1)) for limit, part in zip(size, (height, width), strict=True)
    )
    return slice(top, top + height), slice(left, left + width)


def fit(image: np.ndarray) -> np.ndarray:
    is_smaller = min(image.shape[:2]) < SIDE
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR if is_smaller else cv2.INTER_AREA)


def make_ground(material: Material, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """A ground without subject, (pixels, ignored): one surface, or two that meet in a horizon or an edge."""
    pixels, ignored = make_surface(material, rng)
    if rng.random() < 0.3:
        other, other_ignored = make_surface(material, rng)
        line = SIDE * rng.uniform(0.2, 0.8) + rng.uniform(0, 14) * smooth_noise(SIDE, rng, 2)[0]
        line = line + rng.uniform(-0.3, 0.3) * (np.arange(SIDE) - SIDE / 2)
        upper = (np.arange(SIDE)[:, None] - line[None]) / rng.uniform(0.5, 6)
        if rng.random() < 0.25:
            upper = upper.T
        share = 1 / (1 + np.exp(-upper.clip(-30, 30))).astype(np.float32)
        pixels = pixels * share[..., None] + other * (1 - share[..., None])
        ignored = np.where(share > 0.5, ignored, other_ignored)
    if rng.random() < 0.35:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(1, 7))
    return pixels, ignored


def make_surface(material: Material, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """A crop of a photo, a computed texture, or the inside of a cutout, mirrored on and on."""
    kind = rng.random()
    nothing = np.zeros((SIDE, SIDE), bool)
    if kind < 0.25:
        return make_texture(rng), nothing
    if kind < 0.4:
        texture = take_inside(material.cutouts, rng)
        if texture is not None:
            return shift_colours(texture, rng, 1.0), nothing
    for _ in range(10):
        ground = material.grounds[int(rng.integers(len(material.grounds)))]
        window = random_window(ground.alpha.shape, np.exp(rng.uniform(np.log(0.15), 0)), rng)
        subject = np.maximum(ground.alpha[window], ground.ignored[window])
        if subject.mean() < 0.3:
            break
    pixels, ignored = fit(ground.pixels[window]), fit(subject.astype(np.float32)) > 0.3
    turns = int(rng.choice(4, p=(0.7, 0.1, 0.1, 0.1)))
    return shift_colours(np.rot90(pixels, turns), rng, 1.0), np.rot90(ignored, turns)


def make_texture(rng: Rng) -> np.ndarray:
    """Noise whose power falls with frequency, in two or three colours, along a random direction."""
    colours = rng.uniform(0, 255, (3, 3)).astype(np.float32)
    colours = colours.mean(0) + (colours - colours.mean(0)) * rng.uniform(0.05, 0.7)
    gradient = np.linspace(-1, 1, SIDE, dtype=np.float32)
    field = smooth_noise(SIDE, rng, rng.uniform(0.6, 2.2)) * rng.uniform(0.1, 1)
    field = field + rng.uniform(-1, 1) * gradient[:, None] + rng.uniform(-0.5, 0.5) * gradient[None]
    second = smooth_noise(SIDE, rng, rng.uniform(0.6, 2.2)) * rng.uniform(0, 1)
    if rng.random() < 0.2:  # stripes, planks, fences
        field = np.sign(np.sin(field * rng.uniform(4, 25))) * rng.uniform(0.1, 1)
    steps = np.stack([field, second], -1) @ (colours[1:] - colours[:1])
    return (colours[0] + steps).clip(0, 255).astype(np.float32)


def smooth_noise(side: int, rng: Rng, power: float) -> np.ndarray:
    """float32 side x side of unit variance; amplitude falls as frequency ** -power."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(rows * rng.uniform(0.4, 2.5), columns) + 0.5 / side
    frequency = frequency.astype(np.float32)
    spectrum = np.fft.rfft2(rng.standard_normal((side, side), np.float32)) * frequency ** np.float32(-power)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (side, side))
    return (field / field.std()).astype(np.float32)


def take_inside(cutouts: list[Layer], rng: Rng) -> np.ndarray | None:
    """The largest of some random windows that lie wholly inside a cutout, mirrored to fill the picture."""
    cutout = cutouts[int(rng.integers(len(cutouts)))]
    for share in (0.6, 0.45, 0.3):
        window = random_window(cutout.alpha.shape, share, rng)
        part = cutout.pixels[window]
        if cutout.alpha[window].min() > 0.95 and min(part.shape[:2]) >= 24:
            scale = rng.uniform(0.6, 1.6)
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            repeats = [2 * (SIDE // (2 * part.shape[axis]) + 1) for axis in (0, 1)]
            block = np.concatenate([part, part[::-1]], 0)
            block = np.concatenate([block, block[:, ::-1]], 1)
            return np.tile(block, (repeats[0], repeats[1], 1))[:SIDE, :SIDE]
    return None


def take_object(material: Material, rng: Rng) -> Layer:
    """A cutout, or now and then the subject of a photo: people are hardly among the cutouts."""
    if rng.random() < 0.12:
        photo = material.photos[int(rng.integers(len(material.photos)))]
        rows, columns = np.nonzero(photo.alpha > 0.5)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        return Layer(photo.pixels[box], photo.alpha[box])
    return material.cutouts[int(rng.integers(len(material.cutouts)))]


def put_object(
    ground: np.ndarray, material: Material, rng: Rng, is_centred: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(its alpha as seen, the ground with it)."""
    layer = take_object(material, rng)
    scale = rng.uniform(0.45, 1.15) if is_centred else np.exp(rng.uniform(np.log(0.15), np.log(0.8)))
    spread = 0.09 if is_centred else 0.3
    place = np.clip(rng.normal(0.5, spread, 2), 0.02, 0.98) * SIDE
    pixels, alpha = place_layer(layer, scale, place, rng)
    if is_centred and rng.random() < 0.3:
        alpha = hide_feet(alpha, rng)
    pixels = harmonise(pixels, alpha, ground, rng)
    if rng.random() < 0.4:
        alpha = cv2.erode(alpha, np.ones((3, 3), np.uint8))
    soft = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 1.8))
    if rng.random() < 0.3:  # a shadow on the ground
        away = rng.uniform(-12, 12), rng.uniform(2, 14)
        shadow = cv2.warpAffine(soft, np.float32([[1, 0, away[0]], [0, 1, away[1]]]), (SIDE, SIDE))
        shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(3, 9)) * rng.uniform(0.2, 0.6)
        ground = ground * (1 - shadow[..., None])
    return soft, pixels * soft[..., None] + ground * (1 - soft[..., None])


def put_clutter(ground: np.ndarray, material: Material, rng: Rng) -> np.ndarray:
    """A thing beside or behind the subject, smaller, paler or out of focus: it belongs to the ground."""
    layer = material.cutouts[int(rng.integers(len(material.cutouts)))]
    place = rng.uniform(0, 1, 2)
    while np.abs(place - 0.5).max() < 0.25:
        place = rng.uniform(0, 1, 2)
    scale = np.exp(rng.uniform(np.log(0.12), np.log(0.6)))
    pixels, alpha = place_layer(layer, scale, place * SIDE, rng)
    pixels = harmonise(pixels, alpha, ground, rng)
    soft = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 1.8))[..., None] * rng.uniform(0.5, 1)
    pixels = pixels * soft + ground * (1 - soft)
    return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 3)) if rng.random() < 0.3 else pixels


def put_decoy(ground: np.ndarray, material: Material, rng: Rng) -> np.ndarray:
    """A patch of another ground in the shape of a cutout, pasted as objects are: that is no subject."""
    layer = material.cutouts[int(rng.integers(len(material.cutouts)))]
    _, alpha = place_layer(layer, rng.uniform(0.2, 0.8), rng.uniform(0, 1, 2) * SIDE, rng)
    other, _ = make_surface(material, rng)
    other = harmonise(other, alpha, ground, rng)
    soft = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 5))[..., None] * rng.uniform(0.4, 1)
    return other * soft + ground * (1 - soft)


def place_layer(layer: Layer, scale: float, place: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The layer in a picture of SIDE, its longer side `scale` of it: (pixels, alpha)."""
    height, width = layer.alpha.shape
    factor = scale * SIDE / max(height, width)
    stretch = rng.uniform(0.85, 1.18)
    if factor < 0.5:  # warping takes single pixels
        layer = Layer(
            cv2.resize(layer.pixels, None, fx=2 * factor, fy=2 * factor, interpolation=cv2.INTER_AREA),
            cv2.resize(layer.alpha, None, fx=2 * factor, fy=2 * factor, interpolation=cv2.INTER_AREA),
        )
        factor, (height, width) = 0.5, layer.alpha.shape
    turn = np.deg2rad(rng.normal(0, 8))
    matrix = factor * np.array(
        [[np.cos(turn) * stretch, -np.sin(turn)], [np.sin(turn) * stretch, np.cos(turn)]]
    )
    offset = place - matrix @ [width / 2, height / 2]
    warp = np.hstack([matrix, offset[:, None]])
    alpha = cv2.warpAffine(layer.alpha, warp, (SIDE, SIDE))
    pixels = cv2.warpAffine(
        layer.pixels, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return shift_colours(pixels, rng, 0.4), alpha


def hide_feet(alpha: np.ndarray, rng: Rng) -> np.ndarray:
    """Let grass or snow stand before an object's lowest part."""
    rows = np.nonzero(alpha.max(1) > 0.5)[0]
    if not len(rows):
        return alpha
    height = rng.uniform(0.04, 0.2) * (rows[-1] - rows[0] + 1)
    level = rows[-1] - height * (1 + 0.5 * smooth_noise(SIDE, rng, 0.6)[0])
    hidden = 1 / (1 + np.exp(-(np.arange(SIDE)[:, None] - level[None]).clip(-30, 30)))
    return alpha * (1 - hidden).astype(np.float32)


def harmonise(pixels: np.ndarray, alpha: np.ndarray, ground: np.ndarray, rng: Rng) -> np.ndarray:
    """Pull an object's mean and contrast towards those of the ground around it."""
    inside = (alpha > 0.5).astype(np.uint8)
    around = (cv2.dilate(inside, np.ones((25, 25), np.uint8)) > inside).astype(np.uint8)
    pull, pull_std = 0.7 * rng.random() ** 2, rng.uniform(0, 0.6)
    if cv2.countNonZero(inside) < 30 or cv2.countNonZero(around) < 30:
        return pixels
    mean, std = (part[:, 0] for part in cv2.meanStdDev(pixels, mask=inside))
    target, target_std = (part[:, 0] for part in cv2.meanStdDev(ground, mask=around))
    ratio = np.clip(((target_std + 1) / (std + 1)) ** pull_std, 0.5, 2)
    return transform(pixels, np.diag(ratio), mean + pull * (target - mean) - ratio * mean)


def shift_colours(pixels: np.ndarray, rng: Rng, strength: float) -> np.ndarray:
    """Hue, saturation, contrast, brightness and tint, all at once."""
    is_turned = strength >= 1 and rng.random() < 0.15
    hue = rng.uniform(-np.pi, np.pi) if is_turned else rng.normal(0, 0.12 * strength)
    saturation = np.exp(rng.normal(-0.1 * strength, 0.35 * strength))
    to_grey = np.ones((3, 1)) @ [[0.299, 0.587, 0.114]]
    axis = 1 / np.sqrt(3)
    cross = axis * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    turn = np.eye(3) + np.sin(hue) * cross + (1 - np.cos(hue)) * (cross @ cross)
    colours = to_grey + saturation * turn @ (np.eye(3) - to_grey)
    middle = colours @ cv2.mean(pixels)[:3]
    gain = np.exp(rng.normal(0, 0.2 * strength)) * np.exp(rng.normal(0, 0.07 * strength, 3))
    offset = middle * (1 - gain) + rng.normal(0, 28 * strength) + rng.normal(0, 8 * strength, 3)
    return transform(pixels, gain[:, None] * colours, offset)


def transform(pixels: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    mapped = cv2.transform(np.ascontiguousarray(pixels), np.hstack([matrix, offset[:, None]]))
    return np.clip(mapped, 0, 255, out=mapped)
