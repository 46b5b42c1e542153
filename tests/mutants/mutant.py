"""A guard taken out of the code, and the test that notices. Data only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SITE = Path(__file__).resolve().parent / "site"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """`changes` are (module, old text, new text); `sql` drops the constraints that would forbid the result."""

    name: str
    guard: str
    changes: tuple[tuple[str, str, str], ...]
    killed_by: str  # a test's path and name
    sql: tuple[str, ...] = ()
    postgresql: bool = True  # else the test runs on SQLite

    def environment(self) -> dict[str, str]:
        """The variables that make a process run without the guard."""
        return {"MUTANT": json.dumps(self.changes), "PYTHONPATH": str(SITE)}
