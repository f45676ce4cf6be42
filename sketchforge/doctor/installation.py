"""Python, the packages, the extras, and the weights files that are there."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import import_module, metadata

from sketchforge.checkpoints.catalog import KNOWN, WeightFile, builtin_folder
from sketchforge.doctor.finding import ABSENT, FAIL, OK, WARN, Finding, Findings, hide_home
from sketchforge.errors import SketchforgeError
from sketchforge.utils.versions import installed_version

OLDEST_PYTHON = (3, 11)
# Those whose compiled parts may not fit the system: (distribution, module).
COMPILED = (
    ("torch", "torch"),
    ("opencv-python-headless", "cv2"),
    ("numpy", "numpy"),
    ("pillow", "PIL.Image"),
)
# What extras are for; those of developers are none of a user's business.
EXTRAS = {
    "app": "the page to draw on",
    "datasets": "parquet files, and uploads to Hugging Face's Hub",
    "diffusion": "training and using DiffSketching",
    "heic": "HEIC images",
    "onnx": "exports as ONNX",
    "remote": "images and shards in stores and at URLs",
    "ray": "rendering on a Ray cluster",
    "train": "curves in TensorBoard",
    "weights": "installing HED's weights",
    "eval": "measuring sketches and images as papers do",
}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*(?:;\s*extra\s*==\s*['\"]([^'\"]+)['\"])?")


def check_python() -> Findings:
    """The program itself, and Python."""
    version = installed_version("sketchforge", missing="not installed")
    yield Finding(OK, "sketchforge", f"{version}, in {hide_home(builtin_folder().parents[1])}")
    python = f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        yield Finding(FAIL, "python", python, f"use Python {oldest} or newer")
    else:
        yield Finding(OK, "python", python)
    if variables := sorted(name for name in os.environ if name.startswith("SKETCHFORGE_")):
        yield Finding(OK, "variables", f"set are {', '.join(variables)}")


def check_packages() -> Findings:
    """What sketchforge cannot do without; what is compiled is imported."""
    needed, _ = list_requirements()
    versions = {name: installed_version(name, missing="") for name in needed}
    missing = [name for name, version in versions.items() if not version]
    present = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        yield Finding(FAIL, "packages", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    yield Finding(OK, "packages", present)
    for distribution, module in COMPILED:
        try:
            import_module(module)
        except Exception as error:  # whatever a broken installation raises
            hint = f"pip install --force-reinstall {distribution}"
            if "shared object file" in str(error):
                hint = "on Debian or Ubuntu: apt-get install libglib2.0-0 libgl1"
            line = hide_home(str(error).splitlines()[0] if str(error) else type(error).__name__)
            yield Finding(FAIL, distribution, f"cannot be imported: {line}", hint)


def check_extras() -> Findings:
    """What is optional: whether it is there, and the command that brings it."""
    _, extras = list_requirements()
    for extra, purpose in EXTRAS.items():
        names = extras.get(extra, [])
        versions = {name: installed_version(name, missing="") for name in names}
        if names and all(versions.values()):
            yield Finding(
                OK, f"extra {extra}", ", ".join(f"{name} {version}" for name, version in versions.items())
            )
        else:
            missing = (
                ", ".join(name for name in names if not versions[name]) or "not known to this installation"
            )
            yield Finding(
                ABSENT, f"extra {extra}", f"{purpose}: {missing}", f"pip install 'sketchforge[{extra}]'"
            )


def list_requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The distributions that sketchforge needs, and those of each extra, as its own metadata has them."""
    needed, extras = list[str](), dict[str, list[str]]()
    try:
        requirements = metadata.requires("sketchforge") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            continue
        if match[2] is not None:
            extras.setdefault(match[2], []).append(match[1])
        elif "extra ==" not in requirement:
            needed.append(match[1])
    return needed, extras


def check_weights() -> Findings:
    """Every weights file that is there: loaded, or its digest compared. Those of the package have to be."""
    absent = []
    for file in KNOWN.values():
        is_ours = builtin_folder() in (file.folder(), *file.folder().parents)
        try:
            path = file.found()
            if path is not None:
                yield _check_file(file, is_ours)
            elif is_ours:
                yield Finding(
                    FAIL, f"weights {file.name}", "missing from the package", "install sketchforge again"
                )
            else:
                absent.append(file.name)
        except SketchforgeError as error:
            yield Finding(
                FAIL if is_ours else WARN,
                f"weights {file.name}",
                hide_home(error),
                "see `sketchforge weights list`",
            )
    if absent:
        yield Finding(
            ABSENT, "weights", ", ".join(absent), "`sketchforge weights list` says where each belongs"
        )


def _check_file(file: WeightFile, is_ours: bool) -> Finding:
    path = file.found()
    assert path is not None
    size = f"{file.num_bytes(path) / 1e6:,.1f} MB"
    if not is_ours and file.sha256_starts:  # hundreds of megabytes: to load them takes too long
        if not file.is_published(path):
            text = f"{hide_home(path)}: another digest than the published one"
            return Finding(WARN, f"weights {file.name}", text, "remove it and copy it anew")
        return Finding(OK, f"weights {file.name}", f"{size}, the published digest")
    file.check(path)
    return Finding(OK, f"weights {file.name}", f"{size}, can be read")
