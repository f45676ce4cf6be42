"""What the site has beside docs/*.md: documents from elsewhere in the repository, and two pages that are generated.

MkDocs calls the functions whose names begin with `on_`. Links stay as they are written, relative to the file they
stand in; here they are turned into those of the site.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from pathlib import Path

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
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
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
    source = {page: source for source, page in PLACES.items()}.get(place, f"docs/{place}")
    parts = _FENCES.split(markdown)
    parts[::2] = [rewrite_links(_DIRECTIVE.sub(r"\1", part), source, place) for part in parts[::2]]
    return "".join(parts)


def rewrite_links(markdown: str, source: str, place: str) -> str:
    """Links of the file `source` of the repository, as those of the page `place` of the site."""

    def target(match: re.Match[str]) -> str:
        if "://" in match[0] or match[0].startswith("mailto:"):
            return match[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[0]))
        found = PLACES.get(named) or (named.removeprefix("docs/") if named.startswith("docs/") else None)
        return match[0] if found is None else posixpath.relpath(found, posixpath.dirname(place) or ".")

    return _LINK.sub(target, markdown)


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
        context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
        title = context.command_path
        lines.extend(["", f"{'#' * (1 + len(title.split()))} {title}".replace("## sketchforge ", "## "), ""])
        lines.extend(["```text", context.get_help().rstrip(), "```"])
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                add(found, context, inner)

    whole = click.Context(main, info_name="sketchforge", terminal_width=100)
    lines.extend(["", "```text", whole.get_help().rstrip(), "```"])
    for name in COMMANDS:
        command = main.get_command(whole, name)
        assert command is not None
        add(command, whole, name)
    return "\n".join(lines)
