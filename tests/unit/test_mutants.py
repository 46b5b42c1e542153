"""Every mutant is of code that is there: a guard that was rewritten takes its mutant along."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.mutants.guards import MUTANTS
from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_code_that_is_there(mutant: Mutant) -> None:
    for module, old, new in mutant.changes:
        spec = find_spec(module)
        assert spec is not None
        assert old in Path(str(spec.origin)).read_text(), f"{mutant.name}: {old!r} is not in {module}"
        assert old != new
    path, _, test = mutant.killed_by.partition("::")
    assert f"def {test}(" in (Path(__file__).parents[2] / path).read_text()
