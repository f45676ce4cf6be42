"""What stands beside the code says what the code does."""

import configparser
import re

import click
import pytest

from cli.main import main
from sketchforge.images.decode import MAX_BYTES, MAX_PIXELS
from sketchforge.strokes import stored
from sketchforge.utils.files import MAX_JSON_BYTES
from sketchforge.utils.tar_headers import MAX_HEADERS
from tests.helpers.commands import ROOT
from tests.helpers.documents import anchors_of, links_of, list_documents, read_blocks

INDEXED = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def unknown_options(words: list[str]) -> list[str]:
    """Those of a command line of ours, without the first word, that its command does not have."""
    context = click.Context(main, info_name="sketchforge")
    command = main.get_command(context, words[0])
    if command is None:  # a sentence, or another option of the program itself
        return []
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.get_command(context, words[1]) or command
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    found = [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]
    return [f"{words[0]} {name}" for name in found if name not in known | {"--help"}]


@pytest.mark.parametrize("document", [name for name in INDEXED if name != "README.md"])
def test_every_document_is_in_the_index(document):
    assert f"]({document})" in read("docs/README.md")


@pytest.mark.parametrize("document", list_documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_links_to_exists(document):
    """Files and pictures, and where a place in a document is named, its heading."""
    missing = []
    for link in links_of(document):
        target, _, anchor = link.partition("#")
        path = document.parent / target if target else document
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("document", list_documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_options_that_a_document_types_exist(document):
    """Also where a line is not run: for want of a cluster, or for it would take hours."""
    lines = "".join(block.code for block in read_blocks(document)).replace("\\\n", " ").splitlines()
    unknown = []
    for line in lines:
        for typed in re.findall(r"(?:^|\s)sketchforge ([a-z0-9-]+(?: [a-z-]+)?[^|;#]*)", line):
            unknown += unknown_options(typed.split())
    assert unknown == []


@pytest.mark.parametrize(
    "bound",
    [
        f"{MAX_BYTES >> 30} GiB as a file",
        f"{MAX_PIXELS:,} pixels",
        f"{MAX_HEADERS >> 20} MiB; tars",
        f"{MAX_JSON_BYTES >> 20} MiB, its shape",
        f"{stored.MAX_BYTES >> 20} MiB, 2²³ numbers",
    ],
)
def test_bounds_are_those_of_the_code(bound):
    assert stored.MAX_NUMBERS == 1 << 23
    assert bound in read("SECURITY.md")


@pytest.mark.parametrize("target", ["check", "docs", "test"])
def test_what_runs_on_every_push_is_what_one_types(target):
    assert f"- run: make {target}\n" in read(".github/workflows/ci.yml")
    assert re.search(rf"^{target}: .* ## ", read("Makefile"), re.MULTILINE)


@pytest.mark.parametrize("tool", ["ruff check", "ruff format", "mypy"])
def test_what_runs_before_a_commit_is_what_make_check_runs(tool):
    assert f"entry: {tool}" in read(".pre-commit-config.yaml")
    assert f"$(BIN)/{tool}" in read("Makefile")


def test_the_version_to_cite_is_the_package_s():
    assert f"version: {SETUP['metadata']['version']}\n" in read("CITATION.cff")
