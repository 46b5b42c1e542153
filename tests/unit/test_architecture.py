"""The rules of the house that no import linter can read: who writes a status, who publishes, who goes out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from jobs.states import TRANSITIONS, JobStatus

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "executors", "jobs", "webhooks", "ductape_jobs")
STATUS_WORDS = {"status", "behind"}
WRITERS_OF_ROWS = {"update", "create", "bulk_create", "get_or_create", "update_or_create", "bulk_update"}


@cache
def sources() -> Sequence[tuple[str, ast.Module]]:
    """Every file of ours but the migrations, read once."""
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text()))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


@cache
def imports(tree: ast.Module) -> Sequence[str]:
    return list(_imports(tree))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def writes_a_status(tree: ast.Module) -> Iterator[int]:
    """Lines that assign a status to a job or a run: an attribute, or a keyword of a writing call on their tables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for leaf in ast.walk(target):
                    if (
                        isinstance(leaf, ast.Attribute)
                        and leaf.attr in STATUS_WORDS
                        and isinstance(leaf.value, ast.Name)
                        and leaf.value.id in {"job", "run", "execution"}
                    ):
                        yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS_OF_ROWS:
            table = next((leaf.id for leaf in ast.walk(node.func) if isinstance(leaf, ast.Name)), "")
            if table in {"Job", "Execution"} and any(keyword.arg in STATUS_WORDS for keyword in node.keywords):
                yield node.lineno


def test_only_the_lifecycle_writes_a_status() -> None:
    found = [
        f"{path}:{line}"
        for path, tree in sources()
        if not path.startswith("jobs/lifecycle/")
        for line in writes_a_status(tree)
    ]
    assert found == []


def test_the_rule_about_statuses_sees_each_way_to_write_one() -> None:
    for text in (
        "job.status = 'x'",
        "Job.objects.filter(pk=1).update(status='x')",
        "Execution.objects.create(status='x')",
    ):
        assert list(writes_a_status(ast.parse(text))) == [1]


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("aiohttp", {"core/http/client.py", "core/http/pool.py", "ductape_jobs/up/echo.py"}),  # the last only answers
        ("pyreqwest", {"core/http/"}),
        ("requests", {"executors/", "ductape_jobs/up/", "core/http/"}),
        ("urllib.request", {"ductape_jobs/up/", "ductape_jobs/management/commands/"}),
        ("django_celery_beat", {"jobs/beat.py", "jobs/admin/", "jobs/maintenance.py"}),
        ("kombu", {"jobs/wakeup.py", "executors/providers/"}),
    ],
)
def test_a_foreign_module_is_used_in_its_one_place(module: str, allowed: set[str]) -> None:
    users = {
        path
        for path, tree in sources()
        for name in imports(tree)
        if (name == module or name.startswith(f"{module}.")) and not any(path.startswith(place) for place in allowed)
    }
    assert users == set()


def test_only_the_wake_up_publishes_celery_messages() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        if path != "jobs/wakeup.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"delay", "apply_async", "send_task", "delay_on_commit"}
    ]
    assert found == []


def test_nothing_below_the_edge_imports_it() -> None:
    edge = re.compile(r"(^|\.)(api|admin)(\.|$)")
    found = [
        f"{path} imports {name}"
        for path, tree in sources()
        if "/api/" not in path and "/admin" not in path and path != "ductape_jobs/urls.py"
        for name in imports(tree)
        if name.split(".")[0] in PACKAGES and edge.search(name)
    ]
    assert found == []


def texts_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text of a module but its docstrings, with its line."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_nothing_below_webhooks_names_a_module_or_a_table_of_it() -> None:
    """What an import linter does not see: a dotted path, a relation, a table in SQL."""
    of_webhooks = re.compile(r"\bwebhooks[._]\w")
    found = [
        f"{path}:{line}"
        for path, tree in sources()
        if path.split("/")[0] in {"core", "executors", "jobs"}
        for line, text in texts_of(tree)
        if of_webhooks.search(text)
    ]
    assert found == []
    below = ast.parse('"""webhooks.crew serves it"""\nimport_string("webhooks.crew")\nSQL = "FROM webhooks_delivery"')
    assert {line for line, text in texts_of(below) if of_webhooks.search(text)} == {2, 3}


def test_no_module_is_named_for_nothing() -> None:
    names = {path.stem for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert names & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"} == set()


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_drawn_state_machine_is_the_table(page: str) -> None:
    text = (ROOT / page).read_text()
    drawn = {
        (JobStatus(left), JobStatus(right))
        for left, right in re.findall(r"^\s*(\w+) --> (\w+)", text, re.MULTILINE)
        if left in set(JobStatus) and right in set(JobStatus)
    }
    assert drawn == {(left, right) for left, rights in TRANSITIONS.items() for right in rights}
