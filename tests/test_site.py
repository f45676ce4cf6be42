"""The documents as a site: all of them are on it, and nothing on it comes from elsewhere."""

import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from runpy import run_path

import pytest
import yaml

import sketchforge
from tests.helpers.commands import ROOT, environment

SITE = ROOT / "docs/site"
CONFIG = yaml.safe_load((SITE / "mkdocs.yml").read_text(encoding="utf-8"))
GENERATED = {"quickstart.md", "commands.md"}
# Elements that a browser follows by itself, and the attribute that names what they load.
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def leaves(entries):
    """The pages of a part of the navigation, in order."""
    for entry in entries:
        for place in entry.values():
            yield from [place] if isinstance(place, str) else leaves(place)


PAGES = list(leaves(CONFIG["nav"]))


def documents_elsewhere():
    """ELSEWHERE of hooks.py, without importing it: MkDocs may not be installed."""
    tree = ast.parse((SITE / "hooks.py").read_text(encoding="utf-8"))
    (table,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ELSEWHERE"
    ]
    return ast.literal_eval(table)


ELSEWHERE = documents_elsewhere()


@pytest.mark.parametrize(
    "document", sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
)
def test_every_document_has_a_line_in_the_navigation(document):
    assert PAGES.count(document) == 1, f"nav of docs/site/mkdocs.yml: a line such as `- Title: {document}`"


@pytest.mark.parametrize("source", [path.name for path in sorted(ROOT.glob("*.md"))])
def test_documents_at_the_top_are_on_the_site(source):
    assert source in ELSEWHERE.values()


def test_the_navigation_names_nothing_else():
    there = {page for page in PAGES if (ROOT / "docs" / page).is_file()} | {*ELSEWHERE} | GENERATED
    assert set(PAGES) == there
    assert [source for source in ELSEWHERE.values() if not (ROOT / source).is_file()] == []


@pytest.mark.parametrize("name", [name for name in sketchforge.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference(name):
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in text
    assert re.search(
        rf"^<!-- ::: sketchforge\.{name}$|^<!-- ::: sketchforge\.{name} -->$", text, re.MULTILINE
    )


def test_what_stops_the_build_is_each_thing_that_a_reader_would_miss():
    settings = {
        f"{part}.{name}": level for part, of in CONFIG["validation"].items() for name, level in of.items()
    }
    assert set(settings.values()) == {"warn"}
    assert {"nav.omitted_files", "links.not_found", "links.anchors", "links.unrecognized_links"} <= set(
        settings
    )
    assert CONFIG["theme"]["font"] is False
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (
        "-m mkdocs build --strict -f docs/site/mkdocs.yml\n" in makefile
    )  # --quiet would hide what --strict counts


@pytest.mark.parametrize(
    ("source", "place", "written", "expected"),
    [
        ("README.md", "overview.md", "[x](docs/hands.md#a)", "[x](hands.md#a)"),
        ("docs/how-to/x.md", "how-to/x.md", "[../hands.md](../hands.md)", "[Hands](../hands.md)"),
        ("docs/hands.md", "hands.md", "[its\ncard](../README.md)", "[its\ncard](overview.md)"),
        ("docs/hands.md", "hands.md", "![p](images/p.jpg)", "![p](images/p.jpg)"),
        ("README.md", "overview.md", "[![p](docs/p.jpg)](docs/hands.md)", "[![p](p.jpg)](hands.md)"),
        ("sketchforge/checkpoints/builtin/tom.md", "cards/tom.md", "(NOTICE.md) [n](NOTICE.md)",
         "(NOTICE.md) [n](weights-notice.md)"),
        ("docs/x.md", "x.md", "[a](#b) [w](https://a.org/docs/hands.md)", "[a](#b) [w](https://a.org/docs/hands.md)"),
    ],
)  # fmt: skip
def test_links_of_files_become_those_of_the_site(source, place, written, expected):
    hooks = pytest.importorskip("mkdocs") and run_path(str(SITE / "hooks.py"))
    assert hooks["rewrite_links"](written, source, place, {"hands.md": "Hands"}) == expected


class Loads(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self, text):
        super().__init__()
        self.urls = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if found.get(LOADING.get(tag, "")) and found.get("rel") not in ("canonical", "next", "prev"):
            self.urls.append(found[LOADING[tag]])


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(module)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "-f",
            SITE / "mkdocs.yml",
            "-d",
            tmp_path / "site",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(PATH=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for page in PAGES:
        place = tmp_path / "site" / page.replace("README.md", "index.md").replace(".md", ".html")
        text = place.read_text(encoding="utf-8")
        urls = Loads(text).urls
        assert len(urls) > 3
        assert [url for url in urls if "//" in url] == [], place.name
        missing = [url for url in urls if not (place.parent / url.split("?")[0]).is_file()]
        assert [url for url in missing if not url.startswith("data:")] == [], place.name
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name
    assert "Mapping" in (tmp_path / "site/reference.html").read_text(encoding="utf-8")
