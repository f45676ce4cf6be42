"""`make mutate` knows where modules and their tests lie."""

import pytest

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
