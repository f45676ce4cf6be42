"""The files that a pattern or a list names."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources.folder import INDEX, walk_files
from sketchforge.images.sources.passed_over import FOLDERS
from sketchforge.storage.fetch import MissingFileError, fetch_bytes
from sketchforge.storage.filesystems import has_scheme, is_url

_WILDCARDS = re.compile(r"[*?\[]")
MAX_LIST_BYTES = 4 << 30
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|[^/]*\\")


def check_path(name: str, where: str) -> None:
    """Raise UsageError for a command or, on other systems, a path of Windows; `where` names its place."""
    if os.path.lexists(name):
        return
    if has_scheme(name) and not is_url(name):
        raise UsageError(f"{where}: commands are not read; copy or mount what is there, and name a path")
    if os.name != "nt" and _WINDOWS_PATH.match(name):
        raise UsageError(f"{where}: a path of Windows; write it with slashes, as this system sees the file")


def expand_pattern(pattern: str, passed_over: Counter[str]) -> dict[str, str]:
    """Expand braces and wildcards to files, path -> name relative to the part before the first wildcard.

    Folders that exist by the very name in the pattern are taken by it, so `photos [2019]/*.jpg` is what it says.
    Folders that match are counted in `passed_over`. Raises UsageError where nothing matches.
    """
    from braceexpand import UnbalancedBracesError, braceexpand  # type: ignore[attr-defined]  # not in its types

    folder, rest = ("", pattern) if os.path.exists(pattern) else _split_literal(pattern)
    try:
        alternatives = [rest] if os.path.exists(pattern) else list(braceexpand(rest))
    except UnbalancedBracesError as error:
        raise UsageError(f"{pattern}: its braces do not match ({error})") from error
    base = folder_of(pattern)
    files, num_folders = {}, 0
    for alternative in alternatives:
        paths = _match_files(folder, alternative)
        if not paths:
            origin = "" if alternative == rest else f", from {pattern}"
            if _WILDCARDS.search(alternative):
                raise UsageError(f"{folder}{alternative}: no file matches{origin}; expected images there")
            raise UsageError(f"{folder}{alternative}: no such folder or file{origin}; expected images there")
        for path in paths:
            if os.path.isdir(path):
                num_folders += 1
            elif os.path.basename(path) != INDEX:
                files[path] = os.path.relpath(path, base or ".").replace(os.sep, "/")
    if not files:
        raise UsageError(f"{pattern}: only folders match; name one of them, or files: '{pattern}/*.jpg'")
    if num_folders:
        passed_over[FOLDERS] += num_folders
    return files


def folder_of(pattern: str) -> str:
    """The folder before a pattern's first wildcard, to which the names of its files are relative."""
    if os.path.exists(pattern):
        return os.path.dirname(pattern)
    folder, rest = _split_literal(pattern)
    return os.path.dirname(folder + re.split(r"[*?\[{]", rest)[0])


def is_meant(pattern: str, path: str) -> bool:
    """Whether a pattern, whose braces match, would mean a file if it were there."""
    from braceexpand import braceexpand

    parts = os.path.abspath(path).split(os.sep)
    return any(_matches(parts, text.split(os.sep)) for text in braceexpand(os.path.abspath(pattern)))


def read_list(path: str) -> dict[str, str]:
    """Read a list of files: one path or URL a line, relative to the list's folder -> the path as listed.

    Empty lines and those that begin with # are skipped. UTF-8, or UTF-16 with its mark, as Windows writes it.
    """
    try:
        data = fetch_bytes(path, MAX_LIST_BYTES) if is_url(path) else Path(path).read_bytes()
        encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        text = data.decode(encoding)
        if "\0" in text:
            raise ValueError
    except (FileNotFoundError, MissingFileError):
        raise UsageError(f"{path}: no such folder or file; expected images there") from None
    except ValueError:  # no text of that encoding, or zero bytes in it
        raise UsageError(
            f"{path}: not a list of files; expected text in UTF-8, a path on every line"
        ) from None
    except OSError as error:
        raise SketchforgeError(f"{path}: cannot be read ({error.strerror or error})") from error
    folder, files = os.path.dirname(path), {}
    lines = re.split(r"\r\n|\n|\r", text)
    for number, name in enumerate((line.strip() for line in lines), start=1):
        if is_url(name) or (is_url(path) and name and not name.startswith("#")):
            files[name if is_url(name) else f"{folder}/{name}"] = name.rpartition("://")[2]
            continue
        file = os.path.normpath(os.path.join(folder, name))
        if not name or (name.startswith("#") and not os.path.lexists(file)):
            continue
        if not os.path.lexists(file):
            check_path(name, f"{path}, line {number}: {name}")
        elif os.path.isdir(file):
            raise UsageError(f"{path}, line {number}: {name}: a folder; a list names files")
        if file in files:
            raise UsageError(f"{path}: lists {name} more than once")
        files[file] = os.path.normpath(name).replace(os.sep, "/")
    if not files:
        raise UsageError(f"{path}: lists no images; expected a path on every line")
    return files


def _split_literal(pattern: str) -> tuple[str, str]:
    """Split off the longest part at the beginning that is a folder by that very name."""
    parts = pattern.replace(os.sep, "/").split("/")
    for count in range(len(parts) - 1, 0, -1):
        folder = "/".join(parts[:count]) + "/"
        if os.path.isdir(folder):
            return folder, "/".join(parts[count:])
    return "", pattern


def _match_files(folder: str, pattern: str) -> list[str]:
    """List what matches below a folder (with its slash, or empty), sorted."""
    path = folder + pattern
    if os.path.lexists(path):
        return [path]
    if "**" not in pattern.split("/"):
        return sorted(glob.glob(glob.escape(folder) + pattern))
    # Not by glob, which walks links in circles.
    walked = (name for name, _ in walk_files(folder or ".", Counter(), into_shards=True))
    return sorted(folder + name for name in walked if _matches(name.split("/"), pattern.split("/")))


def _matches(path: list[str], pattern: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern, where ** stands for any number of folders."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skipped:], pattern[1:]) for skipped in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])
