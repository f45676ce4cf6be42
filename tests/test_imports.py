"""Imports run cli -> trainers -> sketchforge, and the library neither prints, exits nor knows of click."""

import ast
import functools
import sys
from pathlib import Path

from tests.helpers.commands import ROOT, run_python

FORBIDDEN = {
    "sketchforge": {"cli", "trainers", "click"},
    "trainers": {"cli", "click"},
    "cli": set(),
}
CONSOLE_SCRIPT = ROOT / "sketchforge" / "__main__.py"
MODULES = [
    path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py")) if path != CONSOLE_SCRIPT
]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A module's syntax tree, parsed once for all tests that ask."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """All that `ast.walk` comes by, walked once."""
    return list(ast.walk(tree))


def imported(tree: ast.AST) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    names = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif (
            isinstance(node, ast.ImportFrom) and not node.level
        ):  # relative imports stay inside their package
            names.add(node.module.split(".")[0])
    return names


# The folders of the library, from the ground up (docs/architecture.md): each may import those before it, no others.
LAYERS = (
    *(
        "errors",
        "options",
        "utils",
        "storage",
        "images",
        "models",
        "losses",
        "checkpoints",
        "sketchers",
        "strokes",
        "shards",
        "render",
    ),
    *("convert", "data", "synthesis", "metrics", "report", "app", "doctor"),
)


@functools.cache
def modules_imported(path: Path) -> set[str]:
    """Modules of our own packages that a file imports, anywhere in it, by their full names."""
    found = set()
    for node in nodes_of(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FORBIDDEN:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / f"{inner.replace('.', '/')}.py").exists()
                is_package = (ROOT / inner.replace(".", "/") / "__init__.py").exists()
                found.add(inner if is_module or is_package else node.module)
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_folder_of_the_library_has_its_layer():
    names = {
        path.relative_to(ROOT / "sketchforge").parts[0] for path in MODULES if "sketchforge" in path.parts
    }
    assert names - {"__init__.py"} == {*LAYERS[2:], "errors.py", "options"}


def test_imports_inside_the_library_go_downward():
    upward = []
    for path in MODULES:
        package, layer, *_ = (*module_name(path).split("."), "")
        if package == "sketchforge" and layer in LAYERS:
            above = set(LAYERS[LAYERS.index(layer) + 1 :])
            imports = sorted(modules_imported(path))
            upward += [f"{path}: {name}" for name in imports if {*name.split(".")[1:2]} & above]
    assert upward == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {module_name(path): modules_imported(path) for path in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name in graph and name not in done:
            for inner in sorted(graph[name]):
                visit(inner, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_nothing_is_defined_twice_in_a_file():
    """The second definition would silently take the place of the first."""
    twice = []
    for path in MODULES:
        body = tree_of(path).body
        defined = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        names = [node.name for node in defined if "overload" not in map(ast.unparse, node.decorator_list)]
        plain = [node.name for node in body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
        twice += [f"{path}: {name}" for name in plain if names.count(name) > 1]
    assert twice == []


def test_no_public_name_has_two_meanings():
    seen: dict[str, str] = {}
    for path in MODULES:
        for node in tree_of(path).body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and node.name != "main"
            ):
                other = seen.setdefault(node.name, str(path))
                assert other == str(path), f"{node.name}: {other}, {path}"


def test_files_are_short():
    for path in MODULES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 350, f"{path}: {lines} lines"


def called(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in nodes_of(tree) if isinstance(node, ast.Call)}


def raised(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.exc) for node in nodes_of(tree) if isinstance(node, ast.Raise) and node.exc}


def test_packages_import_only_those_below_them():
    upward = []
    for path in MODULES:
        forbidden = FORBIDDEN[path.relative_to(ROOT).parts[0]]
        if forbidden:
            upward += [f"{path}: {name}" for name in sorted(imported(tree_of(path)) & forbidden)]
    assert upward == []


def test_the_library_neither_prints_nor_exits():
    offending = []
    for path in MODULES:
        if "cli" not in path.relative_to(ROOT).parts:
            exits = called(tree_of(path)) & {"print", "sys.exit", "exit", "quit"}
            exits |= {name for name in raised(tree_of(path)) if name.startswith("SystemExit")}
            offending += [f"{path}: {name}" for name in sorted(exits)]
    assert offending == []


def test_packages_import_nothing_heavy():
    for path in MODULES:
        if path.name == "__init__.py":
            tree = tree_of(path)
            top = {
                name
                for node in tree.body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in imported(node)
            }
            assert not top & {"torch", "torchvision", "cv2", "numpy", "PIL", "webdataset"}, path


def imported_by(code: str) -> set[str]:
    """All modules that a fresh Python has after running `code`."""
    done = run_python(f"{code}\nimport sys\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_no_library_but_click():
    """And of the standard library nothing that is slow to import."""
    modules = imported_by('from cli.main import run\nassert run(["--help"]) == 0')
    libraries = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    # What the installation itself hooks into every start of Python is none of ours.
    assert libraries - {name.split(".")[0] for name in imported_by("")} <= {"click", "cli", "sketchforge"}
    assert not modules & {"asyncio", "email.message", "http", "importlib.metadata", "multiprocessing", "ssl"}


def test_processes_that_decode_and_encode_never_load_torch():
    """They start while the user waits, and there may be many of them."""
    code = """
import numpy
from sketchforge.render.encode import encode_sketches
from sketchforge.render.prepare import encode_jpeg, prepare
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.images.line_art import SketchTone
from sketchforge.utils.worker_pool import WorkerPool, _start_worker
data = encode_jpeg(numpy.zeros((20, 20, 3), numpy.uint8))
assert prepare(ImageSource("k", "k.jpg", ByteSource(len(data), data=data)), 16, "crop").reason is None
encode_sketches(numpy.zeros((1, 16, 16), numpy.uint8), SketchTone(False, (0.6, 0.1), 8))
_start_worker()
"""
    libraries = {name.split(".")[0] for name in imported_by(code)}
    assert {"cv2", "numpy", "PIL"} <= libraries
    assert not libraries & {"torch", "torchvision", "scipy", "webdataset", "click", "lpips"}


def test_drawing_with_canny_never_loads_torch(tmp_path):
    """It needs none, and takes seconds to load."""
    code = f"""
from pathlib import Path
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
if __name__ == "__main__":
    assert render(RenderOptions(Path({str(tmp_path / "out")!r}), method="canny", limit=1, size=16, workers=1)).num_images
"""
    libraries = {name.split(".")[0] for name in imported_by(code)}
    assert not libraries & {"torch", "torchvision", "scipy", "webdataset", "click", "lpips"}


def test_libraries_that_measure_are_loaded_only_where_something_is_measured():
    """Commands, readers, trainings and models do without them; both are slow to import."""
    code = """
import importlib
from cli.main import COMMANDS
for target in COMMANDS.values():
    importlib.import_module(target.split(":")[0])
import sketchforge.data.pairs, sketchforge.render.sketch, sketchforge.synthesis.synthesizer
import trainers.autoencoder.run, trainers.encoder.run, trainers.gan.run, trainers.segin.run, trainers.diffsketching.run, trainers.tom.run
import trainers.style2paints.run
import sketchforge.metrics.images.evaluate, sketchforge.report.summary.write
"""
    libraries = {name.split(".")[0] for name in imported_by(code)}
    assert not libraries & {"lpips", "scipy", "skimage", "sklearn", "torch_fidelity"}
