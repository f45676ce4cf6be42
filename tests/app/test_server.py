"""The server behind the page: who may ask, what it takes, what it answers."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page's server: pip install 'sketchforge[app]'")
pytest.importorskip("httpx", reason="Starlette's test client")

from starlette.testclient import TestClient

from sketchforge.app.guard import HEADERS
from sketchforge.app.server import create_app
from sketchforge.images.decode import decode_image
from tests.helpers.app_server import TOKEN, image_file, line_drawing, open_server

LIMIT = 1 << 20
DRAWING = image_file(line_drawing())


@pytest.fixture(scope="module")
def server():
    return open_server()


@pytest.fixture(scope="module")
def client(server):
    app = create_app(server, TOKEN, max_body=LIMIT)
    with TestClient(app, base_url=f"http://test/{TOKEN}/") as client:
        yield client


@pytest.fixture(scope="module")
def styles(client):
    return [style["id"] for style in client.get("state").json()["styles"]]


def paint(client, styles, drawing=DRAWING, model="builtin"):
    return client.post("paint", params={"model": model, "page": "p", "style": styles}, content=drawing)


def pixels_of(uri):
    return decode_image(base64.b64decode(uri.partition(",")[2])).pixels


def assert_one_line(response, status, words):
    message = response.json()["error"]
    assert response.status_code == status, message
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "path", ["/", "/state", "/toke/state", "/tokenx/state", "/token", "/%74oken", "//token/"]
)
def test_nothing_is_told_without_the_token(client, path):
    assert_one_line(client.get(f"http://test{path}"), 403, "token")


@pytest.mark.parametrize("path", ["", "page.js", "page.css", "state", "nothing", "http://test/"])
def test_every_answer_forbids_what_is_not_ours(client, path):
    headers = client.get(path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


def test_the_page_asks_for_nothing_from_elsewhere(client):
    texts = [client.get(path).text for path in ("", "page.js", "page.css")]
    assert not [
        text
        for text in texts
        if "http://" in text.replace("http://www.w3.org/2000/svg", "") or "https://" in text
    ]


def test_paths_that_are_not_there_and_wrong_methods_are_one_line_each(client):
    assert_one_line(client.get("nothing"), 404, "Not Found")
    assert_one_line(client.get("page.html"), 404, "Not Found")
    assert_one_line(client.get("paint"), 405, "Method")


def test_a_body_beyond_the_limit_is_refused_also_where_it_does_not_say_its_length(client):
    assert_one_line(client.post("drawing", content=b"0" * (LIMIT + 1)), 413, "1 MB")
    pieces = (b"0" * 1000 for _ in range(LIMIT // 1000 + 2))
    assert_one_line(client.post("drawing", content=pieces), 413, "1 MB")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg onload='alert(1)'/>",
        b"%!PS\n(x) run",
        DRAWING[:-30],
        image_file(np.zeros((4, 4), np.uint8)),
    ],
    ids=["empty", "svg", "postscript", "cut", "tiny"],
)
@pytest.mark.parametrize("path", ["drawing", "styles?name=x", "photo", "paint"])
def test_a_file_that_is_no_image_is_refused_in_one_line(client, styles, path, data):
    if path == "paint":
        response = paint(client, styles[:1], data)
    else:
        response = client.post(path, content=data)
    assert_one_line(response, 400, "expected a JPEG")


def test_a_header_that_announces_a_huge_image_is_refused_before_it_is_decoded(client):
    bomb = b"P6\n60000 60000\n255\n"
    assert_one_line(client.post("drawing", content=bomb), 400, "too large")


def test_an_image_is_what_synthesize_makes_of_the_drawing_and_style(client, server, styles):
    made = paint(client, styles[:1]).json()
    model = server.models["builtin"].model
    expected = model.synthesize(line_drawing(), server.styles[styles[0]].pixels)
    np.testing.assert_array_equal(pixels_of(made["png"]), expected)
    assert made["model"] == {"name": "builtin", "sha256": model.digest, "size": model.size}


def test_two_styles_make_a_mix_and_three_none(client, styles):
    alone, other, mixed = (
        pixels_of(paint(client, ids).json()["png"]) for ids in (styles[:1], styles[1:2], styles[:2])
    )
    assert not np.array_equal(mixed, alone)
    assert not np.array_equal(mixed, other)
    assert_one_line(paint(client, styles[:3]), 400, "3 styles: expected one, or two or four")


def test_a_model_that_fails_is_one_line_and_the_others_go_on(client, styles):
    assert_one_line(paint(client, styles[:1], model="broken"), 500, "damaged (second line)")
    assert paint(client, styles[:1]).status_code == 200
    assert_one_line(paint(client, styles[:1], model="absent"), 400, "expected builtin")


def test_a_fault_of_ours_is_one_line_too(client, server, styles, monkeypatch):
    def fail(*_):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(server.models["builtin"], "paint", fail)
    assert_one_line(paint(client, styles[:1]), 500, "unexpected RuntimeError: first second")


def test_a_style_that_was_sent_can_be_used_and_is_listed_once(client):
    painting = image_file(np.full((40, 60, 3), (200, 30, 30), np.uint8), "JPEG")
    style = client.post("styles", params={"name": "red"}, content=painting).json()
    again = client.post("styles", params={"name": "red"}, content=painting).json()
    listed = [each["id"] for each in client.get("state").json()["styles"]]
    assert again["id"] == style["id"]
    assert listed.count(style["id"]) == 1
    assert paint(client, [style["id"]]).status_code == 200
    assert client.get(f"styles/{style['id']}").headers["content-type"] == "image/jpeg"
    assert_one_line(paint(client, ["0" * 16]), 400, "add its image again")


def test_a_photographed_drawing_becomes_black_lines_on_white(client):
    drawn = 90 + line_drawing() // 3  # grey on grey
    sheet = client.post("drawing", content=image_file(drawn)).json()
    levels = np.unique(pixels_of(sheet["png"]))
    assert levels.tolist() == [0, 255]


def test_what_is_saved_holds_the_images_the_drawing_and_what_made_them(client, styles):
    body = {"png": base64.b64encode(DRAWING).decode(), "svg": "<svg/>", "pictures": [styles[:1], styles[:2]]}
    query = {"model": "builtin", "page": "p"}
    first, again = (client.post("save", params=query, json=body).content for _ in range(2))
    assert first == again
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(first)).infolist()} == {
        (1980, 1, 1, 0, 0, 0)
    }
    archive = zipfile.ZipFile(io.BytesIO(first))
    record = json.loads(archive.read("made.json"))
    names = [image["file"] for image in record["images"]]
    assert {"drawing.svg", "drawing.png", *names} <= set(archive.namelist())
    assert archive.read("drawing.png") == DRAWING
    shown = pixels_of(paint(client, styles[:2]).json()["png"])
    np.testing.assert_array_equal(decode_image(archive.read(names[1])).pixels, shown)
    assert record["model"]["sha256"]
    assert record["versions"]["torch"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"png": 3}', b'{"png": "!", "svg": "", "pictures": [["x"]]}'])
def test_what_cannot_be_saved_is_refused_in_one_line(client, body):
    response = client.post("save", params={"model": "builtin"}, content=body)
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]


def test_a_photo_is_drawn_by_ten_hands_and_comes_as_a_zip(client):
    rows, columns = np.mgrid[:150, :200]
    photo = np.where((rows - 75) ** 2 + (columns - 100) ** 2 < 2500, 40, 220).astype(np.uint8)
    data = image_file(np.repeat(photo[..., None], 3, 2))
    answer = client.post("photo", params={"size": 128}, content=data).json()
    names = [sketch["name"] for sketch in answer["sketches"]]
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"photo/{answer['id']}").content))
    assert len(names) == len(set(names)) == 10
    assert {f"{name}.{kind}" for name in names for kind in ("png", "svg")} <= set(archive.namelist())
    assert max(pixels_of(answer["sketches"][0]["png"]).shape) == 128
    assert archive.read(f"{names[0]}.svg").startswith(b"<svg")
    assert_one_line(client.post("photo", params={"size": 9999}, content=data), 400, "expected 128, 256, 512")
    assert_one_line(client.get("photo/absent"), 404, "drop the photo again")
