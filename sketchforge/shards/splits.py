"""Splits: the parts, such as train and test, that a set of images is cut into by its keys alone.

An image's split depends on its key and the shares, never on the other images: what is added later moves none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sketchforge.errors import UsageError

ALL = "all"  # no split's name: the whole set
TRAIN = "train"
HELD_OUT = ("test", "val")  # what is measured on, the first of them that there is
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_EXAMPLE = "train=.9,test=.1"


def parse_splits(text: str) -> dict[str, float]:
    """Parse "train=.9,test=.1" -> {"train": 0.9, "test": 0.1}, in the order of the text.

    Raises UsageError unless these are two or more shares of different names that add up to 1.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        if not _NAME.fullmatch(name) or name == ALL:
            raise UsageError(
                f"--split {text}: {name!r} is no name of a split (small letters, digits and _; not {ALL}); "
                f"expected something like {_EXAMPLE}"
            )
        if name in shares:
            raise UsageError(f"--split {text}: {name} stands there twice")
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = 0.0
        if not 0 < shares[name] < 1:
            raise UsageError(
                f"--split {text}: the share of {name} is {share!r}, expected a number between 0 and 1, as in {_EXAMPLE}"
            )
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(
            f"--split {text}: the shares add up to {sum(shares.values()):g}, expected 1, as in {_EXAMPLE}"
        )
    return shares


def format_splits(shares: Mapping[str, float]) -> str:
    """The text that `parse_splits` takes, the same for equal shares."""
    return ",".join(f"{name}={share!r}" for name, share in shares.items())


def split_of(key: str, shares: Mapping[str, float]) -> str:
    """The name of the split that a key belongs to: by its SHA-256, uniform over [0, 1), and the shares in order."""
    place = int.from_bytes(hashlib.sha256(f"split\0{key}".encode()).digest()[:7], "big") / (1 << 56)
    end = 0.0
    for name, share in shares.items():
        end += share
        if place < end:
            return name
    return name  # the shares add up to a little less than 1


def held_out_first(names: Iterable[str]) -> list[str]:
    """The names of splits that are held out of trainings, those of HELD_OUT before others, without TRAIN."""
    others = [name for name in names if name != TRAIN]
    return [name for name in HELD_OUT if name in others] + [name for name in others if name not in HELD_OUT]


def shards_by_split(splits: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[int]]:
    """The numbers of each split's shards, from the entries of a manifest ({"name", "shards"}), in order.

    A split has several entries where shards were added to a folder.
    """
    numbers: dict[str, Sequence[int]] = {}
    start = 0
    for entry in splits:
        added = range(start, start + entry["shards"])
        numbers[entry["name"]] = [*numbers[entry["name"]], *added] if entry["name"] in numbers else added
        start += entry["shards"]
    return numbers
