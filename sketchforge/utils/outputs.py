"""Files that commands write where the user says: nothing there that is not ours is lost, and a URL is no folder."""

from __future__ import annotations

import re
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.utils.files import read_json

GENERATOR = "sketchforge"  # in every page as its generator, in every PNG as its Software
# What the files hold that we write again and again, by their endings: those are replaced without a word.
_OURS = {
    ".html": b'<meta name="generator" content="sketchforge">',
    ".png": b"tEXtSoftware\0sketchforge",
    ".md": b"# sketchforge report\n",
}
_OUR_FIGURES = ("sketchforge-report", "sketchforge-sketch-evaluation", "sketchforge-image-evaluation")
_ENDINGS = {".htm": ".html", ".markdown": ".md"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib makes one slash of two


def check_local(path: str | Path, option: str) -> None:
    """Raise UsageError for a URL, which as a path would become folders called `s3:` and so on."""
    if _URL.match(str(path)):
        raise UsageError(f"{option} {path}: URLs are neither read nor written here; name a local path")


def check_output(path: Path | None, option: str, overwrite: bool) -> None:
    """Raise UsageError where a page, sheet or table of figures must not be written to `path`.

    Its ending has to fit, and what is there has to be one of ours unless `overwrite`. None: nothing is asked for.
    """
    if path is None:
        return
    check_local(path, option)
    expected = ".md" if option == "--markdown" else f".{option.removeprefix('--')}"
    ending = path.suffix.lower()
    if _ENDINGS.get(ending, ending) != expected:
        raise UsageError(f"{option} {path}: expected a name that ends in {expected}")
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file")
    if not overwrite and path.exists() and not is_ours(path):
        raise UsageError(f"{path}: is there already and not of sketchforge's making; name another {option}")


def check_new_file(path: Path, option: str, overwrite: bool) -> None:
    """Raise UsageError for a file that is there, whoever made it: trained models are nothing to write over."""
    check_local(path, option)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file as {option}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; name another {option}")


def is_ours(path: Path) -> bool:
    """Whether a file is a page, an image or figures that a command of ours has written."""
    ending = _ENDINGS.get(path.suffix.lower(), path.suffix.lower())
    if not path.is_file():
        return False  # a device, a pipe
    try:
        if ending == ".json":
            found = read_json(path)
            return isinstance(found, dict) and found.get("format") in _OUR_FIGURES
        with open(path, "rb") as file:
            return _OURS[ending] in file.read(1024)
    except (OSError, ValueError, TypeError, KeyError):
        return False
