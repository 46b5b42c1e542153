"""Loaded by Python itself in a process whose PYTHONPATH holds this folder: takes guards out of the code.

MUTANT is a JSON list of [module, old text, new text]. The module's source is changed as it is imported;
a text that is not there exactly once ends the process, so that no mutant tests nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

STALE = 99  # the exit status of a process whose mutant does not fit the code


class _Mutated(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path).decode()
        for module, old, new in CHANGES:
            if module != fullname:
                continue
            if text.count(old) != 1:
                print(
                    f"the mutant of {module} does not fit: its text is there {text.count(old)} times", file=sys.stderr
                )
                sys.stderr.flush()
                os._exit(STALE)
            text = text.replace(old, new)
        return self.source_to_code(text.encode(), self.path)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Mutated(fullname, spec.origin)
        return spec


CHANGES: list[list[str]] = json.loads(os.environ.get("MUTANT", "[]"))
MODULES = {module for module, _, _ in CHANGES}
if MODULES:
    sys.meta_path.insert(0, _Finder())
