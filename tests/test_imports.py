"""Imports run cli -> trainers -> sketchforge, and the library neither prints, exits nor knows of click."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

FORBIDDEN = {
    "sketchforge": {"cli", "trainers", "click"},
    "trainers": {"cli", "click"},
    "cli": set(),
}
CONSOLE_SCRIPT = ROOT / "sketchforge" / "__main__.py"
MODULES = [
    path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py")) if path != CONSOLE_SCRIPT
]


def imported(tree: ast.AST) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif (
            isinstance(node, ast.ImportFrom) and not node.level
        ):  # relative imports stay inside their package
            names.add(node.module.split(".")[0])
    return names


def called(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_direction_of_imports(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).parts[0]
    assert not imported(tree) & FORBIDDEN[package]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "cli" not in path.relative_to(ROOT).parts], ids=str
)
def test_the_library_neither_prints_nor_exits(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    raised = {ast.unparse(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc}
    assert not called(tree) & {"print", "sys.exit", "exit", "quit"}
    assert not any(name.startswith("SystemExit") for name in raised)


def test_packages_import_nothing_heavy():
    for path in MODULES:
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            top = {
                name
                for node in tree.body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in imported(node)
            }
            assert not top & {"torch", "torchvision", "cv2", "numpy", "PIL", "webdataset"}, path
