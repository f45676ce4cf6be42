"""The images of the utility study: the plot of its figures, and examples of what was found."""

from __future__ import annotations

from html import escape as text
from pathlib import Path

import cv2
from utility_data import development, gallery, people
from utility_results import Estimate, retrieved
from utility_retrieval import RETRIEVAL
from utility_sets import FIRST

from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.decode import read_image
from sketchforge.report.svg import COLOURS, ticks


def intervals_svg(bars: dict[str, Estimate], chance: float, title: str) -> str:
    """An SVG document: a dot and its interval for every name, chance as a broken line; shares in percent."""
    width, left, right, top, row = 640, 110, 24, 36, 26
    marks = ticks(100 * max(chance, *(bar.high for bar in bars.values())))
    bottom = top + row * len(bars)

    def at(share: float) -> float:
        return left + 100 * share / marks[-1] * (width - left - right)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" role="img" '
        f'aria-label="{text(title)}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{bottom + 40}" fill="#fff"/>',
        f'<text x="{left}" y="18" font-size="13">{text(title)}</text>',
    ]
    for mark in marks:
        parts.append(f'<path d="M{at(mark / 100):.1f} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{at(mark / 100):.1f}" y="{bottom + 15}" text-anchor="middle">{mark:g} %</text>'
        )
    parts.append(f'<path d="M{at(chance):.1f} {top}V{bottom}" stroke="#333" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{at(chance):.1f}" y="{bottom + 31}" text-anchor="middle">chance</text>')
    for number, (name, bar) in enumerate(bars.items()):
        y, colour = top + row * number + row // 2, COLOURS[number % len(COLOURS)]
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{text(name)}</text>')
        parts.append(
            f'<path d="M{at(bar.low):.1f} {y}H{at(bar.high):.1f}" stroke="{colour}" stroke-width="4"/>'
        )
        parts.append(f'<circle cx="{at(bar.value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    return "\n".join(parts) + "\n</svg>\n"


def examples(data: Path, work: Path, rows: int = 12) -> Path:
    """An image to look at, not to publish: drawings, their photos, the first five found by two sets."""
    drawings, found = people(data), retrieved(work, RETRIEVAL.steps)
    photos = gallery(drawings)
    seen = development(photos)
    chosen = [at for at, drawing in enumerate(drawings) if drawing.photo in seen]
    chosen = [chosen[at * len(chosen) // rows] for at in range(min(rows, len(chosen)))]
    shown = [name for name in (FIRST, "canny") if name in found]
    sheet = []
    for at in chosen:
        first = [photos[one] for name in shown for one in found[name][0]["as they are"]["first"][at]]
        sheet.append([read_image(data / path) for path in (drawings[at].sketch, drawings[at].photo, *first)])
    labels = ["drawing", "its photo"]
    for name in shown:
        labels += [f"{name}: {number + 1}" for number in range((len(sheet[0]) - 2) // len(shown))]
    path = work / "examples.png"
    cv2.imwrite(str(path), contact_sheet(sheet, labels, cell=112)[..., ::-1])
    return path
