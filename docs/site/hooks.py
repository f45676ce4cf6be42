"""What the site has beside docs/*.md: documents from elsewhere in the repository, and two pages that are generated.

MkDocs calls the functions whose names begin with `on_`. Links stay as they are written, relative to the file they
stand in; here they are turned into those of the site.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# Documents beside docs/, by their place on the site.
ELSEWHERE = {
    "overview.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "cards/tom.md": "sketchforge/checkpoints/builtin/tom.md",
    "cards/encoder.md": "sketchforge/checkpoints/builtin/encoder.md",
    "cards/foreground.md": "sketchforge/checkpoints/builtin/foreground.md",
    "cards/synthesizer.md": "sketchforge/checkpoints/builtin/synthesizer.md",
    "cards/weights-notice.md": "sketchforge/checkpoints/builtin/NOTICE.md",
    "cards/photos-notice.md": "sketchforge/images/builtin/photos/NOTICE.md",
    "cards/licence.md": "LICENSE",
}
QUICKSTART = "docs/quickstart.ipynb"
PLACES = {source: page for page, source in ELSEWHERE.items()} | {QUICKSTART: "quickstart.md"}
_FENCES = re.compile(r"^( *```.*?^ *```[^\n]*$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?P<text>\[[^][]*\])?(?<=\])\((?P<target>[^)\s#]+)")
_FILE_NAME = re.compile(r"\[[\w./-]+\.(md|ipynb)\]")
_DIRECTIVE = re.compile(r"^<!-- (::: .*?) -->$", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Anchors are those that a reader of plain Markdown files has."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source == "LICENSE":
            text = f"# Licence\n\n{text}"
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "quickstart.md", content=notebook_to_markdown(ROOT / QUICKSTART)))
    files.append(File.generated(config, "commands.md", content=describe_commands()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    place = page.file.src_uri
    if place == "README.md":  # alone in its part of the navigation
        page.meta["hide"] = ["navigation"]
    source = {page: source for source, page in PLACES.items()}.get(place, f"docs/{place}")
    titles = {page: title for title, page in list_titles(config.nav or [])}
    parts = _FENCES.split(markdown)
    parts[::2] = [rewrite_links(_DIRECTIVE.sub(r"\1", part), source, place, titles) for part in parts[::2]]
    if place == "quickstart.md":
        parts.append("\n\n[This page as a notebook](quickstart.ipynb), to be run.\n")
    return "".join(parts)


def list_titles(entries: list[Any]) -> Iterator[tuple[str, str]]:
    """(title, page) of a part of the navigation."""
    for entry in entries:
        for title, inner in entry.items():
            yield from [(title, inner)] if isinstance(inner, str) else list_titles(inner)


def rewrite_links(markdown: str, source: str, place: str, titles: Mapping[str, str]) -> str:
    """Links of the file `source` of the repository, as those of the page `place` of the site.

    A link whose text is the name of a file gets the title that the page has in the navigation.
    """

    def rewrite(match: re.Match[str]) -> str:
        text, target = match["text"] or "", match["target"]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        found = PLACES.get(named) or (named.removeprefix("docs/") if named.startswith("docs/") else None)
        if found is None:
            return match[0]
        if _FILE_NAME.fullmatch(text) and found in titles:
            text = f"[{titles[found]}]"
        return f"{text}({posixpath.relpath(found, posixpath.dirname(place) or '.')}"

    return _LINK.sub(rewrite, markdown)


def notebook_to_markdown(path: Path) -> str:
    """The cells of a notebook that is stored without results."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for text, kind in texts)


def describe_commands() -> str:
    """A section for each command of the command line: what `--help` prints."""
    import click

    from cli.main import COMMANDS, main

    lines = ["# Commands", "", "What `sketchforge help COMMAND` prints, of every command."]

    def add(command: click.Command, parent: click.Context, name: str) -> None:
        context = click.Context(command, info_name=name, parent=parent, terminal_width=78)
        title = context.command_path
        lines.extend(["", f"{'#' * (1 + len(title.split()))} {title}".replace("## sketchforge ", "## "), ""])
        lines.extend(["```text", context.get_help().rstrip(), "```"])
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                add(found, context, inner)

    whole = click.Context(main, info_name="sketchforge", terminal_width=78)
    lines.extend(["", "```text", whole.get_help().rstrip(), "```"])
    for name in COMMANDS:
        command = main.get_command(whole, name)
        assert command is not None
        add(command, whole, name)
    return "\n".join(lines)
