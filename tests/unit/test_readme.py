"""The README says what is: its settings are those that are read, its commands those that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_every_setting_of_the_environment_is_in_the_table_and_no_other() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "ductape_jobs" / "settings.py").read_text()))
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([A-Z_]{4,})`", row)}
    assert told == read - {"SECURE_HSTS_SECONDS"}


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|[0-9] )make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_every_command_of_manage_py_that_it_names_exists() -> None:
    files = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    files |= {path.stem for path in ROOT.glob("*/*/management/commands/*.py")}
    named = {"api", "worker", "scheduler", "fsck", "prune", "create_api_key", "rotate_keys", "recompute_schedules"}
    for name in named:
        assert name in README
    assert named <= files


def test_the_pages_it_leads_to_exist() -> None:
    pages = re.findall(r"\]\(([\w./-]+)\)", README)
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []
