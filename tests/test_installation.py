"""What is installed is the package, whole, and works without the folder that it was built from."""

from __future__ import annotations

import ast
import configparser
import email
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.commands import ROOT
from tests.helpers.photos import scene

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = ("sketchforge", "trainers", "cli")
SOURCES = (*PACKAGES, "setup.cfg", "pyproject.toml", "README.md", "LICENSE")  # what a wheel is built of
DATA = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*"))
    if path.is_file() and path.suffix not in (".py", ".pyc")
]


def test_every_file_beside_the_code_is_named_as_package_data():
    """Pages, templates, weights, photos: what no pattern matches is missing from a wheel."""
    patterns = SETUP["options.package_data"]["sketchforge"].split()
    named = {path.relative_to(ROOT) for pattern in patterns for path in (ROOT / "sketchforge").glob(pattern)}
    assert DATA
    assert [str(path) for path in DATA if path not in named] == []


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_what_the_users_name_stays_required():
    required = [re.split(r"[<>=\[]", line)[0] for line in SETUP["options"]["install_requires"].split()]
    fixed = {"torch", "torchvision", "click", "webdataset", "opencv-python-headless", "pillow", "tqdm"}
    assert fixed | {"lpips", "scipy"} <= set(required)


@pytest.mark.parametrize("document", ["README.md", "docs/installation.md"])
def test_the_wheel_that_documents_install_is_of_this_version(document):
    wheels = re.findall(r"sketchforge-([\w.]+)-py3-none-any", (ROOT / document).read_text(encoding="utf-8"))
    assert set(wheels) == {SETUP["metadata"]["version"]}


def test_every_extra_is_described():
    text = (ROOT / "docs/installation.md").read_text(encoding="utf-8")
    assert [name for name in SETUP["options.extras_require"] if f"`{name}`" not in text] == []


ONLY_IN_A_CHECKOUT = re.compile(r"\bdocs/|\bbenchmarks/|\btests/|`make |\bCONTRIBUTING|\bMakefile")


def test_no_message_names_what_only_a_checkout_has():
    """Nor a page: who has the wheel has neither documents nor Makefile. Docstrings are for readers of the code."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if not ONLY_IN_A_CHECKOUT.search(text):
                continue
            tree = ast.parse(text)
            docstrings = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {node.value[:80]}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
                and ONLY_IN_A_CHECKOUT.search(node.value)
            ]
    templates = [path for path in DATA if path.suffix in (".html", ".jinja", ".js", ".css", ".toml")]
    found += [
        str(path)
        for path in templates
        if ONLY_IN_A_CHECKOUT.search((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


# An image


DOCKERFILE = (ROOT / "docs/docker/Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_built_of_what_the_wheel_is_built_of():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert ignored.index("*") < min(ignored.index(f"!{name}") for name in SOURCES)
    assert {line[1:] for line in ignored if line.startswith("!")} == set(SOURCES)


def test_the_image_runs_the_command_and_not_as_root():
    steps = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if re.match("[A-Z]+ ", line)]
    last = {word: rest for word, rest in steps}
    assert last["ENTRYPOINT"] == '["sketchforge"]'
    assert last["USER"] not in ("root", "0")
    assert [rest for word, rest in steps if word == "FROM"] == ["${BASE} AS wheel", "${BASE}"]


# A wheel


# To render, look and synthesize takes none of these: slow to import, or of an extra.
NOT_FOR_RENDERING = (
    *("torchvision", "lpips", "webdataset", "sklearn", "torch_fidelity", "h5py", "tensorboard"),
    *("onnx", "onnxruntime", "onnxscript", "starlette", "uvicorn", "ray", "s3fs", "pillow_heif"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built by `python -m build` from a copy, which leaves the checkout as it is; no network."""
    pytest.importorskip("build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    run_quietly(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=source
    )
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of commands of a fresh environment with the wheel, which finds our other packages where they are."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    words = ("install", "--no-deps", "--no-index", "--no-compile", "--quiet", wheel)
    run_quietly(sys.executable, "-m", "pip", "--python", python, *words, cwd=folder)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # As a path: of an editable installation that lies there nothing is found but its name.
    others = {str(Path(module.__file__).parents[1]) for module in (pytest, sys.modules["numpy"])}
    (packages / "others.pth").write_text("\n".join(sorted(others)) + "\n")
    for name in NOT_FOR_RENDERING:
        (packages / f"{name}.py").write_text(f"raise ImportError('{name} is not for rendering')\n")
    return folder / "bin"


def run_quietly(*words: object, cwd: Path) -> str:
    """What a command prints, of which it is known that it succeeds; nothing of this checkout is on its path."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SKETCHFORGE_", "PYTHON"))
    }
    result = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**kept, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_no_other(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {path for path in names if ".dist-info/" not in path}
    code = {
        path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    assert ours == code | {path.as_posix() for path in DATA}


@pytest.mark.slow
def test_the_wheels_metadata_are_complete(wheel):
    pytest.importorskip("twine")
    run_quietly(sys.executable, "-m", "twine", "check", "--strict", wheel, cwd=wheel.parent)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        licences = {path for path in archive.namelist() if "/licenses/" in path}
    assert metadata["Version"] == SETUP["metadata"]["version"]
    assert "MIT" in (metadata["License"] or metadata["License-Expression"])
    expected = SETUP["metadata"]["license_files"].split()
    assert metadata.get_all("License-File") == expected
    assert {path.split("/licenses/")[1] for path in licences} == set(expected)
    assert set(SETUP["options.extras_require"]) == set(metadata.get_all("Provides-Extra"))


@pytest.mark.slow
def test_the_installed_command_draws_checks_and_shows(installed, tmp_path):
    """Weights, hands, templates and styles of pages are all of the wheel."""
    Image.fromarray(scene(3, 96, 80)).save(tmp_path / "photo.png")
    command = installed / "sketchforge"

    def sketchforge(*words: object) -> str:
        return run_quietly(command, *words, cwd=tmp_path)

    code = "import sketchforge, cli, trainers; print(sketchforge.__file__, cli.__file__, trainers.__file__)"
    for path in run_quietly(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)
    assert sketchforge("--version") == f"sketchforge {SETUP['metadata']['version']}\n"
    sketchforge("render", "--checkpoints", "2", "--images", "photo.png", "--size", "64", "--shards", "out/")
    assert (tmp_path / "out/README.md").stat().st_size > 1000
    sketchforge("verify", "out/")
    sketchforge("gallery", "out/", "--html", "page.html", "--png", "sheet.png")
    assert "<style>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    sketchforge("synthesize", "--sketch", "photo.png", "--style", "photo.png", "--out", "made.png")
    assert Image.open(tmp_path / "made.png").size == (107, 128)
    assert sketchforge("ae-train", "--help")
