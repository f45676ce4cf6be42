"""Break the code in one small place at a time and see whether a test fails: `make mutate`.

    python -m tests.mutate [--group equations] [--mutants 20] [--seed 1] [--jobs 2] [--json FILE]

A mutant is one module with one operator, number, comparison, condition or argument changed. It never touches a file:
a forked process imports the changed source in place of the module's and runs the tests of that module up to the first
that fails. A mutant is killed when one fails, or when they take three times as long as they should. Some mutants
compute the same and can be killed by nobody, so the share is a lower bound. Of every module MUTANTS are sampled;
0 takes all.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_FACTOR, TIMEOUT_SECONDS = 3, 10

# group -> module -> the tests that have to notice.
TARGETS: dict[str, dict[str, list[str]]] = {
    "equations": {
        "sketchforge/losses/adversarial.py": ["losses", "models/test_gan_models.py"],
        "sketchforge/losses/autoencoder.py": ["losses"],
        "sketchforge/losses/diff_augment.py": ["losses"],
        "sketchforge/losses/diffsketching.py": ["losses"],
        "sketchforge/losses/segin.py": ["losses"],
        "sketchforge/losses/style2paints.py": ["losses"],
        "sketchforge/losses/tom.py": ["losses"],
        "sketchforge/models/diffusion.py": ["models/test_diffusion.py"],
        "sketchforge/models/diffsketching.py": ["models/test_diffsketching_models.py"],
        "sketchforge/models/patch_matching.py": ["models/test_patch_matching.py", "models/test_patch_matcher.py"],
        "sketchforge/models/features.py": ["models/test_features.py", "losses/test_losses.py"],
        "trainers/ema.py": ["trainers/test_step_parts.py", "trainers/test_gan_training.py"],
    },
    "steps": {
        "trainers/tom/step.py": ["trainers/test_tom_step.py", "trainers/test_tom_realism.py", "trainers/test_tom_training.py"],
        "trainers/tom/selection.py": ["trainers/test_snapshots.py"],
        "trainers/autoencoder/step.py": ["trainers/test_ae_step.py", "trainers/test_ae_training.py"],
        "trainers/diffsketching/step.py": ["trainers/test_diffsketching_step.py"],
        "trainers/gan/step.py": ["trainers/test_gan_step.py", "trainers/test_gan_training.py"],
        "trainers/segin/step.py": ["trainers/test_segin_step.py"],
        "trainers/style2paints/step.py": ["trainers/test_style2paints_step.py"],
        "trainers/encoder/step.py": ["trainers/test_encoder_train.py"],
        "trainers/players.py": ["trainers/test_gan_step.py", "trainers/test_segin_step.py"],
    },
    "metrics": {
        "sketchforge/metrics/estimates.py": ["metrics/test_bootstrap.py", "metrics/test_edge_scoring.py"],
        "sketchforge/metrics/frechet.py": ["metrics/test_frechet.py", "metrics/test_inception.py"],
        "sketchforge/metrics/kid.py": ["metrics/test_frechet.py", "metrics/test_kernel_distance.py"],
        "sketchforge/metrics/sketches/boundaries.py": ["metrics/test_boundaries.py"],
        "sketchforge/metrics/sketches/shared_lines.py": ["metrics/test_shared_lines.py"],
        "sketchforge/metrics/sketches/strokes.py": ["metrics/test_strokes.py"],
        "sketchforge/metrics/sketches/two_sample_test.py": ["metrics/test_realism.py"],
        "sketchforge/metrics/sketches/variety.py": ["metrics/test_variety.py"],
        "sketchforge/metrics/images/diversity.py": ["metrics/test_diversity.py"],
        "sketchforge/metrics/images/style_relevance.py": ["metrics/test_style_relevance.py"],
    },
    "shards": {
        "sketchforge/render/plan.py": ["render/test_resume.py", "render/test_render.py", "render/test_tasks.py"],
        "sketchforge/render/resume.py": ["render/test_resume.py", "render/test_tasks.py"],
        "sketchforge/shards/check_shard.py": ["shards/test_shards.py", "shards/test_verify_processes.py"],
        "sketchforge/shards/manifest.py": ["render/test_resume.py", "shards"],
        "sketchforge/shards/splits.py": ["shards/test_split.py"],
        "sketchforge/shards/writer.py": ["render/test_resume.py", "shards/test_shards.py", "render/test_faults.py"],
        "sketchforge/data/order.py": ["data/test_order.py"],
    },
}  # fmt: skip

OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# Arguments that change speed and memory alone: no test could tell.
INERT = {"fused", "memory_format", "set_to_none"}
NAMES = {"mean": "sum", "sum": "mean", "min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin"}
NAMES |= {"any": "all", "all": "any", "zeros": "ones", "ones": "zeros", "floor": "ceil", "ceil": "floor"}


@dataclass(frozen=True)
class Mutant:
    """One change: the module's path, the line, what became of what, and the whole changed source."""

    module: str
    line: int
    change: str
    source: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its code."""
    tree = ast.parse((ROOT / module).read_text())
    for index, node in enumerate(_places(tree)):
        for variant in range(_num_variants(node)):
            mutated = copy.deepcopy(tree)
            target = _places(mutated)[index]
            before = ast.unparse(target)
            replacement = _mutate(target, variant)
            if replacement is not target:
                _replace(mutated, target, replacement)
            after = ast.unparse(ast.fix_missing_locations(replacement))
            yield Mutant(module, node.lineno, f"{before}  ->  {after}", ast.unparse(mutated))


def _places(tree: ast.Module) -> list[ast.expr]:
    """The expressions that may be changed: none of annotations, docstrings, decorators and what is raised."""
    places: list[ast.expr] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            return
        if isinstance(node, ast.keyword) and node.arg in INERT:
            return
        if _num_variants(node):
            places.append(node)  # type: ignore[arg-type]  # only expressions have variants
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child)

    visit(tree)
    return places


def _num_variants(node: ast.AST) -> int:
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op):
            return int(type(op) in OPERATORS)
        case ast.Compare(ops=[op]):
            return int(type(op) in OPERATORS)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            return 1
        case ast.Constant(value=bool() | int() | float()):
            return 1
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), keywords=keywords):
            return (name in NAMES) + len(_removable(keywords))
        case ast.IfExp():
            return 2
    return 0


def _removable(keywords: list[ast.keyword]) -> list[ast.keyword]:
    return [keyword for keyword in keywords if keyword.arg not in INERT]


def _mutate(node: ast.AST, variant: int) -> ast.AST:
    """The changed node: itself, or another to stand in its place."""
    match node:
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            node.op = OPERATORS[type(node.op)]()
        case ast.Compare():
            node.ops = [OPERATORS[type(node.ops[0])]()]
        case ast.UnaryOp():
            return node.operand
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant():
            node.value = node.value + 1 if isinstance(node.value, int) else node.value * 1.5 + 0.1
        case ast.Call(func=func):
            name = func.attr if isinstance(func, ast.Attribute) else func.id  # type: ignore[attr-defined]
            if name in NAMES and variant == 0:
                if isinstance(func, ast.Attribute):
                    func.attr = NAMES[name]
                else:
                    node.func = ast.Name(NAMES[name], ast.Load())
            else:
                node.keywords.remove(_removable(node.keywords)[variant - (name in NAMES)])
        case ast.IfExp():
            return node.body if variant == 0 else node.orelse
    return node


def _replace(tree: ast.AST, target: ast.AST, replacement: ast.AST) -> None:
    class Replacing(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return replacement if node is target else self.generic_visit(node)

    Replacing().visit(tree)


class MutatedSource(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds and loads one module, from source of its own."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.module.removesuffix(".py").replace("/", ".")
        self.path, self.source = str(ROOT / mutant.module), mutant.source

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname == self.name:
            return importlib.machinery.ModuleSpec(fullname, self, origin=self.path)
        return None

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str) -> bytes:
        if path.endswith(".pyc"):
            raise OSError  # what is compiled already is of another source
        return self.source.encode()


def run_tests(tests: list[str], mutant: Mutant | None, timeout: float) -> tuple[bool, float]:
    """(whether all of them pass within `timeout` seconds, the seconds they took), in a forked process."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if mutant is not None:
            sys.meta_path.insert(0, MutatedSource(mutant))
        import pytest

        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *(f"tests/{test}" for test in tests)]
        try:
            code = int(pytest.main(words))
        except BaseException:
            code = 1
        os._exit(code)
    while time.monotonic() < start + timeout:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0, time.monotonic() - start
        time.sleep(0.02)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has come to no group of its own yet
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, timeout


def preload() -> None:
    """Import what every test needs, so that forked processes need not; nothing of our own."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import cv2  # noqa: F401
    import PIL.Image  # noqa: F401
    import pytest  # noqa: F401
    import scipy.io  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import skimage.morphology  # noqa: F401
    import torch
    import torch._dynamo
    import torch.utils.tensorboard
    import torchvision  # noqa: F401

    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--group", choices=TARGETS, action="append", help="may be given again")
    parser.add_argument("--module", help="only modules whose path contains this")
    parser.add_argument("--mutants", type=int, default=20, help="of every module, sampled; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the survivors and shares are written")
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    preload()
    results = {}
    with ThreadPoolExecutor(asked.jobs) as pool:
        for group in asked.group or TARGETS:
            for module, tests in TARGETS[group].items():
                if asked.module and asked.module not in module:
                    continue
                passes, seconds = run_tests(tests, None, 600)
                if not passes:
                    sys.exit(f"error: {module}: its tests fail without any change: {' '.join(tests)}")
                mutants = list(mutants_of(module))
                if asked.mutants and len(mutants) > asked.mutants:
                    rng = random.Random(f"{asked.seed} {module}")
                    mutants = [mutants[i] for i in sorted(rng.sample(range(len(mutants)), asked.mutants))]
                timeout = TIMEOUT_FACTOR * seconds + TIMEOUT_SECONDS
                outcomes = pool.map(lambda mutant: run_tests(tests, mutant, timeout)[0], mutants)  # noqa: B023
                survivors = [mutant for mutant, passed in zip(mutants, outcomes, strict=True) if passed]
                killed = len(mutants) - len(survivors)
                results[module] = {"group": group, "mutants": len(mutants), "killed": killed}
                results[module]["survivors"] = [
                    {name: value for name, value in asdict(mutant).items() if name in ("line", "change")}
                    for mutant in survivors
                ]
                print(f"{module}: {killed} of {len(mutants)} killed", flush=True)
                for mutant in survivors:
                    print(f"  line {mutant.line}: {mutant.change}", flush=True)
                if asked.json:
                    asked.json.write_text(json.dumps(results, indent=1) + "\n")
    for group in TARGETS:
        chosen = [result for result in results.values() if result["group"] == group]
        if chosen:
            killed, total = (sum(result[name] for result in chosen) for name in ("killed", "mutants"))
            print(f"{group}: {killed} of {total} killed, {killed / max(total, 1):.0%}")


if __name__ == "__main__":
    main()
