"""What the README tells people to type is typed here, as it stands, at tiny size."""

import contextlib
import io
import re
import shlex
from dataclasses import replace
from importlib.util import find_spec

import pytest
from PIL import Image

from cli.main import COMMANDS, run
from sketchforge.images.builtin.drawings import draw
from sketchforge.images.builtin.photos import load_photos
from tests.helpers.commands import ROOT
from tests.helpers.photos import make_photos, scene
from tests.helpers.previews import few_previews
from trainers.autoencoder import recipe as ae_recipe
from trainers.diffsketching import recipe as diffsketching_recipe
from trainers.gan import recipe as gan_recipe
from trainers.style2paints import recipe as style2paints_recipe

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line.split("#")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines()]
COMMAND_LINES = [line for line in LINES if line.startswith("sketchforge ")]
TINY = {
    "SKETCHFORGE_TOM_TRAIN_STEPS": "10",  # as many as snapshots
    "SKETCHFORGE_TOM_TRAIN_SIZE": "32",
    "SKETCHFORGE_TOM_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_RENDER_SIZE": "32",
    "SKETCHFORGE_TOM_TRAIN_THREADS": "1",
    "SKETCHFORGE_RENDER_THREADS": "1",
    "SKETCHFORGE_RENDER_WORKERS": "1",
    "SKETCHFORGE_AE_TRAIN_STEPS": "2",
    "SKETCHFORGE_AE_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_AE_TRAIN_WORKERS": "0",
    "SKETCHFORGE_AE_TRAIN_THREADS": "1",
    "SKETCHFORGE_GAN_TRAIN_STEPS": "2",
    "SKETCHFORGE_GAN_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_GAN_TRAIN_WORKERS": "0",
    "SKETCHFORGE_GAN_TRAIN_THREADS": "1",
    "SKETCHFORGE_STYLE2PAINTS_TRAIN_STEPS": "2",
    "SKETCHFORGE_STYLE2PAINTS_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_STYLE2PAINTS_TRAIN_WORKERS": "0",
    "SKETCHFORGE_STYLE2PAINTS_TRAIN_THREADS": "1",
    "SKETCHFORGE_STYLE2PAINTS_TRAIN_HINT": "builtin",
    "SKETCHFORGE_SEGIN_TRAIN_STEPS": "2",
    "SKETCHFORGE_SEGIN_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_SEGIN_TRAIN_WORKERS": "0",
    "SKETCHFORGE_SEGIN_TRAIN_THREADS": "1",
    "SKETCHFORGE_DIFFSKETCHING_TRAIN_STEPS": "2",
    "SKETCHFORGE_DIFFSKETCHING_TRAIN_BATCH_SIZE": "2",
    "SKETCHFORGE_DIFFSKETCHING_TRAIN_WORKERS": "0",
    "SKETCHFORGE_DIFFSKETCHING_TRAIN_THREADS": "1",
    "SKETCHFORGE_SYNTHESIZE_THREADS": "1",
    "SKETCHFORGE_MIX_THREADS": "1",
    "SKETCHFORGE_TRANSFER_THREADS": "1",
}


SKETCH, PAIRS, READ, LOAD = (block for kind, block in BLOCKS if kind == "python")


def printed_by(program, names):
    """What a program of the README prints; `names` are its variables, before and after."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), names)
    return printed.getvalue()


@pytest.fixture
def newcomer(tmp_path, monkeypatch, few_drawings):
    """A folder with photos/, drawings/ and some images, as the README's reader has them, and small defaults."""
    make_photos(tmp_path / "photos", 4)
    names = ["drawing.jpg", "painting.jpg", "one.jpg", "other.jpg", "photo.jpg"]
    for number, name in enumerate(names):
        Image.fromarray(scene(number, 48, 64)).save(tmp_path / name)
    (tmp_path / "drawings").mkdir()
    for pen in ("quill", "brush", "cartoon"):
        Image.fromarray(draw("woman", pen, 64)).save(tmp_path / "drawings" / f"{pen}.png")
    monkeypatch.chdir(tmp_path)
    some = load_photos()[::12]
    monkeypatch.setattr("sketchforge.images.builtin.photos.load_photos", lambda: some)
    few_previews(monkeypatch)
    for recipes, narrow in (
        (ae_recipe.RECIPES, {"width": 0.0625, "style_dim": 32}),
        (gan_recipe.RECIPES, {"width": 0.02}),
        (style2paints_recipe.RECIPES, {"width": 0.03, "hint_size": 6}),
        (diffsketching_recipe.RECIPES, {"channels": (4, 8), "groups": 4, "sampling_steps": 2}),
    ):
        monkeypatch.setitem(recipes, "demo", replace(recipes["demo"], **narrow))
    for name, value in TINY.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_readme_shows_the_users_commands():
    assert COMMAND_LINES[:2] == ["sketchforge tom-train", "sketchforge render --checkpoints 10 --shards out/"]
    assert {line.split()[1] for line in COMMAND_LINES} >= {"tom-train", "render", "verify", "gallery"}


def test_every_command_is_described():
    """In the README or in a document beside it."""
    documents = README + "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
    )
    described = [name for name in COMMANDS if f"`{name}" in documents or f"`sketchforge {name}" in documents]
    assert described == list(COMMANDS)


def test_the_readmes_commands_run_as_they_are_typed(newcomer, monkeypatch):
    """In the README's order, in process; what one makes the next one reads. Then the lines that read the shards.

    `out/` is named twice, for the built-in photos and for one's own: the second reader begins in a fresh folder.
    """
    for line in COMMAND_LINES:
        if "diffsketching" in line and find_spec("diffusers") is None:
            continue  # an extra that is not installed
        if line.startswith("sketchforge render") and (newcomer / "out").exists():
            (newcomer / "out").rename(newcomer / "first")
        assert run(shlex.split(line)[1:]) == 0, line
    assert (newcomer / "gallery.png").stat().st_size > 1000
    assert printed_by(READ, {}) == "(32, 32) (32, 32)\n" * 4


def test_two_processes_of_a_loader_see_every_sample_once(newcomer):
    """Also of few images: there are as many shards."""
    assert run(["render", "--method", "canny", "--images", "photos/", "--shards", "out/"]) == 0
    names = {}
    shape = "torch.Size([2, 3, 32, 32])"
    assert printed_by(LOAD, names) == f"{shape} {shape}\n" * 2
    assert names["loader"].num_workers == 2
    seen = [photo.numpy().tobytes() for photos, _ in names["loader"] for photo in photos]
    assert len(seen) == len(set(seen)) == 4


def test_three_lines_draw_a_photo(newcomer):
    printed_by(SKETCH, {})
    assert Image.open("outline.png").size == (256, 256)


def test_several_processes_share_the_pairs(newcomer):
    assert run(["render", "--method", "canny", "--images", "photos/", "--shards", "out/"]) == 0
    names = {}
    shapes = "torch.Size([2, 3, 32, 32]) torch.Size([2, 1, 32, 32])\n"
    assert printed_by(PAIRS, names) == shapes * 2
    assert sorted(key for batch in names["loader"] for key in batch["key"]) == sorted(
        item["key"] for item in names["loader"].dataset
    )
