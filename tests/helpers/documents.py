"""Documents as their readers see them: blocks of code, links, and the anchors that links may name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.commands import ROOT

_BLOCK = re.compile(
    r"(?:^<!-- (?P<remark>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`[^`\n]*`")
# One pair of parentheses within the target at most, none of which stands in ours.
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; `remark` is the comment right before it."""

    remark: str
    kind: str
    code: str


def read_blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [Block(match["remark"] or "", match["kind"], match["code"]) for match in _BLOCK.finditer(text)]


def list_documents() -> list[Path]:
    """All that the repository shows as text: at its top, in docs/, and the cards of what comes along."""
    folders = [ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "sketchforge").rglob("*.md")]
    return sorted(path for found in folders for path in found)


def links_of(path: Path) -> list[str]:
    """Targets of the links and pictures of a document, those to the web left out."""
    text = _SPAN.sub("", _FENCED.sub("", path.read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(text) if "://" not in target]


def anchors_of(path: Path) -> set[str]:
    """What may stand after # in a link to a document: headings in small letters, spaces as hyphens, no punctuation."""
    headings = _HEADING.findall(_FENCED.sub("", path.read_text(encoding="utf-8")))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}
