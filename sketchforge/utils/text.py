"""Counts in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count_noun(count: int, singular: str, plural: str | None = None) -> str:
    """The count with its noun: "1 shard", "1,200 shards", "2 sketches", "0 copies".

    plural: where it is none of the regular ones.
    """
    return f"{count:,} {singular if count == 1 else plural or pluralize(singular)}"


def pluralize(noun: str) -> str:
    """The regular plural of a noun; of several words, that of the last."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def join_words(words: Sequence[str]) -> str:
    """The words as a sentence lists them: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
