"""The README says what is: its settings are those that are read, its commands those that exist, its figures measured.

Its blocks of commands are run by tests/acceptance/test_up.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import readme
from jobs.lifecycle.lease import LEASE_SECONDS
from jobs.lifecycle.reap import MAX_LOSSES
from jobs.runner.loop import POLL_SECONDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
READ_BY_OPENSSL = {"SSL_CERT_FILE"}


def test_every_setting_of_the_environment_is_in_the_table_and_no_other() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "ductape_jobs" / "settings.py").read_text()))
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([A-Z_]{4,})`", row)}
    assert told == read - {"SECURE_HSTS_SECONDS"} | READ_BY_OPENSSL


def test_the_defaults_in_the_table_are_those_of_the_settings() -> None:
    given = _defaults()
    checked = set()
    for line in README.splitlines():
        if line.startswith("| `"):
            names, defaults = (cell.strip() for cell in line.split("|")[1:3])
            told = re.sub(r" \([^)]*\)", "", defaults).replace("`", "").split(", ")
            for name, default in zip(re.findall(r"`([A-Z_]+)`", names), told, strict=False):
                if name in given:
                    assert default == given[name], name
                    checked.add(name)
    assert checked >= {"PORT", "QUEUES", "CONCURRENCY", "ISOLATED_CONCURRENCY", "API_THREADS", "RETENTION_DAYS"}


def _defaults() -> dict[str, str]:
    """Of the settings that have a plain default: not those that depend on something, nor empty ones."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse((ROOT / "ductape_jobs" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            name = node.args[0]
            for keyword in node.keywords:
                try:
                    value = ast.literal_eval(keyword.value)
                except ValueError:
                    continue
                if keyword.arg == "default" and isinstance(name, ast.Constant) and value:
                    found[str(name.value)] = ",".join(value) if isinstance(value, list) else str(value)
    return found


def test_the_times_in_the_table_of_deaths_are_the_code_s() -> None:
    told = README[README.index("| what dies |") : README.index("## What Celery does")]
    assert f"every {POLL_SECONDS:g} s" in told
    assert f"its {LEASE_SECONDS:g} s lease" in told
    assert "the third loss of one run is `POISON`" in told
    assert MAX_LOSSES == 3


def test_its_figures_are_those_of_the_benchmarks_page() -> None:
    _, begin, rest = README.partition(readme.BEGIN)
    figures, end, _ = rest.partition(readme.END)
    assert begin and end
    assert figures.strip() == readme.table((ROOT / "docs" / "benchmarks.md").read_text())


def test_the_figures_are_taken_from_the_page_and_put_in_their_place(tmp_path: Path) -> None:
    page, text = tmp_path / "page.md", tmp_path / "readme.md"
    page.write_text(
        "# Benchmarks\n\n## P8: latency\n\nGoal: p50 < 1 ms\n\n|  | p50 | p99 | runs (of how many) |\n"
        "| --- | --- | --- | --- |\n| Ductape Jobs | 2 [1–3] ms | 9 [8–9] ms | 5 (5) |\n"
        "| BullMQ | 1.5 [1–2] ms |  | 5 (5) |\n"
    )
    text.write_text(f"a\n{readme.BEGIN}\nold\n{readme.END}\nb\n")

    readme.update(text, page)

    assert text.read_text() == (
        f"a\n{readme.BEGIN}\n\n| what is measured | Ductape Jobs | beside it, in the same run | again: "
        "`.venv/bin/python -m` |\n|---|---|---|---|\n"
        f"| P8: latency | Ductape Jobs: **p50 2 ms, p99 9 ms** | BullMQ: **p50 1.5 ms** | `benchmarks P8` |\n\n"
        f"{readme.END}\nb\n"
    )


def test_a_line_that_the_page_lacks_is_named() -> None:
    with pytest.raises(readme.NoSuchLine, match=r"no line .*'Ductape Jobs, 2 workers'.* in P1"):
        readme.table("# B\n\n## P1: runs\n\n|  | runs/s |\n| --- | --- |\n| Ductape Jobs, 9 workers | 1 /s |\n")


def test_its_picture_is_complete_in_itself() -> None:
    (path,) = re.findall(r"\((docs/images/[\w-]+\.svg)\)", README)
    picture = ElementTree.fromstring((ROOT / path).read_text())
    words = " ".join(picture.itertext())
    for name in ("API", "scheduler", "worker", "Redis", "PostgreSQL", "SQLite"):
        assert name in words
    links = [value for element in picture.iter() for name, value in element.items() if "href" in name]
    assert links == []
    assert "@import" not in words


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|[0-9] )make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_every_command_of_manage_py_that_it_names_exists() -> None:
    files = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    files |= {path.stem for path in ROOT.glob("*/*/management/commands/*.py")}
    named = {
        name for names in re.findall(r"manage\.py ([a-z_]+(?: \| [a-z_]+)*)", README) for name in names.split(" | ")
    }
    assert named <= files
    assert named >= {"api", "worker", "scheduler", "fsck", "prune", "create_api_key"}


def test_the_changelog_names_every_command() -> None:
    told = (ROOT / "CHANGELOG.md").read_text()
    commands = {path.stem for path in ROOT.glob("*/**/management/commands/*.py") if ".venv" not in path.parts}
    assert len(commands) > 8
    assert {name for name in commands - {"__init__"} if f"`{name}`" not in told} == set()


def test_the_pages_it_leads_to_exist() -> None:
    pages = re.findall(r"\]\(([\w./-]+)\)", README)  # and pictures
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []
