"""What the page asks for: a Starlette application, in memory alone.

    GET  /              the page; page.js, page.css
    GET  /state         {"models": …, "styles": …, "sizes": …, "version": …}
    GET  /styles/ID     a small JPEG of a style
    POST /styles?name=  an image file -> a style
    POST /drawing       an image file, a drawing or a photo of one -> black lines on white
    POST /paint?model=&page=&style=…   a drawing -> its image; two or four styles make a mix
    POST /save?model=&page=            {"png", "svg", "pictures": [[style, …], …]} -> a zip file
    POST /photo?size=   a photo -> its sketches
    GET  /photo/ID      these as a zip file

Errors are {"error": one line}: 400 for wrong input, 409 for a request that a newer one has replaced, 500 for failures.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sketchforge.app.archive import encode_colour_png, pack_files, plain_name, record_origin
from sketchforge.app.guard import MAX_BODY, BodyTooLargeError, Guard, fail
from sketchforge.app.models import TRAIN_COMMANDS, OfferedModel, digest_of
from sketchforge.app.photo import SIZES, SketchedPhoto, sketch_photo
from sketchforge.app.styles import StyleImage, StyleShelf
from sketchforge.app.turns import CallThread, ReplacedError, Turns
from sketchforge.checkpoints.runs import BUILTIN
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.encode import encode_png
from sketchforge.images.hand_drawn import normalize_drawing
from sketchforge.report.html import asset, data_uri
from sketchforge.utils.files import has_shape, parse_json
from sketchforge.utils.versions import installed_version

STITCHED = (1, 2, 4)  # how many styles an image may have
MOST_PICTURES = 64  # of one saved drawing
KEPT_PHOTOS = 8
MAX_NAME = 80  # characters of a style's name

_log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


class AppServer:
    """The state behind the page, and its answers."""

    def __init__(self, models: Mapping[str, OfferedModel], styles: StyleShelf, device: str) -> None:
        self.models = models
        self.styles = styles
        self._device = device
        self._decoder = CallThread("images")  # one at a time: a large photo takes much memory
        self._sketcher = CallThread("hands")
        self._photo_turns = Turns()
        self._photos: OrderedDict[str, SketchedPhoto] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            Route("/", _answer(self.show_page)),
            Route("/page.{kind:str}", _answer(self.send_asset)),
            Route("/state", _answer(self.send_state)),
            Route("/styles/{id:str}", _answer(self.send_style)),
            Route("/styles", _answer(self.add_style), methods=["POST"]),
            Route("/drawing", _answer(self.take_drawing), methods=["POST"]),
            Route("/paint", _answer(self.paint), methods=["POST"]),
            Route("/save", _answer(self.save), methods=["POST"]),
            Route("/photo", _answer(self.sketch), methods=["POST"]),
            Route("/photo/{id:str}", _answer(self.send_photo)),
        ]

    async def show_page(self, _: Request) -> Response:
        return Response(_fill_page(), media_type="text/html")

    async def send_asset(self, request: Request) -> Response:
        media_types = {"js": "text/javascript", "css": "text/css"}
        kind = request.path_params["kind"]
        if kind not in media_types:
            raise HTTPException(404)
        shared = asset("page.css") if kind == "css" else ""
        return Response(shared + _read_asset(f"page.{kind}"), media_type=media_types[kind])

    async def send_state(self, _: Request) -> Response:
        models = [{"name": name, "about": _describe_model(name)} for name in self.models]
        return JSONResponse(
            {
                "models": models,
                "styles": [_describe_style(style) for style in self.styles.list()],
                "sizes": SIZES,
                "version": installed_version("sketchforge"),
            }
        )

    async def send_style(self, request: Request) -> Response:
        return Response(self.styles[request.path_params["id"]].thumb, media_type="image/jpeg")

    async def add_style(self, request: Request) -> Response:
        data = await request.body()
        name = request.query_params.get("name", "")[:MAX_NAME] or "image"
        style = await self._decoder.run(lambda: self.styles.add(name, data))
        return JSONResponse(_describe_style(style))

    async def take_drawing(self, request: Request) -> Response:
        data = await request.body()
        drawing = await self._decoder.run(lambda: normalize_drawing(decode_image(data).pixels))
        png = encode_png(drawing.sketch, binary=True)
        height, width = drawing.sketch.shape
        return JSONResponse(
            {"png": data_uri("image/png", png), "width": width, "height": height, "notes": drawing.notes}
        )

    async def paint(self, request: Request) -> Response:
        drawing = await request.body()
        model = self._find_model(request)
        styles = self._find_styles(request.query_params.getlist("style"))
        async with model.turns.take(_page_of(request)):
            return await model.thread.run(lambda: _paint(model, drawing, styles))

    async def save(self, request: Request) -> Response:
        value = parse_json(await request.body())
        if not has_shape(value, {"png": str, "svg": str, "pictures": [[str]]}):
            raise UsageError('expected {"png", "svg", "pictures"}')
        try:
            drawing = base64.b64decode(value["png"], validate=True)
        except binascii.Error:
            raise UsageError("png: expected an image in base64") from None
        model = self._find_model(request)
        pictures = [self._find_styles(ids) for ids in value["pictures"][:MOST_PICTURES]]
        svg = value["svg"].encode()
        async with model.turns.take(f"save {_page_of(request)}"):
            data = await model.thread.run(lambda: _save(model, drawing, svg, pictures))
        return Response(data, media_type="application/zip")

    async def sketch(self, request: Request) -> Response:
        data = await request.body()
        size = request.query_params.get("size", "256")
        if not size.isdecimal():
            raise UsageError(f"size {size[:20]}: expected {', '.join(map(str, SIZES))}")
        async with self._photo_turns.take(_page_of(request)):
            photo = await self._sketcher.run(lambda: sketch_photo(data, int(size), self._device))
        id = digest_of(data + size.encode())
        self._photos[id] = photo
        self._photos.move_to_end(id)
        while len(self._photos) > KEPT_PHOTOS:
            self._photos.popitem(last=False)
        sketches = [
            {
                "name": sketch.name,
                "png": data_uri("image/png", sketch.png),
                "svg": data_uri("image/svg+xml", sketch.svg),
            }
            for sketch in photo.sketches
        ]
        return JSONResponse(
            {
                "id": id,
                "height": photo.size[0],
                "width": photo.size[1],
                "photo": data_uri("image/jpeg", photo.jpeg),
                "sketches": sketches,
            }
        )

    async def send_photo(self, request: Request) -> Response:
        photo = self._photos.get(request.path_params["id"])
        if photo is None:
            return fail(404, "these sketches are no longer here: drop the photo again")
        files = {"photo.jpg": photo.jpeg}
        for sketch in photo.sketches:
            files[f"{sketch.name}.png"], files[f"{sketch.name}.svg"] = sketch.png, sketch.svg
        names = [sketch.name for sketch in photo.sketches]
        files["made.json"] = record_origin({"hands": names, "tom": BUILTIN, "size": list(photo.size)})
        return Response(pack_files(files), media_type="application/zip")

    def _find_model(self, request: Request) -> OfferedModel:
        name = request.query_params.get("model", "")
        if name not in self.models:
            raise UsageError(f"model {name[:MAX_NAME]!r}: expected {', '.join(self.models)}")
        return self.models[name]

    def _find_styles(self, ids: list[str]) -> list[StyleImage]:
        if len(ids) not in STITCHED:
            raise UsageError(f"{len(ids)} styles: expected one, or two or four to mix")
        return [self.styles[id] for id in ids]


def create_app(server: AppServer, token: str, max_body: int = MAX_BODY) -> ASGIApp:
    """The whole application, below /TOKEN/."""
    handlers: Mapping[Any, Any] = {HTTPException: _explain_status}
    return Guard(Starlette(routes=server.routes(), exception_handlers=handlers), token, max_body)


def _answer(handler: Handler) -> Handler:
    """The handler, whose errors become one line."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ReplacedError:
            return fail(409, "replaced by a newer request of the same page")
        except ImageError as error:
            return fail(400, f"{error}: expected a JPEG, PNG, WebP or another image of at least 8 pixels")
        except (SketchforgeError, ValueError) as error:
            return fail(500 if getattr(error, "exit_code", 2) == 1 else 400, str(error))
        except BodyTooLargeError as error:
            return fail(413, str(error))
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            _log.info("%s failed", request.url.path.rpartition("/")[2], exc_info=True)
            return fail(500, f"unexpected {type(error).__name__}: {error}")

    return answer


async def _explain_status(_: Request, error: HTTPException) -> Response:
    return fail(error.status_code, error.detail)


def _paint(model: OfferedModel, drawing: bytes, styles: list[StyleImage]) -> Response:
    image, notes = model.paint(drawing, [style.pixels for style in styles])
    height, width = image.shape[:2]
    return JSONResponse(
        {
            "png": data_uri("image/png", encode_colour_png(image)),
            "width": width,
            "height": height,
            "notes": notes,
            "model": model.record,
        }
    )


def _save(model: OfferedModel, drawing: bytes, svg: bytes, pictures: list[list[StyleImage]]) -> bytes:
    """Make the images again, which gives the same ones, and pack them with what made them."""
    files, described = {"drawing.svg": svg, "drawing.png": drawing}, []
    for number, styles in enumerate(pictures, start=1):
        image, notes = model.paint(drawing, [style.pixels for style in styles])
        name = f"{number:02}-{'+'.join(plain_name(style.name) for style in styles)}.png"
        files[name] = encode_colour_png(image)
        entry: dict[str, Any] = {"file": name, "styles": [{"name": s.name, "id": s.id} for s in styles]}
        described.append(entry | ({"notes": notes} if notes else {}))
    for style in {style.id: style for styles in pictures for style in styles}.values():
        files[f"styles/{style.id}.png"] = encode_colour_png(style.pixels)
    files["made.json"] = record_origin({"model": model.record, "images": described})
    return pack_files(files)


def _page_of(request: Request) -> str:
    return request.query_params.get("page", "")[:MAX_NAME]


def _describe_style(style: StyleImage) -> dict[str, str]:
    return {"id": style.id, "name": style.name, "origin": style.origin}


def _describe_model(name: str) -> str:
    if name == BUILTIN:
        return (
            "comes with the package; learnt from photographed things cut out: colours and outlines, no detail"
        )
    return "trained here"


@cache
def _read_asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _fill_page() -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_read_asset("page.html")).render(commands=TRAIN_COMMANDS, sizes=SIZES)
