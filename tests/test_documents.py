"""What stands beside the code says what the code does."""

import configparser
import re

import pytest

from sketchforge.images.decode import MAX_BYTES, MAX_PIXELS
from sketchforge.strokes import stored
from sketchforge.utils.files import MAX_JSON_BYTES
from sketchforge.utils.tar_headers import MAX_HEADERS
from tests.helpers.commands import ROOT

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", [path.name for path in DOCUMENTS if path.name != "README.md"])
def test_every_document_is_in_the_index(document):
    assert f"[{document}]({document})" in read("docs/README.md")


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_what_a_document_links_to_exists(document):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(document))
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


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


@pytest.mark.parametrize("target", ["check", "test"])
def test_what_runs_on_every_push_is_what_one_types(target):
    assert f"- run: make {target}\n" in read(".github/workflows/ci.yml")
    assert re.search(rf"^{target}: .* ## ", read("Makefile"), re.MULTILINE)


@pytest.mark.parametrize("tool", ["ruff check", "ruff format", "mypy"])
def test_what_runs_before_a_commit_is_what_make_check_runs(tool):
    assert f"entry: {tool}" in read(".pre-commit-config.yaml")
    assert f"$(BIN)/{tool}" in read("Makefile")


def test_the_version_to_cite_is_the_package_s():
    assert f"version: {SETUP['metadata']['version']}\n" in read("CITATION.cff")
