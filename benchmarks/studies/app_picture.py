"""The picture of the page to draw on: a fish, drawn by the mouse, in the built-in styles.

python benchmarks/studies/app_picture.py --out docs/images/app.png

Needs the extra `test` and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from sketchforge.app.models import offer_models
from sketchforge.app.server import AppServer, create_app
from sketchforge.app.styles import StyleShelf

COLOURS = 256  # of the picture, to keep it small
Line = list[tuple[float, float]]


def fish() -> Iterator[tuple[int, Line]]:
    """(width of the pen, points in shares of the sheet)."""

    def arc(x: float, y: float, width: float, height: float, begin: float, end: float) -> Line:
        angles = [math.radians(begin + (end - begin) * i / 40) for i in range(41)]
        return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]

    yield 6, arc(0.42, 0.5, 0.3, 0.2, 28, 332)
    yield (
        6,
        [
            (0.685, 0.594),
            (0.78, 0.66),
            (0.9, 0.7),
            (0.87, 0.6),
            (0.86, 0.5),
            (0.87, 0.4),
            (0.9, 0.3),
            (0.78, 0.34),
            (0.685, 0.406),
        ],
    )
    yield 5, [(0.34, 0.31), (0.4, 0.22), (0.5, 0.17), (0.58, 0.22), (0.6, 0.34)]
    yield 5, [(0.4, 0.69), (0.42, 0.77), (0.5, 0.81), (0.51, 0.7)]
    yield 5, arc(0.24, 0.45, 0.035, 0.035, 0, 360)
    yield 7, arc(0.245, 0.45, 0.008, 0.008, 0, 360)
    yield 4, arc(0.26, 0.5, 0.1, 0.15, -60, 60)
    yield 4, [(0.14, 0.56), (0.17, 0.57), (0.2, 0.555)]
    for row, x in (
        (0.44, 0.45),
        (0.44, 0.55),
        (0.53, 0.43),
        (0.53, 0.53),
        (0.53, 0.63),
        (0.6, 0.48),
        (0.6, 0.57),
    ):
        yield 3, arc(x, row, 0.03, 0.035, -80, 80)
    yield 3, [(0.74, 0.47), (0.8, 0.43), (0.84, 0.41)]
    yield 3, [(0.74, 0.53), (0.8, 0.57), (0.84, 0.59)]


def draw_fish(page: Page) -> None:
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    for width, line in fish():
        page.locator("#width").fill(str(width))
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        page.mouse.move(*places[0])
        page.mouse.down()
        for x, y in places[1:]:
            page.mouse.move(x, y)
        page.mouse.up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    app = create_app(AppServer(offer_models(Path("builtin"), "cpu"), StyleShelf(), "cpu"), "token")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    server.force_exit = True
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
            page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/token/")
            page.wait_for_selector("html[data-ready]")
            draw_fish(page)
            styles = page.locator("#styles button")
            for number in range(4, styles.count()):
                styles.nth(number).click()
            expect(page.locator("#results figure:not(.stale) img")).to_have_count(styles.count())
            page.mouse.move(5, 400)
            page.screenshot(path=out)
            browser.close()
        server.should_exit = True
        thread.join()
    with Image.open(out) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main()
