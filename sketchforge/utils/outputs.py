"""Checks of output paths that users name: other files are not overwritten unasked, URLs are refused."""

from __future__ import annotations

import re
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.utils.files import read_json

GENERATOR = "sketchforge"  # the generator of every page, the Software of every PNG
# Bytes that mark a file as written by sketchforge, by its ending: such files are replaced without asking.
_SIGNATURES = {
    ".html": b'<meta name="generator" content="sketchforge">',
    ".png": b"tEXtSoftware\0sketchforge",
    ".md": b"# sketchforge report\n",
}
_JSON_FORMATS = (
    "sketchforge-report",
    "sketchforge-sketch-evaluation",
    "sketchforge-image-evaluation",
    "sketchforge-inspection",
    "sketchforge-verification",
)
_ENDING_ALIASES = {".htm": ".html", ".markdown": ".md"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib makes one slash of two


def check_local(path: str | Path, option: str) -> None:
    """Raise UsageError for a URL, which as a path would create a folder called `s3:` or the like."""
    if _URL.match(str(path)):
        raise UsageError(f"{option} {path}: URLs are neither read nor written here; name a local path")


def check_output(path: Path | None, option: str, overwrite: bool) -> None:
    """Raise UsageError where a page, sheet or JSON file must not be written to `path`.

    The ending must fit the option. An existing file must be one that sketchforge wrote, unless `overwrite`.
    A path of None is not checked.
    """
    if path is None:
        return
    check_local(path, option)
    expected = ".md" if option == "--markdown" else f".{option.removeprefix('--')}"
    ending = path.suffix.lower()
    if _ENDING_ALIASES.get(ending, ending) != expected:
        raise UsageError(f"{option} {path}: expected a name that ends in {expected}")
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file")
    if not overwrite and path.exists() and not is_ours(path):
        raise UsageError(f"{path}: is there already and not of sketchforge's making; name another {option}")


def check_new_file(path: Path, option: str, overwrite: bool) -> None:
    """Raise UsageError for any existing file unless `overwrite`: trained models are not replaced unasked."""
    check_local(path, option)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file as {option}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; name another {option}")


def is_ours(path: Path) -> bool:
    """Whether a file is a page, an image or JSON that a sketchforge command has written."""
    ending = _ENDING_ALIASES.get(path.suffix.lower(), path.suffix.lower())
    if not path.is_file():
        return False  # a device, a pipe
    try:
        if ending == ".json":
            document = read_json(path)
            return isinstance(document, dict) and document.get("format") in _JSON_FORMATS
        with open(path, "rb") as file:
            return _SIGNATURES[ending] in file.read(1024)
    except (OSError, ValueError, TypeError, KeyError):
        return False
