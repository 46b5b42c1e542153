"""`python -m tests.mutants [--faults]`: for each guard, the test that goes red without it.

A mutant is killed when its test fails, and the same test passes without the mutant. Exits 1 when one
survives. The three proofs with real processes are run with `--faults`; they are tests themselves, which
pass when their fault's scenario goes red.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.mutants.guards import FAULTS, MUTANTS
from tests.mutants.mutant import Mutant
from tests.servers.local import FAST_POSTGRES, ROOT, postgres_server

PASSED, FAILED = 0, 1  # pytest's exit status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--faults", action="store_true", help="also the proofs with real processes (minutes)")
    options = parser.parse_args()
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL, which is not root, must get through
        (folder / "postgres").mkdir()
        address = stack.enter_context(postgres_server(folder / "postgres", FAST_POSTGRES))
        for mutant in MUTANTS:
            if mutant in FAULTS and not options.faults:
                continue
            killed, why = _try(mutant, address, folder)
            survived += not killed
            print(f"{'killed' if killed else 'ALIVE':7} {mutant.name:34} {mutant.guard}", flush=True)
            print(f"{'':7} {'':34} by {mutant.killed_by.rpartition('::')[2]}{why}", flush=True)
    print(f"{survived} of {len(MUTANTS)} mutants are alive" if survived else "every mutant is killed")
    return 1 if survived else 0


def _try(mutant: Mutant, address: str, folder: Path) -> tuple[bool, str]:
    """Whether the test notices, and what was odd."""
    url = f"{address}/mutants" if mutant.postgresql else ""
    base = {**os.environ, "DATABASE_URL": url, "DATA_DIR": str(folder / "data"), "REDIS_URL": ""}
    if mutant in FAULTS:
        status = _run(mutant.killed_by, base)
        return status == PASSED, "" if status == PASSED else f": it ended with {status}"
    sound = _run(mutant.killed_by, base)
    if sound != PASSED:
        return False, f": it ends with {sound} without the mutant too"
    status = _run(mutant.killed_by, {**base, **mutant.environment()})
    return status == FAILED, "" if status == FAILED else f": it ended with {status}"


def _run(test: str, environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
