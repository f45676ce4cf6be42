"""The page in a browser: what is drawn stays, what fails is said, and nothing leaves the screen."""

import asyncio
import io
import json
import shutil
import socket
import threading
import zipfile

import numpy as np
import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the page's server: pip install 'sketchforge[app]'")
playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install playwright")

from sketchforge.app.server import create_app  # noqa: E402
from tests.helpers.app_server import TOKEN, image_file, line_drawing, open_server  # noqa: E402

expect = playwright.expect
expect.set_options(timeout=30_000)  # a busy machine takes long to draw
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

MARKS = "marks.map((mark) => [mark.kind, mark.width, mark.points?.length > 1])"
DONE = "#results figure:not(.stale) img"
# The number of black pixels of the drawing as it is sent to the model.
INK = """async () => {
  const image = await createImageBitmap(await toPng());
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  const { data } = canvas.getContext("2d").getImageData(0, 0, image.width, image.height);
  let dark = 0;
  for (let i = 0; i < data.length; i += 4) dark += data[i] < 128;
  return dark;
}"""


@pytest.fixture(scope="module")
def address():
    """The page's address, served by a thread of this process."""
    behind = open_server()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(behind, TOKEN), log_config=None, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    server.force_exit = True  # at the end, without waiting for the browser

    async def serve():
        await server.serve([listener])
        # What is computed still comes to its end: torch would abort where the process ends around it.
        for calls in (behind._sketcher, *(model.thread for model in behind.models.values())):
            await calls.run(lambda: None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
    server.should_exit = True
    thread.join(60)
    listener.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True) as context:
        context.set_default_timeout(60_000)
        yield context


def open_page(context, address):
    page = context.new_page()
    page.errors = []
    page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    return page


@pytest.fixture
def page(context, address):
    page = open_page(context, address)
    yield page
    assert [error for error in page.errors if "Failed to load resource" not in error] == []


def draw(page, *points):
    """A stroke of the mouse through these points, in shares of the sheet."""
    box = page.locator("#sheet").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def set_width(page, width):
    page.locator("#width").fill(str(width))


def drop(page, selector, name, data):
    """Drop a file as from the desktop."""
    transfer = page.evaluate_handle(
        "([name, bytes]) => { const drop = new DataTransfer(); "
        "drop.items.add(new File([new Uint8Array(bytes)], name)); return drop; }",
        [name, list(data)],
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": transfer})


def test_nothing_is_lost_when_the_pen_is_changed_and_drawn_on(page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    set_width(page, 12)
    draw(page, (0.2, 0.5), (0.8, 0.5))
    page.keyboard.press("e")
    draw(page, (0.5, 0.1), (0.5, 0.3))
    page.click("#pen")
    page.click("#tab-photo")
    page.click("#tab-draw")
    draw(page, (0.2, 0.8), (0.8, 0.8))
    assert page.evaluate(MARKS) == [
        ["pen", 5, True],
        ["pen", 12, True],
        ["eraser", 12, True],
        ["pen", 12, True],
    ]
    ink = page.evaluate(INK)
    # 0.6 of 512 units, of widths 5, 12 and 12, with round ends; the eraser took 12 units of the first.
    ends = np.pi / 4 * (5**2 + 12**2 + 12**2)
    assert ink == pytest.approx(0.6 * 512 * 29 + ends - 12 * 5, rel=0.01)


def test_undo_and_redo_walk_through_all_that_was_done(page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    inks = [page.evaluate(INK)]
    draw(page, (0.2, 0.5), (0.8, 0.5))
    inks.append(page.evaluate(INK))
    page.click("#clear")
    assert page.evaluate(INK) == 0
    page.click("#undo")
    assert page.evaluate(INK) == inks[1]
    page.keyboard.press("Control+z")
    assert page.evaluate(INK) == inks[0]
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+y")
    assert page.evaluate(INK) == 0
    expect(page.locator("#redo")).to_be_disabled()
    page.click("#undo")
    draw(page, (0.2, 0.8), (0.8, 0.8))
    assert page.evaluate("marks.length") == 3


def test_the_keyboard_alone_draws_and_walks_the_tabs(page):
    page.focus("#sheet")
    for key in (" ", *["ArrowRight"] * 5, *["Shift+ArrowDown"] * 3, " "):
        page.keyboard.press(key)
    assert page.evaluate("marks[0].points.length") == 9
    expect(page.locator(DONE)).to_have_count(4)
    page.focus("#tab-draw")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-photo")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#tab-mix")).to_be_focused()
    expect(page.locator("#mix-image")).to_be_visible()


def test_a_pens_pressure_makes_its_lines_broad_and_a_second_finger_leaves_them_alone(page):
    page.evaluate(
        """() => {
          const box = sheet.getBoundingClientRect();
          const send = (type, id, x, pressure) => sheet.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: "pen", pressure, button: 0, buttons: 1,
            clientX: box.left + x * box.width, clientY: box.top + box.height / 2 }));
          sheet.setPointerCapture = () => {};
          for (let i = 0; i <= 10; i++) {
            send(i ? "pointermove" : "pointerdown", 7, 0.2 + 0.05 * i, 0.1 + 0.08 * i);
            if (i === 5) { send("pointerdown", 8, 0.9, 0.5); send("pointermove", 8, 0.95, 0.5); send("pointerup", 8, 0.9, 0.5); }
          }
          send("pointerup", 7, 0.7, 0);
        }"""
    )
    widths = page.evaluate("piecesOf(marks[0]).map((piece) => piece.width)")
    assert page.evaluate("[marks.length, marks[0].points.length]") == [1, 11]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[0]


def test_a_drawing_that_is_dropped_becomes_paper_to_draw_on_and_a_reload_keeps_all(page):
    drop(page, "#sheet", "drawing.png", image_file(90 + line_drawing() // 3))
    expect(page.locator(DONE)).to_have_count(4)
    draw(page, (0.1, 0.9), (0.9, 0.9))
    page.click("#eraser")
    before, ink = page.evaluate("JSON.stringify(marks)"), page.evaluate(INK)
    assert [mark["kind"] for mark in json.loads(before)] == ["paper", "pen"]
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("JSON.stringify(marks)") == before
    assert page.evaluate(INK) == ink
    expect(page.locator("#eraser")).to_have_attribute("aria-pressed", "true")


def test_what_is_saved_is_what_was_drawn(page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    with page.expect_download() as saved:
        page.click("#save-svg")
    svg = saved.value.path().read_text()
    with page.expect_download() as saved:
        page.click("#save-zip")
    archive = zipfile.ZipFile(io.BytesIO(saved.value.path().read_bytes()))
    assert svg.count("<path") == 1
    assert archive.read("drawing.svg").decode() == svg
    assert len(json.loads(archive.read("made.json"))["images"]) == 4


@pytest.mark.parametrize("selector", ["#sheet", "#styles", "#photo-drop"])
def test_a_hostile_file_is_named_in_one_line_and_the_drawing_stays(page, selector):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    drop(page, selector, "<img src=x onerror=alert(1)>.png", b"<svg onload='alert(1)'/>")
    error = page.locator("#error")
    expect(error).to_have_text("<img src=x onerror=alert(1)>.png: not an image: expected a JPEG, PNG, WebP or "
                               "another image of at least 8 pixels")  # fmt: skip
    assert page.evaluate("marks.length") == 1


def test_two_windows_have_a_drawing_each(context, address, page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    other = open_page(context, address)
    assert other.evaluate("marks.length") == 0
    for window, y in ((other, 0.5), (page, 0.6), (other, 0.7)):
        window.bring_to_front()
        draw(window, (0.2, y), (0.8, y))
    for window, expected in ((page, 2), (other, 2)):
        expect(window.locator(DONE)).to_have_count(4)
        kept = window.evaluate("JSON.stringify(marks)")
        window.reload()
        window.wait_for_selector("html[data-ready]")
        assert window.evaluate("JSON.stringify(marks)") == kept
        assert window.evaluate("marks.length") == expected
    assert other.errors == []


def test_a_model_that_fails_says_so_and_another_goes_on(page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    page.select_option("#model", "broken")
    expect(page.locator("#error")).to_have_text("broken.safetensors: damaged (second line)")
    page.select_option("#model", "builtin")
    expect(page.locator(DONE)).to_have_count(4)
    expect(page.locator("#error")).to_be_hidden()


def test_everything_fits_the_screen_in_both_colours_without_an_error(page):
    photo = np.tile(np.linspace(0, 255, 120).astype(np.uint8)[:, None, None], (1, 160, 3))
    photo[30:90, 50:110] = (200, 60, 40)
    draw(page, (0.2, 0.2), (0.8, 0.8))
    expect(page.locator(DONE)).to_have_count(4)
    expect(page.locator("#model-says")).to_contain_text("128 pixels")
    page.click("summary")
    page.click("#tab-photo")
    page.set_input_files(
        "#photo-file", {"name": "p.png", "mimeType": "image/png", "buffer": image_file(photo)}
    )
    expect(page.locator("#hands button")).to_have_count(10)
    page.click("#tab-mix")
    expect(page.locator("#mix-image")).to_be_visible()
    grounds = []
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for tab in ("draw", "photo", "mix"):
                page.click(f"#tab-{tab}")
                assert page.evaluate("document.documentElement.scrollWidth") == width
    assert grounds[:2] == grounds[2:]
    assert grounds[0] != grounds[1]
    page.click("#theme")  # from dark
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[0]
    assert page.errors == []


def test_what_can_be_pressed_has_a_name(page):
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, a[href], input, select, canvas, [role=tabpanel]")].filter((each) =>
          !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length
            || each.getAttribute("aria-labelledby"))).map((each) => each.outerHTML)"""
    )
    assert unnamed == []
