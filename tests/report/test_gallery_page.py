"""The gallery as a web page: it holds the shards' own images, fetches nothing, and trusts no name."""

import configparser
import fnmatch
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import GalleryOptions
from sketchforge.report.gallery import gallery as gallery_module
from sketchforge.report.gallery.gallery import gallery
from sketchforge.shards.selection import spread_evenly
from tests.helpers.browser import needs_browser, seen_in_browser
from tests.helpers.commands import ROOT
from tests.helpers.folders import contents, members
from tests.helpers.pages import EVIL, POLICY, Page, fetched
from tests.helpers.stored import png, store


def sketch(seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 2, (8, 8), np.uint8) * 255)


def plain(*keys: str, styles: int = 2) -> list[dict]:
    """Samples with these keys, every sketch another."""
    return [
        {"key": key, "sketches": [sketch(sum(key.encode()) * 10 + style) for style in range(styles)]}
        for key in keys
    ]


def page_of(folder: Path, tmp_path: Path, **more) -> Page:
    (path,) = gallery(GalleryOptions(folder, html=tmp_path / "new" / "page.html", **more))
    return Page(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten samples in three shards, two styles."""
    keys = [f"k{number}" for number in range(10)]
    return store(
        tmp_path / "out", [plain(*keys[:4]), plain(*keys[4:8]), plain(*keys[8:])], ["thin & fine", "bold"]
    )


def test_images_are_the_shards_own_bytes(folder, tmp_path):
    everything = [member for number in range(3) for member in members(folder, number).items()]
    stored = [data for name, data in everything if not name.endswith(".json")]
    page = page_of(folder, tmp_path)
    assert page.images() == stored
    assert len(stored) == 30
    kinds = re.findall(r'<img src="data:([a-z/]*);base64,', page.source)
    assert kinds == ["image/jpeg", "image/png", "image/png"] * 10
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_the_page_names_what_it_shows(folder, tmp_path):
    page = page_of(folder, tmp_path)
    assert page.keys == [f"k{number}" for number in range(10)]
    assert page.of_class("source") == [f"k{number}.jpg" for number in range(10)]
    assert "10 images" in page.texts
    assert "canny, 2 sketches each, 8 px, crop, png1" in page.texts
    alts = [attributes["alt"] for tag, attributes in page.elements if tag == "img" and "src" in attributes]
    assert alts[:3] == ["k0, photo", "k0, thin & fine", "k0, bold"]
    assert all(alts)
    # its column, its checkbox
    assert page.texts.count("thin & fine") == 1
    assert " thin & fine" in page.texts


def test_whatever_comes_from_outside_stays_text(tmp_path):
    """A name may hold what it likes: no element, no attribute and no end of a script comes of it."""
    tame = {"key": "k", "source": "s", "caption": "c", "sketches": [sketch(0)]}
    evil = {**tame, "key": EVIL.replace(".", ""), "source": EVIL, "caption": EVIL}
    name = EVIL.replace("/", "")
    quiet = page_of(store(tmp_path / "out", [[tame]], ["style"], note="n"), tmp_path)
    loud = page_of(store(tmp_path / name, [[evil]], [EVIL], note=EVIL, **{EVIL: "n"}), tmp_path)
    # Apart from the one option more, both pages have the same elements with the same attributes.
    names = [(tag, sorted(attributes)) for tag, attributes in loud.elements]
    for tag in ("div", "dt", "dd"):
        names.remove((tag, []))
    assert names == [(tag, sorted(attributes)) for tag, attributes in quiet.elements]
    text = "\n".join(loud.texts)
    assert text.count(EVIL) >= 6  # key, source, caption, column, checkbox, option's name and value
    assert text.count(name) >= 3
    assert "<img src=x" not in loud.source
    shown = [attributes for tag, attributes in loud.elements if tag == "td" and "data-style" in attributes]
    assert shown == [{"data-style": EVIL}]


def test_the_gallery_fetches_nothing(folder, tmp_path):
    page = page_of(folder, tmp_path)
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    references = [
        attributes[name]
        for _, attributes in page.elements
        for name in ("src", "href", "srcset", "action", "poster", "data")
        if name in attributes
    ]
    assert all(value.startswith("data:") for value in references)
    assert not fetched(page)


def test_equal_folders_give_equal_bytes(folder, tmp_path, monkeypatch):
    first = page_of(folder, tmp_path).source
    monkeypatch.chdir(tmp_path)
    assert page_of(Path("out"), tmp_path).source == first
    assert page_of(Path("out/../out/"), tmp_path).source == first


def test_of_many_shards_some_are_shown_and_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("sketchforge.shards.selection.MAX_LOOKED_INTO", 2)
    many = store(tmp_path / "many", [plain(f"a{number}", f"b{number}") for number in range(5)], ["s", "t"])
    page = page_of(many, tmp_path)
    assert page.keys == ["a0", "b0", "a4", "b4"]
    assert "4 of 10 images shown, spread evenly from the first to the last" in page.texts
    assert not [text for text in page.texts if "unfinished" in text]


def test_rows_are_spread_evenly(folder, tmp_path):
    page = page_of(folder, tmp_path, rows=4)
    assert page.keys == ["k0", "k3", "k6", "k9"]
    assert "4 of 10 images shown, spread evenly from the first to the last" in page.texts
    options = GalleryOptions(folder, tmp_path / "sheet.png", html=tmp_path / "page.html")
    assert gallery(options) == [tmp_path / "sheet.png", tmp_path / "page.html"]
    assert len(Page(tmp_path / "page.html").keys) == 10


@pytest.mark.parametrize("count", [1, 2, 3, 7, 99, 100, 101])
def test_spread_takes_equal_steps_from_end_to_end(count):
    taken = spread_evenly(range(100), count)
    steps = np.diff(taken)
    assert len(taken) == min(count, 100)
    assert taken[0] == 0
    assert count == 1 or (taken[-1] == 99 and steps.max() - steps.min() <= 1 and steps.min() > 0)


def test_captions_are_shown(tmp_path):
    samples = plain("a", "b", "c")
    samples[0]["caption"], samples[1]["caption"] = "a red hat", ""
    page = page_of(store(tmp_path / "out", [samples], ["one", "two"]), tmp_path)
    assert page.of_class("caption") == ["a red hat"]


def test_unfinished_folders_show_what_is_finished(tmp_path):
    folder = store(tmp_path / "out", [plain("a", "b"), plain("c")], ["one", "two"], num_shards=5)
    (folder / "00004.tar").write_bytes(b"not there yet")
    page = page_of(folder, tmp_path)
    assert page.keys == ["a", "b", "c"]
    assert "out is unfinished: 2 of 5 shards, 3 images so far." in page.texts


def test_comparison_has_the_images_of_both(tmp_path):
    """Whatever their order and shards; equal styles are told apart by their folder."""
    ours = store(tmp_path / "ours", [plain("a", "b"), plain("c", "d")], ["one", "two"])
    theirs = store(tmp_path / "theirs", [plain("d", "x", "b", styles=1)], ["one"])
    page = page_of(ours, tmp_path, compare=theirs)
    assert page.keys == ["b", "d"]
    assert "2 images, those that are in both folders" in page.texts
    a, b = members(ours) | members(ours, 1), members(theirs)
    assert page.images() == [
        data
        for key in ("b", "d")
        for data in (
            a[f"{key}.jpg"],
            a[f"{key}.sketch0.png"],
            a[f"{key}.sketch1.png"],
            b[f"{key}.sketch0.png"],
        )
    ]
    styles = [attributes["data-style"] for tag, attributes in page.elements if "data-style" in attributes]
    assert styles[:3] == ["one (ours)", "two (ours)", "one (theirs)"]
    other = store(tmp_path / "other", [plain("z")], ["one", "two"])
    with pytest.raises(UsageError, match="no samples in common"):
        gallery(GalleryOptions(ours, html=tmp_path / "b.html", compare=other))
    assert not (tmp_path / "b.html").exists()


def test_nothing_to_show_or_to_write_is_a_usage_error(folder, tmp_path):
    with pytest.raises(UsageError, match="nothing to write"):
        gallery(GalleryOptions(folder))
    with pytest.raises(UsageError, match="holds no samples"):
        gallery(GalleryOptions(store(tmp_path / "none", [], ["s"], num_shards=2), html=tmp_path / "a.html"))


def shift(folder):
    shutil.copy(folder / "00000.tar", folder / "00001.tar")


def lose_a_sketch(folder):
    shutil.rmtree(folder)
    store(folder, [plain("a", styles=1)], ["one", "two"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: os.truncate(folder / "00001.tar", 3000), "00001.tar: cannot be read"),
        (lambda folder: (folder / "00002.tar").unlink(), "00002.tar: cannot be read"),
        (shift, "00001.tar: sample k4 is missing"),
        (lose_a_sketch, "00000.tar: a has 1 sketch, expected 2"),
    ],
)
def test_damaged_shards_point_to_verify_and_leave_no_page(folder, tmp_path, spoil, told):
    spoil(folder)
    with pytest.raises(SketchforgeError, match=f"{told}.*; see `sketchforge verify ") as error:
        gallery(GalleryOptions(folder, html=tmp_path / "page.html"))
    assert "\n" not in str(error.value)
    assert not any("page.html" in name for name in contents(tmp_path))


def test_a_page_that_cannot_be_finished_leaves_the_one_before(folder, tmp_path, monkeypatch):
    before = page_of(folder, tmp_path).source

    def stop(*_):
        yield "the beginning"
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery_module, "gallery_page", stop)
    with pytest.raises(KeyboardInterrupt):
        page_of(folder, tmp_path, rows=1)
    assert contents(tmp_path / "new") == {"page.html": before.encode()}


def test_templates_are_installed_with_the_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["sketchforge"].split()
    report = ROOT / "sketchforge" / "report"
    templates = [path for path in report.rglob("*.*") if path.suffix in (".html", ".css", ".js")]
    assert {path.suffix for path in templates} == {".html", ".css", ".js"}
    for path in templates:
        name = path.relative_to(ROOT / "sketchforge").as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


# Runs in the page: presses keys and writes down, after each, what can be seen. All of it while the page is
# being read: what comes later may be too late for --dump-dom.
DRIVER = """
<script>
const seen = [];
function look(did) {
  const lightbox = document.querySelector("#lightbox");
  const name = (id) => document.querySelector(id).alt;
  seen.push([did, {
    keys: [...document.querySelectorAll("tbody tr:not([hidden], .elsewhere) .key")].map((key) => key.textContent),
    styles: [...document.querySelectorAll("thead th:not([hidden])")].slice(2).map((cell) => cell.textContent),
    printed: [...document.querySelectorAll("tbody tr:not([hidden]) .key")].map((key) => key.textContent),
    told: document.querySelector("#printed").hidden ? "" : document.querySelector("#printed").textContent,
    page: document.querySelector(".page").textContent,
    matches: document.querySelector("#matches").textContent,
    open: lightbox.open ? [name("#shown-photo"), name("#shown-sketch")] : null,
    focus: document.activeElement.querySelector?.("img")?.alt ?? document.activeElement.id,
  }]);
}
function press(key) {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  document.activeElement.dispatchEvent(event);
  look(key);
}
function filter(text) {
  document.querySelector("#filter").value = text;
  document.querySelector("#filter").dispatchEvent(new Event("input"));
  look("filter " + text);
}
look("load");
for (const key of ["ArrowRight", "ArrowRight", "ArrowUp", "ArrowDown", "ArrowDown"]) press(key);
for (const key of ["Escape", "ArrowUp", "k", "End", "k", "Home", "k", "/"]) press(key);
filter("PHOTOS/K1");
filter("nothing like it");
filter("");
document.querySelector("#styles input").click();
look("uncheck");
const result = document.createElement("pre");
result.textContent = "SEEN" + JSON.stringify(seen) + "SEEN";
document.body.replaceChildren(result);
</script>
</body>
"""


@needs_browser
def test_the_page_works_in_a_browser(tmp_path):
    """45 images on three pages, entered at the second one with the lightbox open."""
    keys = [f"k{number:02d}" for number in range(45)]
    samples = [sample | {"source": f"Photos/{sample['key']}.jpg"} for sample in plain(*keys)]
    folder = store(tmp_path / "out", [samples], ["thin", "bold"])
    (path,) = gallery(GalleryOptions(folder, html=tmp_path / "page.html"))
    path.write_text(path.read_text().replace("</body>\n", DRIVER))
    state = "page=1&image=k20&style=0"  # the image outweighs the page
    seen = seen_in_browser(f"{path.as_uri()}#{state}", tmp_path / "profile")
    steps = [name for name, _ in seen]

    def after(name: str, nth: int = 0) -> dict:
        return [state for step, state in seen if step == name][nth]

    assert steps[0] == "load"
    start = after("load")
    assert start["keys"] == keys[20:40]
    assert start["page"] == "page 2 of 3"
    assert start["matches"] == "45 images"
    assert start["styles"] == ["thin", "bold"]
    assert start["open"] == ["k20, photo", "k20, thin"]
    assert [after("ArrowRight", nth)["open"][1] for nth in (0, 1)] == ["k20, bold", "k20, thin"]
    assert after("ArrowUp")["open"] == ["k19, photo", "k19, thin"]
    assert after("ArrowUp")["keys"] == keys[:20]
    assert after("ArrowDown", 1)["open"] == ["k21, photo", "k21, thin"]
    assert after("Escape")["open"] is None
    assert after("Escape")["focus"] == "k21, thin"
    assert after("ArrowUp", 1)["focus"] == "k20, thin"
    assert [after("k", nth)["page"][5] for nth in range(3)] == ["1", "2", "1"]
    assert after("End")["keys"] == keys[40:]
    assert after("Home")["keys"] == keys[:20]
    assert after("/")["focus"] == "filter"
    found = after("filter PHOTOS/K1")
    assert found["keys"] == keys[10:20]
    assert found["matches"] == "10 of 45 match"
    assert found["printed"] == keys[10:20]
    assert found["told"] == "10 of these 45 images match “PHOTOS/K1”"
    assert (start["printed"], start["told"]) == (keys, "")  # on paper there are no pages to turn
    assert after("uncheck")["told"] == "1 of 2 styles are shown"
    assert after("filter nothing like it")["keys"] == []
    assert after("filter ")["keys"] == keys[:20]
    assert after("uncheck")["styles"] == ["bold"]
