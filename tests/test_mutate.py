"""`make mutate` knows where modules and their tests lie."""

import pytest

from tests import mutate
from tests.mutate import ROOT, TARGETS

MODULES = {module: tests for group in TARGETS.values() for module, tests in group.items()}


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_are_mutated_and_their_tests_exist(module):
    missing = [
        path
        for path in (module, *(f"tests/{test}" for test in MODULES[module]))
        if not (ROOT / path).exists()
    ]
    assert missing == []


def test_arguments_of_speed_and_memory_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    (tmp_path / "m.py").write_text("f(x, dim=1, fused=True, set_to_none=not y)\n")
    changes = {mutant.source.strip() for mutant in mutate.mutants_of("m.py")}
    assert changes == {"f(x, fused=True, set_to_none=not y)", "f(x, dim=2, fused=True, set_to_none=not y)"}
