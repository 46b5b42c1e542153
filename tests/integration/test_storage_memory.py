"""A long file moves through a process in little memory. The benchmark of the same name moves 1 GiB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("to", ["s3", "local"])
def test_a_file_that_is_longer_than_the_memory_it_may_take_is_moved(to: str) -> None:
    command = [sys.executable, "-m", "benchmarks.storage_transfer", "--to", to, "--mib", "160"]

    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["to"], told["mib"]) == (to, 160)
    assert told["extra_mib"] < 100
