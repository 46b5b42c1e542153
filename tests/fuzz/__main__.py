"""`python -m tests.fuzz [--seconds 120] [--seed 1]`: schemathesis drives every operation of the API's description.

A real API over a small world of its own, asked with what its description allows and with what it does not, and along
its links: no server error, no answer that is not described, and nothing taken that the description forbids.

Every operation is called at least once in each way, however slow the machine: the examples and schemathesis's
enumeration of the description take the time they need. What is left of `--seconds` (at least `LEAST_SECONDS` each) goes
to random calls and to calls along links, a slower machine making fewer of the same ones. Exits with 1 where something
was found, or an operation was not called; the report is what it prints.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz import world
from tests.fuzz.hooks import NOTES
from tests.fuzz.settings import write_settings
from tests.servers.local import ROOT

LEAST_SECONDS = 20  # for random calls, and for those along links
MOST_SECONDS = 1_500  # for the enumeration, on the slowest machine: past that something hangs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=120, help="the time that it should take")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        with world.api(folder) as base:
            began = time.monotonic()
            run = Run(base, folder, seed=options.seed)
            found = run.phases("examples,coverage")
            left = options.seconds - (time.monotonic() - began)
            for phase, share in (("fuzzing", left / 2), ("stateful", left / 2)):
                found |= run.phases(phase, seconds=max(round(share), LEAST_SECONDS))
            missing = report(folder / "notes", world.operations(base), seconds=time.monotonic() - began)
    return 1 if found or missing else 0


class Run:
    """One schemathesis after the other against the same API."""

    def __init__(self, base: str, folder: Path, *, seed: int) -> None:
        self._base, self._folder, self._seed = base, folder, seed

    def phases(self, names: str, *, seconds: int | None = None) -> bool:
        """Whether something was found. Without `seconds` the phases end by themselves."""
        ids = world.furnish(self._base)
        settings = write_settings(self._folder / f"{names}.toml", ids=ids, linked=names == "stateful")
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", f"{self._base}/v1/openapi.json",
            f"--header=Authorization: Bearer {world.KEY}", f"--seed={self._seed}",
            f"--phases={names}", "--max-examples=5", "--continue-on-failure", "--request-timeout=60", "--warnings=off",
            "--suppress-health-check=all", "--no-color", *([f"--max-time={seconds}"] if seconds is not None else ()),
        ]  # fmt: skip
        environment = {**os.environ, NOTES: str(self._folder / "notes"), "PYTHONPATH": str(ROOT)}
        print(f"=== {names}" + (f", {seconds} s" if seconds is not None else ""), flush=True)
        most = MOST_SECONDS if seconds is None else seconds + MOST_SECONDS
        return subprocess.run(command, cwd=self._folder, env=environment, check=False, timeout=most).returncode != 0


def report(notes: Path, operations: dict[str, str], *, seconds: float) -> bool:
    """Print what was called. Whether an operation was not, in one of the two ways."""
    calls = [line.split("\t") for line in notes.read_text().splitlines()]
    called = {way: {label for label, mode, _, _ in calls if mode == way} for way in ("positive", "negative")}
    succeeded = {label for label, _, _, status in calls if status.startswith("2")}
    phases, statuses = Counter(phase for _, _, phase, _ in calls), Counter(status[0] + "xx" for *_, status in calls)
    print(f"=== {len(calls)} calls of {len(operations)} operations in {seconds:.0f} s")
    print("phases: " + ", ".join(f"{phase or 'others'} {count}" for phase, count in sorted(phases.items())))
    print("answers: " + ", ".join(f"{status} {count}" for status, count in sorted(statuses.items())))
    unsuccessful = sorted(set(operations) - succeeded)
    print(f"{len(operations) - len(unsuccessful)} operations succeeded; never: {', '.join(unsuccessful) or 'none'}")
    missing = {way: sorted(set(operations) - labels) for way, labels in called.items()}
    for way, labels in missing.items():
        print(f"not called with {way} data: {', '.join(labels) or 'none'}", flush=True)
    return any(missing.values())


if __name__ == "__main__":
    sys.exit(main())
