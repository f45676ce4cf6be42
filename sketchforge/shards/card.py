"""The dataset card of a finished folder, README.md: what Hugging Face's `datasets` and people read.

It is a function of the manifest. Its last line holds a digest of the rest, by which an edited card is told
from one that may be written anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.origins import describe_drawer
from sketchforge.shards import schema
from sketchforge.shards.card_features import write_data_files, write_features
from sketchforge.shards.schema import json_bytes
from sketchforge.shards.splits import shards_by_split
from sketchforge.storage.folder import Folder
from sketchforge.strokes.stored import PER_PIXEL
from sketchforge.utils.markdown import Markdown, escape, fill_markdown

MAX_BYTES = 16 << 20  # larger cards are not ours: that of a folder of 1,000 styles has 0.3 MB
_MAX_OPTION = 200  # characters
_SIZE_LIMITS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_MARK = re.compile(rb"<!-- sketchforge: ([0-9a-f]{64}) [^\n]*-->\n\Z")


def dataset_card(manifest: Mapping[str, Any]) -> bytes:
    """The card of a folder with this complete manifest, UTF-8. Text of the manifest enters it escaped."""
    samples, sketches = total_samples(manifest), len(manifest["styles"])
    filled = fill_markdown(
        Path(__file__).parent,
        "dataset_card.md.jinja",
        # The YAML that the Hub and `datasets` read: it holds no text of the manifest, only its numbers.
        captioned=manifest["captioned"],
        size_category=Markdown(size_category(samples)),
        shards_digest=short_digest(manifest),
        data_files=map(Markdown, write_data_files(manifest)),
        features=map(Markdown, write_features(manifest)),
        title=f"{_plural(samples, 'image')}, {_plural(sketches, 'sketch')} of each",
        facts=_list_facts(manifest),
        members=_list_members(manifest),
        num_styles=sketches,
        drawing=describe_drawing(manifest),
        drawer=describe_terms(manifest),
        of_one_size=schema.image_side(manifest) is not None,
    )
    return sign_card(filled)


def describe_drawing(manifest: Mapping[str, Any]) -> Markdown:
    """Tables of how the sketches were drawn: styles, weights, options and libraries."""
    digests = manifest["digests"]
    filled = fill_markdown(
        Path(__file__).parent,
        "card_drawing.md.jinja",
        styles=[(style, _shorten(digests.get(style))) for style in manifest["styles"]],
        other_weights=[
            (name, _shorten(digest))
            for name, digest in sorted(digests.items())
            if name not in manifest["styles"]
        ],
        options=[
            (name.replace("_", " "), _format_option(value))
            for name, value in sorted(manifest["options"].items())
        ],
        libraries=sorted(manifest["libraries"].items()),
    )
    return Markdown(filled)


def describe_terms(manifest: Mapping[str, Any]) -> Markdown:
    """The terms of what drew the sketches."""
    return Markdown(describe_drawer(manifest["options"]["method"], set(manifest["digests"].values())))


def sign_card(filled: str) -> bytes:
    """A card as a file has it, UTF-8: its last line holds a digest of the rest."""
    text = (filled + "\n").encode(errors="replace")  # a foreign manifest may hold surrogates
    digest = hashlib.sha256(text).hexdigest()
    return (
        text + f"<!-- sketchforge: {digest} marks this text as its own; an edited card is kept -->\n".encode()
    )


def read_card(folder: Folder) -> bytes | None:
    """Read a folder's card; None where there is none, nothing of one that is beyond MAX_BYTES. Raises OSError."""
    try:
        return folder.read(schema.CARD, MAX_BYTES)
    except FileNotFoundError:
        return None
    except ValueError:
        return b""


def is_edited(card: bytes) -> bool:
    """Whether a card is not, or no longer, as `sign_card` made one of whatever text."""
    mark = _MARK.search(card[-1000:])
    text = card[: -len(mark[0])] if mark else b""
    return mark is None or hashlib.sha256(text).hexdigest().encode() != mark[1]


def write_card(folder: Folder, manifest: Mapping[str, Any]) -> bool:
    """Write the card of a complete manifest unless it is there already; False where an edited one is kept.

    Raises OSError.
    """
    return write_signed_card(folder, dataset_card(manifest))


def write_signed_card(folder: Folder, card: bytes) -> bool:
    """Write a card of `sign_card` unless it is there already; False where an edited one is kept. Raises OSError."""
    present = read_card(folder)
    if present is not None and is_edited(present):
        return False
    if present != card:
        folder.write(schema.CARD, card)
    return True


def remove_card(folder: Folder) -> None:
    """Remove the card of a folder that is no longer complete; an edited one stays. Raises OSError."""
    card = read_card(folder)
    if card is not None and not is_edited(card):
        folder.remove(schema.CARD)


def size_category(count: int) -> str:
    """Return the Hub's name for a number of samples: 999 -> "n<1K", 1000 -> "1K<n<10K"."""
    power = len(str(count)) - 3  # digits beyond three
    if power <= 0:
        return f"n<{_SIZE_LIMITS[0]}"
    if power >= len(_SIZE_LIMITS):
        return f"n>{_SIZE_LIMITS[-1]}"
    return f"{_SIZE_LIMITS[power - 1]}<n<{_SIZE_LIMITS[power]}"


def total_samples(manifest: Mapping[str, Any]) -> int:
    """The samples of a complete manifest."""
    return sum(entry["samples"] for entry in manifest["shards"])


def short_digest(manifest: Mapping[str, Any]) -> str:
    """Digest the tars' digests, in order: 16 hex digits."""
    return hashlib.sha256(json_bytes([entry["sha256"] for entry in manifest["shards"]])).hexdigest()[:16]


def _describe_splits(manifest: Mapping[str, Any]) -> str:
    ranges = shards_by_split(manifest["splits"])
    counts = {
        name: sum(manifest["shards"][number]["samples"] for number in numbers)
        for name, numbers in ranges.items()
    }
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _describe_appended(manifest: Mapping[str, Any]) -> str:
    count = sum(entry["inputs"]["count"] for entry in manifest["appended"])
    return f"{_plural(len(manifest['appended']), 'time')}, {_plural(count, 'image')}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("ch") else "s")


def describe_size(manifest: Mapping[str, Any]) -> str:
    """The size of sketches, in words."""
    side = schema.image_side(manifest)
    return "the size of its image" if side is None else f"{side} × {side} pixels"


def _list_facts(manifest: Mapping[str, Any]) -> list[tuple[str, object]]:
    num_bytes = sum(entry["bytes"] for entry in manifest["shards"])
    return [
        ("images", f"{total_samples(manifest):,}"),
        ("sketches of each", len(manifest["styles"])),
        ("size", "as the images came" if schema.image_side(manifest) is None else describe_size(manifest)),
        ("captions", "some or all images have one" if manifest["captioned"] else "none"),
        ("tars", f"{manifest['num_shards']:,}, {num_bytes / 1e6:,.1f} MB"),
        *([("added to", _describe_appended(manifest))] if manifest["appended"] else []),
        *([("classes", f"{len(manifest['classes']):,}")] if manifest["classes"] else []),
        *([("splits", _describe_splits(manifest))] if manifest["splits"] else []),
        ("inputs left out", describe_failures(manifest)),
    ]


def describe_failures(manifest: Mapping[str, Any]) -> str:
    """Counts of the inputs that failed, by reason; "none"."""
    failed = {
        reason: count for reason, count in manifest["outcomes"].items() if reason != schema.OK and count
    }
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(failed.items())) or "none"


def _list_members(manifest: Mapping[str, Any]) -> list[tuple[Markdown, Markdown]]:
    """The files of a sample and what they hold; KEY stands for its key."""
    rows = [("`KEY.jpg`", "the image, RGB")]
    options = manifest["options"]
    greys = f"{escape(options['grey_levels'])} greys" if "grey_levels" in options else "grey"
    bits = "black and white, one bit" if options["sketch_format"] == "png1" else f"{greys}, eight bits"
    names = schema.sample_members("KEY", len(manifest["styles"]), manifest["captioned"])
    first, last = names[1], names[len(manifest["styles"])]
    sketch_names = f"`{first}`" if first == last else f"`{first}` to `{last}`"
    rows.append(
        (sketch_names, f"its sketches, {bits} a pixel, dark lines on white, {describe_size(manifest)}")
    )
    if manifest["captioned"]:
        rows.append(("`KEY.txt`", "its caption, UTF-8; empty where it has none"))
    extras = {
        schema.CLASS: "the number of its class",
        schema.MASK: "where its subject is: grey, white for the subject",
        schema.STROKES: (
            "its strokes: `size` (height, width), `strokes` as they were traced, `hands` and their lines of ink; in "
            f"{PER_PIXEL}ths of a pixel, a line is its first point and the step to each next one"
        ),
    }
    rows += [(f"`{schema.extra_member('KEY', extra)}`", extras[extra]) for extra in manifest["extras"]]
    entries = ", ".join(f"`{name}`" for name in schema.sample_shape(manifest) if name != "meta")
    rows.append(("`KEY.json`", f"{entries}, and `meta`: what came along with the image, as JSON text"))
    return [(Markdown(name), Markdown(contents)) for name, contents in rows]


def _format_option(value: object) -> str:
    if value is None:
        return "none"
    return "…" if isinstance(value, dict | list) else str(value)[:_MAX_OPTION]


def _shorten(digest: object) -> Markdown:
    is_digest = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
    return Markdown(f"`{str(digest)[:16]}…`" if is_digest else "–")
