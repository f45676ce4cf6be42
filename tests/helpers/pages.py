"""For the tests of web pages: what a browser would make of them."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

EVIL = "</script></style><img src=x onerror=alert(1)>\"'&amp;$body\u2028</td>"  # what a name may be
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def of_class(self, name: str) -> list[str]:
        """The texts that directly follow the start tags of a class."""
        return re.findall(rf'class="{name}">([^<]*)<', self.source)

    @property
    def keys(self) -> list[str]:
        return self.of_class("key")

    def images(self) -> list[bytes]:
        uris = [shown["src"] for tag, shown in self.elements if tag == "img" and "src" in shown]
        return [base64.b64decode(uri.split(",", 1)[1], validate=True) for uri in uris]


class Nesting(HTMLParser):
    """Tables and the like that are outside all of class `wide`, and what is not closed in order."""

    VOID = {"meta", "img", "link", "br", "path", "rect", "polyline"}

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open, self.outside, self.wrong = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            wide = dict(attrs).get("class") == "wide"
            if tag in ("table", "pre") and not wide and not any(inner for _, inner in self.open):
                self.outside.append(tag)
            self.open.append((tag, wide))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID and (not self.open or self.open.pop()[0] != tag):
            self.wrong.append(tag)


def fetched(page: Page) -> list[str]:
    """What in a page would make a browser ask elsewhere, images that it holds itself aside."""
    rest = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "", page.source)
    ways_out = r"https?:|url\(|import\b|fetch\(|XMLHttp|WebSocket|=\"//|<script src|<link rel=\"style"
    return re.findall(ways_out, rest)
