"""What docs/how-to tells people to type is typed here, in the order of each page, on small images and for few steps."""

import contextlib
import io
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import replace

import pytest
from PIL import Image

from cli.main import run
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.builtin.photos import load_photos
from tests.helpers.commands import ROOT
from tests.helpers.documents import read_blocks
from tests.helpers.photos import make_photos, scene
from tests.helpers.previews import few_previews
from trainers.autoencoder import recipe as ae_recipe

PAGES = sorted(path.name for path in (ROOT / "docs/how-to").glob("*.md"))
# What is typed otherwise than it stands there, and why: the numbers alone take long.
INSTEAD = {
    "STEPS, BATCH = 64, 2000, 64": "STEPS, BATCH = 64, 2, 4",
    "--size 128 --steps 10000": "--size 64 --steps 2",
    "--size 512": "--size 64",
    "--per-image 3": "--per-image 1",  # of two
}
SMALL = {
    "SKETCHFORGE_RENDER_SIZE": "64",
    "SKETCHFORGE_RENDER_CHECKPOINTS": "2",
    "SKETCHFORGE_RENDER_SAMPLES_PER_SHARD": "2",
    "SKETCHFORGE_RENDER_THREADS": "1",
    "SKETCHFORGE_RENDER_WORKERS": "1",
    "SKETCHFORGE_TOM_TRAIN_STEPS": "10",  # as many as snapshots
    "SKETCHFORGE_TOM_TRAIN_SIZE": "32",
    "SKETCHFORGE_TOM_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_TOM_TRAIN_THREADS": "1",
    "SKETCHFORGE_AE_TRAIN_STEPS": "2",
    "SKETCHFORGE_AE_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_AE_TRAIN_WORKERS": "0",
    "SKETCHFORGE_AE_TRAIN_THREADS": "1",
    "SKETCHFORGE_SYNTHESIZE_THREADS": "1",
}
LEFT = {  # what a page leaves beside its inputs
    "a-million-images.md": ["trial.html", "out/manifest.json"],
    "controlnet.md": ["out/manifest.json", "fill/prompt.json"],
    "first-pairs.md": ["gallery.html", "gallery.png", "outline.png", "runs/ae/grid.png", "made.png", "builtin.png"],
    "own-drawings.md": ["mine.png", "felt-svg", "coloured.png", "made/grid.png", "better.png"],
    "retrieval.md": ["out/manifest.json"],
}  # fmt: skip


def type_line(line: str) -> None:
    """A command of ours in this process, anything else in a shell."""
    if line.startswith("sketchforge "):
        assert run(shlex.split(line)[1:]) == 0, line
    else:
        subprocess.run(line, shell=True, check=True, timeout=60)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with what the pages name."""
    folder = tmp_path_factory.mktemp("material")
    make_photos(folder / "photos", 4)
    for inner, names in {
        ".": ["drawing.jpg", "painting.jpg", "photo.jpg"],
        "paintings": ["monet.jpg", "hokusai.jpg"],
        "people": ["cat.png", "dog.png"],
        "searched": ["cat.jpg", "dog.jpg", "fish.jpg"],
        "captioned": ["cat.jpg", "dog.jpg"],
    }.items():
        (folder / inner).mkdir(exist_ok=True)
        for number, name in enumerate(names):
            Image.fromarray(scene(number, 48, 64)).save(folder / inner / name)
    for name in ("cat", "dog"):
        (folder / "captioned" / f"{name}.txt").write_text(f"a {name}")
    (folder / "drawings").mkdir()
    for pen in ("quill", "brush", "cartoon"):
        Image.fromarray(draw("woman", pen, 64)).save(folder / "drawings" / f"{pen}.png")
    (folder / "laion").mkdir()
    with tarfile.open(folder / "laion/00000.tar", "w") as tar:
        for path in sorted((folder / "photos").glob("*.*")):
            tar.add(path, path.name)
    return folder


@pytest.fixture(scope="module")
def few_photos():
    return load_photos()[::26]


@pytest.fixture
def reader(material, few_photos, tmp_path, monkeypatch):
    """A folder of one's own with the material, and small defaults."""
    folder = shutil.copytree(material, tmp_path / "here")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sketchforge.images.builtin.photos.load_photos", lambda: few_photos)
    few_previews(monkeypatch)
    narrow = replace(ae_recipe.RECIPES["demo"], width=0.0625, style_dim=32)
    monkeypatch.setitem(ae_recipe.RECIPES, "demo", narrow)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_is_typed(page, reader):
    names = {"__name__": "__main__"}
    for block in read_blocks(ROOT / "docs/how-to" / page):
        code = block.code
        for text, smaller in INSTEAD.items():
            code = code.replace(text, smaller)
        if block.remark.startswith("saved as "):
            (reader / block.remark.removeprefix("saved as ")).write_text(code)
        elif block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, page, "exec"), names)
        elif not block.remark.startswith("not run: "):
            assert block.kind == "bash", f"{page}: a block of {block.kind!r} that nothing tries"
            for line in code.splitlines():
                type_line(line)
    assert [name for name in LEFT[page] if not (reader / name).exists()] == []


def test_what_is_typed_otherwise_stands_in_a_page():
    text = "".join((ROOT / "docs/how-to" / page).read_text(encoding="utf-8") for page in PAGES)
    assert [words for words in INSTEAD if words not in text] == []
