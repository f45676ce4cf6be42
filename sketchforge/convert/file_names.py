"""Names of files and folders that every file system has, whoever chose the texts that they come from."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MAX_STEM = 80  # characters, as keys have
# Small letters, or any with a hash behind them.
_FIT = re.compile(r"[a-z0-9_][a-z0-9_-]*|[A-Za-z0-9_][A-Za-z0-9_-]*-[0-9a-f]{16}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)  # by Windows, with any ending


def file_stem(key: str) -> str:
    """The name of a sample's files, without ending: its key, unless a file cannot be called that.

    Keys that `render` makes are fit already, but for a few such as `con`. Of others, which may hold slashes or dots, what
    is not a letter, a digit, `_` or `-` becomes `_`, and 16 hex digits of the SHA-256 of the key are appended, so that
    two of them never share a name, also where case is ignored.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", key)
    if len(key) <= MAX_STEM and _FIT.fullmatch(key) and not _RESERVED.fullmatch(key):
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{plain[: MAX_STEM - 17].lstrip('-')}-{digest}"


def name_folders(texts: Sequence[str], default: str) -> list[str]:
    """A folder's name for each text: small letters, digits and hyphens alone; equal ones are numbered.

    default: the name where nothing else is left of a text.
    """
    words = [re.sub(r"[^a-z0-9]+", "-", text.lower())[:MAX_STEM].strip("-") or default for text in texts]
    counts = Counter(words)
    is_free = [counts[word] == 1 and not _RESERVED.fullmatch(word) for word in words]
    taken = {word for word, free in zip(words, is_free, strict=True) if free}
    names = []
    for number, (word, free) in enumerate(zip(words, is_free, strict=True), start=1):
        name = word if free else f"{word}-{number}"
        while not free and name in taken:
            name += "-again"
        taken.add(name)
        names.append(name)
    return names
